#include "tests/unit/api/exposition.hpp"

#include <catch2/catch.hpp>
#include <regex>
#include <set>
#include <sstream>

namespace assay::api::test {

std::map<std::string, double> parse_exposition(const std::string& text) {
  static const std::regex kType(
      R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped))");
  static const std::regex kSample(
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*",?)*\})? (\S+))re");
  std::map<std::string, double> series;
  std::set<std::string> typed;
  REQUIRE(text.ends_with('\n'));
  std::istringstream lines(text);
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    if (line.starts_with("# HELP ")) continue;
    if (line.starts_with('#')) {
      REQUIRE(std::regex_match(line, match, kType));
      CHECK(typed.insert(match[1]).second);
      continue;
    }
    REQUIRE(std::regex_match(line, match, kSample));
    CHECK(series.emplace(match[1].str() + match[2].str(), std::stod(match[3])).second);
  }
  return series;
}

}  // namespace assay::api::test
