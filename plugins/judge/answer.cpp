#include "plugins/judge/answer.hpp"

#include <assay/evaluator.hpp>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"
#include "plugins/judge/expected_score.hpp"

namespace assay::judge {
namespace {

std::string text_at(const Json& all, std::initializer_list<std::string_view> path) {
  const Json* value = &all;
  for (const std::string_view name : path) value = find_member(value, name);
  const std::string* text = as_string(value);
  return text != nullptr ? *text : "";
}

/// A reply as verdict.hpp reads it; `all` is the reply's JSON (docs/plugins.md, "Completions").
Reply reply_from(const assay::Reply& reply, const Json& all) {
  const std::string finish(reply.finish());
  return {std::string(reply.text()), text_at(all, {"tool", "arguments"}), text_at(all, {"refusal"}),
          finish == "other" ? text_at(all, {"finish_reason"}) : finish};
}

double number_at(const Json& object, std::string_view name) {
  const Json* value = find_member(&object, name);
  return value != nullptr && value->is_number() ? value->get<double>() : 0;
}

std::vector<Token> tokens_from(const Json& all) {
  std::vector<Token> tokens;
  const Json* list = find_member(&all, "logprobs");
  if (list == nullptr || !list->is_array()) return tokens;
  for (const Json& given : *list) {
    Token token{text_at(given, {"token"}), number_at(given, "logprob"), {}};
    const Json* top = find_member(&given, "top");
    if (top != nullptr && top->is_array()) {
      for (const Json& one : *top) token.top.push_back({text_at(one, {"token"}), number_at(one, "logprob")});
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// Where the verdict's digits begin in the tokens; nothing when they are not the reply's text, or have no
/// probabilities.
std::optional<size_t> place_in(std::span<const Token> tokens, std::string_view text, const Verdict& verdict) {
  const bool offered = std::ranges::any_of(tokens, [](const Token& token) { return !token.top.empty(); });
  if (!offered || !verdict.place) return std::nullopt;
  std::string all;
  for (const Token& token : tokens) all += token.token;
  // What is behind the text ("<|im_end|>") moves nothing.
  return all.starts_with(text) ? digits_of_score(text, *verdict.place, verdict.score) : std::nullopt;
}

}  // namespace

Result<Answer> read_answer(const assay::Reply& reply, const Settings& settings, const Question& question) {
  const auto all = parse_json(reply.all());
  if (!all || !all->is_object())
    return Error{ErrorKind::judge_parse, "the host's answer for the judge's completion is no JSON object"};
  // Where the definition says how to answer, nobody told the judge of a key with the code.
  const std::string_view nonce = settings.format == Format::ours ? std::string_view(question.nonce) : "";
  auto verdict = read_verdict(reply_from(reply, *all), settings.contract, nonce, question.judged);
  if (!verdict) return verdict.error();
  Answer answer{std::move(*verdict), false};
  if (!settings.expected_score) return answer;
  const auto tokens = tokens_from(*all);
  const auto place = place_in(tokens, reply.text(), answer.verdict);
  if (!place) return answer;
  const auto expected =
      expected_score(tokens, *place, answer.verdict.score, static_cast<int>(settings.contract.low),
                     static_cast<int>(settings.contract.high));
  if (!expected) return expected.error();
  answer.verdict.score = expected->score;
  answer.weighted = true;
  return answer;
}

}  // namespace assay::judge
