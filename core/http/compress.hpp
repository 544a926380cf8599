// Bodies compressed with zstd while they are sent.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace assay::http {

/// One frame.
std::string zstd_compress(std::string_view text);

/// A Request::body_source that gives what `source` gives, compressed. Its memory is bounded.
std::function<size_t(char* into, size_t size)> zstd_source(
    std::function<size_t(char* into, size_t size)> source);

}  // namespace assay::http
