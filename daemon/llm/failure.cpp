#include "daemon/llm/failure.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/llm/bounds.hpp"
#include "daemon/llm/complaint.hpp"
#include "daemon/llm/quote.hpp"
#include "daemon/llm/words.hpp"
#include "daemon/llm/wrote.hpp"

namespace assay::llm {
namespace {

constexpr std::array<std::string_view, 6> kMoneyCodes = {
    "insufficient_quota", "billing", "credit", "spend", "payment", "insufficient_balance"};
// Not "exceeded your current quota": Gemini says so of requests per minute too.
constexpr std::array<std::string_view, 6> kMoneyWords = {"credit balance is too low", "insufficient credits",
                                                         "insufficient balance",      "billing hard limit",
                                                         "available credits",         "spending limit"};

constexpr std::array<std::string_view, 2> kContextCodes = {"context_length_exceeded",
                                                           "exceed_context_size_error"};
constexpr std::array<std::string_view, 13> kContextWords = {"prompt is too long",
                                                            "maximum context length",
                                                            "context length",
                                                            "context window",
                                                            "available context size",
                                                            "input is too long",
                                                            "exceed context limit",
                                                            "maximum model length",
                                                            "maximum number of tokens allowed",
                                                            "reduce the length of the messages",
                                                            "longer than the maximum model",
                                                            "max_model_len",
                                                            "maximum prompt length"};

constexpr std::array<std::string_view, 5> kFilterCodes = {"content_filter", "content_policy_violation",
                                                          "responsibleaipolicyviolation", "invalid_prompt",
                                                          "data_inspection_failed"};
constexpr std::array<std::string_view, 5> kFilterWords = {
    "content management policy", "content filtering policy", "content policy", "your input was flagged",
    "your prompt was flagged"};

constexpr std::array<std::string_view, 4> kModelCodes = {"model_not_found", "deploymentnotfound",
                                                         "model_not_available", "unknown_model"};
constexpr std::array<std::string_view, 3> kModelWords = {"not a valid model", "invalid model name",
                                                         "model not exist"};

/// The model wrote no JSON where the server was to hold it to a schema (Groq).
constexpr std::array<std::string_view, 2> kNoJsonCodes = {"json_validate_failed", "tool_use_failed"};
constexpr std::array<std::string_view, 3> kKeyWords = {"api key not valid", "invalid_api_key",
                                                       "invalid_authentication"};
constexpr std::array<std::string_view, 3> kBusyWords = {"overloaded", "slow_down", "slow down"};

/// An error in lower case, beside the status it stands for.
struct Seen {
  int status;
  std::string names;  ///< code and type
  std::string message;
  const Request* asked;
};

struct Ruling {
  ErrorKind kind;
  Remedy remedy;
  std::string parameter = {};
  bool of_model = false;
};

bool is_one_of(int status, std::initializer_list<int> statuses) {
  return std::ranges::find(statuses, status) != statuses.end();
}

bool is_money(const Seen& seen) {
  if (seen.status == 402) return true;
  if (!is_one_of(seen.status, {400, 403, 429})) return false;
  return has_any(seen.names, kMoneyCodes) || says_itself(seen.message, kMoneyWords, seen.asked);
}

bool is_too_long(const Seen& seen) {
  if (seen.status == 413 || has_any(seen.names, kContextCodes)) return true;
  if (seen.status == 429) return seen.message.starts_with("request too large");
  return is_one_of(seen.status, {400, 422, 500}) && has_any(seen.message, kContextWords);
}

bool is_filtered(const Seen& seen) {
  return has_any(seen.names, kFilterCodes) ||
         (is_one_of(seen.status, {400, 403, 451}) && has_any(seen.message, kFilterWords));
}

bool is_no_model(const Seen& seen) {
  if (has_any(seen.names, kModelCodes)) return true;
  if (seen.status == 404) return seen.message.contains("model") || seen.message.contains("deployment");
  return seen.status == 400 && has_any(seen.message, kModelWords);
}

std::optional<Ruling> about_request(const ProviderError& error, const Seen& seen) {
  auto complaint = complaint_of(error, seen.asked);
  const bool of_parameter =
      is_one_of(seen.status, {400, 422}) || (seen.status == 403 && complaint.parameter == "top_logprobs");
  if (complaint.about == Complaint::About::parameter && of_parameter)
    return Ruling{ErrorKind::config, Remedy::change_parameter, std::move(complaint.parameter),
                  complaint.of_model};
  if (complaint.about == Complaint::About::structure && is_one_of(seen.status, {400, 404, 422, 500, 501}))
    return Ruling{ErrorKind::config, Remedy::weaker_structure, {}, complaint.of_model};
  return std::nullopt;
}

Ruling by_status(const Seen& seen) {
  if (is_one_of(seen.status, {401, 403}) || has_any(seen.names, kKeyWords) ||
      says_itself(seen.message, kKeyWords, seen.asked))
    return {ErrorKind::auth, Remedy::none};
  if (seen.status == 429 || seen.status == 529) return {ErrorKind::rate_limited, Remedy::retry};
  if (seen.status == 408 || seen.status == 409) return {ErrorKind::transport, Remedy::retry};
  if (seen.status == 501 || seen.status == 505 || seen.status < 500) return {ErrorKind::config, Remedy::none};
  const bool busy = has_any(seen.names, kBusyWords) || has_any(seen.message, kBusyWords);
  return {busy ? ErrorKind::rate_limited : ErrorKind::transport, Remedy::retry};
}

Ruling ruling_of(const ProviderError& error, const Seen& seen) {
  if (is_money(seen)) return {ErrorKind::billing, Remedy::pay};
  if (is_too_long(seen)) return {ErrorKind::context_too_long, Remedy::none};
  if (is_filtered(seen)) return {ErrorKind::content_filter, Remedy::none};
  if (has_any(seen.names, kNoJsonCodes)) return {ErrorKind::judge_parse, Remedy::none};
  if (auto ruling = about_request(error, seen)) return std::move(*ruling);
  if (is_no_model(seen)) return {ErrorKind::model_not_found, Remedy::none};
  return by_status(seen);
}

/// "the model endpoint answered 429 (insufficient_quota): You exceeded …"
std::string sentence(const Answer& answer, const ProviderError& error, std::string_view key) {
  std::string text = "the model endpoint answered " + std::to_string(answer.status);
  if (!error.code.empty()) text += " (" + quote(error.code, key, 64) + ")";
  const auto said = quote(error.message, key);
  if (!said.empty()) text += ": " + said;
  if (answer.status == 404 && said.empty()) text += ": check the base URL";
  return text;
}

void obey_should_retry(Failure& failure, std::string_view should_retry) {
  if (failure.remedy == Remedy::none && should_retry == "true") failure.remedy = Remedy::retry;
  if (failure.remedy == Remedy::retry && should_retry == "false") failure.remedy = Remedy::none;
}

/// The body as an error; a page that is no JSON is its own message.
ProviderError error_in(const std::string& body) {
  if (const auto json = parse_bounded(body, kReplyValues))
    if (auto error = provider_error_from(*json)) return std::move(*error);
  return ProviderError{body, "", "", "", 0};
}

Failure ruled(const Answer& answer, const ProviderError& error, int status, Time now, std::string_view key,
              const Request* asked) {
  const Seen seen{status, lower(error.code + " " + error.type), lower(error.message), asked};
  Ruling ruling = ruling_of(error, seen);
  Failure failure;
  failure.error = {ruling.kind, sentence(answer, error, key)};
  failure.remedy = ruling.remedy;
  failure.parameter = quote(ruling.parameter, key, 64);
  failure.of_model = ruling.of_model;
  failure.retry_after = retry_after(answer.headers, now);
  failure.status = answer.status;
  failure.request_id = request_id(answer.headers, key);
  failure.possibly_billed = is_one_of(status, {408, 499, 504, 524});
  obey_should_retry(failure, header(answer.headers, "x-should-retry"));
  return failure;
}

}  // namespace

std::string_view to_string(Remedy remedy) {
  static constexpr std::array<std::string_view, 5> kNames = {"none", "retry", "pay", "change_parameter",
                                                             "weaker_structure"};
  return kNames.at(static_cast<size_t>(remedy));
}

Failure failure_of(const Answer& answer, Time now, std::string_view key, const Request* asked) {
  return ruled(answer, error_in(answer.body), answer.status, now, key, asked);
}

Failure failure_of(const Answer& answer, const ProviderError& error, Time now, std::string_view key,
                   const Request* asked) {
  return ruled(answer, error, status_of(error), now, key, asked);
}

Failure malformed(const Answer& answer, std::string_view what, std::string_view key) {
  Failure failure;
  failure.error = {ErrorKind::transport, "the model endpoint answered " + std::to_string(answer.status) +
                                             " with " + std::string(what) + ": " + quote(answer.body, key)};
  failure.remedy = Remedy::retry;
  failure.status = answer.status;
  failure.request_id = request_id(answer.headers, key);
  failure.possibly_billed = true;
  return failure;
}

Failure failure_without_answer(Error error, bool sent) {
  Failure failure;
  const bool passing = error.kind == ErrorKind::transport || error.kind == ErrorKind::timeout;
  failure.error = std::move(error);
  failure.remedy = passing ? Remedy::retry : Remedy::none;
  failure.possibly_billed = sent;
  return failure;
}

std::optional<std::chrono::milliseconds> retry_after(const Headers& headers, Time now) {
  if (const auto wait = number_from(header(headers, "retry-after-ms"))) return wait_from(*wait);
  const auto text = header(headers, "retry-after");
  if (const auto seconds = number_from(text)) return wait_from(*seconds * 1000);
  if (const auto date = http_date_from(text)) return wait_from(static_cast<double>((*date - now).count()));
  return std::nullopt;
}

}  // namespace assay::llm
