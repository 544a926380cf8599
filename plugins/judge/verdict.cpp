#include "plugins/judge/verdict.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"
#include "plugins/judge/echo.hpp"
#include "plugins/judge/refusal.hpp"
#include "plugins/judge/scan.hpp"
#include "plugins/judge/value.hpp"

namespace assay::judge {
namespace {

constexpr std::array<std::string_view, 11> kMenuKeys = {"verdict", "choice",     "label",  "grade",
                                                        "winner",  "preference", "rating", "pass",
                                                        "passed",  "result",     "score"};
constexpr std::array<std::string_view, 3> kNumberKeys = {"verdict", "score", "rating"};
constexpr std::array<std::string_view, 7> kReasonKeys = {
    "reason", "reasoning", "reasons", "explanation", "rationale", "justification", "analysis"};

std::span<const std::string_view> keys_of(const Contract& contract) {
  if (contract.is_number()) return kNumberKeys;
  return kMenuKeys;
}

/// Something that was read as a verdict.
struct Hit {
  Result<Value> value;
  Channel channel;
  Span span;            ///< in the text
  std::string written;  ///< the bytes that must not be the judged text's own
  std::string reason;
};

Error no_verdict(std::string message) {
  return {ErrorKind::judge_parse, std::move(message)};
}

bool differ(const Result<Value>& left, const Result<Value>& right) {
  if (!left || !right) return static_cast<bool>(left) != static_cast<bool>(right);
  return !(*left == *right);
}

std::string reason_in(const Json& object) {
  for (const std::string_view key : kReasonKeys) {
    const Json* value = find_member(&object, key);
    if (const std::string* text = as_string(value)) return bounded(*text, kReasonLimit);
    if (value == nullptr || !value->is_array()) continue;
    std::string lines;
    for (const Json& element : *value) {
      const std::string* line = as_string(&element);
      if (line != nullptr && lines.size() <= kReasonLimit) lines += (lines.empty() ? "" : "\n") + *line;
    }
    return bounded(lines, kReasonLimit);
  }
  return {};
}

/// The members of an object that hold a verdict, the most telling first. Keys count whatever their case.
std::vector<std::pair<std::string, const Json*>> verdict_members(const Json& object,
                                                                 const Contract& contract) {
  std::vector<std::pair<std::string, const Json*>> members;
  for (const std::string_view key : keys_of(contract)) {
    for (auto member = object.begin(); member != object.end(); ++member) {
      if (equal_ignoring_case(member.key(), key)) members.emplace_back(member.key(), &*member);
    }
  }
  return members;
}

std::optional<Hit> hit_in_object(const Json& object, const Contract& contract) {
  const auto members = verdict_members(object, contract);
  if (members.empty()) return std::nullopt;
  const auto& [key, first] = members.front();
  Hit hit{read_json_value(*first, contract),
          Channel::json,
          {},
          dump_json(key) + ":" + dump_json(*first),
          reason_in(object)};
  for (const auto& [other, value] : members) {
    const auto also = read_json_value(*value, contract);
    if (also && differ(hit.value, also)) {
      hit.value =
          no_verdict("the judge's \"" + bounded(key, 40) + "\" and \"" + bounded(other, 40) + "\" disagree");
      break;
    }
  }
  return hit;
}

std::optional<Hit> hit_of_nonce(const Json& object, const Contract& contract, std::string_view nonce) {
  const Json* value =
      nonce.empty() || !object.is_object() ? nullptr : find_member(&object, verdict_key(nonce));
  if (value == nullptr) return std::nullopt;
  return Hit{read_json_value(*value, contract), Channel::nonce, {}, {}, reason_in(object)};
}

/// How often `"key" :` occurs in a text.
size_t count_key(std::string_view text, std::string_view key) {
  const std::string quoted = "\"" + std::string(key) + "\"";
  size_t count = 0;
  for (size_t at = text.find(quoted); at != std::string_view::npos; at = text.find(quoted, at + 1)) {
    if (trim(text.substr(at + quoted.size(), 64)).starts_with(':')) ++count;
  }
  return count;
}

/// Whether there is nothing but JSON in the text: separators and the marks of a code block.
bool only_objects(std::string_view text, const std::vector<Span>& objects) {
  std::string rest;
  size_t at = 0;
  for (const Span& object : objects) {
    rest += text.substr(at, object.begin - at);
    rest += ' ';
    at = object.end;
  }
  rest += text.substr(at);
  std::string_view left = trim(rest, " \t\r\n,[]`");
  if (left.starts_with("json") || left.starts_with("JSON")) left = trim(left.substr(4), " \t\r\n,[]`");
  return !objects.empty() && left.empty();
}

/// The one verdict of a strict channel.
std::optional<Hit> sole(std::vector<Hit> hits) {
  if (hits.empty()) return std::nullopt;
  for (const Hit& hit : hits) {
    if (!differ(hit.value, hits.back().value)) continue;
    hits.back().value = no_verdict("the judge gave two verdicts that differ");
    break;
  }
  return std::move(hits.back());
}

class Text {
 public:
  Text(std::string_view text, const Contract& contract, std::string_view nonce)
      : text_(text), contract_(contract), nonce_(nonce) {}

