#include "plugins/judge/hit.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"

namespace assay::judge {
namespace {

constexpr std::array<std::string_view, 11> kMenuKeys = {"verdict", "choice",     "label",  "grade",
                                                        "winner",  "preference", "rating", "pass",
                                                        "passed",  "result",     "score"};
constexpr std::array<std::string_view, 3> kNumberKeys = {"verdict", "score", "rating"};
constexpr std::array<std::string_view, 7> kReasonKeys = {
    "reason", "reasoning", "reasons", "explanation", "rationale", "justification", "analysis"};

Json value_of(std::string_view text, const Member& member) {
  return parse_json(member.value.of(text)).value_or(Json());
}

/// A string, or the strings of an array as lines.
std::string text_of(const Json& value) {
  if (const std::string* text = as_string(&value)) return bounded(*text, kReasonLimit);
  std::string lines;
  if (!value.is_array()) return lines;
  for (const Json& element : value) {
    const std::string* line = as_string(&element);
    if (line != nullptr && lines.size() <= kReasonLimit) lines += (lines.empty() ? "" : "\n") + *line;
  }
  return bounded(lines, kReasonLimit);
}

std::string reason_in(std::string_view text, const std::vector<Member>& members) {
  for (const std::string_view key : kReasonKeys) {
    const auto member = std::ranges::find(members, key, &Member::key);
    if (member == members.end()) continue;
    const Json value = value_of(text, *member);
    if (value.is_string() || value.is_array()) return text_of(value);
  }
  return {};
}

/// The members that hold a verdict, the most telling first.
std::vector<Member> verdict_members(const std::vector<Member>& all, const Contract& contract) {
  std::vector<Member> members;
  for (const std::string_view key : json_keys(contract)) {
    for (const Member& member : all) {
      if (equal_ignoring_case(member.key, key)) members.push_back(member);
    }
  }
  return members;
}

}  // namespace

std::span<const std::string_view> json_keys(const Contract& contract) noexcept {
  if (contract.is_number()) return kNumberKeys;
  return kMenuKeys;
}

bool differ(const Result<Value>& left, const Result<Value>& right) noexcept {
  if (!left || !right) return static_cast<bool>(left) != static_cast<bool>(right);
  return !(*left == *right);
}

std::optional<Hit> hit_in_object(std::string_view text, const Span& object,
                                 const Contract& contract) noexcept {
  const auto all = members_of(text, object);
  const auto members = verdict_members(all, contract);
  if (members.empty()) return std::nullopt;
  const Member& first = members.front();
  Hit hit{.value = read_json_value(value_of(text, first), contract),
          .channel = Channel::json,
          .span = object,
          .place = first.value,
          .claim = {.form = Claim::Form::keyed},
          .reason = reason_in(text, all)};
  for (const Member& member : members) {
    hit.claim.keys.push_back(lower(member.key));
    hit.claim.written.emplace_back(head(member.span.of(text), kWrittenLimit));
    const auto also = read_json_value(value_of(text, member), contract);
    if (!also || !differ(hit.value, also)) continue;
    hit.value = Error{ErrorKind::judge_parse, "the judge's \"" + bounded(first.key, 40) + "\" and \"" +
                                                  bounded(member.key, 40) + "\" disagree"};
  }
  return hit;
}

std::optional<Hit> hit_of_code(std::string_view text, const Span& object, const Contract& contract,
                               std::string_view nonce) noexcept {
  const auto all = members_of(text, object);
  const auto member = std::ranges::find(all, verdict_key(nonce), &Member::key);
  if (member == all.end()) return std::nullopt;
  return Hit{.value = read_json_value(value_of(text, *member), contract),
             .channel = Channel::nonce,
             .span = object,
             .place = member->value,
             .reason = reason_in(text, all)};
}

bool has_member(std::string_view text, const Span& object, std::string_view key) noexcept {
  const auto all = members_of(text, object);
  return std::ranges::find(all, key, &Member::key) != all.end();
}

}  // namespace assay::judge
