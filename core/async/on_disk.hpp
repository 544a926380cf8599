// Work that would hold up a loop, such as a walk through many files, done on a thread of its own.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <type_traits>
#include <utility>

#include "core/async/task.hpp"

namespace assay {

/// What `work()` gives, which must not throw. The caller goes on on its own executor, when the work is done:
/// cancelling it interrupts nothing there.
template <class Work>
auto on_disk(asio::thread_pool& threads, Work work) -> Task<std::invoke_result_t<Work>> {
  using Value = std::invoke_result_t<Work>;
  // Without a slot: a cancellation on the way to the thread would come back as an exception.
  auto unslotted = asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable);
  co_return co_await asio::co_spawn(
      threads.get_executor(), [work = std::move(work)]() -> Task<Value> { co_return work(); }, unslotted);
}

}  // namespace assay
