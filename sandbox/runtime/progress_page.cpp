#include "sandbox/runtime/progress_page.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>

namespace assay::sandbox {

Result<std::unique_ptr<ProgressPage>> ProgressPage::make() {
  UniqueFd fd(memfd_create("assay-progress", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (!fd || ftruncate(fd.get(), wire::kProgressSize) != 0 || fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0)
    return fail_errno(ErrorKind::internal, "cannot make a page to share with a host", errno);
  void* const page = mmap(nullptr, wire::kProgressSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (page == MAP_FAILED)
    return fail_errno(ErrorKind::internal, "cannot map a page to share with a host", errno);
  return std::unique_ptr<ProgressPage>(new ProgressPage(std::move(fd), new (page) wire::Progress));
}

ProgressPage::~ProgressPage() {
  munmap(page_, wire::kProgressSize);
}

ssize_t ProgressPage::send_with(int socket, std::string_view text) const {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = fd_.get();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ssize_t sent = -1;
  do sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

}  // namespace assay::sandbox
