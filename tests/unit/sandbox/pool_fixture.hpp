// A pool with real jails, on a loop of its own.
#pragma once

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/runtime/pool.hpp"

namespace assay::sandbox {

/// How many times slower than usual this machine is: an emulated processor (`./dev test hosts`) says so.
inline int slowness() {
  const char* factor = std::getenv("ASSAY_TEST_SLOWNESS");
  return factor == nullptr ? 1 : std::max(1, std::atoi(factor));
}

/// Limits of time that honest work keeps on this machine as well.
inline Limits at_this_speed(Limits limits) {
  limits.wall *= slowness();
  limits.cpu *= slowness();
  limits.load *= slowness();
  return limits;
}

inline std::shared_ptr<const Program> make_program(std::string source, Limits limits = {},
                                                   std::string name = "test", std::string language = "lua") {
  auto program = std::make_shared<Program>();
  program->name = std::move(name);
  program->language = std::move(language);
  program->source = std::move(source);
  program->limits = at_this_speed(limits);
  return program;
}

class PoolFixture {
 public:
  /// Check `ok()`: the mode may not work on this machine.
  explicit PoolFixture(PoolOptions options = {}) {
    auto started = run(Pool::start(context_.get_executor(), options));
    if (started)
      pool_ = std::move(*started);
    else
      error_ = started.error();
  }
  ~PoolFixture() {
    if (pool_) run_void(pool_->close());
  }

  bool ok() const { return pool_ != nullptr; }
  const Error& error() const { return error_; }
  Pool& operator*() { return *pool_; }
  Pool* operator->() { return pool_.get(); }

  Outcome evaluate(std::shared_ptr<const Program> program, std::string item) {
    return run(pool_->evaluate(std::move(program), std::move(item)));
  }
  Result<> prepare(std::shared_ptr<const Program> program) { return run(pool_->prepare(std::move(program))); }

  /// Submits all at once; the outcomes in the order of the items.
  std::vector<Outcome> evaluate_all(std::shared_ptr<const Program> program,
                                    const std::vector<std::string>& items) {
    std::vector<Outcome> outcomes(items.size());
    size_t missing = items.size();
    for (size_t i = 0; i < items.size(); i++)
      pool_->submit(program, items[i], [&outcomes, &missing, i](Outcome outcome) {
        outcomes[i] = std::move(outcome);
        missing--;
      });
    run_until([&] { return missing == 0; });
    return outcomes;
  }

  template <class Condition>
  void run_until(Condition done) {
    context_.restart();
    while (!done()) context_.run_one();
  }
  void close() {
    run_void(pool_->close());
    pool_.reset();
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    asio::co_spawn(context_, std::move(task), [&](std::exception_ptr error, T result) {
      if (error) std::rethrow_exception(error);
      value.emplace(std::move(result));
    });
    run_until([&] { return value.has_value(); });
    return std::move(*value);
  }
  void run_void(Task<> task) {
    bool done = false;
    asio::co_spawn(context_, std::move(task), [&](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
      done = true;
    });
    run_until([&] { return done; });
  }

 private:
  asio::io_context context_{1};
  std::unique_ptr<Pool> pool_;
  Error error_;
};

}  // namespace assay::sandbox
