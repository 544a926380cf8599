// Reading request bodies and query strings: every field is asked for once, by name and type, and what nobody
// asked for is refused. Faults are collected, so that one answer names them all.
//
//   Fields body(json);
//   auto name = body.text("name", kLabelLength);
//   auto limit = body.maybe_integer("limit", 1, 100);
//   ASSAY_CO_OK(body.done());
//
// After a fault the getters return empty values; nothing may be used before done() said yes.
//
// What is asked for can be written down instead: run on Fields::describing(schema), the same calls make the
// JSON Schema that /openapi.json shows. There every getter answers as for an absent field.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
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
  using Reader = std::function<void(Fields&)>;
  using NamedReader = std::function<void(const std::string& name, Fields&)>;
  using Words = std::initializer_list<std::string_view>;
  using Cases = std::initializer_list<std::pair<std::string_view, Reader>>;

  /// `path` is that of the object in the body: "" or "sample". Borrows `object`.
  explicit Fields(const Json& object, std::string path = "");
  /// Writes the schema of what is asked for into `schema`, which it borrows.
  static Fields describing(Json& schema);

  // null counts as absent. Texts are measured in characters; one of at most kLabelLength is a label.
  std::string text(std::string_view key, size_t longest = kTextLength);  ///< not empty
  std::optional<std::string> maybe_text(std::string_view key, size_t longest = kTextLength);
  int64_t integer(std::string_view key, int64_t low, int64_t high);
  int64_t integer_or(std::string_view key, int64_t fallback, int64_t low, int64_t high);
  std::optional<int64_t> maybe_integer(std::string_view key, int64_t low, int64_t high);
  std::optional<double> maybe_number(std::string_view key);
  /// One of `words`; `fallback` when absent. An empty fallback makes it required.
  std::string word(std::string_view key, Words words, std::string fallback = {});
  std::optional<std::string> maybe_word(std::string_view key, Words words);
  /// At most `most` labels, and at least one.
  std::vector<std::string> texts(std::string_view key, size_t most);
  std::vector<std::string> maybe_texts(std::string_view key, size_t most, size_t longest = kLabelLength);
  /// An array whose elements the caller checks; `items` is their schema.
  const Json* array(std::string_view key, size_t most, const char* items);

  /// A free object; null when absent.
  const Json* maybe_object(std::string_view key);
  /// The same as JSON text; "{}" when absent.
  std::string object_text(std::string_view key);
  /// The JSON text of whatever is at `key`, which something else asks for; "null" when absent.
  std::string raw(std::string_view key) const;
  void object(std::string_view key, const Reader& read);
  /// False: it is absent.
  bool maybe_object(std::string_view key, const Reader& read);
  /// An array of objects, each read by `read`.
  void objects(std::string_view key, size_t most, const Reader& read);
  /// An object of one object or more, each read by `read` under the name that the caller gave it.
  void named_objects(std::string_view key, size_t most, const NamedReader& read);

  // Which fields there are may follow from one of them. All others are read before.

  /// Reads on with the reader of the word at `key`, which is required.
  void by_word(std::string_view key, Cases cases);
  /// Reads on in the one way or the other; `with` reads `key` too.
  void either(std::string_view key, const Reader& with, const Reader& without);

  // Rules. A message follows the name of the field: "is for evaluators of type judge".

  void fault(std::string_view key, std::string message);
  /// `key` must be absent here.
  void absent(std::string_view key, const std::string& message);
  void at_least_one(Words keys, const std::string& message);
  /// `key` is known and may hold anything.
  void anything(std::string_view key);
  /// So may fields that are not known.
  void anything_else();

  // Of descriptions alone.

  /// What fields cannot say by themselves: `keyword` of the schema of `key`, a text.
  void note(std::string_view key, std::string_view keyword, std::string_view text);
  /// Of what was read so far nothing is required, but one field at least.
  void partial();

  /// 422 with the first fault's path as `param` and all of them in the message.
  Answer<> done();

 private:
  Fields() = default;
  bool describing() const { return schema_ != nullptr; }
  void describe(std::string_view key, Json field, bool required);
  Json described(const Reader& read) const;
  std::string path(std::string_view key) const;
  const Json* find(std::string_view key);
  const Json* require(std::string_view key);
  const Json* array_at(std::string_view key, size_t most);
  std::string one_of(std::string_view key, std::span<const std::string_view> words, std::string fallback);
  std::optional<std::string> maybe_one_of(std::string_view key, std::span<const std::string_view> words);
  void absorb(Fields&& inner);
  void refuse_unknown();

  struct Fault {
    std::string path, message;
  };
  const Json* object_ = nullptr;  // null: was no object, or there is none
  Json* schema_ = nullptr;        // null: reads
  std::string path_;
  std::vector<std::string> known_;
  std::vector<Fault> faults_;
  bool checked_ = false;  // fields that are not known were refused, or are none of our business
};

/// The query string, in the same manner; `param` is the parameter's name.
class Query {
 public:
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  explicit Query(const Pairs& pairs) : pairs_(&pairs) {}
  static Query describing(Json& schema);

  /// `pattern` is for descriptions: what the caller will ask of the text.
  std::optional<std::string> text(std::string_view key, const char* pattern = nullptr);
  std::optional<std::string> word(std::string_view key, std::initializer_list<std::string_view> words);
  int64_t integer(std::string_view key, int64_t fallback, int64_t low, int64_t high);
  std::optional<bool> boolean(std::string_view key);
  /// Of descriptions alone: what `key` is.
  void note(std::string_view key, std::string_view text);
  Answer<> done();

 private:
  Query() = default;
  void describe(std::string_view key, Json field);
  void refuse(std::string_view key, const std::string& message);
  std::optional<std::string> find(std::string_view key);

  const Pairs* pairs_ = nullptr;
  Json* schema_ = nullptr;  // null: reads
  std::vector<std::string_view> known_;
  std::optional<Problem> fault_;
};

}  // namespace assay::api
