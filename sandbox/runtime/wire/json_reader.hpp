// A strict JSON tokeniser: UTF-8 only, depth cap, no extensions. Reads in one pass, allocates only to
// unescape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace assay::sandbox::wire {

inline constexpr int kJsonDepth = 64;
inline constexpr size_t kNumberLength = 1024;  ///< characters of one number

/// True when all of `text` is UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view text);
/// The length of the UTF-8 sequence at the start of `text`, 0 when there is none.
size_t utf8_length(std::string_view text);
/// Appends `text` as a JSON string; what is not UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);
/// Appends `value`, finite, in the shortest form that reads back the same.
void append_json_double(std::string& out, double value);

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  enum class Kind : uint8_t { null, boolean, number, string, array, object };
  /// What the next value is; nullopt at the end or at something that starts no value.
  std::optional<Kind> peek();

  // Each of these reads one value of that kind, or fails: it then says why in error().
  bool read_null() { return literal("null"); }
  std::optional<bool> read_boolean();
  struct Number {
    bool is_integer;
    int64_t integer;
    double real;
  };
  std::optional<Number> read_number();
  /// A view into the text, or into the reader when there were escapes: valid until the next string is read.
  std::optional<std::string_view> read_string();

  // Containers: open(), then next() before each element until it says no; `first` starts true. Members also
  // have read_key(). Failure is visible as failed().
  bool open(char bracket);
  bool next(char closing, bool& first);
  std::optional<std::string_view> read_key();

  /// Skips one value, checking it; the text it spans.
  std::optional<std::string_view> skip();
  /// Nothing but white space is left.
  bool at_end();

  bool failed() const { return error_ != nullptr; }
  const char* error() const { return error_; }  ///< a static string
  size_t offset() const { return at_; }
  bool fail(const char* error) {
    if (error_ == nullptr) error_ = error;
    return false;
  }

 private:
  void skip_space();
  bool literal(std::string_view word);
  bool skip_container(bool object);
  bool unescape(size_t from);
  bool skip_string();
  bool append_escape();
  std::optional<uint32_t> read_hex4();

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  const char* error_ = nullptr;
  std::string scratch_;
};

}  // namespace assay::sandbox::wire
