#include "plugins/common/text.hpp"

#include <algorithm>

namespace assay::plugins {
namespace {

constexpr std::string_view kBlank = " \t\r\n\f\v";
constexpr char32_t kReplacement = 0xFFFD;

/// What the first byte of a code point says of it.
struct Lead {
  size_t length;  ///< 0: no first byte
  char32_t bits;
  unsigned char second_low, second_high;  ///< what the second byte may be (Unicode, table 3-7)
};

Lead lead_of(unsigned char byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2, byte & 0x1FU, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0xD, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, byte & 0xFU, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, byte & 7U, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 4, 0x80, 0x8F};
  return {};
}

bool continues(std::string_view text, size_t offset) {
  return offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0U) == 0x80;
}

}  // namespace

CodePoint decode(std::string_view text, size_t offset) noexcept {
  if (offset >= text.size()) return {};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  Lead lead = lead_of(byte(0));
  if (lead.length == 0) return {kReplacement, 1};
  char32_t value = lead.bits;
  for (size_t i = 1; i < lead.length; ++i) {
    const bool goes_on =
        offset + i < text.size() && byte(i) >= lead.second_low && byte(i) <= lead.second_high;
    if (!goes_on) return {kReplacement, i};
    lead.second_low = 0x80;
    lead.second_high = 0xBF;
    value = value << 6U | (byte(i) & 0x3FU);
  }
  return {value, lead.length};
}

void append_utf8(std::string& out, char32_t c) noexcept {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0U | (c >> 6U));
    put(0x80U | (c & 0x3FU));
  } else if (c < 0x10000) {
    put(0xE0U | (c >> 12U));
    put(0x80U | ((c >> 6U) & 0x3FU));
    put(0x80U | (c & 0x3FU));
  } else {
    put(0xF0U | (c >> 18U));
    put(0x80U | ((c >> 12U) & 0x3FU));
    put(0x80U | ((c >> 6U) & 0x3FU));
    put(0x80U | (c & 0x3FU));
  }
}

std::string_view head(std::string_view text, size_t bytes) noexcept {
  if (text.size() <= bytes) return text;
  // A code point has at most three bytes after its first; more is no UTF-8 and may be cut anywhere.
  size_t end = bytes;
  for (int back = 0; back < 3 && end > 0 && continues(text, end); ++back) --end;
  return text.substr(0, end);
}

std::string_view tail(std::string_view text, size_t bytes) noexcept {
  if (text.size() <= bytes) return text;
  size_t begin = text.size() - bytes;
  for (int forward = 0; forward < 3 && continues(text, begin); ++forward) ++begin;
  return text.substr(begin);
}

std::string bounded(std::string_view text, size_t bytes) noexcept {
  const std::string_view kept = head(text, bytes);
  std::string out;
  out.reserve(kept.size() + 3);
  for (size_t at = 0; at < kept.size();) {
    const CodePoint point = decode(kept, at);
    append_utf8(out, point.value);
    at += point.length;
  }
  if (kept.size() < text.size()) out += "…";
  return out;
}

std::string_view trim(std::string_view text, std::string_view characters) noexcept {
  const size_t begin = text.find_first_not_of(characters);
  if (begin == std::string_view::npos) return text.substr(0, 0);
  return text.substr(begin, text.find_last_not_of(characters) - begin + 1);
}
std::string_view trim(std::string_view text) noexcept {
  return trim(text, kBlank);
}

std::string lower(std::string_view text) noexcept {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept {
  return std::ranges::equal(left, right, [](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace assay::plugins
