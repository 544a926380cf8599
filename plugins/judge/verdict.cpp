#include "plugins/judge/verdict.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"
#include "plugins/judge/echo.hpp"
#include "plugins/judge/hit.hpp"
#include "plugins/judge/refusal.hpp"
#include "plugins/judge/scan.hpp"
#include "plugins/judge/value.hpp"

namespace assay::judge {
namespace {

constexpr size_t kLineLimit = 64;      // bytes of a line that could be a verdict alone
constexpr size_t kMatchesLimit = 256;  // lines and brackets that are compared; more are taken to differ

// Lines of these keys may as well quote what is judged: as beside another key they are no verdicts.
constexpr std::array<std::string_view, 2> kWeakKeys = {"answer", "result"};

Error no_verdict(std::string message) {
  return {ErrorKind::judge_parse, std::move(message)};
}

bool is_weak(std::string_view key) {
  return std::ranges::any_of(kWeakKeys,
                             [key](std::string_view weak) { return equal_ignoring_case(weak, key); });
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

bool has_key(const Hit& hit, std::string_view key) {
  return std::ranges::find(hit.claim.keys, lower(key)) != hit.claim.keys.end();
}

class Text {
 public:
  Text(std::string_view text, const Contract& contract, std::string_view nonce)
      : text_(text), contract_(contract), nonce_(nonce) {}

  Result<Hit> find() {
    auto objects = find_objects(text_);
    if (!objects) return no_verdict("the judge's reply holds too many braces to look for a verdict in");
    objects_ = std::move(*objects);
    if (!nonce_.empty()) return with_code();
    if (only_objects(text_, objects_)) return by_objects();
    if (auto hit = last_in_prose()) return checked_to_be_last(doubted(std::move(*hit)));
    const bool refusal = begins_as_refusal(text_);
    if (auto hit = bare(); hit && (hit->value || !refusal)) return doubted(std::move(*hit));
    return refusal ? refused() : no_verdict("the judge's reply holds no verdict: " + beginning());
  }

 private:
  Result<Hit> with_code() const {
    if (auto hit = by_nonce()) return std::move(*hit);
    if (only_objects(text_, objects_) && declines()) return refused();
    const bool refusal = begins_as_refusal(text_);
    const auto line = first_line(text_);
    if (line && trim(text_).size() == line->of(text_).size()) {
      if (auto hit = bare_line(*line); hit && (hit->value || !refusal)) {
        hit->doubt = "the judge's verdict has no key, and the judged text holds its words as well";
        return std::move(*hit);
      }
    }
    return refusal ? refused()
                   : no_verdict("the judge's reply lacks the key that was asked for: " + beginning());
  }

  std::optional<Hit> by_nonce() const {
    std::vector<Hit> hits;
    for (const Span& object : objects_) {
      if (auto hit = hit_of_code(text_, object, contract_, nonce_)) hits.push_back(std::move(*hit));
    }
    if (count_key(text_, verdict_key(nonce_)) != hits.size()) {
      return Hit{.value = no_verdict("the judge's verdict stands in what is no JSON object: " + beginning()),
                 .channel = Channel::nonce};
    }
    return sole(std::move(hits));
  }

  Result<Hit> by_objects() const {
    if (auto hit = sole(hits_in_objects())) return std::move(*hit);
    return declines() ? refused() : no_verdict("the judge's JSON holds no verdict: " + beginning());
  }

  bool declines() const {
    return std::ranges::any_of(objects_,
                               [&](const Span& object) { return has_member(text_, object, "refusal"); });
  }

  std::vector<Hit> hits_in_objects() const {
    std::vector<Hit> hits;
    for (const Span& object : objects_) {
      if (auto hit = hit_in_object(text_, object, contract_)) hits.push_back(std::move(*hit));
    }
    return hits;
  }

  bool in_object(const Span& span) const {
    return std::ranges::any_of(objects_, [&](const Span& object) { return object.overlaps(span); });
  }

  Hit hit_of(const Match& match) const {
    const std::string_view value = match.value.of(text_);
    const bool line = !match.key.empty();
    return {.value = line ? read_line_value(value, contract_) : read_value(value, contract_),
            .channel = line ? Channel::line : Channel::brackets,
            .span = match.span,
            .place = match.value,
            .claim = {.form = line ? Claim::Form::keyed : Claim::Form::brackets,
                      .keys = line ? std::vector{lower(match.key)} : std::vector<std::string>{},
                      .written = {std::string(head(match.span.of(text_), kWrittenLimit))}},
            .reason = reason_around(match.span)};
  }

  std::string reason_around(const Span& span) const {
    const std::string_view before = trim(text_.substr(0, span.begin));
    return bounded(before.empty() ? trim(text_.substr(span.end)) : before, kReasonLimit);
  }

  /// Brackets and lines outside of the JSON objects. What a line says in double brackets was found as such.
  std::vector<Match> matches() const {
    auto all = find_brackets(text_);
    for (const Match& line : find_lines(text_)) {
      if (line.value.of(text_).find("[[") == std::string_view::npos) all.push_back(line);
    }
    std::erase_if(all, [&](const Match& match) { return in_object(match.span); });
    return all;
  }

  std::optional<Hit> last_in_prose() const {
    std::vector<Hit> hits = hits_in_objects();
    for (Hit& hit : hits) {
      if (hit.reason.empty()) hit.reason = reason_around(hit.span);
    }
    const auto end_of_match = [](const Match& match) { return match.span.end; };
    const auto all = matches();
    if (!all.empty()) hits.push_back(hit_of(*std::ranges::max_element(all, {}, end_of_match)));
    if (hits.empty()) return std::nullopt;
    return std::move(*std::ranges::max_element(hits, {}, [](const Hit& hit) { return hit.span.end; }));
  }

  /// Something else in the text that reads as a verdict, and as another one: which of them is the judge's
  /// own?
  Hit doubted(Hit hit) const {
    if (hit.value && has_rival(hit))
      hit.doubt = "the judge gave two verdicts that differ, and the judged text holds the words of the last";
    return hit;
  }

  bool has_rival(const Hit& chosen) const {
    const auto rivals = [&](const std::optional<Value>& value) { return value && *value != *chosen.value; };
    for (const Hit& hit : hits_in_objects()) {
      if (hit.value && *hit.value != *chosen.value) return true;
    }
    const auto all = matches();
    if (all.size() > kMatchesLimit) return true;
    for (const Match& match : all) {
      const bool weak = is_weak(match.key) && !has_key(chosen, match.key);
      if (!weak && rivals(value_of(match))) return true;
    }
    return std::ranges::any_of(find_all_lines(text_), [&](const Span& line) {
      return !in_object(line) && rivals(value_of_line(line.of(text_)));
    });
  }

  std::optional<Value> value_of(const Match& match) const {
    const Hit hit = hit_of(match);
    if (hit.value) return *hit.value;
    return match.key.empty() ? std::nullopt : leading_value(match.value.of(text_), contract_, true);
  }

  std::optional<Value> value_of_line(std::string_view line) const {
    if (!contract_.is_number()) return leading_value(line, contract_, false);
    if (line.size() > kLineLimit) return std::nullopt;
    const auto value = read_value(line, contract_);
    return value ? std::optional(*value) : std::nullopt;
  }

  /// A verdict behind the last one that can be read, in JSON that cannot be, makes both worthless.
  Result<Hit> checked_to_be_last(Hit hit) const {
    for (const std::string_view key : json_keys(contract_)) {
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
    auto value = read_value(line, contract_);
    if (!value && !contract_.is_number() && value.error().kind == ErrorKind::judge_off_menu) {
      // "TRUE. Because …"; a label of one letter begins too many sentences.
      const bool whole = trim(text_).size() == line.size();
      const auto leading = read_line_value(line, contract_);
      const bool word = line.size() <= kLineLimit && line.find(' ') == std::string_view::npos;
      if (leading && leading->label.size() > 1) {
        value = leading;
      } else if (!whole || !word) {
        return std::nullopt;
      }
    }
    const bool number = value || value.error().kind == ErrorKind::judge_off_menu;
    if (!number) return std::nullopt;
    return Hit{.value = std::move(value),
               .channel = Channel::bare,
               .span = span,
               .place = span,
               .claim = {.form = Claim::Form::line},
               .reason = reason_around(span)};
  }

  std::string beginning() const { return "\"" + bounded(trim(text_), 120) + "\""; }
  Error refused() const { return {ErrorKind::judge_refusal, "the judge declined: " + beginning()}; }

  std::string_view text_;
  const Contract& contract_;
  std::string_view nonce_;
  std::vector<Span> objects_;
};

Result<Hit> find_in_tool(std::string_view arguments, const Contract& contract, std::string_view nonce) {
  const auto object = parse_json(arguments);
  if (!object || !object->is_object())
    return no_verdict("the judge's tool call has no JSON object as its arguments");
  const Span all{arguments.find('{'), arguments.rfind('}') + 1};
  auto hit =
      nonce.empty() ? hit_in_object(arguments, all, contract) : hit_of_code(arguments, all, contract, nonce);
  if (!hit) return no_verdict("the judge's tool call holds no verdict: " + bounded(arguments, 120));
  if (nonce.empty()) hit->channel = Channel::tool;
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
  auto hit = Text(*text, contract, nonce).find();
  const auto before = static_cast<size_t>(text->data() - reply.text.data());
  if (hit) hit->place = {hit->place.begin + before, hit->place.end + before};
  return hit;
}

std::string shown(const Value& value) {
  return value.label.empty() ? dump_json(value.score) : value.label;
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
  if (hit->channel != Channel::nonce && occurs_in(hit->claim, *hit->value, judged)) {
    return no_verdict("the judge's verdict (" + shown(*hit->value) +
                      ") stands in the judged text as well; it may be a quotation. Ask for the answer as "
                      "JSON, in the default format");
  }
  if (!hit->doubt.empty() && mentioned_in(*hit->value, judged)) return no_verdict(hit->doubt);
  const bool in_text = reply.tool_arguments.empty();
  return Verdict{hit->value->score, std::move(hit->value->label), std::move(hit->reason), hit->channel,
                 in_text ? std::optional(hit->place) : std::nullopt};
}

}  // namespace assay::judge
