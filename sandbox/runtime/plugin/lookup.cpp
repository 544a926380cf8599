#include "sandbox/runtime/plugin/lookup.hpp"

#include <charconv>

#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::plugin {
namespace {

using wire::JsonReader;

bool enter_object(JsonReader& reader, std::string_view name) {
  bool first = true;
  if (!reader.open('{')) return false;
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key) return false;
    if (*key == name) return true;
    if (!reader.skip()) return false;
  }
  return false;
}

bool enter_array(JsonReader& reader, std::string_view name) {
  size_t wanted = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), wanted);
  if (error != std::errc() || end != name.data() + name.size()) return false;
  bool first = true;
  if (!reader.open('[')) return false;
  for (size_t at = 0; reader.next(']', first); at++) {
    if (at == wanted) return true;
    if (!reader.skip()) return false;
  }
  return false;
}

/// Moves to the value of that name or number; false when there is none.
bool enter(JsonReader& reader, std::string_view name) {
  const auto kind = reader.peek();
  if (kind == JsonReader::Kind::object) return enter_object(reader, name);
  return kind == JsonReader::Kind::array && enter_array(reader, name);
}

}  // namespace

std::optional<Value> look_up(std::string_view json, std::string_view path, std::deque<std::string>& kept) {
  JsonReader reader(json);
  while (!path.empty()) {
    const size_t dot = path.find('.');
    if (!enter(reader, path.substr(0, dot))) return std::nullopt;
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  const bool is_text = reader.peek() == JsonReader::Kind::string;
  const size_t start = reader.offset();
  const auto found = is_text ? reader.read_string() : reader.skip();
  if (!found) return std::nullopt;
  const bool was_escaped = is_text && reader.offset() - start != found->size() + 2;
  if (!was_escaped) return Value{is_text, *found};
  return Value{is_text, kept.emplace_back(*found)};
}

std::optional<Value> look_up_item(std::string_view item, std::string_view path,
                                  std::deque<std::string>& kept) {
  if (auto found = look_up(item, path, kept)) return found;
  const char* const output = path == "sample.text"         ? "sample.output"
                             : path == "ground_truth.text" ? "ground_truth.output"
                                                           : nullptr;
  if (output == nullptr) return std::nullopt;
  const auto found = look_up(item, output, kept);
  return found && found->is_text ? found : std::nullopt;
}

}  // namespace assay::sandbox::plugin