  Result<Hit> find() {
    auto objects = find_objects(text_);
    if (!objects) return no_verdict("the judge's reply holds too many braces to look for a verdict in");
    objects_ = std::move(*objects);
    for (const Span& span : objects_) parsed_.push_back(parse_json(span.of(text_)).value_or(Json()));
    if (auto hit = by_nonce()) return std::move(*hit);
    if (only_objects(text_, objects_)) return by_objects();
    if (auto hit = last_in_prose()) return checked_to_be_last(std::move(*hit));
    const bool refusal = begins_as_refusal(text_);
    if (auto hit = bare(); hit && (hit->value || !refusal)) return std::move(*hit);
    return refusal ? refused() : no_verdict("the judge's reply holds no verdict: " + beginning());
  }

 private:
  std::optional<Hit> by_nonce() const {
    if (nonce_.empty()) return std::nullopt;
    std::vector<Hit> hits;
    for (const Json& object : parsed_) {
      if (auto hit = hit_of_nonce(object, contract_, nonce_)) hits.push_back(std::move(*hit));
    }
    if (count_key(text_, verdict_key(nonce_)) != hits.size()) {
      return Hit{no_verdict("the judge's verdict stands in what is no JSON object: " + beginning()),
                 Channel::nonce,
                 {},
                 {},
                 {}};
    }
    return sole(std::move(hits));
  }

  Result<Hit> by_objects() const {
    if (auto hit = sole(hits_in_objects(true))) return std::move(*hit);
    const bool refusal =
        std::ranges::any_of(parsed_, [](const Json& object) { return object.contains("refusal"); });
    return refusal ? refused() : no_verdict("the judge's JSON holds no verdict: " + beginning());
  }

  std::vector<Hit> hits_in_objects(bool whole) const {
    std::vector<Hit> hits;
    for (size_t i = 0; i < parsed_.size(); ++i) {
      auto hit = hit_in_object(parsed_[i], contract_);
      if (!hit) continue;
      hit->span = objects_[i];
      if (whole) hit->written = hit->span.of(text_);
      hits.push_back(std::move(*hit));
    }
    return hits;
  }

  bool in_object(const Span& span) const {
    return std::ranges::any_of(objects_, [&](const Span& object) { return object.overlaps(span); });
  }

  Hit hit_of(const Match& match, Channel channel) const {
    auto value = channel == Channel::line ? read_line_value(match.value.of(text_), contract_)
                                          : read_value(match.value.of(text_), contract_);
    return {std::move(value), channel, match.span, std::string(match.span.of(text_)),
            reason_around(match.span)};
  }

  std::string reason_around(const Span& span) const {
    const std::string_view before = trim(text_.substr(0, span.begin));
    return bounded(before.empty() ? trim(text_.substr(span.end)) : before, kReasonLimit);
  }

  std::optional<Hit> last_in_prose() const {
    std::vector<Hit> hits = hits_in_objects(false);
    for (Hit& hit : hits) {
      if (hit.reason.empty()) hit.reason = reason_around(hit.span);
    }
    if (const auto last = last_match(find_brackets(text_))) hits.push_back(hit_of(*last, Channel::brackets));
    auto lines = find_lines(text_);
    // What a line says in double brackets was found as such.
    std::erase_if(
        lines, [&](const Match& line) { return line.value.of(text_).find("[[") != std::string_view::npos; });
    if (const auto last = last_match(lines)) hits.push_back(hit_of(*last, Channel::line));
    if (hits.empty()) return std::nullopt;
    return std::move(*std::ranges::max_element(hits, {}, [](const Hit& hit) { return hit.span.end; }));
  }

  std::optional<Match> last_match(std::span<const Match> matches) const {
    for (size_t i = matches.size(); i > 0; --i) {
      if (!in_object(matches[i - 1].span)) return matches[i - 1];
    }
    return std::nullopt;
  }

