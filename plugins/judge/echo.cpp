#include "plugins/judge/echo.hpp"

#include <algorithm>

#include "plugins/common/text.hpp"
#include "plugins/judge/common.hpp"
#include "plugins/judge/fold.hpp"

namespace assay::judge {
namespace {

constexpr std::string_view kDropped = "\"'`*_\\";
constexpr std::string_view kPunctuation = ":{}[],=";

/// The comparable form. Line ends are kept when `lines` says so, else they are blanks.
std::string squeezed(std::string_view text, bool lines) {
  std::string out;
  bool blank = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode(text, at);
    const char32_t shown = point.value;
    const char c = lower(fold(shown));
    const std::string_view bytes = text.substr(at, point.length);
    at += point.length;
    if (lines && c == '\n') {
      out.push_back('\n');
      blank = false;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      blank = true;
    } else if (shown != U'⟦' && shown != U'⟧' && !is_invisible(shown) && !is_combining(shown) &&
               kDropped.find(c) == std::string_view::npos) {
      const bool joined = out.empty() || out.back() == '\n' ||
                          kPunctuation.find(c) != std::string_view::npos ||
                          kPunctuation.find(out.back()) != std::string_view::npos;
      if (blank && !joined) out.push_back(' ');
      if (c == '\1') {
        out += bytes;  // looks like no ASCII
      } else {
        out.push_back(c);
      }
      blank = false;
    }
  }
  return out;
}

/// Whether `word` is in `text`, not as a part of a longer word or number.
bool stands_in(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !is_word(text[at - 1]) || !is_word(word.front());
    const bool ends = end == text.size() || !is_word(text[end]) || !is_word(word.back());
    if (begins && ends) return true;
  }
  return false;
}

bool has_line(std::string_view text, std::string_view line) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (trim(text.substr(0, end), " .") == line) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

}  // namespace

bool occurs_in(std::string_view verdict, std::span<const std::string> judged, bool line) noexcept {
  const std::string wanted(trim(squeezed(verdict, false), " ."));
  if (wanted.empty()) return false;
  return std::ranges::any_of(judged, [&](const std::string& text) {
    const std::string form = squeezed(text, line);
    return line ? has_line(form, wanted) : stands_in(form, wanted);
  });
}

}  // namespace assay::judge
