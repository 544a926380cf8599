// assay-process-host: runs evaluators that are processes of their own (shell, command, python).
//
// Theory of operation. The spawner executes this static program as the first process of a jail with the
// system's programs in it (sandbox/jail/root.hpp). It speaks to the pool over descriptor 3 (sdk/protocol.md)
// and never runs evaluator code itself: a Runtime starts processes, each under Landlock, seccomp and limits
// of its own, watches them and says how they ended. As the first process it ends everything in the jail by
// ending. The pool owns the last kill.
//
//   assay-host MODE GROUPS|probe
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>

#include "sandbox/jail/child.hpp"
#include "sandbox/jail/landlock.hpp"
#include "sandbox/jail/mode.hpp"
#include "sandbox/jail/root.hpp"
#include "sandbox/runtime/process/interpreter.hpp"
#include "sandbox/runtime/process/runtime.hpp"
#include "sandbox/runtime/wire/exit_code.hpp"
#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox::process {
namespace {

using namespace wire;

constexpr int kProtocolFd = 3;
constexpr size_t kReadSize = 32U << 10;  // a buffer that a jail for one item does not pay for

constexpr const char* kLockLibrary = "/assay/libassay-lock.so";  // sandbox/jail/root.cpp
constexpr std::array kEverything = {"/"};
constexpr std::array kScratch = {"/tmp"};
constexpr std::array kInstallable = {"/tmp", "/assay/packages"};
// Not /dev/zero: mapped for writing and shared, it is memory that RLIMIT_DATA does not count.
constexpr std::array kDevices = {"/dev/null", "/dev/full"};

class Host : public Caller {
 public:
  explicit Host(Surroundings surroundings) : surroundings_(std::move(surroundings)) {
    surroundings_.caller = this;
  }

  int run() {
    while (true) {
      while (const auto frame = frames_.next())
        if (!answer(*frame)) return exit_code_;
      read_more();
    }
  }

  void call(std::string_view method, std::string_view request) override {
    out_.clear();
    append_evaluator_call(out_, evaluation_, method, request);
    if (!write_out()) _exit(0);
  }
  int fd() const override { return kProtocolFd; }
  std::optional<Result<std::string_view>> answer() override {
    read_more();
    const auto frame = frames_.next();
    if (!frame) return std::nullopt;
    auto answer = parse_call_answer(*frame);
    if (!answer) _exit(kExitProtocol);
    return answer;
  }

 private:
  void read_more() {
    if (frames_.broken()) _exit(kExitProtocol);
    char* const room = frames_.prepare(kReadSize);
    const ssize_t count = read(kProtocolFd, room, kReadSize);
    if (count < 0 && errno == EINTR) return;
    if (count <= 0) _exit(0);  // the pool has gone
    frames_.commit(static_cast<size_t>(count));
  }

  /// False when the host is to end, with exit_code_.
  bool answer(std::string_view frame) {
    const auto request = parse_request(frame);
    if (!request) return stop(kExitProtocol);
    out_.clear();
    switch (request->method) {
      case Method::shutdown:
        return stop(0);
      case Method::initialize:
        if (runtime_ || !initialize(*request)) return stop(kExitProtocol);
        return write_out() || stop(0);
      case Method::evaluate: {
        if (!runtime_) return stop(kExitProtocol);
        evaluation_ = request->id;
        const Answer answer = runtime_->evaluate(request->params);
        out_.clear();  // of a call
        append_answer(out_, evaluation_, answer);
      }
    }
    if (!write_out()) return stop(0);
    return !runtime_->is_spent() || stop(kExitSpent);
  }

  bool initialize(const Request& request) {
    auto source = parse_initialize(request.params);
    if (!source) return false;
    if (source->language == "packages" && !admit_installer()) return false;
    const auto start = source->language == "python"      ? start_python
                       : source->language == "node"      ? start_node
                       : source->language == "candidate" ? start_candidate
                                                         : start_command;
    auto started = start(std::move(*source), surroundings_);
    if (!started) {
      append_error(out_, request.id, started.error());
      return true;
    }
    runtime_ = std::move(*started);
    append_initialized(out_, request.id);
    return true;
  }

  /// An installer may fill the folder of packages, and connect to the proxy that the pool's side listens on.
  bool admit_installer() {
    surroundings_.policy = Policy::installer;
    if (surroundings_.ruleset < 0) return true;
    close(surroundings_.ruleset);
    surroundings_.ruleset = make_landlock_ruleset(
        {.readable = kEverything, .devices = kDevices, .writable = kInstallable, .port = kProxyPort});
    return surroundings_.ruleset >= 0;
  }

  bool write_out() {
    std::string_view text = out_;
    while (!text.empty()) {
      const ssize_t written = write(kProtocolFd, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return false;
      text.remove_prefix(static_cast<size_t>(written));
    }
    return true;
  }

  bool stop(int exit_code) {
    exit_code_ = exit_code;
    return false;
  }

  Surroundings surroundings_;
  FrameReader frames_{kRequestLimit};
  std::unique_ptr<Runtime> runtime_;
  std::string out_;
  int64_t evaluation_ = 0;  // that runs
  int exit_code_ = 0;
};

/// 0 or an errno.
int prepare(std::string_view mode, Surroundings& surroundings) {
  signal(SIGPIPE, SIG_IGN);
  // Not to be looked into by what it starts, which has the same user.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NAME, "assay-host") != 0) return errno;
  surroundings.has_namespaces = mode != to_string(Mode::nons);
  surroundings.lock_library = kLockLibrary;
  if (!surroundings.has_namespaces) {
    surroundings.library_fd = kLibraryFd;
    surroundings.lock_library = kLockLibraryByDescriptor;
  }
  LandlockRules rules{.readable = kSystemPaths, .devices = kDevices, .writable = {}, .file = kLibraryFd};
  if (surroundings.has_namespaces)
    rules = {.readable = kEverything, .devices = kDevices, .writable = kScratch};
  surroundings.ruleset = make_landlock_ruleset(rules);
  if (surroundings.has_namespaces || landlock_contains_signals()) surroundings.signals = Signals::contained;
  // With namespaces Landlock is one wall more; without them it is the one that hides the files.
  if (surroundings.ruleset < 0 && !surroundings.has_namespaces) return -surroundings.ruleset;
  if (surroundings.has_namespaces && chdir("/tmp") != 0) return errno;
  return 0;
}

}  // namespace
}  // namespace assay::sandbox::process

int main(int argc, char** argv) {
  using namespace assay::sandbox::process;
  Surroundings surroundings;
  if (const int error = prepare(argc > 1 ? argv[1] : "nons", surroundings); error != 0) _exit(error);
  const std::string_view groups = argc > 2 ? argv[2] : "";
  if (groups == "probe") _exit(0);
  surroundings.accounting = Accounting(groups);
  _exit(Host(surroundings).run());
}
