#include "plugins/common/item.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"

namespace assay::plugins {
namespace {

enum class Family {
  input,
  output,
  expected,
  response_a,
  response_b,
  context,
  tool_calls,
  metadata,
  scalar,
  item,
  sample
};

struct Name {
  std::string_view name;
  Family family;
};
constexpr std::array kNames = {
    Name{"input", Family::input},
    Name{"question", Family::input},
    Name{"query", Family::input},
    Name{"output", Family::output},
    Name{"answer", Family::output},
    Name{"response", Family::output},
    Name{"completion", Family::output},
    Name{"generation", Family::output},
    Name{"submission", Family::output},
    Name{"expected", Family::expected},
    Name{"reference", Family::expected},
    Name{"ground_truth", Family::expected},
    Name{"target", Family::expected},
    Name{"ideal", Family::expected},
    Name{"label", Family::expected},
    Name{"criterion", Family::expected},
    Name{"response_a", Family::response_a},
    Name{"response_b", Family::response_b},
    Name{"context", Family::context},
    Name{"retrieval_context", Family::context},
    Name{"tool_calls", Family::tool_calls},
    Name{"metadata", Family::metadata},
    Name{"id", Family::scalar},
    Name{"index", Family::scalar},
    Name{"item", Family::item},
    Name{"sample", Family::sample},
};
constexpr auto kNameTexts = [] {
  std::array<std::string_view, kNames.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kNames[i].name;
  return names;
}();

std::optional<Family> family_of(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &Name::name);
  return found == kNames.end() ? std::nullopt : std::optional(found->family);
}

const Json* present(const Json* value) {
  return value != nullptr && !value->is_null() ? value : nullptr;
}

/// The first of the values that is there and not null.
const Json* first_of(std::initializer_list<const Json*> values) {
  for (const Json* value : values) {
    if (present(value) != nullptr) return value;
  }
  return nullptr;
}

const Json* descend(const Json* value, std::initializer_list<std::string_view> path) {
  for (const std::string_view key : path) value = find_member(value, key);
  return value;
}

std::string as_text(const Json& value) {
  const std::string* text = as_string(&value);
  return text != nullptr ? *text : dump_json(value);
}

/// The value behind a variable; `made` holds what is no part of the item itself.
struct Found {
  const Json* value = nullptr;
  std::optional<Json> made;
  size_t used = 1;  ///< names of the path that led here
};

const Json* message_of(const Json* side) {
  return descend(side, {"output", "choices", "0", "message"});
}

/// The plain text of a side: its `text`, else of the chat message, else its output.
const Json* side_text(const Json* side) {
  const Json* text = find_member(side, "text");
  if (as_string(text) != nullptr) return text;
  const Json* content = find_member(message_of(side), "content");
  return as_string(content) != nullptr ? content : find_member(side, "output");
}

/// A chat request of one message is that message's text; a longer one its messages.
const Json* input_text(const Json* input) {
  const Json* messages = find_member(input, "messages");
  if (messages == nullptr || !messages->is_array()) return input;
  const Json* content = messages->size() == 1 ? descend(messages, {"0", "content"}) : nullptr;
  return as_string(content) != nullptr ? content : messages;
}

const Json* input_of(const Json& item) {
  return first_of({descend(&item, {"sample", "input"}), descend(&item, {"ground_truth", "input"})});
}

const Json* context_of(const Json& item) {
  const Json* metadata = find_member(&item, "metadata");
  const Json* input = input_of(item);
  return first_of({find_member(&item, "context"), find_member(&item, "retrieval_context"),
                   find_member(metadata, "context"), find_member(metadata, "retrieval_context"),
                   find_member(input, "context"), find_member(input, "retrieval_context")});
}

const Json* tool_calls_of(const Json* sample) {
  return first_of({find_member(message_of(sample), "tool_calls"), descend(sample, {"output", "tool_calls"})});
}

/// What graders of OpenAI call the item is a row of data, here the ground truth's. It has its own names, some
/// of which (id, metadata, ground_truth) are ours too: what it holds comes first, even null.
Found find_in_item(const Json& item, std::string_view name) {
  const Json* value = descend(&item, {"ground_truth", "output", name});
  if (value == nullptr)
    value = first_of({find_member(&item, name), descend(&item, {"metadata", name}),
                      descend(&item, {"ground_truth", "input", name}),
                      descend(&item, {"sample", "input", name})});
  return {value, std::nullopt, 2};
}

Found find_in_sample(const Json* sample, std::string_view name) {
  // A sample of OpenAI's has these itself.
  if (name.starts_with("output_"))
    if (const Json* own = present(descend(sample, {"output", name}))) return {own, std::nullopt, 2};
  if (name == "output_text") return {side_text(sample), std::nullopt, 2};
  if (name == "output_tools") return {tool_calls_of(sample), std::nullopt, 2};
  if (name != "output_json")
    return {first_of({find_member(sample, name), descend(sample, {"output", name})}), std::nullopt, 2};
  const Json* text = side_text(sample);
  const std::string* string = as_string(text);
  if (string == nullptr) return {text, std::nullopt, 2};
  return {nullptr, parse_json(*string), 2};
}

Found find_side(const Json* side, bool whole) {
  return {whole ? side_text(side) : find_member(side, "output"), std::nullopt, 1};
}

Found find_start(const Json& item, std::span<const std::string> path, bool swapped) {
  const Json* sample = find_member(&item, "sample");
  const Json* truth = find_member(&item, "ground_truth");
  const bool whole = path.size() == 1;
  const auto family = family_of(path[0]);
  if (!family) return {find_member(&item, path[0]), std::nullopt, 1};
  switch (*family) {
    case Family::input:
      return {whole ? input_text(input_of(item)) : input_of(item), std::nullopt, 1};
    case Family::output:
      return find_side(sample, whole);
    case Family::expected:
      return find_side(truth, whole);
    case Family::response_a:
      return find_side(swapped ? truth : sample, whole);
    case Family::response_b:
      return find_side(swapped ? sample : truth, whole);
    case Family::context:
      return {context_of(item), std::nullopt, 1};
    case Family::tool_calls:
      return {tool_calls_of(sample), std::nullopt, 1};
    case Family::metadata:
    case Family::scalar:
      return {find_member(&item, path[0]), std::nullopt, 1};
    case Family::item:
      return whole ? Found{&item, std::nullopt, 1} : find_in_item(item, path[1]);
    case Family::sample:
      return whole ? Found{sample, std::nullopt, 1} : find_in_sample(sample, path[1]);
  }
  return {};
}

std::string joined(std::span<const std::string> path) {
  std::string out;
  for (const std::string& name : path) out += (out.empty() ? "" : ".") + name;
  return out;
}

/// "an object with a, b, c", for an error.
std::string described(const Json& value) {
  if (value.is_array()) return "an array of " + std::to_string(value.size());
  if (!value.is_object())
    return std::string(value.is_string() ? "text" : "a ") + (value.is_string() ? "" : value.type_name());
  std::string names;
  size_t shown = 0;
  for (auto member = value.begin(); member != value.end() && shown < 16; ++member, ++shown) {
    names += (names.empty() ? "" : ", ") + bounded(member.key(), 40);
  }
  return value.empty() ? "an empty object" : "an object with " + names + (shown < value.size() ? ", …" : "");
}

Error missing(std::span<const std::string> path, const std::string& why) {
  return {ErrorKind::config, "the item has no {{ " + joined(path) + " }}: " + why};
}

}  // namespace

