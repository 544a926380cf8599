// The rows of evaluation-practice §2.3, as bodies that providers really send.
#include "daemon/llm/failure.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/llm/adapt.hpp"
#include "daemon/llm/quote.hpp"

namespace assay::llm {
namespace {

using namespace std::chrono_literals;

const Time kNow = Time(1'767'225'600'000ms);  // 2026-01-01T00:00:00Z

struct Row {
  int status;
  const char* body;
  ErrorKind kind;
  Remedy remedy;
  const char* parameter = "";
};

void check(const std::vector<Row>& rows) {
  for (const auto& row : rows) {
    INFO(row.status << " " << row.body);
    const auto failure = failure_of({row.status, {}, row.body}, kNow, "secret");
    CHECK(to_string(failure.error.kind) == to_string(row.kind));
    CHECK(to_string(failure.remedy) == to_string(row.remedy));
    CHECK(failure.parameter == row.parameter);
    CHECK(failure.status == row.status);
    CHECK(failure.error.message.starts_with("the model endpoint answered " + std::to_string(row.status)));
  }
}

TEST_CASE("failure: what passes is retried", "[llm][failure]") {
  check({
      {408, "", ErrorKind::transport, Remedy::retry},
      {409, R"({"error":{"message":"lock timeout","type":"conflict"}})", ErrorKind::transport, Remedy::retry},
      {429,
       R"({"error":{"message":"Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 1500. Please try again in 1s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}})",
       ErrorKind::rate_limited, Remedy::retry},
      {429,
       R"({"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 50,000 input tokens per minute"},"request_id":"req_1"})",
       ErrorKind::rate_limited, Remedy::retry},
      {429,
       R"([{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}])",
       ErrorKind::rate_limited, Remedy::retry},
      {500,
       R"({"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}})",
       ErrorKind::transport, Remedy::retry},
      {500, R"({"type":"error","error":{"type":"api_error","message":"Internal server error"}})",
       ErrorKind::transport, Remedy::retry},
      {502, "<html><head><title>502 Bad Gateway</title></head></html>", ErrorKind::transport, Remedy::retry},
      {503, R"({"error":{"message":"Service unavailable"}})", ErrorKind::transport, Remedy::retry},
      {503,
       R"({"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error"}})",
       ErrorKind::rate_limited, Remedy::retry},
      {504, "upstream request timeout", ErrorKind::transport, Remedy::retry},
      {524, "<html>A timeout occurred</html>", ErrorKind::transport, Remedy::retry},
      {529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})",
       ErrorKind::rate_limited, Remedy::retry},
  });
}

TEST_CASE("failure: money is not a rate limit", "[llm][failure]") {
  check({
      {429,
       R"({"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}})",
       ErrorKind::billing, Remedy::pay},
      {429, R"({"error":{"message":"Limit reached","type":"spend_limit_reached","code":null}})",
       ErrorKind::billing, Remedy::pay},
      {400,
       R"({"error":{"message":"Billing hard limit has been reached","type":"invalid_request_error","code":"billing_hard_limit_reached"}})",
       ErrorKind::billing, Remedy::pay},
      {402,
       R"({"error":{"message":"Insufficient credits. Add more using https://openrouter.ai/credits","code":402}})",
       ErrorKind::billing, Remedy::pay},
      {402,
       R"([{"error":{"code":402,"message":"Prepayment credits are depleted","status":"PAYMENT_REQUIRED"}}])",
       ErrorKind::billing, Remedy::pay},
      {402, "", ErrorKind::billing, Remedy::pay},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}})",
       ErrorKind::billing, Remedy::pay},
      {403, R"({"type":"error","error":{"type":"billing_error","message":"…"}})", ErrorKind::billing,
       Remedy::pay},
      {403,
       R"({"code":"permission denied","error":"Your team has used all available credits or reached its monthly spending limit."})",
       ErrorKind::billing, Remedy::pay},
  });
}

