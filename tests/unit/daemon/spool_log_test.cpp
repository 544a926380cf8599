#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <random>

#include "core/log.hpp"
#include "daemon/spool/log.hpp"
#include "tests/unit/temporary_folder.hpp"

using namespace assay;
using namespace assay::daemon;
using Catch::Contains;

namespace {

constexpr uint64_t kSegmentBytes = 4096;

struct Quiet {
  Quiet() { log::set_level(log::Level::off); }
  ~Quiet() { log::set_level(log::Level::info); }
};

std::shared_ptr<const LeaseRecord> lease(uint32_t number) {
  return std::make_shared<const LeaseRecord>(LeaseRecord{.number = number,
                                                         .holder = {"wrk_1", "boot_1", "inc_1"},
                                                         .run = "run_" + std::to_string(number),
                                                         .shard = 3,
                                                         .epoch = 7,
                                                         .token = "t"});
}

std::unique_ptr<SpoolLog> open(const std::string& folder, uint64_t segment_bytes = kSegmentBytes) {
  auto log = SpoolLog::open(folder, segment_bytes);
  REQUIRE(log);
  return std::move(*log);
}

/// Outcomes with the texts "{from}"…"{to - 1}", one call.
Result<> append(SpoolLog& log, uint32_t number, int from, int to, size_t padding = 0) {
  std::vector<SpoolLog::Outcome> group;
  for (int i = from; i < to; ++i)
    group.push_back({lease(number), std::to_string(i) + std::string(padding, ' ')});
  return log.append(group);
}

/// What is not acknowledged: the numbers of the texts, in the log's order.
std::vector<int> rest(SpoolLog& log) {
  std::vector<int> found;
  for (SpoolLog::Position at;;) {
    const auto chunk = log.read(at);
    for (const auto& outcome : chunk.outcomes) found.push_back(std::stoi(outcome.json));
    if (chunk.next == at) return found;
    at = chunk.next;
  }
}

std::vector<int> numbers(int from, int to) {
  std::vector<int> all;
  for (int i = from; i < to; ++i) all.push_back(i);
  return all;
}

std::vector<std::string> segments(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_regular_file()) names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string content(const std::string& path) {
  const auto bytes = read_file(path, 1 << 26);
  REQUIRE(bytes);
  return *bytes;
}

void put(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

uint64_t seq_of(SpoolLog& log, uint32_t number, const std::string& text) {
  for (SpoolLog::Position at;;) {
    const auto chunk = log.read(at);
    for (const auto& outcome : chunk.outcomes)
      if (outcome.lease == number && outcome.json == text) return outcome.seq;
    REQUIRE_FALSE(chunk.next == at);
    at = chunk.next;
  }
}

/// A crash: the files as they are, with no destructor that tidies them.
std::string crashed(const std::string& folder, const std::string& to) {
  std::filesystem::create_directories(to);
  for (const auto& path : segments(folder))
    std::filesystem::copy_file(path, to + "/" + std::filesystem::path(path).filename().string());
  return to;
}

}  // namespace

TEST_CASE("spool log: what was appended is there after a crash, with the lease it is of", "[daemon][spool]") {
  const test::TemporaryFolder folder;
  const auto log = open(folder.path("spool"));
  CHECK(log->recovered().leases.empty());
  REQUIRE(append(*log, 1, 0, 3));
  REQUIRE(append(*log, 2, 3, 5));
  CHECK(rest(*log) == numbers(0, 5));

  const auto again = open(crashed(folder.path("spool"), folder.path("crashed")));
  CHECK(rest(*again) == numbers(0, 5));
  REQUIRE(again->recovered().leases.size() == 2);
  const auto& second = again->recovered().leases[1];
  CHECK(second.outcomes == 2);
  CHECK(second.record.holder == Identity{"wrk_1", "boot_1", "inc_1"});
  CHECK((second.record.run == "run_2" && second.record.shard == 3 && second.record.epoch == 7));
  CHECK(second.record.token == "t");
  CHECK(again->recovered().next_lease == 3);
  CHECK(again->recovered().torn_bytes == 0);
}

TEST_CASE("spool log: what is acknowledged is gone, also after a crash, and its segments with it",
          "[daemon][spool]") {
  const test::TemporaryFolder folder;
  auto log = open(folder.path("spool"));
  for (int i = 0; i < 200; ++i) REQUIRE(append(*log, 1 + (i % 2), i, i + 1, 100));
  CHECK(segments(folder.path("spool")).size() > 5);
  const auto before = log->bytes();
  log->acknowledge({1, seq_of(*log, 1, "100" + std::string(100, ' '))});
  log->acknowledge({2, seq_of(*log, 2, "101" + std::string(100, ' '))});
  CHECK(log->bytes() < before);
  CHECK(rest(*log) == numbers(102, 200));
  CHECK(rest(*open(crashed(folder.path("spool"), folder.path("crashed")))) == numbers(102, 200));

  log->acknowledge({1, UINT64_MAX});
  log->acknowledge({2, UINT64_MAX});
  CHECK(rest(*log).empty());
  CHECK(segments(folder.path("spool")).size() <= 1);
  REQUIRE(append(*log, 1, 500, 501));  // "all" was all up to then
  CHECK(rest(*log) == numbers(500, 501));
  log->acknowledge({1, UINT64_MAX});
  log.reset();
  CHECK(segments(folder.path("spool")).empty());
}

TEST_CASE("spool log: an acknowledgement outlives the segment it was written to only as long as it is needed",
          "[daemon][spool]") {
  const test::TemporaryFolder folder;
  const auto log = open(folder.path("spool"));
  REQUIRE(append(*log, 1, 0, 1));
  for (int i = 1; i < 100; ++i) REQUIRE(append(*log, 2, i, i + 1, 100));
  log->acknowledge({2, UINT64_MAX});
  // The first segment is still needed, so everything after it stays, the acknowledgement too.
  CHECK(rest(*open(crashed(folder.path("spool"), folder.path("crashed")))) == numbers(0, 1));
}

TEST_CASE("spool log: a last segment cut anywhere in its last two records keeps all before",
          "[daemon][spool]") {
  const Quiet quiet;
  const test::TemporaryFolder folder;
  const auto log = open(folder.path("spool"), 1 << 20);
  REQUIRE(append(*log, 1, 0, 5, 20));
  std::vector<uint64_t> ends;
  for (int i = 5; i < 7; ++i) {
    ends.push_back(log->bytes());
    REQUIRE(append(*log, 1, i, i + 1, 33));
  }
  ends.push_back(log->bytes());
  const auto path = segments(folder.path("spool")).at(0);
  const std::string whole = content(path);
  REQUIRE(whole.size() == ends[2]);
  for (size_t size = ends[0]; size <= whole.size(); ++size) {
    const test::TemporaryFolder cut;
    const std::string name = cut.path(std::filesystem::path(path).filename().string());
    put(name, whole.substr(0, size));
    const auto again = open(cut.path(), 1 << 20);
    const int kept = size < ends[1] ? 5 : size < ends[2] ? 6 : 7;
    const auto torn = size - (kept == 5 ? ends[0] : kept == 6 ? ends[1] : ends[2]);
    INFO("cut at " << size);
    CHECK(rest(*again) == numbers(0, kept));
    CHECK(again->recovered().torn_bytes == torn);
    CHECK(again->recovered().damaged_segments == 0);
    CHECK(content(name).size() == size - torn);
    // It goes on from there.
    REQUIRE(append(*again, 1, kept, 8));
    CHECK(rest(*again) == numbers(0, 8));
  }
}

TEST_CASE("spool log: a flipped bit costs what it hit and nothing else", "[daemon][spool]") {
  const Quiet quiet;
  const test::TemporaryFolder folder;
  const auto log = open(folder.path("spool"), 1 << 20);
  std::vector<uint64_t> ends{kSegmentMagic.size()};
  for (int i = 0; i < 20; ++i) {
    REQUIRE(append(*log, 1, i, i + 1, 40));
    ends.push_back(log->bytes());
  }
  const auto path = segments(folder.path("spool")).at(0);
  const std::string whole = content(path);
  std::mt19937 random(1);
  for (int round = 0; round < 1000; ++round) {
    const size_t at = random() % whole.size();
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (random() % 8)));
    const test::TemporaryFolder damaged;
    const std::string name = std::filesystem::path(path).filename().string();
    put(damaged.path(name), flipped);
    const auto again = open(damaged.path(), 1 << 20);
    const auto found = rest(*again);
    INFO("flipped at " << at);
    // The first record group holds the lease itself: without it none can be attributed.
    const size_t hit = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), at) - ends.begin());
    auto expected = numbers(0, 20);
    if (hit > 0) std::erase(expected, static_cast<int>(hit) - 1);
    const bool magic = hit == 0;
    const bool padding_or_all = found == numbers(0, 20);
    const bool lease_lost = hit == 1 && found.empty();
    CHECK((magic || padding_or_all || lease_lost || found == expected));
    if (magic) CHECK(found == numbers(0, 20));
    if (!padding_or_all) CHECK(again->recovered().damaged_segments + again->recovered().torn_bytes > 0);
    const bool copied = std::filesystem::exists(damaged.path("bad/" + name));
    CHECK(copied == (again->recovered().damaged_segments > 0));
  }
}

