// Runs one coroutine to its end on a loop of its own.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <exception>

#include "core/async/task.hpp"

namespace assay::test {

/// The test hangs only if the coroutine does: everything on the loop, and the loop itself, ends with it. An
/// exception of the coroutine, such as that of a REQUIRE, leaves here.
inline void run(asio::io_context& loop, Task<> task) {
  std::exception_ptr thrown;
  bool ended = false;
  asio::co_spawn(loop, std::move(task), [&](const std::exception_ptr& error) {
    thrown = error;
    ended = true;
  });
  while (!ended && loop.run_one() > 0) {
  }
  if (thrown) std::rethrow_exception(thrown);
  REQUIRE(ended);
}

/// Lets everything that is ready on the loop have its turn.
inline Task<> settle() {
  const auto executor = co_await asio::this_coro::executor;
  for (int turn = 0; turn < 20; ++turn) co_await asio::post(executor, asio::use_awaitable);
}

}  // namespace assay::test
