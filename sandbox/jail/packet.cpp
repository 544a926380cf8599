#include "sandbox/jail/packet.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace assay::sandbox {

int send_packet(int socket, const void* data, size_t size, const int* fds, size_t fd_count) {
  iovec part{const_cast<void*>(data), size};
  alignas(cmsghdr) char control[CMSG_SPACE(kPacketFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd_count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

Received receive_packet(int socket, void* data, size_t size) {
  Received received;
  iovec part{data, size};
  alignas(cmsghdr) char control[CMSG_SPACE(kPacketFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t count;
  do count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (count < 0 && errno == EINTR);
  if (count < 0) {
    received.error = errno;
    return received;
  }
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int fds[kPacketFds];
    const size_t fd_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), fd_count * sizeof(int));
    for (size_t i = 0; i < fd_count; i++) received.fds[i] = UniqueFd(fds[i]);
  }
  received.end = count == 0;
  if (count > 0 &&
      (static_cast<size_t>(count) != size || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0))
    received.error = EPROTO;
  return received;
}

UniqueFd take_descriptor(int stream) {
  char byte;
  Received received = receive_packet(stream, &byte, sizeof byte);
  return std::move(received.fds[0]);
}

}  // namespace assay::sandbox
