#include "core/settings.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/temporary_folder.hpp"

using namespace assay;

TEST_CASE("settings: durations need a unit", "[core][settings]") {
  using namespace std::chrono_literals;
  CHECK(parse_duration("250ms") == 250ms);
  CHECK(parse_duration("10s") == 10s);
  CHECK(parse_duration("5m") == 5min);
  CHECK(parse_duration("2h") == 2h);
  for (const char* text :
       {"", "10", "s", "-1s", "1.5s", "10 s", "10S", "99999999999999999999s", "9223372036854775807h"})
    CHECK_FALSE(parse_duration(text).has_value());
}

TEST_CASE("settings: a word is taken for another only when it is near", "[core][settings]") {
  const std::vector<std::string> keys = {"sample", "ground_truth", "evaluator", "gate"};
  CHECK(nearest("smaple", keys) == "sample");
  CHECK(nearest("agte", keys) == "gate");
  CHECK(nearest("ground-truth", keys) == "ground_truth");
  CHECK(nearest("evaluators", keys) == "evaluator");
  CHECK(nearest("gates", keys) == "gate");
  CHECK_FALSE(nearest("banana", keys).has_value());
  CHECK_FALSE(nearest("", keys).has_value());
  CHECK_FALSE(nearest("x", {}).has_value());
}

TEST_CASE("settings: a list may be written as its only element, a single value not as a list",
          "[core][settings]") {
  test::TemporaryFolder folder;
  std::string mode = "best";
  std::vector<std::string> require = {"nothing"};
  Settings settings;
  settings.add("sandbox.mode", "", &mode);
  settings.add("sandbox.require", "", &require);
  using List = std::vector<std::string>;

  REQUIRE(settings.load_file(folder.write("a.toml", "[sandbox]\nrequire = [\"full\", \"cgroups\"]\n")));
  CHECK((mode == "best" && require == List{"full", "cgroups"}));
  REQUIRE(settings.load_file(folder.write("b.toml", "[sandbox]\nrequire = \"userns\"\n")));
  CHECK(require == List{"userns"});
  REQUIRE(settings.load_file(folder.write("c.toml", "sandbox.require = []\n")));
  CHECK(require.empty());

  const auto refused =
      settings.load_file(folder.write("d.toml", "[sandbox]\nmode = [\"full\"]\nrequire = [\"full\"]\n"));
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Contains("d.toml:2: sandbox.mode expects a string"));
}
