#include "core/requirement.hpp"

#include <algorithm>

namespace assay {

bool is_requirement(std::string_view line) {
  constexpr size_t kLongest = 500;
  const size_t begin = line.find_first_not_of(' ');
  if (begin == std::string_view::npos || line.size() > kLongest) return false;
  return line[begin] != '-' && line[begin] != '#' &&
         std::ranges::none_of(line, [](unsigned char c) { return c < ' ' || c >= 0x7F || c == '\\'; });
}

}  // namespace assay
