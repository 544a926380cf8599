// assay-lua-host: runs one evaluator in Lua on the items that come over descriptor 3.
//
// Theory of operation. The spawner executes this static program as the last step of a jail
// (sandbox/jail/child.cpp). Before it reads anything it locks itself down for good: Landlock with an empty
// ruleset, no descriptors to be had, and a seccomp filter of nine calls. Then it answers frames
// (sdk/protocol.md), one after the other and in order; each answer is written at once, so that a host that
// dies leaves no doubt about the item that it died on. It ends when its socket does. The pool
// (sandbox/runtime/pool.hpp) owns the kill; nothing here needs to be trusted for that.
//
//   assay-host MODE [probe]     probe: lock down and exit, to find out whether this machine can
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "sandbox/jail/landlock.hpp"
#include "sandbox/runtime/lua/evaluator.hpp"
#include "sandbox/runtime/lua/filter.hpp"
#include "sandbox/runtime/wire/exit_code.hpp"
#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox::lua {

using namespace wire;

namespace {

constexpr int kProtocolFd = 3;
constexpr size_t kReadSize = 256U << 10;

/// The first exception that a program throws sets up the unwinder, with calls that the filter forbids. Lua's
/// errors are exceptions.
void warm_up_exceptions() {
  try {
    throw 0;
  } catch (int) {
  }
}

/// 0 or an errno.
int lock_down(std::string_view mode) {
  // The C library reads these once; afterwards there is no file to be read.
  setenv("TZ", "UTC0", 1);
  tzset();
  warm_up_exceptions();
  prctl(PR_SET_NAME, "assay-lua-host");  // executed by descriptor: its name would be a number
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errno;
  // With namespaces Landlock is one wall more; without them it is the one that hides the files.
  if (const int error = deny_all_with_landlock(); error != 0 && mode == "nons") return error;
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_NOFILE, &none) != 0) return errno;
  if (!Watchdog::start_ticking()) return errno;
  return install_filter(kProtocolFd);
}

bool write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(kProtocolFd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

class Host {
 public:
  int run() {
    while (true)
      if (!answer(next_frame())) return exit_code_;
  }

 private:
  /// Valid until the next is asked for.
  std::string_view next_frame() {
    while (true) {
      if (const auto frame = frames_.next()) return *frame;
      if (frames_.broken()) _exit(kExitProtocol);
      char* const room = frames_.prepare(kReadSize);
      const ssize_t count = read(kProtocolFd, room, kReadSize);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) _exit(0);  // the pool has gone
      frames_.commit(static_cast<size_t>(count));
    }
  }

  /// While an item runs; the pool then sends nothing but the answer.
  Result<std::string> call(std::string_view method, std::string_view request) {
    std::string out;
    append_evaluator_call(out, evaluation_, method, request);
    if (!write_all(out)) _exit(0);
    const auto answer = parse_call_answer(next_frame());
    if (!answer) _exit(kExitProtocol);
    if (!*answer) return std::unexpected(answer->error());
    return std::string(**answer);
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
        if (evaluator_) return stop(kExitProtocol);
        if (!initialize(*request)) return stop(kExitProtocol);
        break;
      case Method::evaluate:
        if (!evaluator_) return stop(kExitProtocol);
        evaluation_ = request->id;
        append_answer(out_, evaluation_, evaluator_->evaluate(request->params));
    }
    return write_all(out_) || stop(0);
  }

  bool initialize(const Request& request) {
    auto source = parse_initialize(request.params);
    if (!source) return false;
    auto created = Evaluator::create(
        std::move(*source),
        [this](std::string_view method, std::string_view asked) { return call(method, asked); });
    if (!created) {
      append_error(out_, request.id, created.error());
      return true;
    }
    evaluator_ = std::move(*created);
    append_initialized(out_, request.id);
    return true;
  }

  bool stop(int exit_code) {
    exit_code_ = exit_code;
    return false;
  }

  FrameReader frames_{kRequestLimit};
  std::unique_ptr<Evaluator> evaluator_;
  std::string out_;
  int64_t evaluation_ = 0;  // that runs
  int exit_code_ = 0;
};

}  // namespace
}  // namespace assay::sandbox::lua

int main(int argc, char** argv) {
  using namespace assay::sandbox::lua;
  if (const int error = lock_down(argc > 1 ? argv[1] : "nons"); error != 0) _exit(error);
  if (argc > 2 && std::string_view(argv[2]) == "probe") _exit(0);
  _exit(Host().run());  // not exit(): there is nothing to clean up, and less to go wrong
}
