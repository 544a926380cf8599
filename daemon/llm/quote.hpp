// Quoting what a provider said: for logs and errors, so short, printable and without a key.
#pragma once

#include <string>
#include <string_view>

namespace assay::llm {

inline constexpr size_t kQuoteBytes = 500;

/// `text` as valid UTF-8 on one line (runs of blanks and control characters become one space), at most
/// `bytes` long ("…" included when it is cut). `key`, unless empty, and whatever looks like a key of a known
/// provider
/// ("sk-…", "Bearer …") become "[key]": some servers and proxies quote the key they refuse.
std::string quote(std::string_view text, std::string_view key, size_t bytes = kQuoteBytes);

}  // namespace assay::llm
