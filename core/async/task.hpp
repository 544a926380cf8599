// Coroutines of this house: one type, deadlines as absolute points, and results as values.
//
// Rules (docs/architecture.md has the reasons): one co_await a statement; parameters by value, or references
// whose owner joins the task; no detached work (core/async/scope.hpp); nothing blocks or computes for long on
// a loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>

namespace assay {

namespace asio = boost::asio;

template <class T = void>
using Task = asio::awaitable<T>;

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

/// Whether the task that awaits this was told to stop. A cancellation that arrives while nothing is waited
/// for is not lost: it is seen here, and by every wait below that reports it.
Task<bool> is_cancelled();

/// Waits until `when`; false when cancelled, also when that was before.
Task<bool> sleep_until(Deadline when);

}  // namespace assay
