#include "sandbox/runtime/plugin/message.hpp"

#include <string>

#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::plugin {
namespace {

using wire::JsonReader;

/// The members of a frame, as they come: one pass, for items are large and many.
struct Members {
  std::string version, method;
  std::optional<int64_t> id, evaluation;
  std::optional<std::string_view> params, item, result;
  std::optional<Error> error;
};

bool read_text(JsonReader& reader, std::string& text) {
  if (reader.peek() != JsonReader::Kind::string) return false;
  const auto value = reader.read_string();
  if (value) text = *value;
  return value.has_value();
}

bool read_id(JsonReader& reader, std::optional<int64_t>& id) {
  if (reader.peek() != JsonReader::Kind::number) return false;
  const auto number = reader.read_number();
  if (!number || !number->is_integer || number->integer < 0) return false;
  id = number->integer;
  return true;
}

bool read_span(JsonReader& reader, std::optional<std::string_view>& span) {
  span = reader.skip();
  return span.has_value();
}

/// Calls `member(key)` for each member; it reads the value.
template <class Member>
bool each_member(JsonReader& reader, Member member) {
  bool first = true;
  if (!reader.open('{')) return false;
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key || !member(*key)) return false;
  }
  return !reader.failed();
}

bool read_params(JsonReader& reader, std::string_view text, Members& members) {
  if (reader.peek() != JsonReader::Kind::object) return false;
  const size_t start = reader.offset();
  const bool good = each_member(reader, [&](std::string_view key) {
    if (key == "item") return read_span(reader, members.item);
    if (key == "evaluation") return read_id(reader, members.evaluation);
    return reader.skip().has_value();
  });
  members.params = text.substr(start, reader.offset() - start);
  return good;
}

bool read_error(JsonReader& reader, Members& members) {
  Error error;
  std::string kind;
  const bool good = each_member(reader, [&](std::string_view key) {
    if (key == "message") return read_text(reader, error.message);
    if (key != "data") return reader.skip().has_value();
    return each_member(reader, [&](std::string_view name) {
      return name == "kind" ? read_text(reader, kind) : reader.skip().has_value();
    });
  });
  error.kind = error_kind_from(kind);
  members.error = std::move(error);
  return good;
}

std::optional<Members> read_members(std::string_view text) {
  JsonReader reader(text);
  Members members;
  const bool good = each_member(reader, [&](std::string_view key) {
    if (key == "jsonrpc") return read_text(reader, members.version);
    if (key == "method") return read_text(reader, members.method);
    if (key == "id") return read_id(reader, members.id);
    if (key == "params") return read_params(reader, text, members);
    if (key == "result") return read_span(reader, members.result);
    if (key == "error") return read_error(reader, members);
    return reader.skip().has_value();
  });
  if (!good || !reader.at_end() || members.version != "2.0") return std::nullopt;
  return members;
}

}  // namespace

std::optional<Message> parse_message(std::string_view text) {
  auto members = read_members(text);
  if (!members) return std::nullopt;
  using Kind = Message::Kind;
  const std::string& method = members->method;
  if (method == "evaluate" && members->id && members->item)
    return Message{Kind::evaluate, *members->id, *members->item, {}};
  if (method.empty() && members->id && members->result)
    return Message{Kind::completion, *members->id, *members->result, {}};
  if (method.empty() && members->id && members->error)
    return Message{Kind::completion, *members->id, {}, std::move(members->error)};
  if (method == "cancel" && members->evaluation) return Message{Kind::cancel, *members->evaluation, {}, {}};
  if (method == "initialize" && members->id && members->params)
    return Message{Kind::initialize, *members->id, *members->params, {}};
  if (method == "shutdown") return Message{Kind::shutdown, 0, {}, {}};
  return std::nullopt;
}

}  // namespace assay::sandbox::plugin