TEST_CASE("failure: a context that is too long is never retried blindly", "[llm][failure]") {
  check({
      {400,
       R"({"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 200000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}})",
       ErrorKind::context_too_long, Remedy::none},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}})",
       ErrorKind::context_too_long, Remedy::none},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again"}})",
       ErrorKind::context_too_long, Remedy::none},
      {400,
       R"({"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens. Please reduce the length of the messages or completion.","type":"BadRequestError","param":null,"code":400})",
       ErrorKind::context_too_long, Remedy::none},
      {400,
       R"({"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}})",
       ErrorKind::context_too_long, Remedy::none},
      {400,
       R"([{"error":{"code":400,"message":"The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}])",
       ErrorKind::context_too_long, Remedy::none},
      {413,
       R"({"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}})",
       ErrorKind::context_too_long, Remedy::none},
      {413, "<html>413 Request Entity Too Large</html>", ErrorKind::context_too_long, Remedy::none},
      {429,
       R"({"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 45000.","type":"tokens","code":"rate_limit_exceeded"}})",
       ErrorKind::context_too_long, Remedy::none},
  });
}

TEST_CASE("failure: content filters", "[llm][failure]") {
  check({
      {400,
       R"({"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}})",
       ErrorKind::content_filter, Remedy::none},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}})",
       ErrorKind::content_filter, Remedy::none},
      {400,
       R"({"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","type":"invalid_request_error","code":"invalid_prompt"}})",
       ErrorKind::content_filter, Remedy::none},
      {403,
       R"({"error":{"code":403,"message":"x requires moderation on Y. Your input was flagged for \"violence\"."}})",
       ErrorKind::content_filter, Remedy::none},
  });
}

TEST_CASE("failure: parameters that the model does not take", "[llm][failure]") {
  constexpr auto kChange = Remedy::change_parameter;
  check({
      {400,
       R"({"error":{"message":"Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}})",
       ErrorKind::config, kChange, "temperature"},
      {400,
       R"({"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}})",
       ErrorKind::config, kChange, "max_tokens"},
      {400,
       R"({"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}})",
       ErrorKind::config, kChange, "max_tokens"},
      {400,
       R"({"error":{"message":"Unrecognized request argument supplied: top_logprobs","type":"invalid_request_error","param":null,"code":null}})",
       ErrorKind::config, kChange, "top_logprobs"},
      {403,
       R"({"error":{"message":"You are not allowed to request logprobs from this model","type":"invalid_request_error","param":null,"code":null}})",
       ErrorKind::config, kChange, "top_logprobs"},
      {400,
       R"({"error":{"message":"Unknown parameter: 'seed'.","type":"invalid_request_error","param":"seed","code":"unknown_parameter"}})",
       ErrorKind::config, kChange, "seed"},
      {400,
       R"({"error":{"message":"Unsupported parameter: 'reasoning.effort' is not supported with this model.","type":"invalid_request_error","param":"reasoning.effort","code":"unsupported_parameter"}})",
       ErrorKind::config, kChange, "reasoning_effort"},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"`temperature` is deprecated for this model."}})",
       ErrorKind::config, kChange, "temperature"},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"`temperature` and `top_p` cannot both be specified for this model. Please use only one."}})",
       ErrorKind::config, kChange, "top_p"},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"seed: Extra inputs are not permitted"}})",
       ErrorKind::config, kChange, "seed"},
      {422,
       R"({"detail":[{"type":"extra_forbidden","loc":["body","top_k"],"msg":"Extra inputs are not permitted","input":5}]})",
       ErrorKind::config, kChange, "top_k"},
      // A value out of range, or an ordinary word, is none of that.
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"temperature: range: 0..1"}})",
       ErrorKind::config, Remedy::none},
      {400,
       R"({"error":{"message":"max_tokens is too large: 50000. This model supports at most 16384 completion tokens.","type":"invalid_request_error","param":"max_tokens","code":"invalid_value"}})",
       ErrorKind::config, Remedy::none},
      {400, R"({"error":{"message":"Unsupported image. Please stop sending this kind."}})", ErrorKind::config,
       Remedy::none},
  });
}

