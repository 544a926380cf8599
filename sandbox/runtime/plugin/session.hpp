// One evaluator of a plugin, the evaluations that are under way in it, and the services that it is offered.
#pragma once

#include <assay/plugin.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/runtime/plugin/library.hpp"
#include "sandbox/runtime/plugin/message.hpp"
#include "sandbox/runtime/plugin/watch.hpp"
#include "sandbox/runtime/wire/frames.hpp"
#include "sandbox/runtime/wire/log_buffer.hpp"
#include "sandbox/runtime/wire/progress.hpp"

namespace assay::sandbox::plugin {
class Session;
}

/// One evaluation that is under way. The plugin holds its address until it has called done().
struct assay_call {
  assay::sandbox::plugin::Session* session = nullptr;
  int64_t id = 0;
  std::string item;
  std::chrono::steady_clock::time_point began;
  std::deque<std::string> values;       // that the plugin has read
  assay::sandbox::wire::LogBuffer log;  // of Session::mutex_
  bool has_log = false;                 // likewise
  std::atomic<bool> is_cancelled = false;
  bool is_abandoned = false;  // the host has answered for it; the rest is of the host thread alone
};

namespace assay::sandbox::plugin {

/// All but what the plugin calls through assay_host runs on the host thread. What the plugin says from any
/// thread is gathered and dealt with by settle(), there.
class Session : private assay_host {
 public:
  using Clock = std::chrono::steady_clock;

  /// Frames for the pool are appended to `out`; `wake_fd`, an eventfd, is written to when another thread has
  /// something for settle().
  Session(const wire::EvaluatorLimits& limits, int wake_fd, std::string& out);

  /// Makes the evaluator; `config` with the plugin's words.
  Result<void> create(const Library& library, const std::string& name, const std::string& params);

  void evaluate(int64_t id, std::string item);
  /// `id` is not wanted any more. What the plugin does not answer soon is answered here.
  void cancel(int64_t id);
  /// The answer to a call of ours.
  void take_completion(const Message& answer);

  /// Answers what has ended and asks what was asked; until nothing is left of either.
  void settle();

  size_t under_way() const { return calls_.size(); }
  /// When settle() has to be called again though nothing happens; none while nothing is cancelled.
  std::optional<Clock::time_point> due() const;
  void watch_with(Watch& watch) { watch_ = &watch; }
  /// Where the pool sees what we are at.
  void show_progress(wire::Progress& progress) { progress_ = &progress; }

 private:
  struct Asked {
    assay_call* call;
    assay_llm_done done;
    void* user;
  };
  /// From any thread: the answer to a call or, when `asked` is set, a completion that it asks for.
  struct Posted {
    assay_call* call;
    wire::Answer answer;
    std::optional<Asked> asked;
    std::string request;
  };

  void post(Posted posted);
  void answer(assay_call& call, wire::Answer answer);
  void ask(Posted& posted);
  void abandon_late();
  void fail_completions(const assay_call* call);
  static void fail_completion(const Asked& asked, ErrorKind kind, std::string_view message);
  static Session& of(assay_call* call) { return *call->session; }

  static const void* service(const assay_host* host, const char* name);
  static void done(assay_call* call, const assay_outcome* outcome);
  static int32_t cancelled(const assay_call* call);
  static int32_t read_item(assay_call* call, assay_text path, assay_text* value);
  static int32_t read_param(const assay_host* host, assay_text path, assay_text* value);
  static void write_log(assay_call* call, assay_text line);
  static void complete(assay_call* call, assay_text request, assay_llm_done done, void* user);

  wire::EvaluatorLimits limits_;
  int wake_fd_;
  std::string& out_;
  const std::thread::id host_thread_ = std::this_thread::get_id();
  Watch* watch_ = nullptr;
  wire::Progress* progress_ = nullptr;
  assay_evaluator* evaluator_ = nullptr;
  std::string_view params_;  // while create() runs
  std::deque<std::string> param_values_;

  std::map<int64_t, std::unique_ptr<assay_call>> calls_;
  std::vector<std::unique_ptr<assay_call>> abandoned_;  // answered here; the plugin may still hold them
  std::map<int64_t, Clock::time_point> late_;           // when those that were cancelled are abandoned
  std::map<int64_t, Asked> asked_;                      // by the number of our call
  int64_t next_asked_ = 1;
  Used used_;
  Clock::time_point used_at_;

  std::mutex mutex_;
  std::vector<Posted> posted_;  // of mutex_
};

}  // namespace assay::sandbox::plugin