TEST_CASE("spool log: bytes of another segment are no records here", "[daemon][spool]") {
  const Quiet quiet;
  const test::TemporaryFolder folder;
  {
    const auto log = open(folder.path("old"), 1 << 20);
    REQUIRE(append(*log, 1, 0, 50, 40));
  }
  std::string stale = content(segments(folder.path("old")).at(0));
  const auto log = open(folder.path("new"), 1 << 20);
  REQUIRE(append(*log, 1, 100, 103, 40));
  // As when a recycled block shows its former content behind the last record.
  const auto path = segments(folder.path("new")).at(0);
  const std::string fresh = content(path);
  put(path, fresh + stale.substr(fresh.size()));
  const auto again = open(crashed(folder.path("new"), folder.path("crashed")), 1 << 20);
  CHECK(rest(*again) == numbers(100, 103));
  CHECK(again->recovered().torn_bytes == stale.size() - fresh.size());
}

TEST_CASE("spool log: damage that appears while it is read back is stepped over", "[daemon][spool]") {
  const Quiet quiet;
  const test::TemporaryFolder folder;
  const auto log = open(folder.path(), 1 << 20);
  REQUIRE(append(*log, 1, 0, 1, 40));
  const auto end = log->bytes();
  REQUIRE(append(*log, 1, 1, 4, 40));
  const auto path = segments(folder.path()).at(0);
  std::string bytes = content(path);
  bytes[end + 30] ^= 1;
  put(path, bytes);
  CHECK(rest(*log) == std::vector<int>{0, 2, 3});
  CHECK(std::filesystem::exists(folder.path("bad")));
}

