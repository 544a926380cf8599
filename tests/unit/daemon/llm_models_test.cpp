#include "daemon/llm/models.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "tests/unit/temporary_folder.hpp"

namespace assay::llm {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kWhole = R"(
[providers.openai]
api = "chat.completions"
base_url = "https://api.openai.com/v1/"
key_file = "/etc/assay/openai.key"
requests_per_minute = 500
tokens_per_minute = 200000
max_in_flight = 20
timeout = "90s"
give_up = "30m"

[providers.claude]
api = "messages"
base_url = "https://api.anthropic.com/v1"

[models."openai/gpt-4o-mini"]
price = { input = 0.15, cached = 0.075, output = 0.6 }
max_output_tokens = 16384

[models."openai/o4-mini"]
api = "responses"

[models.judge]
provider = "claude"
model = "claude-sonnet-4-5"
price = { input = 3, output = 15, cache_write_5m = 3.75, cache_write_1h = 6 }
)";

std::string faults_of(std::string_view text) {
  const auto models = Models::parse(text, "models.toml");
  REQUIRE_FALSE(models);
  CHECK(models.error().kind == ErrorKind::config);
  return models.error().message;
}

TEST_CASE("models.toml: providers and models as written", "[llm][models]") {
  const auto models = Models::parse(kWhole, "models.toml");
  REQUIRE(models);
  const Provider& openai = models->providers().at("openai");
  CHECK(openai.base_url == "https://api.openai.com/v1");
  CHECK(openai.endpoint.dialect == Dialect::openai_chat);
  CHECK(openai.key_file == "/etc/assay/openai.key");
  CHECK(openai.requests_per_minute == 500);
  CHECK(openai.tokens_per_minute == 200'000);
  CHECK(openai.max_in_flight == 20);
  CHECK(openai.start_in_flight == 20);
  CHECK(openai.timeout == 90s);
  CHECK(openai.give_up == 30min);
  CHECK(models->providers().at("claude").give_up == 1h);
  CHECK(models->slugs() == std::vector<std::string>{"judge", "openai/gpt-4o-mini", "openai/o4-mini"});

  const auto mini = models->find("openai/gpt-4o-mini");
  REQUIRE(mini);
  CHECK(mini->provider == "openai");
  CHECK(mini->name == "gpt-4o-mini");
  CHECK_FALSE(mini->api);
  REQUIRE(mini->prices);
  CHECK(mini->prices->input == 150'000'000);
  CHECK(mini->prices->cached == 75'000'000);
  CHECK(mini->max_output_tokens == 16384);
  CHECK(models->find("openai/o4-mini")->api == Dialect::openai_responses);
  CHECK_FALSE(models->find("openai/o4-mini")->prices);
  const auto judge = models->find("judge");
  CHECK(judge->provider == "claude");
  CHECK(judge->name == "claude-sonnet-4-5");
  CHECK(judge->prices->cache_write_1h == 6'000'000'000);
}

TEST_CASE("models.toml: a model of a known provider needs no entry, but is unpriced", "[llm][models]") {
  const auto models = Models::parse(kWhole, "models.toml");
  const auto other = models->find("openai/gpt-5/preview");
  REQUIRE(other);
  CHECK(other->name == "gpt-5/preview");
  CHECK_FALSE(other->prices);
  for (const char* slug : {"", "openai", "openai/", "mistral/large", "/x"}) {
    const auto unknown = models->find(slug);
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().kind == ErrorKind::model_not_found);
  }
  CHECK_THAT(models->find("judg").error().message, Catch::Contains("did you mean \"judge\"?"));
}

TEST_CASE("models.toml: every fault is told at once, with its line and what to do", "[llm][models]") {
  const auto faults = faults_of(R"([providers.a]
base_url = "ftp://x"
key_file = "relative"
requests_per_minut = 5
max_in_flight = 0
[models."b/c"]
price = { input = -1 }
[other]
)");
  CHECK_THAT(faults, Catch::Contains("models.toml:1: providers.a needs api"));
  CHECK_THAT(faults, Catch::Contains("models.toml:2: providers.a.base_url must be a URL"));
  CHECK_THAT(faults, Catch::Contains("models.toml:3: providers.a.key_file must be an absolute path"));
  CHECK_THAT(faults,
             Catch::Contains("models.toml:4: unknown key providers.a.requests_per_minut; did you mean "
                             "requests_per_minute?"));
  CHECK_THAT(faults, Catch::Contains("models.toml:5: providers.a.max_in_flight must be a whole number"));
  CHECK_THAT(faults,
             Catch::Contains("models.toml:6: models.\"b/c\" has the provider \"b\", of which there is no"));
  CHECK_THAT(faults, Catch::Contains("models.toml:7: models.\"b/c\".price.input: must be dollars"));
  CHECK_THAT(faults, Catch::Contains("needs input and output"));
  CHECK_THAT(faults, Catch::Contains("models.toml:8: unknown key other"));
}

TEST_CASE("models.toml: a secret has no place in it", "[llm][models]") {
  const auto in_url =
      faults_of("[providers.a]\napi = \"responses\"\nbase_url = \"https://u:sk-secret@host/v1\"\n");
  CHECK_THAT(in_url, Catch::Contains("base_url must not hold a user or password"));
  CHECK_THAT(in_url, !Catch::Contains("sk-secret"));
  CHECK_THAT(faults_of("[providers.a]\napi = \"responses\"\nbase_url = \"https://h\"\nkey = \"sk-secret\"\n"),
             Catch::Contains("unknown key providers.a.key") && !Catch::Contains("sk-secret"));
  CHECK_THAT(faults_of("[providers.a]\napi = \"responses\"\nbase_url = \"https://h\"\ncredential = \"k\"\n"),
             Catch::Contains("credential"));
}

TEST_CASE("models.toml: what is no TOML, and odd types", "[llm][models]") {
  CHECK_THAT(faults_of("[providers"), Catch::Contains("models.toml:1: "));
  CHECK_THAT(faults_of("providers = 3"), Catch::Contains("providers must be a table"));
  CHECK_THAT(faults_of("[providers]\na = 1"), Catch::Contains("models.toml:2: providers.a must be a table"));
  CHECK_THAT(faults_of("[models.\"\"]\n"), Catch::Contains("must have a name"));
  CHECK(Models::parse("", "models.toml")->slugs().empty());
}

TEST_CASE("read_key: the file's text without the line end, and nothing else", "[llm][models]") {
  const test::TemporaryFolder folder;
  Provider provider;
  provider.name = "p";
  CHECK(read_key(provider) == std::string());
  provider.key_file = folder.write("key", "sk-abc\n");
  CHECK(read_key(provider) == std::string("sk-abc"));
  for (const char* bad : {"", "\n", "two words", "sk-\x01", "k\nX-Header: y"}) {
    folder.write("key", bad);
    const auto key = read_key(provider);
    REQUIRE_FALSE(key);
    CHECK_THAT(key.error().message, Catch::Contains(provider.key_file) && !Catch::Contains("words"));
  }
  provider.key_file = folder.path("absent");
  CHECK_THAT(read_key(provider).error().message, Catch::Contains("provider p") && Catch::Contains("absent"));
}

TEST_CASE("read_key: only of a file, and whether everybody may read it is told", "[llm][models]") {
  const test::TemporaryFolder folder;
  Provider provider;
  provider.name = "p";
  provider.key_file = folder.write("key", "sk-abc");
  bool is_public = false;
  ::chmod(provider.key_file.c_str(), 0644);
  CHECK(read_key(provider, &is_public));
  CHECK(is_public);
  ::chmod(provider.key_file.c_str(), 0640);
  CHECK(read_key(provider, &is_public));
  CHECK_FALSE(is_public);
  provider.key_file = folder.path("pipe");
  REQUIRE(::mkfifo(provider.key_file.c_str(), 0600) == 0);  // a reader of which would wait for ever
  CHECK_THAT(read_key(provider).error().message, Catch::Contains("must be a file"));
}

TEST_CASE("models.toml: what is forwarded, and images", "[llm][models]") {
  const auto models = Models::parse(
      "[providers.a]\napi = \"responses\"\nbase_url = \"https://h\"\nforward = [\"n_predict\"]\n"
      "image_urls = true\n[models.\"a/b\"]\nforward = [\"x\", \"y\"]\nimage_tokens = 1600\n",
      "models.toml");
  REQUIRE(models);
  CHECK(models->providers().at("a").forward == std::vector<std::string>{"n_predict"});
  CHECK(models->providers().at("a").image_urls);
  CHECK(models->find("a/b")->forward == std::vector<std::string>{"x", "y"});
  CHECK(models->find("a/b")->image_tokens == 1600);
  CHECK(models->find("a/b")->listed);
  CHECK_FALSE(models->find("a/c")->listed);
  CHECK_FALSE(models->find("a/c")->image_tokens);
  for (const char* bad : {"\"x\"", "[1]", "[\"two words\"]", "[\"Temperature\"]", "[\"stream\"]"})
    CHECK_THAT(faults_of("[providers.a]\napi = \"responses\"\nbase_url = \"https://h\"\nforward = " +
                         std::string(bad) + "\n"),
               Catch::Contains("models.toml:4: providers.a.forward"));
}

}  // namespace
}  // namespace assay::llm
