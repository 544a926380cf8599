#include "sandbox/runtime/wire/json_reader.hpp"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

namespace assay::sandbox::wire {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const auto second = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0;
  const auto has = [&](size_t count) {
    if (text.size() < count) return false;
    for (size_t i = 1; i < count; i++)
      if (!is_continuation(text[i])) return false;
    return true;
  };
  if (lead >= 0xC2 && lead <= 0xDF) return has(2) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;  // overlong, surrogate
    return has(3) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F))
      return 0;  // overlong, above U+10FFFF
    return has(4) ? 4 : 0;
  }
  return 0;
}

namespace {

/// Of eight bytes, the high bit of each that does not stand for itself inside a JSON string or is no ASCII:
/// quotes, backslashes, control characters. The lowest bit that is set is right, others need not be.
uint64_t special_in(const char* bytes) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  const auto zeros = [](uint64_t value) { return (value - kOnes) & ~value; };
  const uint64_t controls = (word - kOnes * 0x20) & ~word;
  return (word | controls | zeros(word ^ kOnes * '"') | zeros(word ^ kOnes * '\\')) & kHigh;
}
static_assert(std::endian::native == std::endian::little);

/// How many bytes at the start of `text` stand for themselves inside a JSON string, UTF-8 sequences included.
size_t plain_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (at + sizeof(uint64_t) <= text.size()) {
      const uint64_t special = special_in(text.data() + at);
      at += special == 0 ? sizeof(uint64_t) : static_cast<size_t>(std::countr_zero(special)) / 8;
      if (special == 0) continue;
    }
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == '"' || c == '\\' || c < 0x20) break;
    const size_t length = c < 0x80 ? 1 : utf8_length(text.substr(at));
    if (length == 0) break;
    at += length;
  }
  return at;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    if (length == 0) return false;
    i += length;
  }
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
      i++;
    } else if (c == '\n') {
      out += "\\n";
      i++;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
      i++;
    } else if (const size_t length = utf8_length(text.substr(i)); length > 0) {
      out.append(text, i, length);
      i += length;
    } else {
      out += "\xEF\xBF\xBD";
      i++;
    }
  }
  out += '"';
}

void append_json_double(std::string& out, double value) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, end);
}

void JsonReader::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') break;
    at_++;
  }
}

std::optional<JsonReader::Kind> JsonReader::peek() {
  skip_space();
  if (failed()) return std::nullopt;
  if (at_ < text_.size()) {
    switch (const char c = text_[at_]) {
      case 'n':
        return Kind::null;
      case 't':
      case 'f':
        return Kind::boolean;
      case '"':
        return Kind::string;
      case '[':
        return Kind::array;
      case '{':
        return Kind::object;
      default:
        if (is_digit(c) || c == '-') return Kind::number;
    }
  }
  fail(at_ < text_.size() ? "a value was expected" : "unexpected end");
  return std::nullopt;
}

bool JsonReader::literal(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return fail("unknown word");
  at_ += word.size();
  return true;
}

std::optional<bool> JsonReader::read_boolean() {
  const bool value = text_[at_] == 't';
  if (!literal(value ? "true" : "false")) return std::nullopt;
  return value;
}

std::optional<JsonReader::Number> JsonReader::read_number() {
  const size_t start = at_;
  const auto peek_char = [&] { return at_ < text_.size() ? text_[at_] : '\0'; };
  const auto digits = [&] {
    const size_t from = at_;
    while (is_digit(peek_char())) at_++;
    return at_ > from;
  };
  if (peek_char() == '-') at_++;
  bool good = peek_char() == '0' ? (at_++, true) : digits();
  bool is_integer = true;
  if (good && peek_char() == '.') {
    is_integer = false;
    at_++;
    good = digits();
  }
  if (good && (peek_char() == 'e' || peek_char() == 'E')) {
    is_integer = false;
    at_++;
    if (peek_char() == '+' || peek_char() == '-') at_++;
    good = digits();
  }
  if (!good || is_digit(peek_char())) {
    fail("malformed number");
    return std::nullopt;
  }
  if (at_ - start > kNumberLength) {
    fail("number too long");
    return std::nullopt;
  }
  const char* const first = text_.data() + start;
  const char* const last = text_.data() + at_;
  Number number{is_integer, 0, 0};
  if (is_integer && std::from_chars(first, last, number.integer).ec == std::errc()) return number;
  number.is_integer = false;
  const auto parsed = std::from_chars(first, last, number.real);
  // Too small reads as zero, as everywhere; too large has no number.
  if (parsed.ec == std::errc::result_out_of_range) {
    number.real = std::strtod(std::string(first, last).c_str(), nullptr);
    if (!std::isfinite(number.real)) {
      fail("number out of range");
      return std::nullopt;
    }
  }
  return number;
}

std::optional<std::string_view> JsonReader::read_string() {
  const size_t start = ++at_;  // the quote was peeked
  at_ += plain_length(text_.substr(at_));
  if (at_ < text_.size() && text_[at_] == '"') return text_.substr(start, at_++ - start);
  if (at_ < text_.size() && text_[at_] == '\\')
    return unescape(start) ? std::optional<std::string_view>(scratch_) : std::nullopt;
  fail(at_ >= text_.size() ? "unfinished string" : "a string holds a control character or is not UTF-8");
  return std::nullopt;
}

