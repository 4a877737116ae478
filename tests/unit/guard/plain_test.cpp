#include "launcher/guard/plain.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <fstream>
#include <sstream>

#include "launcher/base/unique_fd.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

using Names = std::vector<std::string>;

struct stat numbered(ino_t inode) {
  struct stat out {};
  out.st_dev = 3;
  out.st_ino = inode;
  out.st_ctim = {1'700'000'000 + static_cast<time_t>(inode), 999'999'999};
  return out;
}

/// Kept: 1 with two directories, the others with none.
void keep(const std::string& file, const Scratch& scratch, std::size_t count) {
  PlainDirectories out(file);
  const UniqueFd directory(::open(scratch.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(directory.valid());
  for (std::size_t i = 1; i <= count; ++i)
    out.add(directory.get(), numbered(i), i == 1 ? Names{"a", "b c"} : Names{});
  out.save();
}

std::string text_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace

TEST_CASE("what was kept is found, as long as it is as it was") {
  const Scratch scratch;
  const std::string file = plain_file(scratch.path, "/home/x/project");
  keep(file, scratch, PlainDirectories::kWorthIt);
  PlainDirectories plain(file);
  Names folders{"left"};
  REQUIRE(plain.find(numbered(1), folders));
  CHECK(folders == Names{"a", "b c"});
  REQUIRE(plain.find(numbered(2), folders));
  CHECK(folders.empty());
  CHECK_FALSE(plain.find(numbered(PlainDirectories::kWorthIt + 1), folders));
  for (int changed = 0; changed < 4; ++changed) {
    struct stat status = numbered(1);
    if (changed == 0) ++status.st_ctim.tv_sec;
    if (changed == 1) --status.st_ctim.tv_nsec;
    if (changed == 2) status.st_dev = 4;
    if (changed == 3) status.st_ino = 2;
    CAPTURE(changed);
    CHECK_FALSE(plain.find(status, folders));
  }
  CHECK_FALSE(PlainDirectories(plain_file(scratch.path, "/home/x")).find(numbered(1), folders));
  CHECK_FALSE(PlainDirectories("").find(numbered(1), folders));
}

TEST_CASE("a few are not worth a file") {
  const Scratch scratch;
  keep(scratch.path + "/few", scratch, PlainDirectories::kWorthIt - 1);
  CHECK_FALSE(std::filesystem::exists(scratch.path + "/few"));
}

TEST_CASE("a file that is cut short, or of other names, counts as none") {
  const Scratch scratch;
  const std::string file = scratch.path + "/file";
  keep(file, scratch, PlainDirectories::kWorthIt);
  const std::string whole = text_of(file);
  Names folders;
  std::size_t as_fewer = 0;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::ofstream(file, std::ios::binary) << whole.substr(0, length);
    PlainDirectories plain(file);
    bool found = false;
    for (ino_t i = 1; i <= PlainDirectories::kWorthIt; ++i)
      found |= plain.find(numbered(i), folders);
    as_fewer += found ? 1 : 0;
  }
  // Cut between two, there are fewer.
  CHECK(as_fewer == PlainDirectories::kWorthIt - 1);
  std::string other = whole;
  other[8] = static_cast<char>(other[8] ^ 1);
  std::ofstream(file, std::ios::binary) << other;
  CHECK_FALSE(PlainDirectories(file).find(numbered(1), folders));
}

TEST_CASE("only file systems that are known to keep times count") {
  const Scratch scratch;
  const UniqueFd proc(::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(proc.valid());
  PlainDirectories plain(scratch.path + "/file");
  Names folders;
  plain.add(proc.get(), numbered(1), {});
  CHECK_FALSE(plain.find(numbered(1), folders));
}
