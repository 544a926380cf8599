#include "daemon/llm/reply_cache.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "daemon/llm/kept_replies.hpp"
#include "tests/unit/core/loop.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace assay::llm {
namespace {

std::unique_ptr<ReplyCache> open(const test::TemporaryFolder& folder, int64_t bytes = 1 << 20) {
  auto cache = ReplyCache::open(folder.path("cache"), bytes);
  REQUIRE(cache);
  return std::move(*cache);
}

TEST_CASE("cache_key: depends on every part and where it ends", "[llm][cache]") {
  CHECK(cache_key({"a", "b"}).size() == 64);
  CHECK(cache_key({"a", "b"}) == cache_key({"a", "b"}));
  CHECK(cache_key({"ab", ""}) != cache_key({"a", "b"}));
  CHECK(cache_key({"a", "b"}) != cache_key({"b", "a"}));
}

TEST_CASE("ReplyCache: keeps replies over restarts", "[llm][cache]") {
  const test::TemporaryFolder folder;
  const std::string key = cache_key({"x"});
  {
    const auto cache = open(folder);
    CHECK_FALSE(cache->find(key));
    cache->keep(key, "one");
    cache->keep(key, "two");
    CHECK(cache->find(key) == "two");
  }
  const auto cache = open(folder);
  CHECK(cache->find(key) == "two");
  CHECK(cache->bytes() > 3);
  CHECK(cache->bytes() < 300);
  struct stat info{};
  REQUIRE(::stat(folder.path("cache").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("ReplyCache: two processes may have it at once", "[llm][cache]") {
  const test::TemporaryFolder folder;
  const auto one = open(folder), other = open(folder);
  one->keep("k", "from one");
  CHECK(other->find("k") == "from one");
  other->keep("k", "from the other");
  CHECK(one->find("k") == "from the other");
}

TEST_CASE("ReplyCache: what was not used for longest goes first, and it stays below its limit",
          "[llm][cache]") {
  const test::TemporaryFolder folder;
  const auto cache = open(folder, 200'000);
  const std::string kilobyte(1000, 'x');
  cache->keep("loved", kilobyte);
  for (int i = 0; i < 1000; ++i) {
    cache->keep("k" + std::to_string(i), kilobyte);
    CHECK(cache->bytes() <= 200'000);
    if (i % 20 == 0) CHECK(cache->find("loved"));
  }
  CHECK(cache->find("k999"));
  CHECK(cache->find("loved"));
  CHECK_FALSE(cache->find("k0"));
  cache->keep("huge", std::string(100'000, 'x'));
  CHECK_FALSE(cache->find("huge"));
  CHECK(cache->find("k999"));
  CHECK(std::filesystem::file_size(folder.path("cache/replies.db")) < 1'000'000);
}

TEST_CASE("ReplyCache: a smaller limit is kept from the start", "[llm][cache]") {
  const test::TemporaryFolder folder;
  for (int i = 0; i < 100; ++i) open(folder)->keep("k" + std::to_string(i), std::string(1000, 'x'));
  CHECK(open(folder, 20'000)->bytes() <= 20'000);
}

TEST_CASE("ReplyCache: what another program or a crash left is begun again", "[llm][cache]") {
  const test::TemporaryFolder folder;
  open(folder)->keep("k", "v");
  const std::string file = folder.path("cache/replies.db");
  SECTION("no database") {
    folder.write("cache/replies.db", std::string(10'000, 'z'));
  }
  SECTION("cut") {
    std::filesystem::resize_file(file, 5000);
  }
  SECTION("empty") {
    std::filesystem::resize_file(file, 0);
  }
  const auto cache = open(folder);
  CHECK_FALSE(cache->find("k"));
  cache->keep("k", "again");
  CHECK(cache->find("k") == "again");
}

TEST_CASE("ReplyCache: a folder that cannot be made is said so", "[llm][cache]") {
  const test::TemporaryFolder folder;
  folder.write("file", "");
  const auto cache = ReplyCache::open(folder.path("file/cache"), 1 << 20);
  REQUIRE_FALSE(cache);
  CHECK(cache.error().kind == ErrorKind::config);
  CHECK_THAT(cache.error().message, Catch::Contains("file/cache"));
}

TEST_CASE("KeptReplies: each is kept, alone or with others", "[llm][cache]") {
  const test::TemporaryFolder folder;
  asio::io_context loop;
  KeptReplies kept(loop.get_executor(), open(folder));
  Scope scope(loop.get_executor());
  int found = 0;
  const auto one = [&](std::string key) -> Task<> {
    const auto before = co_await kept.find(key);
    CHECK_FALSE(before);
    co_await kept.keep(key, "of " + key);
    const auto after = co_await kept.find(key);
    CHECK(after == "of " + key);
    ++found;
  };
  const auto all = [&]() -> Task<> {
    for (int i = 0; i < 20; ++i) co_await one("alone " + std::to_string(i));
    for (int i = 0; i < 200; ++i) scope.spawn("one", one(std::to_string(i)));
    co_await scope.join();
    co_await kept.close();
  };
  test::run(loop, all());
  CHECK(found == 220);
}

}  // namespace
}  // namespace assay::llm
