#include "plugins/text/contains.hpp"

#include <string.h>

#include <algorithm>
#include <string>

#include "plugins/text/normalize.hpp"

namespace assay::text {
namespace {

/// memmem is linear in the worst case, which std::string_view::find is not: it takes length times length on
/// "aaaa…b" in "aaaa…".
bool find(std::string_view text, std::string_view part) {
  return part.empty() || memmem(text.data(), text.size(), part.data(), part.size()) != nullptr;
}

std::string lower(std::string_view text) {
  return normalize(text, {.lowercase = true});
}

}  // namespace

bool contains(std::string_view output, std::string_view part, Case letters) {
  return contains_any(output, {&part, 1}, letters);
}

bool contains_any(std::string_view output, std::span<const std::string_view> parts, Case letters) {
  if (letters == Case::sensitive)
    return std::ranges::any_of(parts, [&](auto part) { return find(output, part); });
  const std::string text = lower(output);
  return std::ranges::any_of(parts, [&](auto part) { return find(text, lower(part)); });
}

bool contains_all(std::string_view output, std::span<const std::string_view> parts, Case letters) {
  if (letters == Case::sensitive)
    return std::ranges::all_of(parts, [&](auto part) { return find(output, part); });
  const std::string text = lower(output);
  return std::ranges::all_of(parts, [&](auto part) { return find(text, lower(part)); });
}

}  // namespace assay::text
