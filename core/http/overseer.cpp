#include "core/http/overseer.hpp"

#include <sys/socket.h>

#include <chrono>

#include "core/log.hpp"

namespace assay::http {
namespace {

// So many looks find libcurl in the same stay. By looks and not by the clock: a process that was stopped for
// a while has not worked meanwhile.
constexpr int kLooks = 5;
constexpr std::chrono::milliseconds kBetweenLooks{200};

}  // namespace

Overseer::~Overseer() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Overseer::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { look_on(); });
}

void Overseer::opened(int fd) {
  {
    const std::lock_guard lock(mutex_);
    connections_.insert(fd);
  }
  changed_.notify_one();
}

void Overseer::closed(int fd) {
  const std::lock_guard lock(mutex_);
  connections_.erase(fd);
}

void Overseer::count() {
  const std::lock_guard lock(mutex_);
  ++stays_;
}

void Overseer::look_on() {
  std::unique_lock lock(mutex_);
  uint64_t seen = 0;
  int looks = 0;
  while (!ending_) {
    if (connections_.empty()) {
      changed_.wait(lock, [this] { return ending_ || !connections_.empty(); });
      continue;
    }
    changed_.wait_for(lock, kBetweenLooks, [this] { return ending_; });
    const bool inside = stays_ % 2 == 1;
    looks = inside && stays_ == seen ? looks + 1 : 0;
    seen = stays_;
    if (looks < kLooks) continue;
    looks = 0;
    log::warn("connections were ended that kept the HTTP client busy without end",
              {{"connections", std::to_string(connections_.size())}});
    for (const int fd : connections_) ::shutdown(fd, SHUT_RDWR);
  }
}

}  // namespace assay::http
