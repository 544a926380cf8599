#include "daemon/llm/reply_cache.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

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

/// Entries written past the cache, as fast as that goes.
void run_sql(const test::TemporaryFolder& folder, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(folder.path("cache/replies.db").c_str(), &db) == SQLITE_OK);
  CHECK(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(db);
}

std::string small_rows(int count) {
  return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(count) +
         ") INSERT INTO reply SELECT 'k' || i, zeroblob(100), 300, i FROM n;";
}

TEST_CASE("ReplyCache: keeping takes no longer where much is kept", "[llm][cache]") {
  const test::TemporaryFolder folder;
  open(folder);
  run_sql(folder, small_rows(100'000));  // 30 MB
  const auto cache = open(folder, 30'000'000 + 1000);
  CHECK(cache->bytes() == 30'000'000);
  cache->keep("new", std::string(2000, 'x'));
  CHECK(cache->find("new"));
  CHECK_FALSE(cache->find("k1"));
  CHECK(cache->bytes() <= 30'001'000);
  CHECK(cache->bytes() > 29'990'000);  // a few are gone, and not a tenth
  // What a hundred thousand would have to make room for is not kept; nor is anything else lost for it.
  cache->keep("large", std::string(3'000'000, 'x'));
  CHECK_FALSE(cache->find("large"));
  CHECK(cache->find("new"));
  CHECK(cache->bytes() > 29'900'000);
  // Nor does a start with a smaller limit take long.
  const auto less = open(folder, 1'000'000);
  CHECK(less->bytes() > 20'000'000);
  CHECK(less->bytes() < 29'000'000);
}

TEST_CASE("ReplyCache: workers that share a file know of each other's entries", "[llm][cache]") {
  const test::TemporaryFolder folder;
  const auto one = open(folder, 20'000), other = open(folder, 20'000);
  for (int i = 0; i < 30; ++i) {
    one->keep("one" + std::to_string(i), std::string(1000, 'x'));
    other->keep("other" + std::to_string(i), std::string(1000, 'x'));
    CHECK(other->bytes() <= 20'000);
  }
  other->keep("other29", "short");  // replaced
  CHECK(open(folder)->bytes() == other->bytes());
}

TEST_CASE("ReplyCache: a file of the time before totals is taken over", "[llm][cache]") {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("cache"));
  run_sql(folder,
          "CREATE TABLE reply (key TEXT PRIMARY KEY, value BLOB NOT NULL, bytes INTEGER NOT NULL,"
          " used INTEGER NOT NULL) WITHOUT ROWID; CREATE INDEX reply_used ON reply (used, bytes);"
          "PRAGMA user_version = 1;" +
              small_rows(3));
  const auto cache = open(folder);
  CHECK(cache->find("k2"));
  CHECK(cache->bytes() == 900);
}

TEST_CASE("ReplyCache: damage that is met later is begun again", "[llm][cache]") {
  const test::TemporaryFolder folder;
  {
    const auto cache = open(folder);
    for (int i = 0; i < 500; ++i) cache->keep("k" + std::to_string(i), std::string(1000, 'x'));
  }
  {
    // Every page but those that are read at the start: the first few and those of the index.
    std::fstream file(folder.path("cache/replies.db"), std::ios::in | std::ios::out | std::ios::binary);
    const auto size = static_cast<int64_t>(std::filesystem::file_size(folder.path("cache/replies.db")));
    for (int64_t at = int64_t{12} * 4096; at < size; at += 4096) {
      file.seekp(at);
      file << std::string(100, '\xff');
    }
  }
  const auto cache = open(folder);
  for (int i = 0; i < 500; ++i) cache->find("k" + std::to_string(i));
  cache->keep("k", "again");
  CHECK(cache->find("k") == "again");
  CHECK(cache->bytes() < 1000);
}

TEST_CASE("ReplyCache: the file is its owner's alone", "[llm][cache]") {
  const test::TemporaryFolder folder;
  const auto before = ::umask(0);
  const auto cache = open(folder);
  ::umask(before);
  cache->keep("k", "v");
  for (const auto& file : std::filesystem::directory_iterator(folder.path("cache"))) {
    INFO(file.path());
    CHECK((file.status().permissions() & std::filesystem::perms(0777)) == std::filesystem::perms(0600));
  }
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