TEST_CASE("failure: structured output that the endpoint lacks", "[llm][failure]") {
  constexpr auto kWeaker = Remedy::weaker_structure;
  check({
      {400,
       R"({"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.","type":"invalid_request_error","param":"response_format","code":null}})",
       ErrorKind::config, kWeaker},
      {400,
       R"({"error":{"message":"This response_format type is unavailable now","type":"invalid_request_error","param":null,"code":"invalid_request_error"}})",
       ErrorKind::config, kWeaker},
      {400, R"({"error":"registry.ollama.ai/library/x:latest does not support tools"})", ErrorKind::config,
       kWeaker},
      {500, R"({"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}})",
       ErrorKind::config, kWeaker},
      {400,
       R"({"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","param":null,"code":400})",
       ErrorKind::config, kWeaker},
      {404, R"({"error":{"message":"No endpoints found that support tool use.","code":404}})",
       ErrorKind::config, kWeaker},
      {400,
       R"({"error":{"message":"response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later","code":"BadRequest"}})",
       ErrorKind::config, kWeaker},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"output_config.format: Extra inputs are not permitted"}})",
       ErrorKind::config, kWeaker},
      {400,
       R"({"error":{"message":"Unknown parameter: 'tools[0].function.strict'.","type":"invalid_request_error","param":"tools[0].function.strict","code":"unknown_parameter"}})",
       ErrorKind::config, kWeaker},
      // A schema that is wrong is the caller's to mend; a model that wrote no JSON did not refuse to.
      {400,
       R"({"error":{"message":"Invalid schema for response_format 'v': In context=(), 'additionalProperties' is required to be supplied and to be false.","type":"invalid_request_error","param":"response_format","code":null}})",
       ErrorKind::config, Remedy::none},
      {400,
       R"({"error":{"message":"Failed to generate JSON. Please adjust your prompt.","type":"invalid_request_error","code":"json_validate_failed","failed_generation":"x"}})",
       ErrorKind::judge_parse, Remedy::none},
  });
}

TEST_CASE("failure: models, keys, and our own mistakes", "[llm][failure]") {
  check({
      {404,
       R"({"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}})",
       ErrorKind::model_not_found, Remedy::none},
      {403,
       R"({"error":{"message":"Project `p` does not have access to model `m`","type":"invalid_request_error","param":null,"code":"model_not_found"}})",
       ErrorKind::model_not_found, Remedy::none},
      {404, R"({"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}})",
       ErrorKind::model_not_found, Remedy::none},
      {404,
       R"({"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error","param":null,"code":null}})",
       ErrorKind::model_not_found, Remedy::none},
      {404,
       R"({"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}})",
       ErrorKind::model_not_found, Remedy::none},
      {404,
       R"({"object":"error","message":"The model `m` does not exist.","type":"NotFoundError","param":"model","code":404})",
       ErrorKind::model_not_found, Remedy::none},
      {400, R"({"error":{"message":"m is not a valid model ID","code":400}})", ErrorKind::model_not_found,
       Remedy::none},
      {404, R"({"detail":"Not Found"})", ErrorKind::config, Remedy::none},
      {404, "", ErrorKind::config, Remedy::none},
      {401,
       R"({"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}})",
       ErrorKind::auth, Remedy::none},
      {401, R"({"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}})",
       ErrorKind::auth, Remedy::none},
      {401, R"({"statusCode":401,"message":"Access denied due to invalid subscription key"})",
       ErrorKind::auth, Remedy::none},
      {403, R"({"type":"error","error":{"type":"permission_error","message":"no"}})", ErrorKind::auth,
       Remedy::none},
      {400,
       R"([{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}])",
       ErrorKind::auth, Remedy::none},
      {400,
       R"({"error":{"message":"Invalid type for 'messages'","type":"invalid_request_error","param":"messages","code":"invalid_type"}})",
       ErrorKind::config, Remedy::none},
      {422,
       R"({"detail":[{"loc":["body","temperature"],"msg":"value is not a valid float","type":"type_error.float"}]})",
       ErrorKind::config, Remedy::none},
      {405, "Method Not Allowed", ErrorKind::config, Remedy::none},
      {301, "", ErrorKind::config, Remedy::none},
      {501, "", ErrorKind::config, Remedy::none},
  });
}

