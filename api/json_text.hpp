// Writing JSON objects as text, member by member: what is rendered often, or holds JSON that is text already.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "core/json.hpp"

namespace assay::api {

/// Opens an object at the end of `out`, and closes it at the end of its own life.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  JsonObject(const JsonObject&) = delete;
  JsonObject& operator=(const JsonObject&) = delete;
  ~JsonObject() { out_ += '}'; }

  /// Starts a member; its value is appended to the result.
  std::string& key(std::string_view name) {
    if (!std::exchange(first_, false)) out_ += ',';
    append_json_quote(out_, name);
    out_ += ':';
    return out_;
  }
  void text(std::string_view name, std::string_view value) { append_json_quote(key(name), value); }
  /// Nothing when it is empty.
  void maybe_text(std::string_view name, std::string_view value) {
    if (!value.empty()) text(name, value);
  }
  void number(std::string_view name, std::integral auto value) { key(name) += std::to_string(value); }
  void real(std::string_view name, double value) { append_json_number(key(name), value); }
  void boolean(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }
  /// `json` is JSON text already.
  void raw(std::string_view name, std::string_view json) { key(name) += json; }
  /// All members of `object`, the text of a JSON object.
  void members_of(std::string_view object) {
    const auto inside = object.substr(1, object.size() - 2);
    if (inside.empty()) return;
    if (!std::exchange(first_, false)) out_ += ',';
    out_ += inside;
  }

 private:
  std::string& out_;
  bool first_ = true;
};

/// "[a,b]" of elements that `write(out, element)` appends.
template <class Range, class Write>
void append_json_array(std::string& out, const Range& range, Write write) {
  out += '[';
  bool first = true;
  for (const auto& element : range) {
    if (!std::exchange(first, false)) out += ',';
    write(out, element);
  }
  out += ']';
}

}  // namespace assay::api
