// The least of a host: calls in memory, services by hand.
#pragma once

#include <assay/plugin.h>

#include <catch2/catch.hpp>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct Ended {
  assay_verdict verdict;
  double score;
  int32_t passed;
  std::string reason, metrics, kind;
};

/// Of one evaluation.
struct assay_call {
  nlohmann::json item;
  std::string text;
  std::deque<std::string> values;  // that were read
  std::vector<std::string> log;
  std::optional<Ended> ended;
  int answers = 0;
  bool cancelled = false;
};

class TestHost {
 public:
  struct Completion {
    assay_call* call;
    std::string request;
    assay_llm_done done;
    void* user;
  };

  explicit TestHost(nlohmann::json params = nlohmann::json::object()) : params_(std::move(params)) {
    host_ = {{sizeof(assay_host), ASSAY_ABI_MINOR, service, done, cancelled}, this};
  }

  const assay_host* host() { return &host_.base; }
  std::deque<Completion>& completions() { return completions_; }
  void withhold(const std::string& service) { withheld_ = service; }

  assay_evaluator* create(const assay_plugin_entry& entry, const char* name, std::string* why = nullptr) {
    char message[512] = "";
    const std::string params = params_.dump();
    auto* made = entry.create(host(), name, {params.data(), params.size()}, message, sizeof message);
    if (why != nullptr) *why = message;
    return made;
  }

  /// Begins one; the answer is in the call.
  static void begin(assay_evaluator* evaluator, assay_call& call) {
    call.text = call.item.dump();
    evaluator->evaluate(evaluator, &call, {call.text.data(), call.text.size()});
  }

 private:
  struct Box {
    assay_host base;
    TestHost* self;
  };
  static TestHost& of(const assay_host* host) { return *reinterpret_cast<const Box*>(host)->self; }

  static const void* service(const assay_host* host, const char* name) {
    static const assay_json_service json{sizeof json, item, param};
    static const assay_log_service log{sizeof log, write};
    static const assay_llm_service llm{sizeof llm, complete};
    current_ = &of(host);
    if (of(host).withheld_ == name) return nullptr;
    if (std::string_view(name) == ASSAY_SERVICE_JSON) return &json;
    if (std::string_view(name) == ASSAY_SERVICE_LOG) return &log;
    if (std::string_view(name) == ASSAY_SERVICE_LLM) return &llm;
    return nullptr;
  }
  static std::string text_of(assay_text text) { return {text.data, text.size}; }
  static void done(assay_call* call, const assay_outcome* outcome) {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    call->answers++;
    call->ended =
        Ended{outcome->verdict,          outcome->score,        outcome->passed, text_of(outcome->reason),
              text_of(outcome->metrics), text_of(outcome->kind)};
  }
  static int32_t cancelled(const assay_call* call) { return call->cancelled ? 1 : 0; }
  static int32_t find(const nlohmann::json& in, assay_text path, std::deque<std::string>& kept,
                      assay_text* value) {
    std::string pointer = "/" + text_of(path);
    for (char& c : pointer)
      if (c == '.') c = '/';
    const nlohmann::json::json_pointer at(pointer);
    if (!in.contains(at)) return 0;
    const auto& found = in.at(at);
    kept.push_back(found.is_string() ? found.get<std::string>() : found.dump());
    *value = {kept.back().data(), kept.back().size()};
    return found.is_string() ? 1 : 2;
  }
  static int32_t item(assay_call* call, assay_text path, assay_text* value) {
    return find(call->item, path, call->values, value);
  }
  static int32_t param(const assay_host* host, assay_text path, assay_text* value) {
    return find(of(host).params_, path, of(host).values_, value);
  }
  static void write(assay_call* call, assay_text line) { call->log.push_back(text_of(line)); }
  static void complete(assay_call* call, assay_text request, assay_llm_done done, void* user) {
    current_->completions_.push_back({call, text_of(request), done, user});
  }

  static inline TestHost* current_ = nullptr;
  Box host_{};
  nlohmann::json params_;
  std::deque<std::string> values_;
  std::deque<Completion> completions_;
  std::string withheld_;
};