TEST_CASE("failure: what the asker may have said itself is no ground for what concerns others",
          "[llm][failure]") {
  const auto of = [](const char* message, const Request& request, const char* param = "") {
    return failure_of({400, {}, dump_json(Json{{"error", {{"message", message}, {"param", param}}}})}, kNow,
                      {}, &request);
  };
  Request plain;
  plain.model = "m";
  plain.messages = {{Role::user, {{Part::Type::text, "Is it polite?"}}}};
  plain.parameters.temperature = 0.5;
  plain.structure = Structure{"v", R"({"type":"object"})"};
  CHECK(of("Your credit balance is too low", plain).remedy == Remedy::pay);
  CHECK(of("API key not valid.", plain).error.kind == ErrorKind::auth);
  CHECK(of("'temperature' is not supported", plain).of_model);
  CHECK(of("x does not support tools", plain).of_model);
  CHECK(of("unsupported", plain, "temperature").of_model);
  CHECK(of("unsupported", plain, "response_format").of_model);
  CHECK_FALSE(of("unsupported", plain, "Temperature").of_model);
  CHECK_FALSE(of("unsupported", plain, "metadata.temperature").of_model);
  CHECK_FALSE(of("Invalid schema for response_format 'v': 'allOf' is not permitted", plain, "response_format")
                  .of_model);
  CHECK_FALSE(of("unsupported: 'object'", plain, "response_format").of_model);

  const auto check_each = [&](const char* words, const char* message, auto unaffected) {
    std::vector<Request> requests(6, plain);
    requests[0].model = words;
    requests[1].messages[0].parts[0].text = std::string("so: ") + words + "!";
    requests[2].parameters.forwarded = dump_json(Json{{"user", words}});
    requests[3].parameters.stop = {words};
    requests[4].structure->schema = dump_json(Json{{"title", words}});
    requests[5].parameters.reasoning_effort = words;
    for (const auto& request : requests) CHECK(unaffected(of(message, request)));
  };
  const auto pauses_nobody = [](const Failure& failure) {
    return failure.remedy != Remedy::pay && failure.error.kind != ErrorKind::auth;
  };
  check_each("Billing HARD limit", "bad: 'Billing HARD limit'", pauses_nobody);
  check_each("invalid-api.key", "bad: invalid_api_key", pauses_nobody);
  const auto teaches_nobody = [](const Failure& failure) { return !failure.of_model; };
  check_each("temperature", "unsupported: 'temperature'", teaches_nobody);
  check_each("is not supported", "'temperature' is not supported", teaches_nobody);
  check_each("tools", "unsupported: 'tools'", teaches_nobody);
  // Escapes hide nothing.
  Request hidden = plain;
  hidden.structure->schema = R"({"title":"billing\u0020hard limit"})";
  CHECK(pauses_nobody(of("bad: billing hard limit", hidden)));
  Request thinking = plain;
  thinking.parameters.forwarded = R"({"thinking":{"type":"enabled"}})";
  CHECK_FALSE(of("tool_choice is not supported when thinking is enabled", thinking).of_model);
}

TEST_CASE("failure: x-should-retry decides between retrying and not", "[llm][failure]") {
  const auto remedy = [](int status, const char* body, const char* word) {
    return failure_of({status, {{"x-should-retry", word}}, body}, kNow, {}).remedy;
  };
  CHECK(remedy(500, "", "false") == Remedy::none);
  CHECK(remedy(429, "", "false") == Remedy::none);
  CHECK(remedy(429, "", "true") == Remedy::retry);
  CHECK(remedy(400, "", "true") == Remedy::retry);
  CHECK(remedy(400, "", "perhaps") == Remedy::none);
  CHECK(remedy(402, "", "true") == Remedy::pay);
  CHECK(remedy(400, R"({"error":{"message":"Unknown parameter: 'seed'."}})", "false") ==
        Remedy::change_parameter);
}

TEST_CASE("failure: how long to wait", "[llm][failure]") {
  const auto wait = [](Headers headers) {
    return failure_of({429, std::move(headers), ""}, kNow, {}).retry_after;
  };
  CHECK(wait({}) == std::nullopt);
  CHECK(wait({{"retry-after", "20"}}) == 20s);
  CHECK(wait({{"Retry-After", "0.25"}}) == 250ms);
  CHECK(wait({{"retry-after", "20"}, {"retry-after-ms", "1500.5"}}) == 1501ms);
  CHECK(wait({{"retry-after", "20"}, {"retry-after-ms", "soon"}}) == 20s);
  CHECK(wait({{"retry-after", "Thu, 01 Jan 2026 00:02:00 GMT"}}) == 2min);
  CHECK(wait({{"retry-after", "Wed, 31 Dec 2025 23:59:00 GMT"}}) == 0s);
  CHECK(wait({{"retry-after", "3600"}}) == 1h);
  CHECK(wait({{"retry-after", "1000000000000000"}}) == kLongestWait);
  CHECK(wait({{"retry-after", "-5"}}) == std::nullopt);
  CHECK(wait({{"retry-after", "nan"}}) == std::nullopt);
}

