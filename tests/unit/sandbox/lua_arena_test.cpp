#include "sandbox/runtime/lua/arena.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

#include "sandbox/runtime/lua/evaluator.hpp"

using namespace assay::sandbox::lua;

namespace {

struct Block {
  unsigned char* data;
  size_t size;
  unsigned char fill;
};

bool intact(const Block& block) {
  for (size_t i = 0; i < block.size; i++)
    if (block.data[i] != block.fill) return false;
  return true;
}

}  // namespace

TEST_CASE("Arena: blocks never overlap, whatever is taken, resized and given back", "[sandbox][lua]") {
  Arena arena(4U << 20);
  REQUIRE(arena.ok());
  std::mt19937 random(GENERATE(1, 2, 3));
  std::vector<Block> blocks;
  const auto some_size = [&] { return size_t{1} << (random() % 17); };
  for (int step = 0; step < 20'000; step++) {
    const auto fill = static_cast<unsigned char>(random());
    if (blocks.empty() || random() % 3 != 0) {
      const size_t size = some_size() + random() % 32;
      auto* const data = static_cast<unsigned char*>(Arena::allocate(&arena, nullptr, 0, size));
      if (data == nullptr) continue;
      REQUIRE(reinterpret_cast<uintptr_t>(data) % 16 == 0);
      memset(data, fill, size);
      blocks.push_back({data, size, fill});
      continue;
    }
    Block& block = blocks[random() % blocks.size()];
    REQUIRE(intact(block));
    const size_t size = random() % 2 == 0 ? 0 : some_size();
    auto* const data = static_cast<unsigned char*>(Arena::allocate(&arena, block.data, block.size, size));
    if (size == 0) {
      std::swap(block, blocks.back());
      blocks.pop_back();
    } else if (data != nullptr) {
      const size_t kept = std::min(size, block.size);
      REQUIRE(intact({data, kept, block.fill}));
      memset(data, fill, size);
      block = {data, size, fill};
    } else {
      REQUIRE(size > block.size);  // shrinking never fails
    }
  }
  for (const Block& block : blocks) REQUIRE(intact(block));
}

TEST_CASE("Arena: a full arena gives nothing, and all of it again once blocks are given back",
          "[sandbox][lua]") {
  Arena arena(1U << 20);
  std::vector<void*> blocks;
  while (void* const block = Arena::allocate(&arena, nullptr, 0, 4096)) blocks.push_back(block);
  REQUIRE(blocks.size() > 200);
  REQUIRE(Arena::allocate(&arena, nullptr, 0, size_t{1} << 60) == nullptr);
  for (void* const block : blocks) Arena::allocate(&arena, block, 4096, 0);
  size_t again = 0;
  while (Arena::allocate(&arena, nullptr, 0, 1024) != nullptr) again++;  // larger blocks are cut up
  REQUIRE(again >= 4 * (blocks.size() - 1));
}

TEST_CASE("Arena: a restore brings back contents and free lists", "[sandbox][lua]") {
  Arena arena(1U << 20);
  auto* const kept = static_cast<char*>(Arena::allocate(&arena, nullptr, 0, 100));
  strcpy(kept, "kept");
  REQUIRE(arena.take_snapshot());
  const size_t live = arena.live_bytes();
  for (int round = 0; round < 3; round++) {
    void* const first = Arena::allocate(&arena, nullptr, 0, 50);
    static void* expected = first;
    REQUIRE(first == expected);  // the same memory every time: nothing of the last round is left
    strcpy(kept, "lost");
    REQUIRE(Arena::allocate(&arena, nullptr, 0, 600'000) != nullptr);
    REQUIRE(arena.peak_bytes() > 600'000);
    arena.restore();
    REQUIRE(std::string(kept) == "kept");
    REQUIRE(arena.live_bytes() == live);
    REQUIRE(arena.peak_bytes() == live);
  }
}

TEST_CASE("Arena: an evaluator whose n-th byte is refused ends as memory_limit, for every n",
          "[sandbox][lua]") {
  // Failure injection: every size of arena fails at another allocation, in loading or in running, until one
  // suffices.
  EvaluatorSource source{.name = "test", .source = R"lua(
    local cache = {}
    for i = 1, 50 do cache[i] = ("x"):rep(i) end
    function run_evaluation(item)
      local parts = {}
      for i = 1, 100 do parts[#parts + 1] = tostring(i) .. cache[i % 50 + 1] end
      local co = coroutine.wrap(function() coroutine.yield(json.encode({a = parts})) end)
      assay.log(#co())
      return {score = 1, reason = table.concat(parts), metrics = {n = #parts}}
    end)lua"};
  bool loaded_once = false, ran_once = false;
  for (size_t bytes = 2'000; !ran_once; bytes += 512) {
    source.limits.memory_bytes = bytes;
    auto evaluator = Evaluator::create(source);
    if (!evaluator) {
      REQUIRE((evaluator.error().kind == assay::ErrorKind::config ||
               evaluator.error().kind == assay::ErrorKind::memory_limit));
      continue;
    }
    loaded_once = true;
    const Answer answer = (*evaluator)->evaluate(R"({"index":1,"sample":{"output":"a"}})");
    if (answer.error)
      REQUIRE(answer.error->kind == assay::ErrorKind::memory_limit);
    else
      ran_once = true;
    REQUIRE(bytes < 2'000'000);
  }
  REQUIRE(loaded_once);
}
