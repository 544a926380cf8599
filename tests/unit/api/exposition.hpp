// Reads the text format of Prometheus, and is strict about it.
#pragma once

#include <map>
#include <string>

namespace assay::api::test {

/// Value by name and labels, `name{a="1"}`. Fails the test for what is no exposition, or has a series twice.
std::map<std::string, double> parse_exposition(const std::string& text);

}  // namespace assay::api::test
