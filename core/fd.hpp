// Owned file descriptors. Every descriptor of ours is close-on-exec and lives in one of these.
#pragma once

#include <unistd.h>

#include <string>
#include <utility>

#include "core/error.hpp"

namespace assay {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  /// Gives the descriptor away; the caller closes it.
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  explicit operator bool() const { return fd_ >= 0; }  // 0 is a valid descriptor

 private:
  int fd_ = -1;
};

struct SocketPair {
  UniqueFd ours, theirs;
};
/// Two connected Unix sockets of `type` (SOCK_STREAM, SOCK_SEQPACKET), close-on-exec.
Result<SocketPair> make_socket_pair(int type);

struct Pipe {
  UniqueFd read, write;
};
Result<Pipe> make_pipe();

/// open(2) with O_CLOEXEC. The error names the path.
Result<UniqueFd> open_cloexec(const std::string& path, int flags, unsigned mode = 0);

/// The whole of a file, at most `limit_bytes` of it: a larger one is an error that names the limit.
Result<std::string> read_file(const std::string& path, size_t limit_bytes);

/// Writes all of `text` beside `path` and renames it there, so that a reader sees the old file or the new
/// one.
Result<void> write_file(const std::string& path, std::string_view text);

}  // namespace assay
