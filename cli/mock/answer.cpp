#include "cli/mock/answer.hpp"

#include <array>

#include "cli/mock/schema_fill.hpp"
#include "cli/mock/tokens.hpp"
#include "core/json.hpp"

namespace assay::cli::mock {
namespace {

constexpr std::string_view kText = "This is a mock: nobody has read the question.";
constexpr std::string_view kReason = "A mock's verdict, found by a rule: nobody has thought about it.";

/// The JSON key that the conversation asks a verdict under: "verdict", or one that begins so.
std::string verdict_key(std::string_view conversation) {
  static const RE2 pattern("\"(verdict[A-Za-z0-9_]*)\"");
  std::string key = "verdict";
  RE2::PartialMatch(re2::StringPiece(conversation.data(), conversation.size()), pattern, &key);
  return key;
}

std::string expand(const Template& text, const Rule& rule, const Asked& asked, uint64_t count) {
  std::array<re2::StringPiece, 10> groups;
  const auto last = asked.last();
  if (rule.match != nullptr)
    rule.match->Match(re2::StringPiece(last.data(), last.size()), 0, last.size(), RE2::UNANCHORED,
                      groups.data(), std::min(rule.match->NumberOfCapturingGroups() + 1, 10));
  return text.expand([&](std::string_view name) {
    if (name == "message") return std::string(last);
    if (name == "model") return asked.model;
    if (name == "count") return std::to_string(count);
    if (name == "verdict_key") return verdict_key(asked.conversation);
    const auto& group = groups.at(static_cast<size_t>(name[0] - '0'));
    return std::string(group.data(), group.size());
  });
}

void say_verdict(Answer& answer, const Rule& rule, const Asked& asked, std::string_view reason) {
  const Finding finding = find(rule.verdict.value_or(Comparison::equal), asked.last());
  if (asked.schema) {
    auto filled = fill_schema(*asked.schema, finding, reason);
    answer.text = std::move(filled.json);
    answer.verdict_at = filled.verdict_at;
    answer.verdict_size = filled.verdict_size;
    return;
  }
  const bool as_json = asked.structure != Structure::text || asked.conversation.contains("\"verdict");
  const std::string word = word_of(finding);
  if (as_json) {
    answer.text =
        "{\"reason\":" + json_quote(reason) + "," + json_quote(verdict_key(asked.conversation)) + ":";
    answer.verdict_at = answer.text.size();
    answer.text += std::holds_alternative<double>(finding) ? word : json_quote(word);
    answer.verdict_size = answer.text.size() - answer.verdict_at;
    answer.text += '}';
  } else {
    answer.text = word;
    answer.verdict_size = word.size();
  }
}

void cut(Answer& answer, size_t most) {
  const auto kept = first_tokens(answer.text, most);
  if (kept.size() == answer.text.size()) return;
  answer.text.resize(kept.size());
  answer.finish = "length";
  if (answer.verdict_at + answer.verdict_size > answer.text.size()) answer.verdict_size = 0;
}

/// A label's quotes are no part of the verdict.
void unquote(Answer& answer) {
  if (answer.verdict_size < 2 || answer.text[answer.verdict_at] != '"') return;
  ++answer.verdict_at;
  answer.verdict_size -= 2;
}

void say(Answer& answer, const Rule& rule, const Asked& asked, uint64_t count) {
  answer.by_tool = asked.structure == Structure::tool;
  if (rule.refusal) {
    answer.text = *rule.refusal;
    answer.refused = true;
    answer.by_tool = false;
  } else if (rule.text) {
    answer.text = expand(*rule.text, rule, asked, count);
  } else if (rule.verdict || asked.structure != Structure::text) {
    say_verdict(answer, rule, asked,
                rule.reason ? expand(*rule.reason, rule, asked, count) : std::string(kReason));
    unquote(answer);
  } else {
    answer.text = kText;
  }
}

}  // namespace

Answer compose(const Rule& rule, const Asked& asked, uint64_t count) {
  Answer answer;
  answer.finish = "stop";
  say(answer, rule, asked, count);
  const size_t most = std::min(rule.truncate.value_or(SIZE_MAX), asked.max_tokens.value_or(SIZE_MAX));
  if (most != SIZE_MAX) cut(answer, most);
  if (!rule.finish.empty()) answer.finish = rule.finish;
  const Usage& usage = rule.usage;
  answer.reasoning = usage.reasoning.value_or(0);
  answer.input = usage.input.value_or(static_cast<int64_t>(count_tokens(asked.conversation)));
  answer.output = usage.output.value_or(static_cast<int64_t>(count_tokens(answer.text)) + answer.reasoning);
  answer.cached = usage.cached.value_or(0);
  return answer;
}

}  // namespace assay::cli::mock
