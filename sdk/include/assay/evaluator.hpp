// The plugin ABI for C++20: an evaluator is one class, a plugin one line. Header-only; nothing but the
// standard library and assay/plugin.h.
//
//   struct Shorter {
//     static constexpr std::string_view describe =
//         R"({"name": "shorter", "params": {"type": "object", "properties": {"limit": {"type":
//         "number"}}}})";
//     explicit Shorter(const assay::Params& params) : limit_(params.number("limit").value_or(100)) {}
//     assay::Score evaluate(const assay::Item& item) const {
//       const double size = item.sample().size();
//       return {.score = size <= limit_ ? 1.0 : 0.0, .reason = std::to_string(size) + " bytes"};
//     }
//     double limit_;
//   };
//   ASSAY_PLUGIN("mine", "1.0.0", Shorter);
//
// A class answers at once with `Score evaluate(const Item&)`, or later with `void evaluate(Call)`. What it
// throws becomes an errored outcome: Failure says of which kind, any other exception is an "evaluator_error".
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <assay/plugin.h>

namespace assay {

inline assay_text to_text(std::string_view view) {
  return {view.data(), view.size()};
}
inline std::string_view to_view(assay_text text) {
  return {text.data, text.size};
}

/// `text` as a JSON string; what it holds must be UTF-8.
inline std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

/// An errored outcome, thrown. The kinds are those of docs/plugins.md.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& message, std::string kind = "evaluator_error")
      : std::runtime_error(message), kind_(std::move(kind)) {}
  const std::string& kind() const { return kind_; }

 private:
  std::string kind_;
};

struct Score {
  double score = 0;              ///< finite
  std::optional<bool> passed{};  ///< unsaid: the run's threshold decides
  std::string reason{};
  std::vector<std::pair<std::string, double>> metrics{};  ///< named numbers, finite
};

namespace detail {

inline const assay_json_service* json_service(const assay_host* host) {
  return static_cast<const assay_json_service*>(host->service(host, ASSAY_SERVICE_JSON));
}

/// What values are read by: a service and whose values.
template <class Read>
class Values {
 public:
  explicit Values(Read read) : read_(read) {}

  /// Of a string value; nullopt when there is none, or another kind of value.
  std::optional<std::string_view> text(std::string_view path) const { return value(path, 1); }
  /// The JSON of any value that is not a string.
  std::optional<std::string_view> json(std::string_view path) const { return value(path, 2); }
  std::optional<double> number(std::string_view path) const {
    const auto written = json(path);
    double number = 0;
    if (!written) return std::nullopt;
    const auto [end, error] = std::from_chars(written->data(), written->data() + written->size(), number);
    if (error != std::errc() || end != written->data() + written->size()) return std::nullopt;
    return number;
  }
  std::optional<bool> boolean(std::string_view path) const {
    const auto written = json(path);
    if (written == "true") return true;
    if (written == "false") return false;
    return std::nullopt;
  }
  bool has(std::string_view path) const {
    assay_text ignored{};
    return read_(to_text(path), &ignored) != 0;
  }

 private:
  std::optional<std::string_view> value(std::string_view path, int32_t kind) const {
    assay_text found{};
    if (read_(to_text(path), &found) != kind) return std::nullopt;
    return to_view(found);
  }
  Read read_;
};

struct ReadParam {
  const assay_host* host;
  int32_t operator()(assay_text path, assay_text* value) const {
    return json_service(host)->param(host, path, value);
  }
};
struct ReadItem {
  const assay_json_service* service;
  assay_call* call;
  int32_t operator()(assay_text path, assay_text* value) const { return service->item(call, path, value); }
};

}  // namespace detail

/// The parameters of the evaluator's definition, while it is constructed. They fit the schema of `describe`.
class Params : public detail::Values<detail::ReadParam> {
 public:
  Params(const assay_host* host, assay_text all) : Values(detail::ReadParam{host}), all_(to_view(all)) {}
  std::string_view all() const { return all_; }  ///< a JSON object

 private:
  std::string_view all_;
};

/// One item, while it is evaluated: {"id", "index", "sample": {"input", "output"}, "ground_truth",
/// "metadata"}.
class Item : public detail::Values<detail::ReadItem> {
 public:
  Item(const assay_json_service* service, assay_call* call, std::string_view all)
      : Values(detail::ReadItem{service, call}), all_(all) {}
  std::string_view all() const { return all_; }  ///< a JSON object

  /// The plain text of either side; throws Failure when the item has no such side.
  std::string_view sample() const { return side("sample.text", "sample"); }
  std::string_view ground_truth() const { return side("ground_truth.text", "ground truth"); }

 private:
  std::string_view side(std::string_view path, const char* name) const {
    const auto found = text(path);
    if (!found) throw Failure(std::string("the item has no ") + name, "config");
    return *found;
  }
  std::string_view all_;
};

