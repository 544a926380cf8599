#include "cli/mock/tokens.hpp"

#include <algorithm>

namespace assay::cli::mock {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

/// Where the token ends that begins at `at`, which is within the text.
size_t token_end(std::string_view text, size_t at) {
  if (text[at] == ' ' && at + 1 < text.size() && is_word(text[at + 1])) ++at;
  size_t end = at + 1;
  if (is_word(text[at])) {
    const size_t most = std::min(text.size(), at + 4);
    while (end < most && is_word(text[end])) ++end;
  } else {
    while (end < text.size() && continues(text[end])) ++end;
  }
  return end;
}

}  // namespace

size_t count_tokens(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at = token_end(text, at)) ++count;
  return count;
}

std::vector<std::string_view> tokens_of(std::string_view text) {
  std::vector<std::string_view> tokens;
  for (size_t at = 0; at < text.size();) {
    const size_t end = token_end(text, at);
    tokens.push_back(text.substr(at, end - at));
    at = end;
  }
  return tokens;
}

std::string_view first_tokens(std::string_view text, size_t count) {
  size_t at = 0;
  for (; count > 0 && at < text.size(); --count) at = token_end(text, at);
  return text.substr(0, at);
}

}  // namespace assay::cli::mock
