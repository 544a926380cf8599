#include "core/fd.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "tests/unit/temporary_folder.hpp"

using namespace assay;

namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}
bool closes_on_exec(const UniqueFd& fd) {
  return (::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0;
}

}  // namespace

TEST_CASE("fd: a descriptor is closed exactly once, by its last owner", "[core][fd]") {
  auto pipe = make_pipe();
  REQUIRE(pipe.has_value());
  const int read = pipe->read.get();
  const int write = pipe->write.get();
  CHECK(closes_on_exec(pipe->read));
  CHECK(closes_on_exec(pipe->write));
  {
    UniqueFd moved = std::move(pipe->read);
    CHECK_FALSE(static_cast<bool>(pipe->read));
    CHECK(moved.get() == read);
    moved = std::move(pipe->write);  // assignment closes what was held
    CHECK_FALSE(is_open(read));
    CHECK(is_open(write));
  }
  CHECK_FALSE(is_open(write));
}

TEST_CASE("fd: a released descriptor is the caller's, and 0 is a valid one", "[core][fd]") {
  auto sockets = make_socket_pair(SOCK_STREAM);
  REQUIRE(sockets.has_value());
  CHECK(closes_on_exec(sockets->ours));
  const int raw = sockets->ours.release();
  sockets->ours.reset();
  CHECK(is_open(raw));
  ::close(raw);

  UniqueFd zero(0);
  CHECK(static_cast<bool>(zero));
  zero.release();
  CHECK_FALSE(static_cast<bool>(UniqueFd()));
}

TEST_CASE("fd: files are read whole, up to a limit, or the error names them", "[core][fd]") {
  const test::TemporaryFolder folder;
  const std::string text(200'000, 'x');
  const std::string path = folder.write("data", text);
  CHECK(read_file(path, text.size()) == text);
  CHECK(read_file(path, text.size() - 1).error().message ==
        path + " is larger than the limit of 199999 bytes");
  CHECK(read_file(folder.path("none"), 1).error().message ==
        "cannot open " + folder.path("none") + ": No such file or directory");
  CHECK(read_file(folder.path(), 1).error().message == folder.path() + " is a directory, not a file");
  CHECK(read_file("/proc/self/status", 100'000).value().starts_with("Name:"));  // a file without a size
}

TEST_CASE("fd: a written file replaces the old one whole and leaves nothing beside it", "[core][fd]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("state", "old, and longer");
  REQUIRE(write_file(path, "new").has_value());
  CHECK(read_file(path, 100) == "new");
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
  CHECK(write_file(folder.path("none/file"), "x").error().kind == ErrorKind::config);
}