/// What a model answered, while `then` runs.
class Reply {
 public:
  explicit Reply(const assay_llm_reply& reply) : reply_(reply) {}
  std::string_view text() const { return to_view(reply_.text); }
  std::string_view finish() const { return to_view(reply_.finish); }  ///< "stop", "length", "refusal"…
  std::string_view all() const { return to_view(reply_.all); }        ///< a JSON object

 private:
  const assay_llm_reply& reply_;
};

/// The duty to answer one evaluation. Copies share it, and the first answer counts; when the last copy goes
/// without one, the evaluation ends as errored: none can be forgotten. From any thread.
class Call {
 public:
  Call(const assay_host* host, assay_call* call, assay_text item)
      : state_(std::make_shared<State>(host, call, to_view(item))) {}

  /// Valid until the answer is given.
  Item item() const { return {detail::json_service(state_->host), state_->call, state_->item}; }
  /// True too once it is answered.
  bool cancelled() const {
    const std::lock_guard lock(state_->mutex);
    return state_->answered || state_->host->cancelled(state_->call) != 0;
  }
  void log(std::string_view line) const {
    const auto* service =
        static_cast<const assay_log_service*>(state_->host->service(state_->host, ASSAY_SERVICE_LOG));
    const std::lock_guard lock(state_->mutex);
    if (service != nullptr && !state_->answered) service->write(state_->call, to_text(line));
  }

  void score(const Score& score) const;
  void skip(std::string_view reason) const {
    assay_outcome outcome{};
    outcome.verdict = ASSAY_SKIPPED;
    outcome.reason = to_text(reason);
    state_->answer(outcome);
  }
  void fail(std::string_view message, std::string_view kind = "evaluator_error") const {
    state_->answer(failed(message, kind));
  }

  using Then = std::function<void(Call, const Reply&)>;
  /// Asks a model (assay_llm_service); `request` is a JSON object. `then` runs on the host thread. When the
  /// completion fails the evaluation ends as errored with what it failed with, and `then` is not called.
  void complete(std::string_view request, Then then) const;
  /// The same, and what it failed with goes to `otherwise`, also on the host thread: for who asks several.
  using Otherwise = std::function<void(Call, const Failure&)>;
  void complete(std::string_view request, Then then, Otherwise otherwise) const;

 private:
  static assay_outcome failed(std::string_view message, std::string_view kind) {
    assay_outcome outcome{};
    outcome.verdict = ASSAY_ERRORED;
    outcome.reason = to_text(message);
    outcome.kind = to_text(kind);
    return outcome;
  }
  struct State {
    State(const assay_host* host_, assay_call* call_, std::string_view item_)
        : host(host_), call(call_), item(item_) {}
    ~State() { answer(failed("the evaluator dropped the item without an answer", "evaluator_error")); }
    void answer(assay_outcome outcome) {
      const std::lock_guard lock(mutex);  // nobody may use the call once it is done
      if (std::exchange(answered, true)) return;
      outcome.size = sizeof outcome;
      host->done(call, &outcome);
    }
    const assay_host* host;
    assay_call* call;
    std::string_view item;
    std::mutex mutex;
    bool answered = false;
  };
  std::shared_ptr<State> state_;
};

namespace detail {

inline std::string metrics_json(const Score& score) {
  if (score.metrics.empty()) return {};
  std::string json;
  for (const auto& [name, value] : score.metrics) {
    if (!std::isfinite(value)) throw Failure("the metric " + name + " is not a finite number", "bad_result");
    json += json.empty() ? '{' : ',';
    json += quoted(name) + ':';
    char number[32];
    json.append(number, std::to_chars(number, number + sizeof number, value).ptr);
  }
  return json + '}';
}

/// Runs `work`; what it throws is the answer.
template <class Work>
void guard(const Call& call, Work work) noexcept {
  try {
    work();
  } catch (const Failure& failure) {
    call.fail(failure.what(), failure.kind());
  } catch (const std::exception& error) {
    call.fail(error.what());
  } catch (...) {
    call.fail("it threw something that is no std::exception");
  }
}

template <class E>
struct Glue {
  assay_evaluator base;
  const assay_host* host;
  E evaluator;

  static Glue& of(assay_evaluator* self) { return *reinterpret_cast<Glue*>(self); }  // `base` is first

  static void evaluate(assay_evaluator* self, assay_call* call, assay_text item) noexcept {
    Glue& glue = of(self);
    const Call answer(glue.host, call, item);
    guard(answer, [&] {
      if constexpr (requires {
                      { glue.evaluator.evaluate(answer.item()) } -> std::convertible_to<Score>;
                    })
        answer.score(glue.evaluator.evaluate(answer.item()));
      else
        glue.evaluator.evaluate(answer);
    });
  }
  static void destroy(assay_evaluator* self) noexcept { delete &of(self); }

