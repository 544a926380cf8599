// What is particular to the store in a file.
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <thread>

#include "api/store/row_list.hpp"
#include "api/store/sqlite_store.hpp"
#include "tests/unit/api/test_worker.hpp"

namespace assay::api::test {
namespace {

class Directory {
 public:
  Directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "assay-store-test-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file() const { return path_ + "/store.db"; }

 private:
  std::string path_;
};

SqliteOptions at(const Directory& directory) {
  SqliteOptions options;
  options.path = directory.file();
  return options;
}

template <class T>
T wait(Task<T> task) {
  asio::io_context io(1);
  std::optional<T> result;
  asio::co_spawn(io, std::move(task), [&](const std::exception_ptr&, T value) { result = std::move(value); });
  io.run();
  return std::move(*result);
}

int64_t count(const Directory& directory, const char* sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(directory.file().c_str(), &db) == SQLITE_OK);
  int64_t number = -1;
  const auto read = [](void* to, int, char** values, char**) {
    *static_cast<int64_t*>(to) = values[0] == nullptr ? -1 : std::stoll(values[0]);
    return 0;
  };
  const int code = sqlite3_exec(db, sql, read, &number, nullptr);
  sqlite3_close(db);
  REQUIRE(code == SQLITE_OK);
  return number;
}

}  // namespace

TEST_CASE("SQLite store: it is its owner's, one process's, and keeps its name", "[api][store]") {
  const Directory directory;
  auto first = open_sqlite_store(at(directory));
  REQUIRE(first);
  struct stat status{};
  REQUIRE(::stat(directory.file().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK_FALSE(open_sqlite_store(at(directory)));
  const auto incarnation = (*first)->incarnation();
  first->reset();
  const auto again = open_sqlite_store(at(directory));
  REQUIRE(again);
  CHECK((*again)->incarnation() == incarnation);
}

TEST_CASE("SQLite store: one of a newer version is refused", "[api][store]") {
  const Directory directory;
  REQUIRE(open_sqlite_store(at(directory)));
  count(directory, "PRAGMA user_version=99");
  const auto opened = open_sqlite_store(at(directory));
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message.find("newer version") != std::string::npos);
}

TEST_CASE("SQLite store: an upload that a crash cut off is cleared away", "[api][store]") {
  const Directory directory;
  {
    const auto store = open_sqlite_store(at(directory));
    REQUIRE(wait((*store)->create_key({"one", "k", kSubmit, "hash", {}})));
    const auto upload = wait((*store)->begin_upload(1, "d"));
    REQUIRE(wait((*store)->append_rows(*upload, 0, 1, "{}\n")));
  }
  CHECK(count(directory, "SELECT count(*) FROM chunks") == 1);
  {
    const auto store = open_sqlite_store(at(directory));
    for (int i = 0; i < 3; ++i) REQUIRE(wait((*store)->tick()));
  }
  CHECK(count(directory, "SELECT count(*) FROM chunks") == 0);
  CHECK(count(directory, "SELECT count(*) FROM datasets") == 0);
}

TEST_CASE("SQLite store: lists of rows survive their encoding", "[api][store]") {
  const std::vector<int64_t> rows = {0, 1, 127, 128, 5, 1'000'000'000'000, 3, 0};
  CHECK(decode_rows(encode_rows(rows)) == rows);
  CHECK(encode_rows(std::vector<int64_t>{1, 2, 3}).size() == 3);
  CHECK(decode_rows("").empty());
}

TEST_CASE("Server: stopping does not wait for idle clients and waiting claims", "[api][server]") {
  TestServer server;
  TestWorker worker(server.worker(), "w");
  Json leases = {1};
  std::jthread waiting([&] { leases = worker.claim(1, 20'000); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto begin = std::chrono::steady_clock::now();
  server.stop();
  waiting.join();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
  CHECK(leases.empty());
}

}  // namespace assay::api::test
