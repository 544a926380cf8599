// Random identifiers, digests and the one format of times.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace assay {

/// "run_" + 26 characters of Crockford base32: 130 random bits from the kernel.
std::string make_id(std::string_view prefix);
/// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);
/// `bytes` random bytes from the kernel, as lower-case hexadecimal.
std::string random_hex(size_t bytes);
/// SHA-256 as lower-case hexadecimal.
std::string sha256_hex(std::string_view data);
/// CRC-32C (Castagnoli) of `data`, as spools and the append acknowledgement use it.
uint32_t crc32c(std::string_view data);

/// Wall clock in milliseconds since 1970, for storing; never compared across machines.
int64_t now_ms();
/// "2026-11-21T10:05:00.123Z"
std::string iso8601(int64_t unix_ms);

}  // namespace assay
