#include "core/json.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

namespace assay {
namespace {

/// Builds the document as nlohmann's own builder does, but refuses depth and duplicate keys, which that one
/// takes.
class StrictBuilder final : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(Json& root, int depth_limit) : root_(root), depth_limit_(depth_limit) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (stack_.back()->contains(name)) {
      error = "duplicate key \"" + name + "\"";
      return false;
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& problem) override {
    error = problem.what();
    return false;
  }

  std::string error;

 private:
  Json* place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (static_cast<int>(stack_.size()) >= depth_limit_) {
      error = "nested deeper than " + std::to_string(depth_limit_) + " levels";
      return false;
    }
    stack_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  Json& root_;
  const int depth_limit_;
  std::vector<Json*> stack_;
  std::string key_;
};

// --- the quick way: simdjson reads; whatever it does not take is left to the strict builder, which says why

namespace dom = simdjson::dom;

constexpr size_t kKeptParser = 256U << 10;  // bytes of a text whose parser is kept for the next one

bool build(const dom::element& from, int depth_left, Json& into);

bool build_object(const dom::object& from, int depth_left, Json& into) {
  into = Json::object();
  auto& members = into.get_ref<Json::object_t&>();
  for (const auto [key, value] : from) {
    const auto [place, is_new] = members.try_emplace(std::string(key));
    if (!is_new || !build(value, depth_left, place->second)) return false;
  }
  return true;
}

bool build_array(const dom::array& from, int depth_left, Json& into) {
  into = Json::array();
  auto& elements = into.get_ref<Json::array_t&>();
  elements.reserve(from.size());
  for (const dom::element value : from)
    if (!build(value, depth_left, elements.emplace_back())) return false;
  return true;
}

bool build(const dom::element& from, int depth_left, Json& into) {
  switch (from.type()) {
    case dom::element_type::OBJECT:
      return depth_left > 0 && build_object(from.get_object().value_unsafe(), depth_left - 1, into);
    case dom::element_type::ARRAY:
      return depth_left > 0 && build_array(from.get_array().value_unsafe(), depth_left - 1, into);
    case dom::element_type::STRING:
      into = std::string(from.get_string().value_unsafe());
      return true;
    case dom::element_type::INT64: {
      const int64_t value = from.get_int64().value_unsafe();
      if (value < 0)
        into = value;
      else
        into = static_cast<uint64_t>(value);
      return true;
    }
    case dom::element_type::UINT64:
      into = from.get_uint64().value_unsafe();
      return true;
    case dom::element_type::DOUBLE:
      into = from.get_double().value_unsafe();
      return true;
    case dom::element_type::BOOL:
      into = from.get_bool().value_unsafe();
      return true;
    case dom::element_type::NULL_VALUE:
      into = nullptr;
      return true;
  }
  return false;
}

/// simdjson 3.0 takes a lone low surrogate.
bool has_surrogates(std::string_view text) {
  for (size_t at = text.find("\\u"); at != std::string_view::npos; at = text.find("\\u", at + 2))
    if (at + 2 < text.size() && (text[at + 2] == 'd' || text[at + 2] == 'D')) return true;
  return false;
}

bool parse_quickly(std::string_view text, int depth_limit, Json& root) {
  static thread_local dom::parser kept;
  dom::parser once;
  dom::parser& parser = text.size() <= kKeptParser ? kept : once;
  dom::element element;
  return !has_surrogates(text) && parser.parse(text.data(), text.size()).get(element) == simdjson::SUCCESS &&
         build(element, depth_limit, root);
}

/// Length of the UTF-8 sequence at the start of `text`, 0 when it is none (RFC 3629: no surrogates, no
/// overlongs).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) return 0;
    return 4;
  }
  return 0;
}

/// Iterator that tells how far the parser came: its events carry no position but for syntax errors.
class Tracked {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Tracked(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Tracked& operator++() {
    *furthest_ = at_++;
    return *this;
  }
  bool operator==(const Tracked& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

/// Offset of the last byte that was read of a text that does not parse: parses it again, which only errors
/// pay for.
size_t stopped_at(std::string_view text, int depth_limit) {
  const char* furthest = text.data();
  Json root;
  StrictBuilder builder(root, depth_limit);
  Json::sax_parse(Tracked(std::to_address(text.begin()), &furthest),
                  Tracked(std::to_address(text.end()), &furthest), &builder);
  return static_cast<size_t>(furthest - text.data());
}

/// "at line 3, column 7", both from 1, columns in bytes.
std::string place_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::ranges::count(before, '\n');
  const size_t line_start = before.rfind('\n') + 1;  // 0 when there is none
  return "at line " + std::to_string(line) + ", column " + std::to_string(offset - line_start + 1);
}

/// "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …" from "syntax error" on.
std::string_view without_position(std::string_view message) {
  if (!message.starts_with("[json.")) return message;
  if (const size_t place = message.find("at line "); place != std::string_view::npos)
    return message.substr(message.find(": ", place) + 2);
  return message.substr(message.find("] ") + 2);
}

}  // namespace

Result<Json> parse_json(std::string_view text, int depth_limit) {
  // The parser takes a NUL byte for the end of the text and would not look at what follows it.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos)
    return fail(ErrorKind::config, "not valid JSON: " + place_of(text, nul) + ": a NUL byte");
  Json root;
  if (parse_quickly(text, depth_limit, root)) return root;
  root = nullptr;
  StrictBuilder builder(root, depth_limit);
  if (Json::sax_parse(text.begin(), text.end(), &builder)) return root;
  return fail(ErrorKind::config, "not valid JSON: " + place_of(text, stopped_at(text, depth_limit)) + ": " +
                                     to_valid_utf8(without_position(builder.error)));
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}
std::string dump_json_pretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

void append_json_quote(std::string& out, std::string_view text) {
  static constexpr std::array<char, 16> kHex = {'0', '1', '2', '3', '4', '5', '6', '7',
                                                '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
  out += '"';
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      ++i;
      continue;
    }
    if (c >= 0x80) {
      if (const size_t length = utf8_length(text.substr(i)); length > 0) {
        i += length;
        continue;
      }
    }
    out.append(text, start, i - start);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c < 0x20) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out += "\xEF\xBF\xBD";
        }
    }
    start = ++i;
  }
  out.append(text, start, text.size() - start);
  out += '"';
}

std::string json_quote(std::string_view text) {
  std::string out;
  append_json_quote(out, text);
  return out;
}

void append_json_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  out.append(buffer.data(), end);
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string to_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      out.append(text, 0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace assay
