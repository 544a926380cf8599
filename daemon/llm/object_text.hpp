// JSON objects written member by member: what is sent to providers. Texts are written once, and a schema
// stays as it came, since its order of properties is the order in which a model writes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.hpp"

namespace assay::llm {

class ObjectText {
 public:
  ObjectText& text(std::string_view name, std::string_view value) {
    append_json_quote(member(name), value);
    return *this;
  }
  ObjectText& number(std::string_view name, int64_t value) {
    member(name) += std::to_string(value);
    return *this;
  }
  ObjectText& real(std::string_view name, double value) {
    append_json_number(member(name), value);
    return *this;
  }
  ObjectText& flag(std::string_view name, bool value) {
    member(name) += value ? "true" : "false";
    return *this;
  }
  /// `value` is JSON.
  ObjectText& json(std::string_view name, std::string_view value) {
    member(name) += value;
    return *this;
  }
  /// Ends it: nothing may follow.
  std::string end() { return std::move(out_ += out_.empty() ? "{}" : "}"); }

 private:
  std::string& member(std::string_view name) {
    out_ += out_.empty() ? '{' : ',';
    append_json_quote(out_, name);
    return out_ += ':';
  }

  std::string out_;
};

/// A list, likewise.
class ListText {
 public:
  void json(std::string_view value) {
    out_ += out_.empty() ? '[' : ',';
    out_ += value;
  }
  void text(std::string_view value) {
    out_ += out_.empty() ? '[' : ',';
    append_json_quote(out_, value);
  }
  bool empty() const { return out_.empty(); }
  std::string end() { return std::move(out_ += out_.empty() ? "[]" : "]"); }

 private:
  std::string out_;
};

inline std::string list_of(const std::vector<std::string>& texts) {
  ListText list;
  for (const auto& text : texts) list.text(text);
  return list.end();
}

}  // namespace assay::llm
