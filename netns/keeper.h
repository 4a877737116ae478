#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "launcher/base/event_loop.h"

namespace dirbox::netns {

/// Owns objects that end themselves from inside their own callbacks: retire() takes one out at once
/// and destroys it when the loop has returned from it. T has a member `std::uint64_t id`.
template <class T>
class Keeper {
 public:
  explicit Keeper(EventLoop& loop) : loop_(loop) {}
  ~Keeper() { loop_.cancel(sweep_); }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  T& add(std::unique_ptr<T> object) {
    object->id = next_++;
    return *live_.emplace(object->id, std::move(object)).first->second;
  }
  void retire(T& object) {
    auto node = live_.extract(object.id);
    if (node.empty()) return;
    dead_.push_back(std::move(node.mapped()));
    if (sweep_ != 0) return;
    sweep_ = loop_.after(std::chrono::milliseconds(0), [this] {
      sweep_ = 0;
      dead_.clear();
    });
  }
  std::size_t size() const { return live_.size(); }
  /// nullptr when it is gone.
  T* find(std::uint64_t id) {
    auto found = live_.find(id);
    return found == live_.end() ? nullptr : found->second.get();
  }
  /// nullptr when there is none.
  T* oldest() { return live_.empty() ? nullptr : live_.begin()->second.get(); }
  /// `action` may retire the object it is given, and no other.
  template <class Action>
  void for_each(Action action) {
    for (auto at = live_.begin(); at != live_.end();) action(*(at++)->second);
  }

 private:
  EventLoop& loop_;
  std::map<std::uint64_t, std::unique_ptr<T>> live_;  // by age
  std::vector<std::unique_ptr<T>> dead_;
  EventLoop::TimerId sweep_ = 0;
  std::uint64_t next_ = 1;
};

}  // namespace dirbox::netns
