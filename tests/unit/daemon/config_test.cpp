#include "daemon/config.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/temporary_folder.hpp"

using namespace assay;
using namespace assay::daemon;
using Catch::Contains;

TEST_CASE("config: [sandbox] says which mode to use and what to refuse to start without",
          "[daemon][config]") {
  test::TemporaryFolder folder;
  const auto load = [&](const std::string& text) -> Result<SandboxChoice> {
    Config config;
    Settings settings;
    config.declare(settings);
    ASSAY_OK(settings.load_file(folder.write("assayd.toml", text)));
    return config.sandbox.choose();
  };
  const auto nothing = load("[worker]\nhosts = 3\n");
  REQUIRE(nothing);
  CHECK_FALSE(nothing->mode);
  CHECK(nothing->require.least == sandbox::Mode::nons);

  const auto demanding =
      load("[sandbox]\nmode = \"userns\"\nrequire = [\"userns\", \"cgroups\", \"python\"]\n");
  REQUIRE(demanding);
  CHECK(demanding->mode == sandbox::Mode::userns);
  CHECK((demanding->require.least == sandbox::Mode::userns && demanding->require.cgroups));
  CHECK(load("[sandbox]\nrequire = \"full\"\n")->require.least == sandbox::Mode::full);

  CHECK_THAT(load("[sandbox]\nmode = \"best\"\n").error().message, Contains("use full, userns or nons"));
  CHECK_THAT(load("[sandbox]\nrequire = [\"fulll\"]\n").error().message, Contains("\"fulll\""));
  CHECK_THAT(load("[sandbox]\nrequires = [\"full\"]\n").error().message,
             Contains("did you mean sandbox.require"));
}

TEST_CASE("config: the environment says the same; what is given goes before it", "[daemon][config]") {
  ::setenv("ASSAY_SANDBOX_MODE", "nons", 1);
  ::setenv("ASSAY_SANDBOX_REQUIRE", "full,landlock", 1);
  const auto of_environment = SandboxSettings::from_environment("");
  const auto given = SandboxSettings::from_environment("full");
  ::setenv("ASSAY_SANDBOX_REQUIRE", "everything", 1);
  const auto wrong = SandboxSettings::from_environment("");
  ::unsetenv("ASSAY_SANDBOX_MODE");
  ::unsetenv("ASSAY_SANDBOX_REQUIRE");
  REQUIRE((of_environment && given));
  CHECK((of_environment->mode == sandbox::Mode::nons && of_environment->require.landlock));
  CHECK(of_environment->require.least == sandbox::Mode::full);
  CHECK((given->mode == sandbox::Mode::full && given->require.landlock));
  CHECK_FALSE(wrong);
}

TEST_CASE("config: the spool is where it is told, else in systemd's folder, else in the user's",
          "[daemon][config]") {
  const auto variable = [](const char* name, const char* value) {
    value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  };
  const char* const home = std::getenv("HOME");
  const std::string former = home == nullptr ? "" : home;
  variable("STATE_DIRECTORY", nullptr);
  variable("XDG_STATE_HOME", nullptr);
  Config config;
  variable("HOME", "/home/me");
  CHECK(config.spool_folder("a/b") == "/home/me/.local/state/assay/spool/a%2Fb");
  CHECK(config.spool_folder("..") == "/home/me/.local/state/assay/spool/%..");
  variable("HOME", nullptr);
  CHECK_THAT(config.spool_folder("w").error().message, Contains("set spool.folder"));
  variable("XDG_STATE_HOME", "/state");
  CHECK(config.spool_folder("w") == "/state/assay/spool/w");
  variable("STATE_DIRECTORY", "/var/lib/assay:/var/lib/more");
  CHECK(config.spool_folder("w") == "/var/lib/assay/spool");
  config.worker.spool.folder = "/mine";
  CHECK(config.spool_folder("w") == "/mine");
  config.worker.spool.folder = "mine";
  CHECK_THAT(config.spool_folder("w").error().message, Contains("absolute path"));
  variable("STATE_DIRECTORY", nullptr);
  variable("XDG_STATE_HOME", nullptr);
  variable("HOME", home == nullptr ? nullptr : former.c_str());
}
