#include "api/container/events.hpp"

#include "api/container/run_json.hpp"
#include "api/container/waiting.hpp"
#include "api/http/route.hpp"
#include "api/json_text.hpp"

namespace assay::api {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 500ms;
constexpr auto kSilence = 15s;

std::string progress_of(const Run& run, const std::string& waiting) {
  std::string out;
  {
    JsonObject object(out);
    object.text("id", run.id);
    object.text("status", to_string(run.status));
    object.raw("paused", run.paused ? "true" : "false");
    append_progress(object, run);
    object.maybe_text("waiting_for", waiting);
    if (!run.error.empty()) object.text("error", run.error);
  }
  return out;
}

class Events final : public BodyWriter {
 public:
  Events(Context& context, std::string key, Access access, std::string run)
      : context_(context), key_(std::move(key)), access_(std::move(access)), run_(std::move(run)) {}

  Task<Answer<std::string>> next() override {
    if (ended_) co_return std::string();
    const Deadline silent = Clock::now() + kSilence;
    for (;;) {
      const auto allowed = co_await admit_again(context_, key_);
      if (!allowed && allowed.error().status != 503) co_return end();
      const auto run = co_await context_.store.run(access_, run_);
      // A store that is away comes back; a run that was deleted does not.
      if (!run && run.error().status != 503) co_return end();
      if (run) {
        const auto waiting = co_await waiting_for(context_, *run);
        auto now = progress_of(*run, waiting);
        ended_ = is_terminal(run->status);
        if (ended_ || now != last_) {
          last_ = now;
          co_return "event: " + std::string(ended_ ? "end" : "progress") + "\ndata: " + now + "\n\n";
        }
      }
      if (context_.stopping) co_return end();
      if (Clock::now() >= silent) co_return std::string(": still there\n\n");
      const bool slept = co_await sleep_until(Clock::now() + kLook);
      if (!slept) co_return end();
    }
  }

 private:
  std::string end() {
    ended_ = true;
    return {};
  }

  Context& context_;
  std::string key_;
  Access access_;
  std::string run_;
  std::string last_;
  bool ended_ = false;
};

}  // namespace

Task<Answer<Response>> run_events(Context& context, Request& request) {
  const auto run = co_await context.store.run(request.principal.access, request.parameters[0]);
  if (!run) co_return std::unexpected(run.error());
  Response response;
  response.content_type = "text/event-stream";
  response.headers.emplace_back("Cache-Control", "no-store");
  response.writer = std::make_unique<Events>(context, request.key, request.principal.access, run->id);
  co_return response;
}

}  // namespace assay::api
