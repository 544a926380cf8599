// Looks on while libcurl works.
//
// libcurl 7.88 reads what a connection has in a loop of its own. A server that sends frames of HTTP/2 which
// carry nothing, fast enough, keeps it there for ever: no timeout is looked at, and nothing else of the
// process's loop runs. So a thread looks on, and ends connections that libcurl does not come back from.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <thread>

namespace assay::http {

/// Everything but the thread is called from libcurl's thread.
class Overseer {
 public:
  Overseer() = default;
  Overseer(const Overseer&) = delete;
  Overseer& operator=(const Overseer&) = delete;
  ~Overseer();

  /// From now on; a client that speaks no HTTP/2 needs none.
  void start();
  void opened(int fd);
  /// Before it is closed: its number may be another's a moment later.
  void closed(int fd);

  /// While it lives, libcurl works.
  class Stay {
   public:
    explicit Stay(Overseer& overseer) : overseer_(overseer) { overseer_.count(); }
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;
    ~Stay() { overseer_.count(); }

   private:
    Overseer& overseer_;
  };

 private:
  void count();
  void look_on();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<int> connections_;
  uint64_t stays_ = 0;  // odd: inside
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace assay::http
