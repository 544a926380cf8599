#include "cli/mock/reply.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/mock/tokens.hpp"
#include "core/json.hpp"

namespace assay::cli::mock {
namespace {

constexpr double kSure = -0.01;  // the log probability of a token that no rule speaks of

/// No reply may be taken for one of a model's.
std::string mock_name(const std::string& model) {
  return model.contains("mock") ? model : "mock-" + model;
}

/// Builds JSON text from literal pieces and quoted ones.
class Text {
 public:
  Text& raw(std::string_view piece) {
    text.append(piece);
    return *this;
  }
  Text& quoted(std::string_view piece) {
    append_json_quote(text, piece);
    return *this;
  }
  Text& number(int64_t value) {
    text.append(std::to_string(value));
    return *this;
  }
  Text& number(double value) {
    append_json_number(text, value);
    return *this;
  }
  std::string text;
};

void append_token(Text& out, std::string_view token, double logprob) {
  out.raw("{\"token\":").quoted(token).raw(",\"logprob\":").number(logprob).raw(",\"bytes\":null");
}

using Probability = std::pair<std::string_view, double>;

/// What may stand in a place, the likeliest first.
std::vector<Probability> ranked(const Rule& rule, std::string_view token) {
  std::vector<Probability> all(rule.probabilities.begin(), rule.probabilities.end());
  if (all.empty()) return {{token, std::exp(kSure)}};
  std::ranges::sort(all, std::greater<>(), &Probability::second);
  return all;
}

void append_logprob(Text& out, const std::vector<Probability>& places, std::string_view token, size_t top) {
  const auto own = std::ranges::find(places, token, &Probability::first);
  append_token(out, token, own == places.end() ? std::log(places.back().second) : std::log(own->second));
  out.raw(",\"top_logprobs\":[");
  for (size_t i = 0; i < std::min(top, places.size()); ++i) {
    if (i > 0) out.raw(",");
    append_token(out, places[i].first, std::log(places[i].second));
    out.raw("}");
  }
  out.raw("]},");
}

/// The list of the text's tokens. The verdict is one of them.
void append_logprobs(Text& out, const Asked& asked, const Rule& rule, const Answer& answer) {
  const std::string_view text = answer.text;
  const auto append = [&](std::string_view part) {
    for (const auto token : tokens_of(part))
      append_logprob(out, {{token, std::exp(kSure)}}, token, asked.top_logprobs);
  };
  out.raw("[");
  append(text.substr(0, answer.verdict_at));
  if (answer.verdict_size > 0) {
    const auto verdict = text.substr(answer.verdict_at, answer.verdict_size);
    append_logprob(out, ranked(rule, verdict), verdict, asked.top_logprobs);
  }
  append(text.substr(answer.verdict_at + answer.verdict_size));
  if (out.text.ends_with(',')) out.text.pop_back();
  out.raw("]");
}

void append_chat_message(Text& out, const Asked& asked, const Answer& answer, uint64_t number) {
  out.raw("{\"role\":\"assistant\",\"content\":");
  if (answer.refused || answer.by_tool)
    out.raw("null");
  else
    out.quoted(answer.text);
  out.raw(",\"refusal\":");
  if (answer.refused)
    out.quoted(answer.text);
  else
    out.raw("null");
  if (answer.by_tool)
    out.raw(",\"tool_calls\":[{\"id\":\"call_mock_")
        .number(static_cast<int64_t>(number))
        .raw("\",\"type\":\"function\",\"function\":{\"name\":")
        .quoted(asked.tool)
        .raw(",\"arguments\":")
        .quoted(answer.text)
        .raw("}}]");
  out.raw("}");
}

std::string chat(const Asked& asked, const Rule& rule, const Answer& answer, uint64_t number,
                 int64_t created) {
  Text out;
  out.raw("{\"id\":\"chatcmpl-mock-")
      .number(static_cast<int64_t>(number))
      .raw("\",\"object\":\"chat.completion\",\"created\":")
      .number(created)
      .raw(",\"model\":")
      .quoted(mock_name(asked.model))
      .raw(",\"system_fingerprint\":")
      .quoted(kName)
      .raw(",\"choices\":[{\"index\":0,\"message\":");
  append_chat_message(out, asked, answer, number);
  out.raw(",\"logprobs\":");
  if (asked.logprobs && !answer.by_tool && !answer.refused) {
    out.raw("{\"content\":");
    append_logprobs(out, asked, rule, answer);
    out.raw(",\"refusal\":null}");
  } else {
    out.raw("null");
  }
  out.raw(",\"finish_reason\":").quoted(answer.finish).raw("}]");
  if (rule.tell_usage)
    out.raw(",\"usage\":{\"prompt_tokens\":")
        .number(answer.input)
        .raw(",\"completion_tokens\":")
        .number(answer.output)
        .raw(",\"total_tokens\":")
        .number(answer.input + answer.output)
        .raw(",\"prompt_tokens_details\":{\"cached_tokens\":")
        .number(answer.cached)
        .raw("},\"completion_tokens_details\":{\"reasoning_tokens\":")
        .number(answer.reasoning)
        .raw("}}");
  return std::move(out.raw("}").text);
}

void append_response_item(Text& out, const Asked& asked, const Rule& rule, const Answer& answer) {
  if (answer.by_tool) {
    out.raw(
           "{\"type\":\"function_call\",\"id\":\"fc_mock\",\"call_id\":\"call_mock\",\"status\":"
           "\"completed\",\"name\":")
        .quoted(asked.tool)
        .raw(",\"arguments\":")
        .quoted(answer.text)
        .raw("}");
    return;
  }
  out.raw(
      "{\"type\":\"message\",\"id\":\"msg_mock\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":"
      "[");
  if (answer.refused) {
    out.raw("{\"type\":\"refusal\",\"refusal\":").quoted(answer.text);
  } else {
    out.raw("{\"type\":\"output_text\",\"annotations\":[],\"text\":")
        .quoted(answer.text)
        .raw(",\"logprobs\":");
    if (asked.logprobs)
      append_logprobs(out, asked, rule, answer);
    else
      out.raw("[]");
  }
  out.raw("}]}");
}

std::string response(const Asked& asked, const Rule& rule, const Answer& answer, uint64_t number,
                     int64_t created) {
  Text out;
  const bool whole = answer.finish == "stop";
  out.raw("{\"id\":\"resp_mock_")
      .number(static_cast<int64_t>(number))
      .raw("\",\"object\":\"response\",\"created_at\":")
      .number(created)
      .raw(",\"status\":\"")
      .raw(whole ? "completed" : "incomplete")
      .raw("\",\"error\":null,\"incomplete_details\":");
  if (whole)
    out.raw("null");
  else
    out.raw("{\"reason\":").quoted(answer.finish == "length" ? "max_output_tokens" : answer.finish).raw("}");
  out.raw(",\"model\":").quoted(mock_name(asked.model)).raw(",\"output\":[");
  append_response_item(out, asked, rule, answer);
  out.raw("]");
  if (rule.tell_usage)
    out.raw(",\"usage\":{\"input_tokens\":")
        .number(answer.input)
        .raw(",\"input_tokens_details\":{\"cached_tokens\":")
        .number(answer.cached)
        .raw("},\"output_tokens\":")
        .number(answer.output)
        .raw(",\"output_tokens_details\":{\"reasoning_tokens\":")
        .number(answer.reasoning)
        .raw("},\"total_tokens\":")
        .number(answer.input + answer.output)
        .raw("}");
  return std::move(out.raw("}").text);
}

std::string_view stop_reason(const Answer& answer) {
  if (answer.refused) return "refusal";
  if (answer.finish == "length") return "max_tokens";
  if (answer.finish != "stop") return answer.finish;
  return answer.by_tool ? "tool_use" : "end_turn";
}

std::string message(const Asked& asked, const Rule& rule, const Answer& answer, uint64_t number) {
  Text out;
  out.raw("{\"id\":\"msg_mock_")
      .number(static_cast<int64_t>(number))
      .raw("\",\"type\":\"message\",\"role\":\"assistant\",\"model\":")
      .quoted(mock_name(asked.model))
      .raw(",\"content\":[");
  if (answer.by_tool)  // what was cut off is no JSON
    out.raw("{\"type\":\"tool_use\",\"id\":\"toolu_mock\",\"name\":")
        .quoted(asked.tool)
        .raw(",\"input\":")
        .raw(parse_json(answer.text) ? answer.text : "{}")
        .raw("}");
  else
    out.raw("{\"type\":\"text\",\"text\":").quoted(answer.text).raw("}");
  out.raw("],\"stop_reason\":").quoted(stop_reason(answer)).raw(",\"stop_sequence\":null");
  if (rule.tell_usage)  // here the input is without what was cached
    out.raw(",\"usage\":{\"input_tokens\":")
        .number(std::max<int64_t>(answer.input - answer.cached, 0))
        .raw(",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":")
        .number(answer.cached)
        .raw(",\"output_tokens\":")
        .number(answer.output)
        .raw("}");
  return std::move(out.raw("}").text);
}

}  // namespace

std::string reply_json(const Asked& asked, const Rule& rule, const Answer& answer, uint64_t number,
                       int64_t created) {
  if (asked.dialect == Dialect::responses) return response(asked, rule, answer, number, created);
  if (asked.dialect == Dialect::messages) return message(asked, rule, answer, number);
  return chat(asked, rule, answer, number, created);
}

std::string complaint_json(Dialect dialect, const Complaint& complaint) {
  Text out;
  const std::string told = complaint.message + " (assay mock-llm)";
  if (dialect == Dialect::messages)
    return out.raw("{\"type\":\"error\",\"error\":{\"type\":")
        .quoted(complaint.type)
        .raw(",\"message\":")
        .quoted(told)
        .raw("}}")
        .text;
  const auto or_null = [&out](const std::string& value) {
    if (value.empty())
      out.raw("null");
    else
      out.quoted(value);
  };
  out.raw("{\"error\":{\"message\":")
      .quoted(told)
      .raw(",\"type\":")
      .quoted(complaint.type)
      .raw(",\"param\":");
  or_null(complaint.param);
  out.raw(",\"code\":");
  or_null(complaint.code);
  return std::move(out.raw("}}").text);
}

}  // namespace assay::cli::mock
