#pragma once
#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace dirbox {

/// A directory of one test's own, gone with the object. `path` has no symbolic link in it.
struct Scratch {
  Scratch() {
    char name[] = "/tmp/dirbox-test-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = std::filesystem::canonical(name);
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string path;
};

}  // namespace dirbox
