// Looking for words in what providers say, whatever the case.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace assay::llm {

/// `text` with A–Z in lower case.
inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// Whether `lowered` contains one of `words`, which are in lower case.
template <size_t N>
bool has_any(std::string_view lowered, const std::array<std::string_view, N>& words) {
  return std::ranges::any_of(words, [&](std::string_view word) { return lowered.contains(word); });
}

}  // namespace assay::llm
