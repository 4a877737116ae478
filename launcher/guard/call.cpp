#include "launcher/guard/call.h"

#include <cstring>
#include <type_traits>

namespace dirbox::guard {
namespace {

constexpr const char* kDoing = "ask the guard's writer";

class Writing {
 public:
  template <class T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out_.insert(out_.end(), bytes, bytes + sizeof value);
  }
  void put_text(const std::string& text) {
    put(static_cast<std::uint32_t>(text.size()));
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    out_.insert(out_.end(), bytes, bytes + text.size());
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

class Reading {
 public:
  explicit Reading(std::span<const std::byte> bytes) : rest_(bytes) {}
  template <class T>
  void get(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < sizeof value) {
      bad_ = true;
      return;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof value);
  }
  void get_text(std::string& text) {
    std::uint32_t size = 0;
    get(size);
    if (bad_ || size > rest_.size()) {
      bad_ = true;
      return;
    }
    text.assign(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
  }
  bool is_whole() const { return !bad_ && rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool bad_ = false;
};

}  // namespace

Result<std::vector<std::byte>> encode_call(const Call& call) {
  Writing out;
  out.put(call.act);
  for (std::uint32_t word : {call.flags, call.mode, call.mask, call.owner, call.group})
    out.put(word);
  out.put(call.resolve);
  out.put(call.size);
  for (const timespec& time : call.times) out.put(time);
  for (const Name& name : call.names) {
    out.put(name.device);
    out.put(name.inode);
    out.put_text(name.base);
    out.put_text(name.path);
  }
  auto bytes = out.take();
  if (bytes.size() > kMaxCall) return fail(kDoing, "", "its names are too long");
  return bytes;
}

Result<Call> parse_call(std::span<const std::byte> bytes) {
  Reading in(bytes);
  Call call;
  in.get(call.act);
  for (std::uint32_t* word : {&call.flags, &call.mode, &call.mask, &call.owner, &call.group})
    in.get(*word);
  in.get(call.resolve);
  in.get(call.size);
  for (timespec& time : call.times) in.get(time);
  for (Name& name : call.names) {
    in.get(name.device);
    in.get(name.inode);
    in.get_text(name.base);
    in.get_text(name.path);
  }
  if (!in.is_whole() || call.act > Act::access) return fail(kDoing, "", "a malformed call");
  return call;
}

std::vector<std::byte> encode_answer(const Answer& answer) {
  Writing out;
  out.put(answer.kind);
  out.put(answer.err);
  out.put(static_cast<std::uint32_t>(answer.executable));
  out.put_text(answer.path);
  out.put_text(answer.why);
  return out.take();
}

Result<Answer> parse_answer(std::span<const std::byte> bytes) {
  Reading in(bytes);
  Answer answer;
  in.get(answer.kind);
  in.get(answer.err);
  std::uint32_t executable = 0;
  in.get(executable);
  answer.executable = executable != 0;
  in.get_text(answer.path);
  in.get_text(answer.why);
  if (!in.is_whole() || answer.kind > Answer::Kind::not_mine)
    return fail(kDoing, "", "a malformed answer");
  return answer;
}

}  // namespace dirbox::guard
