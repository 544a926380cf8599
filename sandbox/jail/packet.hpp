// Packets with descriptors over a SOCK_SEQPACKET socket.
#pragma once

#include <array>
#include <cstddef>

#include "core/fd.hpp"

namespace assay::sandbox {

inline constexpr size_t kPacketFds = 3;

/// Sends one packet and at most kPacketFds descriptors; 0 or an errno.
int send_packet(int socket, const void* data, size_t size, const int* fds = nullptr, size_t fd_count = 0);

struct Received {
  int error = 0;     ///< an errno, or
  bool end = false;  ///< the other side closed
  std::array<UniqueFd, kPacketFds> fds;
};
/// Takes the one descriptor that waits at the beginning of a stream, with one byte.
UniqueFd take_descriptor(int stream);

/// Receives one packet of exactly `size` bytes; another size is EPROTO. Descriptors arrive close-on-exec.
Received receive_packet(int socket, void* data, size_t size);

}  // namespace assay::sandbox
