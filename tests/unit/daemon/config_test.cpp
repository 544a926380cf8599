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
  const auto of_environment = Surroundings::from_environment("", "");
  const auto given = Surroundings::from_environment("full", "");
  ::setenv("ASSAY_SANDBOX_REQUIRE", "everything", 1);
  const auto wrong = Surroundings::from_environment("", "");
  ::unsetenv("ASSAY_SANDBOX_MODE");
  ::unsetenv("ASSAY_SANDBOX_REQUIRE");
  REQUIRE((of_environment && given));
  const SandboxChoice& sandbox = of_environment->sandbox;
  CHECK((sandbox.mode == sandbox::Mode::nons && sandbox.require.landlock));
  CHECK(sandbox.require.least == sandbox::Mode::full);
  CHECK((given->sandbox.mode == sandbox::Mode::full && given->sandbox.require.landlock));
  CHECK_FALSE(wrong);
}

TEST_CASE("config: the models are in the file that is named, or in none", "[daemon][config]") {
  const test::TemporaryFolder folder;
  ModelSettings settings;
  settings.file = folder.path("none.toml");
  CHECK_THAT(settings.choose().error().message, Contains("none.toml"));
  settings.file = folder.write("models.toml",
                               "[providers.here]\napi = \"chat.completions\"\n"
                               "base_url = \"http://127.0.0.1:1/v1\"\n");
  settings.cache = "relative";
  CHECK_THAT(settings.choose().error().message, Contains("models.cache must be an absolute path"));
  settings.cache = folder.path("replies");
  const auto choice = settings.choose();
  REQUIRE(choice);
  CHECK(choice->models->prefixes() == std::set<std::string>{"here"});
  CHECK(choice->broker.cache_folder == folder.path("replies"));
}

TEST_CASE("config: plugins are found by their file names, the first folder first", "[daemon][config]") {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("a"));
  std::filesystem::create_directory(folder.path("b"));
  for (const char* name : {"a/mine.so", "b/mine.so", "b/yours.so", "b/Not-One.so", "b/text.txt"})
    folder.write(name, "");
  PluginSettings settings;
  settings.path = {folder.path("a"), folder.path("b")};
  const auto plugins = Plugins::find(settings);
  REQUIRE(plugins);
  CHECK(*plugins->path("mine") == std::filesystem::canonical(folder.path("a/mine.so")).string());
  CHECK(plugins->path("yours"));
  CHECK_FALSE(plugins->all().contains("Not-One"));
  CHECK_THAT(plugins->path("theirs").error().message,
             Contains("there is no plugin theirs") && Contains("yours"));
  settings.path = {"relative"};
  CHECK_THAT(Plugins::find(settings).error().message, Contains("absolute"));
  settings.path = {folder.path("nowhere")};
  CHECK_THAT(Plugins::find(settings).error().message, Contains("cannot read the folder"));
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
