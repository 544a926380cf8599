// Reading request bodies and query strings: every field is asked for once, by name and type, and what nobody
// asked for is refused. Faults are collected, so that one answer names them all.
//
//   Fields body(json);
//   auto name = body.text("name", kLabelLength);
//   auto limit = body.maybe_integer("limit", 1, 100);
//   ASSAY_CO_OK(body.done());
//
// After a fault the getters return empty values; nothing may be used before done() said yes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/problem.hpp"
#include "core/json.hpp"

namespace assay::api {

inline constexpr size_t kLabelLength = 256;
inline constexpr size_t kTextLength = size_t{4} << 20;

/// What is wrong with the characters of `text`, null: nothing. A label is shown in tables and logs and has no
/// control characters; other text keeps its line feeds and tabs. No database of text knows U+0000.
const char* bad_characters(std::string_view text, bool label);

class Fields {
 public:
  /// `path` is that of the object in the body: "" or "sample". Borrows `object`.
  explicit Fields(const Json& object, std::string path = "");

  /// Text of at most `longest` bytes; with at most kLabelLength it is a label.
  std::string text(std::string_view key, size_t longest = kTextLength);
  std::optional<std::string> maybe_text(std::string_view key, size_t longest = kTextLength);
  int64_t integer(std::string_view key, int64_t low, int64_t high);
  std::optional<int64_t> maybe_integer(std::string_view key, int64_t low, int64_t high);
  std::optional<double> maybe_number(std::string_view key);
  /// One of `words`; `fallback` when absent. An empty fallback makes it required.
  std::string word(std::string_view key, std::initializer_list<std::string_view> words,
                   std::string fallback = {});
  /// The object at `key`, or null. Its own fields are read with another Fields, whose faults are taken by
  /// absorb().
  const Json* maybe_object(std::string_view key);
  const Json* maybe_array(std::string_view key, size_t longest);
  const Json* array(std::string_view key, size_t longest);
  /// A free object kept as JSON text; "{}" when absent.
  std::string object_text(std::string_view key);
  /// Of labels.
  std::vector<std::string> maybe_texts(std::string_view key, size_t longest);
  bool has(std::string_view key) const;
  bool is_null(std::string_view key) const;
  /// Says that `key` is known although nobody reads it here.
  void know(std::string_view key);

  void fault(std::string_view key, std::string message);
  void absorb(const Fields& inner);
  std::string path(std::string_view key) const;
  /// 422 with the first fault's path as `param` and all of them in the message.
  Answer<> done();

 private:
  const Json* find(std::string_view key);
  const Json* require(std::string_view key, const Json* value);
  void refuse_unknown();

  struct Fault {
    std::string path, message;
  };
  const Json* object_;  // null: was no object
  std::string path_;
  std::vector<std::string> known_;
  std::vector<Fault> faults_;
  bool checked_ = false;
};

/// The query string, in the same manner; `param` is the parameter's name.
class Query {
 public:
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  explicit Query(const Pairs& pairs) : pairs_(pairs) {}

  std::optional<std::string> text(std::string_view key);
  int64_t integer(std::string_view key, int64_t fallback, int64_t low, int64_t high);
  std::optional<bool> boolean(std::string_view key);
  Answer<> done();

 private:
  const Pairs& pairs_;
  std::vector<std::string_view> known_;
  std::optional<Problem> fault_;
};

}  // namespace assay::api
