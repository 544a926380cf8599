#include "daemon/llm/logprobs.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/llm/members.hpp"

namespace assay::llm {
namespace {

using Alternative = TokenLogprob::Alternative;

std::optional<Alternative> alternative_from(const Json& json) {
  const Json& token = member(json, "token");
  const Json& logprob = member(json, "logprob");
  if (!token.is_string() || !logprob.is_number()) return std::nullopt;
  return Alternative{std::string(text_of(token)), logprob.get<double>()};
}

std::optional<TokenLogprob> token_from(const Json& json) {
  const auto own = alternative_from(json);
  if (!own) return std::nullopt;
  TokenLogprob token{own->token, own->logprob, {}};
  const Json& top = member(json, "top_logprobs");
  if (!top.is_null() && !top.is_array()) return std::nullopt;
  for (const auto& entry : top) {
    auto alternative = alternative_from(entry);
    if (!alternative) return std::nullopt;
    token.top.push_back(std::move(*alternative));
  }
  return token;
}

std::optional<std::vector<TokenLogprob>> from_list(const Json& list) {
  std::vector<TokenLogprob> tokens;
  for (const auto& entry : list) {
    auto token = token_from(entry);
    if (!token) return std::nullopt;
    tokens.push_back(std::move(*token));
  }
  return tokens;
}

/// {" A": -0.1, " B": -2.3}, the most likely first.
std::optional<std::vector<Alternative>> alternatives_from(const Json& object) {
  std::vector<Alternative> alternatives;
  if (!object.is_null() && !object.is_object()) return std::nullopt;
  for (const auto& [token, logprob] : object.items()) {
    if (!logprob.is_number()) return std::nullopt;
    alternatives.push_back({token, logprob.get<double>()});
  }
  std::ranges::sort(alternatives, [](const Alternative& a, const Alternative& b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
  });
  return alternatives;
}

std::optional<std::vector<TokenLogprob>> from_columns(const Json& json) {
  const Json& tokens = member(json, "tokens");
  const Json& logprobs = member(json, "token_logprobs");
  const Json& top = member(json, "top_logprobs");
  if (!tokens.is_array() || !logprobs.is_array() || logprobs.size() != tokens.size()) return std::nullopt;
  if (!top.is_null() && (!top.is_array() || top.size() != tokens.size())) return std::nullopt;
  std::vector<TokenLogprob> out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (logprobs[i].is_null()) continue;  // the first token of a text that was not generated has none
    auto alternatives = alternatives_from(top.is_null() ? Json() : top[i]);
    if (!tokens[i].is_string() || !logprobs[i].is_number() || !alternatives) return std::nullopt;
    out.push_back({std::string(text_of(tokens[i])), logprobs[i].get<double>(), std::move(*alternatives)});
  }
  return out;
}

}  // namespace

std::optional<std::vector<TokenLogprob>> logprobs_from(const Json& json) {
  if (json.is_null()) return std::vector<TokenLogprob>();
  if (json.is_array()) return from_list(json);
  if (!json.is_object()) return std::nullopt;
  if (json.contains("tokens")) return from_columns(json);
  const Json& content = member(json, "content");
  if (content.is_null()) return std::vector<TokenLogprob>();
  return content.is_array() ? from_list(content) : std::nullopt;
}

}  // namespace assay::llm
