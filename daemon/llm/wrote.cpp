#include "daemon/llm/wrote.hpp"

#include <nlohmann/json.hpp>

namespace assay::llm {
namespace {

/// Letters and digits in lower case, and one blank for whatever stands between them.
std::string plain(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool in_word =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
    if (in_word)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  return out;
}

/// JSON without the escapes that would hide a word.
std::string plain_json(const std::string& json) {
  const auto parsed = parse_json(json);
  return plain(parsed ? dump_json(*parsed) : json);
}

template <class Test>
bool any_quoted(std::string_view message, Test test) {
  constexpr size_t kLongest = 128;
  for (size_t at = message.find_first_of("'\"`"); at != std::string_view::npos;
       at = message.find_first_of("'\"`", at + 1)) {
    const size_t end = message.find(message[at], at + 1);
    if (end != std::string_view::npos && end - at <= kLongest && test(message.substr(at + 1, end - at - 1)))
      return true;
  }
  return false;
}

}  // namespace

bool stands_in(const Request* request, std::string_view words) {
  if (request == nullptr) return false;
  const std::string sought = plain(words);
  const auto in = [&](std::string_view text) { return plain(text).contains(sought); };
  const Parameters& parameters = request->parameters;
  if (in(request->model) || in(parameters.reasoning_effort) || std::ranges::any_of(parameters.stop, in))
    return true;
  if (plain_json(parameters.forwarded).contains(sought)) return true;
  if (request->structure &&
      (in(request->structure->name) || plain_json(request->structure->schema).contains(sought)))
    return true;
  return std::ranges::any_of(request->messages, [&](const Message& message) {
    return std::ranges::any_of(message.parts, in, &Part::text);
  });
}

bool names_what_was_asked(const Request* request, std::string_view message) {
  if (request == nullptr) return false;
  const std::string said = plain(message);
  if (const auto forwarded = parse_json(request->parameters.forwarded); forwarded && forwarded->is_object())
    for (const auto& [name, value] : forwarded->items())
      if (said.contains(plain(name))) return true;
  if (!request->structure) return false;
  const std::string schema = plain_json(request->structure->schema);
  return any_quoted(message, [&](std::string_view quoted) {
    const std::string sought = plain(quoted);
    return !sought.empty() && schema.contains(sought);
  });
}

}  // namespace assay::llm
