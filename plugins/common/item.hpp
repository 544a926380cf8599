// What the variables of a template mean in an item.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/common/error.hpp"

namespace assay::plugins {

/// All names that a path may begin with, in the order of template.hpp.
std::span<const std::string_view> standard_names() noexcept;
/// Whether a path may go on behind `name`.
bool has_members(std::string_view name) noexcept;

/// Whether `variable`, as a template writes it, is data of that side alone.
enum class ItemSide { sample, ground_truth };
bool is_of_side(std::string_view variable, ItemSide side) noexcept;

/// The text of the variable `path` (at least one name) in `item`; `config` when the item has none, says how
/// far the path leads and what there is instead.
Result<std::string> text_of(const nlohmann::json& item, std::span<const std::string> path,
                            bool swapped) noexcept;

}  // namespace assay::plugins