bool JsonReader::unescape(size_t from) {
  scratch_.assign(text_, from, at_ - from);
  while (at_ < text_.size()) {
    if (text_[at_] == '"') {
      at_++;
      return true;
    }
    if (text_[at_] == '\\') {
      if (!append_escape()) return false;
      continue;
    }
    const size_t length = plain_length(text_.substr(at_));
    if (length == 0) return fail("a string holds a control character or is not UTF-8");
    scratch_.append(text_, at_, length);
    at_ += length;
  }
  return fail("unfinished string");
}

/// As read_string(), for a text that nobody wants.
bool JsonReader::skip_string() {
  at_++;
  scratch_.clear();
  while (at_ < text_.size()) {
    at_ += plain_length(text_.substr(at_));
    if (at_ >= text_.size()) break;
    if (text_[at_] == '"') {
      at_++;
      return true;
    }
    if (text_[at_] != '\\') return fail("a string holds a control character or is not UTF-8");
    if (!append_escape()) return false;
  }
  return fail("unfinished string");
}

bool JsonReader::append_escape() {
  if (at_ + 1 >= text_.size()) return fail("unfinished string");
  const char c = text_[at_ + 1];
  at_ += 2;
  switch (c) {
    case '"':
    case '\\':
    case '/':
      scratch_ += c;
      return true;
    case 'b':
      scratch_ += '\b';
      return true;
    case 'f':
      scratch_ += '\f';
      return true;
    case 'n':
      scratch_ += '\n';
      return true;
    case 'r':
      scratch_ += '\r';
      return true;
    case 't':
      scratch_ += '\t';
      return true;
    case 'u':
      break;
    default:
      return fail("unknown escape");
  }
  auto code = read_hex4();
  if (!code) return fail("malformed \\u escape");
  if (*code >= 0xDC00 && *code <= 0xDFFF) return fail("lone surrogate");
  if (*code >= 0xD800 && *code <= 0xDBFF) {
    if (text_.substr(at_, 2) != "\\u") return fail("lone surrogate");
    at_ += 2;
    const auto low = read_hex4();
    if (!low || *low < 0xDC00 || *low > 0xDFFF) return fail("lone surrogate");
    code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
  }
  append_utf8(scratch_, *code);
  return true;
}

std::optional<uint32_t> JsonReader::read_hex4() {
  uint32_t code = 0;
  const std::string_view digits = text_.substr(at_, 4);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  if (digits.size() != 4 || parsed.ptr != digits.data() + 4) return std::nullopt;
  at_ += 4;
  return code;
}

bool JsonReader::open(char bracket) {
  skip_space();
  if (failed()) return false;
  if (at_ >= text_.size() || text_[at_] != bracket)
    return fail(bracket == '{' ? "an object was expected" : "an array was expected");
  if (++depth_ > kJsonDepth) return fail("nested too deeply");
  at_++;
  return true;
}

bool JsonReader::next(char closing, bool& first) {
  if (failed()) return false;
  skip_space();
  if (at_ >= text_.size()) return fail("unexpected end");
  if (text_[at_] == closing) {
    at_++;
    depth_--;
    return false;
  }
  if (!first) {
    if (text_[at_] != ',') return fail("a comma was expected");
    at_++;
    skip_space();
    if (at_ < text_.size() && text_[at_] == closing) return fail("a comma before the end");
  }
  first = false;
  return true;
}

std::optional<std::string_view> JsonReader::read_key() {
  skip_space();
  if (failed()) return std::nullopt;
  if (at_ >= text_.size() || text_[at_] != '"') {
    fail("a key was expected");
    return std::nullopt;
  }
  const auto key = read_string();
  if (!key) return std::nullopt;
  skip_space();
  if (at_ >= text_.size() || text_[at_] != ':') {
    fail("a colon was expected");
    return std::nullopt;
  }
  at_++;
  return key;
}

std::optional<std::string_view> JsonReader::skip() {
  const auto kind = peek();
  if (!kind) return std::nullopt;
  const size_t start = at_;
  bool good = false;
  switch (*kind) {
    case Kind::null:
      good = read_null();
      break;
    case Kind::boolean:
      good = read_boolean().has_value();
      break;
    case Kind::number:
      good = read_number().has_value();
      break;
    case Kind::string:
      good = skip_string();
      break;
    case Kind::array:
      good = skip_container(false);
      break;
    case Kind::object:
      good = skip_container(true);
      break;
  }
  if (!good) return std::nullopt;
  return text_.substr(start, at_ - start);
}

bool JsonReader::skip_container(bool object) {
  bool first = true;
  if (!open(object ? '{' : '[')) return false;
  while (next(object ? '}' : ']', first)) {
    if (object && !read_key()) return false;
    if (!skip()) return false;
  }
  return !failed();
}

bool JsonReader::at_end() {
  skip_space();
  return at_ == text_.size();
}

}  // namespace assay::sandbox::wire
