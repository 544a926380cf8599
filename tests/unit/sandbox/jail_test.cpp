#include "sandbox/jail/jail.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include "sandbox/jail/helper.hpp"

using namespace assay::sandbox;

TEST_CASE("Jail: a step that fails is named, and nothing is left of the child", "[sandbox][jail]") {
  const assay::UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const assay::UniqueFd not_a_program(open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC));
  JailSpec spec{.mode = Mode::nons, .host_fd = not_a_program.get(), .null_fd = null.get()};
  spec.limits.address_space_bytes = 256U << 20;
  spec.limits.cpu_seconds = 10;
  const JailResult result = make_jail(spec);
  REQUIRE(result.failure.step == Step::execute);
  REQUIRE(result.failure.error != 0);
  REQUIRE_FALSE(result.jail.pidfd);
  REQUIRE_FALSE(result.jail.protocol);

  spec.host_fd = -1;
  REQUIRE(make_jail(spec).failure.step == Step::descriptors);
}

TEST_CASE("Jail: every step and mode has a name", "[sandbox][jail]") {
  for (uint32_t step = 0; step <= static_cast<uint32_t>(Step::lock_down); step++)
    REQUIRE(to_string(static_cast<Step>(step)) != "an unknown step");
  for (const Mode mode : {Mode::full, Mode::userns, Mode::nons}) REQUIRE(mode_from(to_string(mode)) == mode);
  REQUIRE_FALSE(mode_from("other"));
}

TEST_CASE("helper_path: names both places when a program is missing", "[sandbox][jail]") {
  REQUIRE(helper_path("assay-spawner"));
  const auto missing = helper_path("assay-nothing");
  REQUIRE_FALSE(missing);
  REQUIRE_THAT(missing.error().message, Catch::Contains("assay-nothing") && Catch::Contains("libexec/assay"));
}
