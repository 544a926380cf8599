#include "daemon/llm/quote.hpp"

#include <algorithm>
#include <array>

#include "core/json.hpp"

namespace assay::llm {
namespace {

constexpr std::string_view kMask = "[key]";
constexpr std::string_view kCut = "…";
constexpr std::array<std::string_view, 10> kKeyPrefixes = {"sk-",   "sk_",    "gsk_", "xai-", "AIza",
                                                           "pplx-", "nvapi-", "hf_",  "fw_",  "key-"};
/// What is read of a long text, in multiples of what is kept: blanks in it may fold.
constexpr size_t kReadFactor = 4;
/// Behind the prefix; "sk-learn" is no key, and what a provider masks itself ("sk-12***ab") is as long as
/// one.
constexpr size_t kKeyTail = 8;

bool in_key(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.' || c == '*' || c == '+' || c == '/' || c == '=';
}

bool is_key(std::string_view word, bool after_bearer) {
  const bool has_digit = std::ranges::any_of(word, [](char c) { return c >= '0' && c <= '9'; });
  if (after_bearer && word.size() >= kKeyTail && (has_digit || word.size() >= 20)) return true;
  return std::ranges::any_of(kKeyPrefixes, [&](std::string_view prefix) {
    return word.starts_with(prefix) && word.size() >= prefix.size() + kKeyTail;
  });
}

bool is_bearer(std::string_view word) {
  return word == "Bearer" || word == "bearer";
}

/// `text` with the words that look like keys masked.
std::string without_key_words(std::string_view text) {
  std::string out;
  bool after_bearer = false;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && in_key(text[end])) ++end;
    if (end == i) {
      out += text[i++];
      continue;
    }
    // "Received=sk-…": the key begins behind the sign.
    if (const size_t sign = text.substr(i, end - i).find('=');
        sign != std::string_view::npos && sign + 1 < end - i)
      end = i + sign + 1;
    const std::string_view word = text.substr(i, end - i);
    out += is_key(word, after_bearer) ? kMask : word;
    after_bearer = is_bearer(word);
    i = end;
  }
  return out;
}

/// The first `bytes` of `text` with `key` masked, without what may be the first part of another key at their
/// end.
std::string head_without(std::string_view text, std::string_view key, size_t bytes) {
  std::string out;
  while (!text.empty() && out.size() < bytes) {
    const size_t at = key.empty() ? std::string_view::npos : text.find(key);
    const auto before = text.substr(0, std::min(at, bytes - out.size()));
    out += before;
    text.remove_prefix(before.size());
    if (before.size() != at) continue;
    out += kMask;
    text.remove_prefix(key.size());
  }
  if (!text.empty())
    while (!out.empty() && in_key(out.back())) out.pop_back();
  return out;
}

std::string on_one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool blank = static_cast<unsigned char>(c) <= 0x20 || c == 0x7F;
    if (!blank)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

std::string quote(std::string_view text, std::string_view key, size_t bytes) {
  const std::string head = head_without(text, key, kReadFactor * bytes);
  std::string out = on_one_line(to_valid_utf8(without_key_words(head)));
  if (out.size() <= bytes) return out;
  out.resize(bytes - std::min(bytes, kCut.size()));
  while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
  if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xC0) out.pop_back();
  return out += kCut;
}

}  // namespace assay::llm
