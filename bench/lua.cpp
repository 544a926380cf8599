// assay-bench-lua [--json] [--items N] [--hosts N]: evaluations a second through the pool, each in a fresh
// Lua state.
//
// The evaluator and the items are of the kind that GSM8K makes: two worked answers of about half a kilobyte
// each, the number behind the last "A:" taken from both and compared.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.hpp"
#include "sandbox/runtime/pool.hpp"

namespace {

using assay::Outcome;
using assay::Task;
using assay::sandbox::Pool;
using assay::sandbox::PoolOptions;
using assay::sandbox::Program;
using Clock = std::chrono::steady_clock;

constexpr const char* kEvaluator = R"lua(
local function answer(text)
  local last
  for number in text:gmatch("A:%s*(%-?[%d,%.]+)") do last = number end
  return last and tonumber((last:gsub(",", "")))
end

function run_evaluation(item)
  local got, wanted = answer(item.sample.text), answer(item.ground_truth.text)
  if not got then return { score = 0, passed = false, reason = "no answer found" } end
  return { score = got == wanted and 1 or 0, passed = got == wanted }
end
)lua";

struct Options {
  size_t items = 100'000;
  size_t hosts = 1;
  size_t in_flight = 256;
  bool json = false;
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

struct Figures {
  double per_second = 0;
  double p50_us = 0, p99_us = 0;
  size_t wrong = 0;
};

/// Keeps `in_flight` evaluations under way until `items` have ended.
class Load {
 public:
  Load(Pool& pool, const Options& options, boost::asio::any_io_executor executor)
      : pool_(pool),
        options_(options),
        program_(std::make_shared<Program>()),
        done_(executor, Clock::time_point::max()) {
    auto program = std::make_shared<Program>();
    program->name = "gsm8k";
    program->language = "lua";
    program->source = kEvaluator;
    program_ = std::move(program);
    for (size_t i = 0; i < kItems; i++) items_.push_back(make_item(i));
  }

  Task<Figures> run() {
    const auto ready = co_await pool_.prepare(program_);
    if (!ready) {
      std::fprintf(stderr, "%s\n", ready.error().message.c_str());
      std::exit(3);
    }
    latencies_.reserve(options_.items);
    const auto start = Clock::now();
    for (size_t i = 0; i < std::min(options_.in_flight, options_.items); i++) submit();
    boost::system::error_code ignored;
    co_await done_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    const std::chrono::duration<double> took = Clock::now() - start;
    std::sort(latencies_.begin(), latencies_.end());
    Figures figures;
    figures.per_second = static_cast<double>(options_.items) / took.count();
    figures.p50_us = latencies_[latencies_.size() / 2];
    figures.p99_us = latencies_[latencies_.size() * 99 / 100];
    figures.wrong = wrong_;
    co_return figures;
  }

 private:
  static constexpr size_t kItems = 64;

  void submit() {
    const auto sent = Clock::now();
    pool_.submit(program_, items_[submitted_++ % kItems], [this, sent](Outcome outcome) {
      latencies_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - sent).count());
      if (outcome.verdict != assay::Verdict::scored || outcome.score != 1) wrong_++;
      if (submitted_ < options_.items) submit();
      if (latencies_.size() == options_.items) done_.cancel();
    });
  }

  Pool& pool_;
  Options options_;
  std::shared_ptr<const Program> program_;
  boost::asio::steady_timer done_;
  std::vector<std::string> items_;
  std::vector<double> latencies_;
  size_t submitted_ = 0, wrong_ = 0;
};

Task<> run(boost::asio::any_io_executor executor, Options options) {
  PoolOptions pool_options;
  pool_options.hosts = options.hosts;
  auto pool = co_await Pool::start(executor, pool_options);
  if (!pool) {
    std::fprintf(stderr, "%s\n", pool.error().message.c_str());
    std::exit(3);
  }
  Load busy(**pool, options, executor);
  const Figures throughput = co_await busy.run();
  Options one_by_one = options;
  one_by_one.items = std::min<size_t>(options.items, 10'000);
  one_by_one.in_flight = 1;
  Load idle(**pool, one_by_one, executor);
  const Figures latency = co_await idle.run();
  const std::string mode(to_string((*pool)->mode()));
  co_await (*pool)->close();

  const char* const format =
      options.json
          ? "{\"mode\":\"%s\",\"hosts\":%zu,\"items\":%zu,\"evaluations_per_second\":%.0f,\"wrong\":%zu,"
            "\"latency_p50_us\":%.1f,\"latency_p99_us\":%.1f}\n"
          : "mode %s, %zu host(s), %zu items: %.0f evaluations/s (%zu wrong)\n"
            "one at a time: p50 %.1f us, p99 %.1f us\n";
  std::printf(format, mode.c_str(), options.hosts, options.items, throughput.per_second,
              throughput.wrong + latency.wrong, latency.p50_us, latency.p99_us);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string_view argument = argv[i];
    if (argument == "--json") options.json = true;
    if (argument == "--items" && i + 1 < argc) options.items = std::strtoul(argv[++i], nullptr, 10);
    if (argument == "--hosts" && i + 1 < argc) options.hosts = std::strtoul(argv[++i], nullptr, 10);
  }
  boost::asio::io_context context(1);
  boost::asio::co_spawn(context, run(context.get_executor(), options), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  context.run();
}