TEST_CASE("failure: the message quotes the provider, cut and without the key", "[llm][failure]") {
  const auto failure = failure_of(
      {401, {{"request-id", "req_9"}}, R"({"error":{"message":"bad key: my secret","code":"my secret"}})"},
      kNow, "my secret");
  CHECK(failure.error.message == "the model endpoint answered 401 ([key]): bad key: [key]");
  CHECK(failure.request_id == "req_9");
  const auto page = failure_of({500, {}, std::string(1 << 20, 'x')}, kNow, {});
  CHECK(page.error.message.size() < kQuoteBytes + 64);
}

TEST_CASE("failure: without an answer", "[llm][failure]") {
  const auto cut = failure_without_answer({ErrorKind::transport, "connection reset"}, true);
  CHECK(cut.remedy == Remedy::retry);
  CHECK(cut.possibly_billed);
  CHECK(cut.error.message == "connection reset");
  CHECK_FALSE(failure_without_answer({ErrorKind::transport, "connection refused"}, false).possibly_billed);
  CHECK(failure_without_answer({ErrorKind::timeout, "t"}, true).remedy == Remedy::retry);
  CHECK(failure_without_answer({ErrorKind::auth, "certificate"}, false).remedy == Remedy::none);
  CHECK(failure_without_answer({ErrorKind::cancelled, "c"}, true).remedy == Remedy::none);
  CHECK(failure_of({504, {}, ""}, kNow, {}).possibly_billed);
  CHECK_FALSE(failure_of({429, {}, ""}, kNow, {}).possibly_billed);
}

Failure refused(Remedy remedy, std::string parameter = {}) {
  Failure failure;
  failure.remedy = remedy;
  failure.parameter = std::move(parameter);
  return failure;
}

TEST_CASE("adapt: a parameter is changed once", "[llm][adapt]") {
  Request request;
  request.parameters.temperature = 0.2;
  request.parameters.max_tokens = 10;
  request.parameters.forwarded = R"({"top_k":5})";
  const auto change = [&](const char* name, Dialect dialect = Dialect::openai_chat) {
    return adapt(request, refused(Remedy::change_parameter, name), dialect);
  };
  CHECK(change("temperature") == "temperature left out");
  CHECK_FALSE(request.parameters.temperature);
  CHECK_FALSE(change("temperature"));
  CHECK(change("top_k") == "top_k left out");
  CHECK(request.parameters.forwarded == "{}");
  CHECK_FALSE(change("top_k"));
  CHECK_FALSE(change("messages"));
  CHECK_FALSE(change("max_tokens", Dialect::anthropic_messages));
  CHECK(change("max_tokens") == "max_completion_tokens instead of max_tokens");
  CHECK(request.parameters.max_tokens == 10);
  CHECK_FALSE(change("max_tokens"));
  CHECK_FALSE(change("max_completion_tokens"));
  CHECK_FALSE(adapt(request, refused(Remedy::retry), Dialect::openai_chat));
}

TEST_CASE("adapt: structured output degrades to the prompt, step by step", "[llm][adapt]") {
  Request request;
  CHECK_FALSE(adapt(request, refused(Remedy::weaker_structure), Dialect::openai_chat));
  request.structure = Structure{"v", "{}"};
  const auto weaken = [&](Dialect dialect) {
    return adapt(request, refused(Remedy::weaker_structure), dialect);
  };
  CHECK(weaken(Dialect::openai_chat) == "structured output asked by tool instead of schema");
  CHECK(weaken(Dialect::openai_chat) == "structured output asked by json_object instead of tool");
  CHECK(weaken(Dialect::openai_chat) == "structured output asked by prompt instead of json_object");
  CHECK_FALSE(weaken(Dialect::openai_chat));
  request.structure->mode = StructureMode::tool;
  CHECK(weaken(Dialect::anthropic_messages) == "structured output asked by prompt instead of tool");
}

}  // namespace
}  // namespace assay::llm
