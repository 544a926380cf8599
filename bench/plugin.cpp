// assay-bench-plugin [--json] [--items N] [--hosts N] [--evaluator nothing|exact]: evaluations a second by a
// plugin through the pool.
//
// The items are of the kind that GSM8K makes: two worked answers of about half a kilobyte each. "nothing"
// does not look at them, "exact" compares their texts.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load.hpp"
#include "core/json.hpp"
#include "sandbox/runtime/pool.hpp"

namespace {

using assay::Outcome;
using assay::Task;
using assay::bench::Load;
using assay::bench::need;
using assay::bench::run_to_end;
using assay::sandbox::Pool;
using assay::sandbox::PoolOptions;
using assay::sandbox::Program;

constexpr size_t kItems = 64;  // different ones

struct Options {
  size_t items = 100'000;
  size_t hosts = 1;
  size_t in_flight = 256;
  bool json = false;
  std::string evaluator = "nothing";
};

std::string make_item(size_t index) {
  std::string steps;
  for (int step = 0; steps.size() < 420; step++)
    steps +=
        "She sells " + std::to_string(index % 90 + step) + " eggs a day, so \"that\" makes a bit more.\n";
  const std::string number = std::to_string(index % 1000);
  std::string item = "{\"id\":\"" + std::to_string(index) + "\",\"index\":" + std::to_string(index);
  item += ",\"sample\":{\"input\":\"How many eggs?\",\"output\":" + assay::json_quote(steps + "A: " + number);
  item += "},\"ground_truth\":{\"input\":\"How many eggs?\",\"output\":" +
          assay::json_quote(steps + "A: " + number) + "}}";
  return item;
}

std::shared_ptr<const Program> evaluator(const std::string& name) {
  auto program = std::make_shared<Program>();
  program->name = name;
  program->language = "plugin";
  program->source = "nothing/" + name;
  program->plugin = ASSAY_BENCH_PLUGINS "/nothing.so";
  return program;
}

Task<> run(boost::asio::any_io_executor executor, Options options) {
  PoolOptions pool_options;
  pool_options.hosts = options.hosts;
  const auto pool = need(co_await Pool::start(executor, pool_options));
  std::vector<std::string> items;
  for (size_t i = 0; i < kItems; i++) items.push_back(make_item(i));
  size_t wrong = 0;
  const auto item = [&](size_t index) { return items[index % kItems]; };
  const auto check = [&](size_t, const Outcome& outcome) {
    if (outcome.verdict != assay::Verdict::scored || outcome.score != 1) wrong++;
  };
  Load busy(executor, *pool, evaluator(options.evaluator), item, check);
  const double per_second = co_await busy.run(options.items, options.in_flight);
  Load idle(executor, *pool, evaluator(options.evaluator), item, check);
  co_await idle.run(std::min<size_t>(options.items, 10'000), 1);
  const std::string mode(to_string(pool->mode()));
  co_await pool->close();

  const char* const format =
      options.json
          ? "{\"mode\":\"%s\",\"hosts\":%zu,\"items\":%zu,\"evaluations_per_second\":%.0f,\"wrong\":%zu,"
            "\"latency_p50_us\":%.1f,\"latency_p99_us\":%.1f}\n"
          : "mode %s, %zu host(s), %zu items: %.0f evaluations/s (%zu wrong)\n"
            "one at a time: p50 %.1f us, p99 %.1f us\n";
  std::printf(format, mode.c_str(), options.hosts, options.items, per_second, wrong, idle.latencies().p50(),
              idle.latencies().p99());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string_view argument = argv[i];
    if (argument == "--json") options.json = true;
    if (argument == "--items" && i + 1 < argc) options.items = std::strtoul(argv[++i], nullptr, 10);
    if (argument == "--evaluator" && i + 1 < argc) options.evaluator = argv[++i];
    if (argument == "--hosts" && i + 1 < argc) options.hosts = std::strtoul(argv[++i], nullptr, 10);
  }
  run_to_end([&](boost::asio::any_io_executor executor) { return run(executor, options); });
}
