// Reading JSON that comes from outside.
#pragma once

#include <expected>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace assay::json_check {

/// How deep documents and schemas may be nested; also the deepest a walk over them goes.
inline constexpr int kDepthLimit = 128;

/// One document. Of keys that are there twice the last one counts. The error says where and why it is none,
/// or that it is nested too deeply.
std::expected<nlohmann::json, std::string> read_json(std::string_view text);

enum class TopLevel {
  any,
  object_or_array,  ///< what autoevals' `ValidJSON` counts as valid
};

/// Whether `text` is JSON; the error says why it is not.
std::expected<void, std::string> check_json(std::string_view text, TopLevel top_level = TopLevel::any);

}  // namespace assay::json_check
