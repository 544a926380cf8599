// JSON at the edges: strict parsing with a depth cap, and dumping that never throws.
//
// Documents (requests, settings, results) are nlohmann::json. Data rows, which are many, are handled as text
// and read with simdjson (core/row.hpp). Headers include only nlohmann/json_fwd.hpp; JSON kept in a struct is
// kept as text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace assay {

using Json = nlohmann::json;

inline constexpr int kJsonDepthLimit = 64;

/// Parses one document; `config` with line and column for what is no JSON, is deeper than `depth_limit`,
/// holds a duplicate key or is no UTF-8.
Result<Json> parse_json(std::string_view text, int depth_limit = kJsonDepthLimit);

/// Compact text. Strings that are no UTF-8 (which only our own bugs can bring here) are written with U+FFFD.
std::string dump_json(const Json& value);
std::string dump_json_pretty(const Json& value);

/// `text` as a JSON string, quotes included; bytes that are no UTF-8 become U+FFFD.
std::string json_quote(std::string_view text);
void append_json_quote(std::string& out, std::string_view text);
/// The shortest text that reads back as the same double; `null` for what JSON has no number for.
void append_json_number(std::string& out, double value);

bool is_valid_utf8(std::string_view text);
/// `text` with every byte sequence that is no UTF-8 replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

}  // namespace assay
