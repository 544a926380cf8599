// Whatever a model endpoint answers is a reply that keeps its promises or a failure with a kind, in every
// dialect. The input is a status in the first two bytes, then header lines, an empty line, and the body.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/check.hpp"
#include "core/json.hpp"
#include "daemon/llm/adapt.hpp"
#include "daemon/llm/dialect.hpp"
#include "daemon/llm/price.hpp"
#include "daemon/llm/quote.hpp"
#include "daemon/llm/rate_headers.hpp"

using namespace assay;
using namespace assay::llm;

namespace {

constexpr std::string_view kKey = "hunter2";

Answer answer_from(std::string_view text) {
  Answer answer;
  if (text.size() < 2) return answer;
  // Half of them are a 200: the readers of replies are the larger part.
  const int status = (static_cast<uint8_t>(text[0]) << 8 | static_cast<uint8_t>(text[1])) % 1200;
  answer.status = status < 600 ? status : 200;
  text.remove_prefix(2);
  while (true) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos || end == 0) break;
    const auto line = text.substr(0, end);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos)
      answer.headers.emplace_back(line.substr(0, colon), line.substr(colon + 1));
    text.remove_prefix(end + 1);
  }
  answer.body = text;
  return answer;
}

void check_usage(const TokenUsage& usage) {
  for (const int64_t count :
       {usage.input, usage.cached, usage.cache_write_5m, usage.cache_write_1h, usage.output, usage.reasoning})
    ASSAY_CHECK(count >= 0 && count <= kTokenLimit, "a count of tokens is out of range");
  ASSAY_CHECK(usage.reasoning <= usage.output || usage.reasoning == kTokenLimit,
              "more reasoning than output");
  const auto cost = cost_of(usage, Prices{.input = 150'000'000, .output = 600'000'000});
  ASSAY_CHECK(cost && cost->nano_dollars >= 0, "a usage without a cost");
}

void check_reply(const Reply& reply) {
  for (const auto* text :
       {&reply.text, &reply.refusal, &reply.reasoning, &reply.model, &reply.request_id, &reply.finish_reason})
    ASSAY_CHECK(is_valid_utf8(*text), "a text that is no UTF-8");
  ASSAY_CHECK(reply.tool.has_value() == (reply.finish == Finish::tool),
              "a tool call and a finish that differ");
  ASSAY_CHECK(reply.refusal.empty() || reply.finish == Finish::refusal, "a refusal that is none");
  if (reply.tool) ASSAY_CHECK(parse_json(reply.tool->arguments).has_value(), "arguments that are no JSON");
  for (const auto& token : reply.logprobs) ASSAY_CHECK(std::isfinite(token.logprob), "no log probability");
  if (reply.usage) check_usage(*reply.usage);
  check_usage(estimate_usage(Request{}, reply));
}

void check_failure(const Failure& failure, Dialect dialect) {
  ASSAY_CHECK(!failure.error.message.empty() && failure.error.message.size() < 2 * kQuoteBytes, "no message");
  ASSAY_CHECK(is_valid_utf8(failure.error.message), "a message that is no UTF-8");
  ASSAY_CHECK(!failure.error.message.contains(kKey), "a message with the key");
  ASSAY_CHECK(failure.error.kind != ErrorKind::internal && failure.error.kind != ErrorKind::cancelled,
              "no kind");
  ASSAY_CHECK((failure.remedy == Remedy::pay) == (failure.error.kind == ErrorKind::billing),
              "money and its remedy");
  if (failure.retry_after)
    ASSAY_CHECK(failure.retry_after->count() >= 0 && *failure.retry_after <= kLongestWait,
                "a wait out of range");
  if (failure.usage) check_usage(*failure.usage);
  Request request;
  request.parameters.temperature = 1;
  request.parameters.max_tokens = 5;
  request.structure = Structure{"s", "{}"};
  for (int changes = 0; adapt(request, failure, dialect); ++changes)
    ASSAY_CHECK(changes < 4, "a request can be adapted for ever");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Answer answer = answer_from({reinterpret_cast<const char*>(data), size});
  const Time now(std::chrono::milliseconds(1'767'225'600'000));
  rate_limits_from(answer.headers, now);
  for (const auto dialect : {Dialect::openai_chat, Dialect::openai_responses, Dialect::anthropic_messages}) {
    // To a request that says all that the answer says: nothing in its words is the provider's own.
    Request echoed;
    echoed.model = "m";
    echoed.messages = {{Role::user, {{Part::Type::text, answer.body}}}};
    const auto decoded = decode(dialect, answer, now, kKey, data[0] % 2 == 0 ? &echoed : nullptr);
    if (decoded)
      check_reply(*decoded);
    else
      check_failure(decoded.error(), dialect);
  }
  return 0;
}
