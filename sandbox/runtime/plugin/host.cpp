// assay-plugin-host: runs evaluators that are shared libraries (assay/plugin.h).
//
// Theory of operation. The spawner executes this program as the first process of a jail with the system's
// libraries in it (sandbox/jail/root.hpp). It speaks to the pool over descriptor 3 (sdk/protocol.md). Told
// which plugin, it gives up all that it does not need, and only then loads it: the plugin's code runs in this
// very process, so nothing here is a wall against it, and the pool believes nothing that it says unchecked.
// One thread, the host thread, reads frames, enters the plugin and writes; the plugin's own threads leave
// what they have to say with the Session and wake it. The pool owns the last kill.
//
//   assay-host MODE GROUPS|probe
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/jail/child.hpp"
#include "sandbox/jail/landlock.hpp"
#include "sandbox/jail/mode.hpp"
#include "sandbox/runtime/plugin/library.hpp"
#include "sandbox/runtime/plugin/session.hpp"
#include "sandbox/runtime/plugin/watch.hpp"
#include "sandbox/runtime/process/filter.hpp"
#include "sandbox/runtime/wire/exit_code.hpp"

namespace assay::sandbox::plugin {
namespace {

using namespace std::chrono_literals;
using namespace wire;

constexpr const char* kPluginFolder = "/assay/plugin";  // sandbox/jail/root.hpp
constexpr uint64_t kOwnMemory = 64U << 20;              // beside what the evaluator may have
constexpr size_t kReadSize = 256U << 10;
// How much, and how long, answers are gathered while there is more to evaluate.
constexpr size_t kGathered = 64U << 10;
constexpr auto kGathering = 200us;

/// Where the library is for us.
struct Place {
  std::string folder, path;
};
Place place_of(const std::string& library, bool has_namespaces) {
  const std::filesystem::path path(library);
  if (!has_namespaces) return {path.parent_path(), path};
  return {kPluginFolder, std::string(kPluginFolder) + '/' + path.filename().string()};
}

/// Nothing but reading the system's libraries and the plugin's folder, memory, threads and time: 0 or an
/// errno.
int lock_down(const std::string& folder, const EvaluatorLimits& limits, bool has_namespaces) {
  const rlimit memory{limits.memory_bytes + kOwnMemory, limits.memory_bytes + kOwnMemory};
  if (setrlimit(RLIMIT_DATA, &memory) != 0) return errno;
  std::vector<const char*> readable(kSystemPaths.begin(), kSystemPaths.end());
  readable.push_back(folder.c_str());
  const int ruleset = make_landlock_ruleset({.readable = readable, .devices = {}, .writable = {}});
  // With namespaces Landlock is one wall more; without them it is the one that hides the files.
  if (ruleset < 0 && !has_namespaces) return -ruleset;
  if (ruleset >= 0) {
    if (const int error = restrict_with_landlock(ruleset)) return error;
    close(ruleset);
  }
  const auto signals =
      has_namespaces || landlock_contains_signals() ? process::Signals::contained : process::Signals::refused;
  if (const int error = install_filter(process::Policy::interpreter, signals, process::Files::none))
    return error;
  return install_filter(process::Policy::item, signals, process::Files::none);
}

class Host {
 public:
  explicit Host(bool has_namespaces) : has_namespaces_(has_namespaces) {
    wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd_ < 0) _exit(errno);
  }

  [[noreturn]] void run() {
    while (true) {
      while (const auto frame = frames_.next()) take(*frame);
      if (frames_.broken()) _exit(kExitProtocol);
      if (session_) settle();
      write_out();
      wait();
    }
  }

 private:
  void wait() {
    pollfd ready[] = {{kProtocolFd, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    int patience = -1;
    if (const auto due = session_ ? session_->due() : std::nullopt)
      patience = static_cast<int>(std::max<int64_t>(
          0, std::chrono::ceil<std::chrono::milliseconds>(*due - Session::Clock::now()).count()));
    if (poll(ready, 2, patience) < 0 && errno != EINTR) _exit(errno);
    if (ready[1].revents != 0) {
      uint64_t count;
      (void)!read(wake_fd_, &count, sizeof count);
    }
    if (session_) settle();
    if (ready[0].revents != 0) read_more();
  }

  /// The first bytes come with the page that shows our progress.
  void read_more() {
    iovec room{frames_.prepare(kReadSize), kReadSize};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &room;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t count = session_ ? read(kProtocolFd, room.iov_base, room.iov_len)
                                   : recvmsg(kProtocolFd, &message, MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EINTR) return;
    if (count <= 0) _exit(0);  // the pool has gone
    const cmsghdr* const header = session_ ? nullptr : CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) map_progress(*header);
    frames_.commit(static_cast<size_t>(count));
  }

  void map_progress(const cmsghdr& header) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(&header), sizeof fd);
    void* const page = mmap(nullptr, kProgressSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) _exit(errno);
    close(fd);
    progress_ = static_cast<Progress*>(page);
  }

