// Points in time and lengths of time as providers write them into headers.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace assay::llm {

/// Wall-clock time; always a parameter, so that what reads it can be tested.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110's one form that may still be sent).
std::optional<Time> http_date_from(std::string_view text);

/// "2026-03-01T12:00:05Z", "2026-03-01T12:00:05.250+01:00" (RFC 3339; digits below milliseconds are dropped).
std::optional<Time> rfc3339_from(std::string_view text);

/// A Go duration, not negative: "1s", "6m0s", "20ms", "1h30s", "1.5s", "250us"; rounded up to milliseconds.
std::optional<std::chrono::milliseconds> go_duration_from(std::string_view text);

/// A decimal number, not negative, all of `text`: "20", "1.5".
std::optional<double> number_from(std::string_view text);

/// A length of time, rounded up to milliseconds and cut at kLongestWait.
std::chrono::milliseconds wait_from(double milliseconds);
inline constexpr std::chrono::milliseconds kLongestWait = std::chrono::days(366);

}  // namespace assay::llm