  static assay_evaluator* create(const assay_host* host, assay_text params) {
    const Params read(host, params);
    auto glue = [&] {
      if constexpr (std::constructible_from<E, const Params&>)
        return new Glue{{}, host, E(read)};
      else
        return new Glue{{}, host, E()};
    }();
    glue->base = {sizeof(assay_evaluator), evaluate, nullptr, destroy};
    return &glue->base;
  }
};

/// The name in {"name": "exact", …}, which comes first.
constexpr std::string_view name_in(std::string_view describe) {
  constexpr std::string_view kKey = "\"name\"";
  size_t at = describe.find(kKey);
  if (at == std::string_view::npos) return {};
  at = describe.find('"', at + kKey.size());
  return describe.substr(at + 1, describe.find('"', at + 1) - at - 1);
}

template <class... Evaluators>
assay_evaluator* create(const assay_host* host, const char* name, assay_text params, char* message,
                        size_t message_size) noexcept {
  assay_evaluator* made = nullptr;
  try {
    const bool known =
        ((name_in(Evaluators::describe) == name && (made = Glue<Evaluators>::create(host, params), true)) ||
         ...);
    if (!known) std::snprintf(message, message_size, "it has no evaluator of the name %s", name);
  } catch (const std::exception& error) {
    std::snprintf(message, message_size, "%s", error.what());
  } catch (...) {
    std::snprintf(message, message_size, "it threw something that is no std::exception");
  }
  return made;
}

/// The description of a plugin, joined while it is compiled: a host reads it without running any of its code.
/// Name and Version are closures that give string literals.
template <class Name, class Version, class... Evaluators>
struct Description {
  static constexpr auto kParts = std::to_array<std::string_view>(
      {"{\"name\":\"", Name{}(), "\",\"version\":\"", Version{}(), "\",\"evaluators\":["});
  static constexpr std::size_t size() {
    std::size_t size = (Evaluators::describe.size() + ...) + sizeof...(Evaluators) - 1 + 2 + 1;
    for (const auto part : kParts) size += part.size();
    return size;
  }
  static constexpr auto text = [] {
    std::array<char, size()> joined{};
    auto end = joined.begin();
    const auto add = [&](std::string_view part) { end = std::copy(part.begin(), part.end(), end); };
    for (const auto part : kParts) add(part);
    bool first = true;
    ((add(std::exchange(first, false) ? "" : ","), add(Evaluators::describe)), ...);
    add("]}");
    return joined;
  }();
};

}  // namespace detail

inline void Call::score(const Score& score) const {
  if (!std::isfinite(score.score)) return fail("the score is not a finite number", "bad_result");
  const std::string metrics = detail::metrics_json(score);
  assay_outcome outcome{};
  outcome.verdict = ASSAY_SCORED;
  outcome.score = score.score;
  outcome.passed = !score.passed ? 0 : *score.passed ? 1 : -1;
  outcome.reason = to_text(score.reason);
  outcome.metrics = to_text(metrics);
  state_->answer(outcome);
}

inline void Call::complete(std::string_view request, Then then) const {
  complete(request, std::move(then),
           [](const Call& call, const Failure& failure) { call.fail(failure.what(), failure.kind()); });
}

inline void Call::complete(std::string_view request, Then then, Otherwise otherwise) const {
  const auto* service =
      static_cast<const assay_llm_service*>(state_->host->service(state_->host, ASSAY_SERVICE_LLM));
  if (service == nullptr) return fail("this host offers no models", "config");
  struct Waiting {
    Call call;
    Then then;
    Otherwise otherwise;
  };
  auto waiting = std::make_unique<Waiting>(Waiting{*this, std::move(then), std::move(otherwise)});
  const auto done = [](void* user, const assay_llm_reply* reply, const assay_outcome* outcome) noexcept {
    const std::unique_ptr<Waiting> mine(static_cast<Waiting*>(user));
    detail::guard(mine->call, [&] {
      if (outcome == nullptr) return mine->then(mine->call, Reply(*reply));
      const std::string kind(to_view(outcome->kind));
      mine->otherwise(mine->call, Failure(std::string(to_view(outcome->reason)),
                                          kind.empty() ? "evaluator_error" : kind));
    });
  };
  service->complete(state_->call, to_text(request), done, waiting.release());
}

}  // namespace assay

/// Exports the evaluators of a plugin; once in a library.
#define ASSAY_PLUGIN(plugin_name, plugin_version, ...)                                        \
  extern "C" ASSAY_PLUGIN_EXPORT const assay_plugin_entry assay_plugin;                       \
  constexpr assay_plugin_entry assay_plugin = {                                               \
      sizeof(assay_plugin_entry), ASSAY_ABI_MAJOR, ASSAY_ABI_MINOR,                           \
      ::assay::detail::Description<decltype([] { return std::string_view(plugin_name); }),    \
                                   decltype([] { return std::string_view(plugin_version); }), \
                                   __VA_ARGS__>::text.data(),                                 \
      &::assay::detail::create<__VA_ARGS__>}