  /// A verdict behind the last one that can be read, in JSON that cannot be, makes both worthless.
  Result<Hit> checked_to_be_last(Hit hit) const {
    for (const std::string_view key : keys_of(contract_)) {
      size_t at = hit.span.end;
      for (const Span& object : objects_) {
        if (object.begin < at) continue;
        if (count_key(text_.substr(at, object.begin - at), key) > 0) at = std::string_view::npos;
        if (at == std::string_view::npos) break;
        at = object.end;
      }
      if (at == std::string_view::npos || count_key(text_.substr(at), key) > 0) {
        return no_verdict("the judge's last verdict stands in what is no JSON object: " + beginning());
      }
    }
    return hit;
  }

  std::optional<Hit> bare() const {
    const auto last = last_line(text_);
    const auto first = first_line(text_);
    if (!first || !last) return std::nullopt;
    if (auto hit = bare_line(*last)) return hit;
    return bare_line(*first);
  }

  std::optional<Hit> bare_line(const Span& span) const {
    const std::string_view line = span.of(text_);
    const bool whole = trim(text_).size() == line.size();
    auto value = read_value(line, contract_);
    if (!value && !contract_.is_number() && value.error().kind == ErrorKind::judge_off_menu) {
      // "TRUE. Because …"; a label of one letter begins too many sentences.
      const auto leading = read_line_value(line, contract_);
      const bool word = line.size() <= 64 && line.find(' ') == std::string_view::npos;
      if (leading && leading->label.size() > 1) {
        value = leading;
      } else if (!whole || !word) {
        return std::nullopt;
      }
    }
    const bool number = value || value.error().kind == ErrorKind::judge_off_menu;
    if (!number) return std::nullopt;
    return Hit{std::move(value), Channel::bare, span, whole ? "" : std::string(line), reason_around(span)};
  }

  std::string beginning() const { return "\"" + bounded(trim(text_), 120) + "\""; }
  Error refused() const { return {ErrorKind::judge_refusal, "the judge declined: " + beginning()}; }

  std::string_view text_;
  const Contract& contract_;
  std::string_view nonce_;
  std::vector<Span> objects_;
  std::vector<Json> parsed_;
};

Result<Hit> find_in_tool(std::string_view arguments, const Contract& contract, std::string_view nonce) {
  const auto object = parse_json(arguments);
  if (!object || !object->is_object())
    return no_verdict("the judge's tool call has no JSON object as its arguments");
  if (auto hit = hit_of_nonce(*object, contract, nonce)) return std::move(*hit);
  auto hit = hit_in_object(*object, contract);
  if (!hit) return no_verdict("the judge's tool call holds no verdict: " + bounded(arguments, 120));
  hit->channel = Channel::tool;
  hit->written = arguments;
  return std::move(*hit);
}

Result<Hit> find_hit(const Reply& reply, const Contract& contract, std::string_view nonce) {
  if (auto stopped = why_stopped(reply)) return std::move(*stopped);
  if (reply.text.size() > kReplyLimit || reply.tool_arguments.size() > kReplyLimit) {
    return no_verdict("the judge's reply is longer than 1 MiB");
  }
  if (!reply.tool_arguments.empty()) return find_in_tool(reply.tool_arguments, contract, nonce);
  const auto text = without_thinking(reply.text);
  if (!text) return no_verdict("the judge's reply ends within its <think> block");
  if (trim(*text).empty()) return no_verdict("the judge's reply is empty");
  return Text(*text, contract, nonce).find();
}

}  // namespace

std::string_view to_string(Channel channel) noexcept {
  switch (channel) {
    case Channel::nonce:
      return "nonce";
    case Channel::tool:
      return "tool";
    case Channel::json:
      return "json";
    case Channel::line:
      return "line";
    case Channel::brackets:
      return "brackets";
    case Channel::bare:
      return "bare";
  }
  return "bare";
}

Result<Verdict> read_verdict(const Reply& reply, const Contract& contract, std::string_view nonce,
                             std::span<const std::string> judged) noexcept {
  auto hit = find_hit(reply, contract, nonce);
  if (!hit) return hit.error();
  if (!hit->value) return hit->value.error();
  if (occurs_in(hit->written, judged, hit->channel == Channel::bare)) {
    return no_verdict("the judge's verdict (" + bounded(hit->written, 80) +
                      ") stands in the judged text as well; it may be a "
                      "quotation. Ask for the answer as JSON");
  }
  return Verdict{hit->value->score, std::move(hit->value->label), std::move(hit->reason), hit->channel};
}

}  // namespace assay::judge