std::span<const std::string_view> standard_names() noexcept {
  return kNameTexts;
}
bool has_members(std::string_view name) noexcept {
  return family_of(name) != Family::scalar;
}

bool is_of_side(std::string_view variable, ItemSide side) noexcept {
  const auto family = family_of(variable.substr(0, variable.find_first_of(".[")));
  if (!family) return false;
  switch (*family) {
    case Family::output:
    case Family::response_a:
    case Family::tool_calls:
    case Family::sample:
      return side == ItemSide::sample;
    case Family::expected:
    case Family::response_b:
      return side == ItemSide::ground_truth;
    default:
      return false;
  }
}

Result<std::string> text_of(const Json& item, std::span<const std::string> path, bool swapped) noexcept {
  const Found found = find_start(item, path, swapped);
  const Json* value = found.made ? &*found.made : found.value;
  const auto start = path.first(std::min(found.used, path.size()));
  if (value == nullptr)
    return missing(path, "there is no " + joined(start) + "; the item is " + described(item));
  for (size_t i = start.size(); i < path.size(); ++i) {
    const Json* next = find_member(value, path[i]);
    if (next == nullptr) return missing(path, joined(path.first(i)) + " is " + described(*value));
    value = next;
  }
  if (value->is_null()) return missing(path, "it is null");
  return as_text(*value);
}

}  // namespace assay::plugins
