#include "daemon/generation.hpp"

#include <nlohmann/json.hpp>

#include "core/id.hpp"
#include "daemon/llm/completion.hpp"
#include "daemon/sources/lines.hpp"

namespace assay::daemon {
namespace {

constexpr size_t kLargestVariable = size_t{1} << 20;
constexpr size_t kLargestText = size_t{1} << 20;  // as JSON it fits into a call to the API, whatever it holds

/// A text is a question; a chat request or an array of messages is asked as it is.
Result<Json> messages_of(const Json& input) {
  if (input.is_string()) return Json::array({{{"role", "user"}, {"content", input}}});
  if (input.is_array()) return input;
  if (input.is_object() && input.contains("messages")) return input["messages"];
  return fail(
      ErrorKind::config,
      "the item has no input that a model could be asked: a text, an array of messages, or an object with "
      "messages. Select one by columns.input, or write a prompt");
}

Result<Json> messages_from_template(const plugins::Template& prompt, const Json& item) {
  plugins::RenderOptions options;
  options.budget = kLargestVariable;
  const auto rendered = prompt.render(item, options);
  if (!rendered) return fail(error_kind_from(plugins::kind_of(rendered.error())), rendered.error().message);
  if (!rendered->cut.empty())
    return fail(ErrorKind::context_too_long,
                "{{ " + rendered->cut.front() + " }} is larger than a prompt may insert (1 MiB)");
  Json messages = Json::array();
  for (const auto& message : rendered->messages)
    messages.push_back({{"role", message.role}, {"content", message.content}});
  return messages;
}

const Json& input_of(const Json& item) {
  const Json& sample = item["sample"]["input"];
  return sample.is_null() ? item["ground_truth"]["input"] : sample;
}

/// OpenAI's way to ask for a shape, as a completion request has it; "" for free text.
Result<std::string> schema_from(const Json& format) {
  const std::string type = format.is_object() ? format.value("type", std::string()) : std::string();
  if (type == "text") return "";
  if (type == "json_schema" && format.contains("json_schema") && format["json_schema"].is_object())
    return dump_json(format["json_schema"]);
  return fail(
      ErrorKind::config,
      "inference_params.response_format: must be {\"type\": \"json_schema\", \"json_schema\": {…}} or "
      "{\"type\": \"text\"}");
}

std::string text_at(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

/// One line of a run's texts, as an outcome. Its usage is the other run's, or counted already.
Result<> add_line(StoredTexts& texts, std::string_view line) {
  const auto json = parse_json(line);
  if (!json) return fail(ErrorKind::transport, "the API sent a text that is none: " + json.error().message);
  try {
    const auto key = std::tuple(json->at("item").get<int64_t>(), json->at("model").get<int>(),
                                json->at("trial").get<int>());
    Outcome outcome;
    if (const auto error = json->find("error"); error != json->end())
      outcome = Outcome::errored(error_kind_from(text_at(*error, "kind")), text_at(*error, "message"));
    else
      outcome = Outcome::generated(json->at("output").get<std::string>());
    texts.emplace(key, std::move(outcome));
  } catch (const Json::exception& e) {
    return fail(ErrorKind::transport, std::string("the API sent a text that is none: ") + e.what());
  }
  return {};
}

}  // namespace

Result<Generation> generation_from(const Json& side) {
  Generation generation;
  generation.models = side.at("models").get<std::vector<std::string>>();
  generation.run = side.value("run", std::string());
  Json params = side.value("inference_params", Json::object());
  if (const auto format = params.find("response_format"); format != params.end()) {
    ASSAY_TRY(generation.schema, schema_from(*format));
    params.erase(format);
  }
  if (const auto known = llm::parameters_from(params); !known)
    return std::unexpected(Error(known.error()).with("inference_params"));
  generation.inference_params = dump_json(params);
  if (!side.contains("prompt")) return generation;
  auto prompt = plugins::Template::compile(side["prompt"].get<std::string>());
  if (!prompt) return fail(ErrorKind::config, "prompt: " + prompt.error().message);
  generation.prompt = std::move(*prompt);
  return generation;
}

Result<std::string> request_for(const Generation& generation, const std::string& model,
                                std::string_view item_json) {
  ASSAY_TRY(const Json item, parse_json(item_json));
  auto messages =
      generation.prompt ? messages_from_template(*generation.prompt, item) : messages_of(input_of(item));
  if (!messages) return std::unexpected(std::move(messages.error()));
  return R"({"model":)" + json_quote(model) + R"(,"messages":)" + dump_json(*messages) + R"(,"params":)" +
         generation.inference_params +
         (generation.schema.empty() ? "}" : R"(,"schema":)" + generation.schema + '}');
}

Outcome generated_from(const Result<std::string>& reply_json) {
  if (!reply_json) return Outcome::errored(reply_json.error().kind, reply_json.error().message);
  const auto reply = parse_json(*reply_json);
  if (!reply || !reply->is_object())
    return Outcome::errored(ErrorKind::internal, "the reply of a model is no object");
  const std::string finish = text_at(*reply, "finish");
  std::string text = text_at(*reply, "text");
  // What a model says when it declines is its answer: whoever evaluates it wants to see it.
  if (text.empty()) text = text_at(*reply, "refusal");
  // Where a shape was asked for, of a model that gives one as a call of a tool.
  if (const auto tool = reply->find("tool"); text.empty() && tool != reply->end())
    text = text_at(*tool, "arguments");
  if (finish == "content_filter")
    return Outcome::errored(ErrorKind::content_filter, "the provider's filter withheld the text");
  if (text.empty() && finish == "length")
    return Outcome::errored(ErrorKind::output_limit,
                            "the model reached its limit of tokens before any text: raise max_tokens");
  if (text.size() > kLargestText)
    return Outcome::errored(ErrorKind::output_limit,
                            "the model's text is larger than 1 MiB: lower max_tokens");
  auto outcome = Outcome::generated(std::move(text));
  if (finish == "length") outcome.reason = "cut at the model's limit of tokens";
  if (finish == "refusal") outcome.reason = "the model declined";
  return outcome;
}

std::string generation_id(const Outcome& generated) {
  if (generated.verdict != Verdict::generated) return "none";
  constexpr size_t kDigits = 24;
  return sha256_hex(generated.output).substr(0, kDigits);
}

Task<Result<StoredTexts>> read_texts(ApiClient& api, std::string run, int64_t from, int64_t to) {
  const auto lines =
      co_await read_lines(api, "/v1/worker/runs/" + run + "/generations?from=" + std::to_string(from) +
                                   "&items=" + std::to_string(to - from));
  if (!lines) co_return std::unexpected(lines.error());
  StoredTexts texts;
  for (size_t i = 0; i < lines->size(); ++i) {
    ASSAY_CO_OK(add_line(texts, lines->line(i)));
  }
  co_return texts;
}

}  // namespace assay::daemon