  void take(std::string_view frame) {
    const auto message = parse_message(frame);
    using Kind = Message::Kind;
    if (!message || !session_ != (message->kind == Kind::initialize)) _exit(kExitProtocol);
    switch (message->kind) {
      case Kind::shutdown:
        _exit(0);
      case Kind::initialize:
        return initialize(*message);
      case Kind::evaluate:
        waiting_.emplace_back(message->id, message->params);
        return;  // with all others that came with it
      case Kind::cancel:
        settle();  // what is done already is not cancelled
        session_->cancel(message->id);
        return settle();
      case Kind::completion:
        session_->take_completion(*message);
        return settle();
    }
  }

  /// Answers what has ended and begins what there is room for.
  void settle() {
    session_->settle();
    while (!waiting_.empty() && session_->under_way() < concurrent_) {
      if (!may_gather()) write_out();
      auto [id, item] = std::move(waiting_.front());
      waiting_.pop_front();
      session_->evaluate(id, std::move(item));
      session_->settle();
    }
    write_out();
  }

  /// Whether answers may wait for those to come. The pool knows what we are at, and since when: whatever
  /// becomes of an evaluation, nobody else is to blame, but those whose answers were not written are
  /// evaluated again. Of several under way it does not know: answers are then written before the plugin is
  /// entered again.
  bool may_gather() {
    if (concurrent_ > 1 || progress_ == nullptr) return false;
    const auto now = Session::Clock::now();
    if (out_.empty()) gathering_since_ = now;
    return out_.size() < kGathered && now - gathering_since_ < kGathering;
  }

  void initialize(const Message& message) {
    auto source = parse_initialize(message.params);
    if (!source || source->plugin.empty()) _exit(kExitProtocol);
    session_.emplace(source->limits, wake_fd_, out_);
    if (progress_ != nullptr) session_->show_progress(*progress_);
    const Place place = place_of(source->plugin, has_namespaces_);
    if (const int error = lock_down(place.folder, source->limits, has_namespaces_)) _exit(error);
    auto* const watch = new Watch(source->limits, message.id, kProtocolFd);  // lives as long as the process
    session_->watch_with(*watch);
    const Result<void> loaded = load(message.id, *source, place.path);
    watch->loaded();
    if (!loaded) append_error(out_, message.id, loaded.error());
  }

  Result<void> load(int64_t id, const EvaluatorSource& source, const std::string& path) {
    ASSAY_TRY(const Library library, Library::load(path));
    if (source.source.empty()) {  // nothing is to be evaluated
      append_initialized(out_, id, 1, library.description());
      return {};
    }
    ASSAY_TRY(const Library::Evaluator evaluator, library.find(source.source));
    concurrent_ = evaluator.max_in_flight;
    ASSAY_OK(session_->create(library, evaluator.name, source.params));
    append_initialized(out_, id, concurrent_);
    return {};
  }

  void write_out() {
    std::string_view text = out_;
    while (!text.empty()) {
      const ssize_t written = write(kProtocolFd, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) _exit(0);
      text.remove_prefix(static_cast<size_t>(written));
    }
    out_.clear();
  }

  bool has_namespaces_;
  int wake_fd_ = -1;
  FrameReader frames_{kRequestLimit};
  std::string out_;
  Session::Clock::time_point gathering_since_;  // what is in out_
  Progress* progress_ = nullptr;
  size_t concurrent_ = 1;
  std::optional<Session> session_;
  std::deque<std::pair<int64_t, std::string>> waiting_;  // have their turn when others have ended
};

/// 0 or an errno.
int prepare() {
  signal(SIGPIPE, SIG_IGN);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NAME, "assay-plugin") != 0) return errno;
  for (int fd = kGroupFd; fd < kGroupFd + kGroupFiles; fd++) close(fd);
  close(kLibraryFd);
  return 0;
}

}  // namespace
}  // namespace assay::sandbox::plugin

int main(int argc, char** argv) {
  using namespace assay::sandbox;
  const std::string_view mode = argc > 1 ? argv[1] : "nons";
  if (const int error = plugin::prepare(); error != 0) _exit(error);
  if (argc > 2 && std::string_view(argv[2]) == "probe") _exit(0);
  plugin::Host(mode != to_string(Mode::nons)).run();
}
