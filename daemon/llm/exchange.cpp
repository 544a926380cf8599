#include "daemon/llm/exchange.hpp"

#include <algorithm>

#include "daemon/llm/quote.hpp"

namespace assay::llm {
namespace {

constexpr size_t kRequestIdBytes = 128;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, [](char c) { return lower(c); }, [](char c) { return lower(c); });
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

std::string_view header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers)
    if (same_name(key, name)) return trimmed(value);
  return {};
}

std::string request_id(const Headers& headers, std::string_view key) {
  for (const char* name : {"x-request-id", "request-id", "apim-request-id"})
    if (const auto id = header(headers, name); !id.empty()) return quote(id, key, kRequestIdBytes);
  return {};
}

}  // namespace assay::llm
