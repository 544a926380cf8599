#include "core/fd.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

namespace assay {

Result<SocketPair> make_socket_pair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0)
    return fail_errno(ErrorKind::internal, "socketpair", errno);
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno(ErrorKind::internal, "pipe", errno);
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> open_cloexec(const std::string& path, int flags, unsigned mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return fail_errno(ErrorKind::config, "cannot open " + path, errno);
  return fd;
}

Result<std::string> read_file(const std::string& path, size_t limit_bytes) {
  ASSAY_TRY(const UniqueFd fd, open_cloexec(path, O_RDONLY));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(ErrorKind::config, "cannot read " + path, errno);
  if (S_ISDIR(info.st_mode)) return fail(ErrorKind::config, path + " is a directory, not a file");
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(ErrorKind::config, "cannot read " + path, errno);
    if (n == 0) return text;
    if (text.size() + static_cast<size_t>(n) > limit_bytes)
      return fail(ErrorKind::config,
                  path + " is larger than the limit of " + std::to_string(limit_bytes) + " bytes");
    text.append(buffer, static_cast<size_t>(n));
  }
}

Result<void> write_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp";
  {
    ASSAY_TRY(const UniqueFd fd, open_cloexec(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    while (!text.empty()) {
      const ssize_t n = ::write(fd.get(), text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno(ErrorKind::config, "cannot write " + temporary, errno);
      text.remove_prefix(static_cast<size_t>(n));
    }
    if (::fsync(fd.get()) != 0) return fail_errno(ErrorKind::config, "cannot write " + temporary, errno);
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0)
    return fail_errno(ErrorKind::config, "cannot write " + path, errno);
  return {};
}

}  // namespace assay
