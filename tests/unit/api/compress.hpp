// What clients send, made with the libraries themselves.
#pragma once

#include <string>
#include <string_view>

namespace assay::api::test {

std::string gzip(std::string_view text);
/// With a checksum; `window_log` 0: as the library chooses.
std::string zstd(std::string_view text, int window_log = 0);

}  // namespace assay::api::test
