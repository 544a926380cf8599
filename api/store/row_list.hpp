// Lists of row numbers, stored as differences in variable length: about a byte a row for a sorted selection.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace assay::api {

std::string encode_rows(std::span<const int64_t> rows);
std::vector<int64_t> decode_rows(std::string_view bytes);

}  // namespace assay::api
