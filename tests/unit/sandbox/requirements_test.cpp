#include "sandbox/runtime/requirements.hpp"

#include "tests/unit/sandbox/pool_fixture.hpp"

using namespace assay;
using namespace assay::sandbox;
using Catch::Contains;

TEST_CASE("requirements: words are modes, layers and languages", "[sandbox][requirements]") {
  const auto none = Requirements::from({});
  REQUIRE(none);
  CHECK((none->least == Mode::nons && !none->cgroups && !none->landlock && none->languages.empty()));
  const auto all = Requirements::from({"userns", "full", "nons", "cgroups", "landlock", "python", "node"});
  REQUIRE(all);
  CHECK((all->least == Mode::full && all->cgroups && all->landlock));
  CHECK(all->languages == std::vector<std::string_view>{"python", "node"});
  CHECK(Requirements::from({"nons", "userns"})->least == Mode::userns);
  for (const char* word : {"", "Full", "cgroup2", "ruby", "full "}) {
    const auto wrong = Requirements::from({"full", word});
    CAPTURE(word);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().kind == ErrorKind::config);
    CHECK_THAT(wrong.error().message,
               Contains("sandbox.require") && Contains("landlock") && Contains("python"));
  }
}

TEST_CASE("requirements: what is missing is named", "[sandbox][requirements]") {
  const Requirements all{.least = Mode::userns, .cgroups = true, .landlock = true, .languages = {"python"}};
  const Given everything{
      .mode = Mode::userns, .cgroups = Cgroups::v1, .landlock_abi = 1, .languages = {"python"}};
  CHECK(missing(all, everything).empty());
  CHECK(missing({}, {.mode = Mode::nons}).empty());

  Given given = everything;
  given.mode = Mode::full;
  CHECK(missing(all, given).empty());
  given.mode = Mode::nons;
  CHECK(missing(all, given) == std::vector<std::string>{"mode userns (nons is in use)"});
  given.mode = std::nullopt;
  CHECK(missing(all, given) == std::vector<std::string>{"mode userns (none works)"});
  CHECK(missing(all, {.mode = Mode::full, .landlock_abi = -38}) ==
        std::vector<std::string>{"control groups", "Landlock", "python"});
}

TEST_CASE("requirements: a pool is held against them", "[sandbox][requirements]") {
  PoolFixture pool({.hosts = 1, .mode = Mode::nons});
  if (!pool.ok()) {
    WARN("this machine cannot build this jail: nons");
    return;
  }
  CHECK(pool.run(check_requirements(*pool, *Requirements::from({"nons", "lua", "landlock"}))));
  const auto refused = pool.run(check_requirements(*pool, *Requirements::from({"full", "shell"})));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == ErrorKind::internal);
  CHECK_THAT(refused.error().message,
             Contains("mode full (nons is in use), shell") && Contains("assay doctor"));
}
