// How much JSON is read at once. A value is a dozen bytes of text and a hundred of memory at worst, so bytes
// alone bound neither memory nor time.
#pragma once

#include <string_view>

#include "core/json.hpp"

namespace assay::llm {

inline constexpr size_t kRequestValues = 50'000;
/// A reply of 5,000 tokens with twenty alternatives of each has about as many.
inline constexpr size_t kReplyValues = 1'000'000;

/// Whether `text`, as JSON, has more than `most` values. Cheap: it is only scanned.
bool has_more_values(std::string_view text, size_t most);

/// parse_json(), or `config` for more than `most` values.
Result<Json> parse_bounded(std::string_view text, size_t most);

}  // namespace assay::llm