TEST_CASE("spool log: a folder of rubbish does not stop the start", "[daemon][spool]") {
  const Quiet quiet;
  const test::TemporaryFolder folder;
  folder.write("0000000000000001-00000000000000aa.spool", std::string(10'000, 'x'));
  folder.write("0000000000000900-00000000000000aa.spool", "");
  folder.write("notes.txt", "mine");
  const auto log = open(folder.path());
  CHECK(log->recovered().damaged_segments == 1);
  REQUIRE(append(*log, 1, 0, 3));
  CHECK(rest(*log) == numbers(0, 3));
  CHECK(std::filesystem::exists(folder.path("notes.txt")));
}

TEST_CASE("spool log: a second process is refused", "[daemon][spool]") {
  const test::TemporaryFolder folder;
  auto first = open(folder.path());
  const auto second = SpoolLog::open(folder.path(), kSegmentBytes);
  REQUIRE_FALSE(second);
  CHECK(second.error().kind == ErrorKind::config);
  CHECK_THAT(second.error().message, Contains("another process uses the spool") && Contains(folder.path()));
  first.reset();
  CHECK(SpoolLog::open(folder.path(), kSegmentBytes));
  const auto file = SpoolLog::open(folder.write("file", "") + "/below", kSegmentBytes);
  REQUIRE_FALSE(file);
  CHECK(file.error().kind == ErrorKind::config);
}

TEST_CASE("spool log: a disk that takes no more is an error, and nothing is lost when it does again",
          "[daemon][spool]") {
  const Quiet quiet;
  const test::TemporaryFolder folder;
  const auto log = open(folder.path("spool"), 1 << 20);
  REQUIRE(append(*log, 1, 0, 10, 100));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = log->bytes() + 500;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto refused = append(*log, 1, 10, 20, 100);
  log->acknowledge({1, seq_of(*log, 1, "4" + std::string(100, ' '))});
  const auto end = ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  REQUIRE(end == 0);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Contains("File too large"));
  CHECK(rest(*log) == numbers(5, 10));
  REQUIRE(append(*log, 1, 10, 20, 100));
  CHECK(rest(*log) == numbers(5, 20));
  const auto again = open(crashed(folder.path("spool"), folder.path("crashed")), 1 << 20);
  CHECK(rest(*again) == numbers(5, 20));
  CHECK(again->recovered().damaged_segments == 0);
}

TEST_CASE("spool log: what is set aside stays in bad/ when it is acknowledged", "[daemon][spool]") {
  const test::TemporaryFolder folder;
  auto log = open(folder.path());
  REQUIRE(append(*log, 1, 0, 3));
  const auto name = std::filesystem::path(segments(folder.path()).at(0)).filename().string();
  log->set_aside(1);
  log->acknowledge({1, UINT64_MAX});
  log.reset();
  CHECK(segments(folder.path()).empty());
  std::filesystem::rename(folder.path("bad/" + name), folder.path(name));
  log = open(folder.path());
  CHECK(rest(*log) == numbers(0, 3));
}
