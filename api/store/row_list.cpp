#include "api/store/row_list.hpp"

namespace assay::api {

std::string encode_rows(std::span<const int64_t> rows) {
  std::string bytes;
  int64_t last = 0;
  for (const auto row : rows) {
    const int64_t step = row - last;
    last = row;
    // Zigzag, so that small steps back are small too; then seven bits a byte, lowest first.
    auto rest = (static_cast<uint64_t>(step) << 1) ^ static_cast<uint64_t>(step >> 63);
    for (; rest >= 0x80; rest >>= 7) bytes += static_cast<char>(rest | 0x80);
    bytes += static_cast<char>(rest);
  }
  return bytes;
}

std::vector<int64_t> decode_rows(std::string_view bytes) {
  std::vector<int64_t> rows;
  int64_t last = 0;
  uint64_t value = 0;
  int shift = 0;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    shift += 7;
    if ((byte & 0x80) != 0) continue;
    last += static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
    rows.push_back(last);
    value = 0;
    shift = 0;
  }
  return rows;
}

}  // namespace assay::api
