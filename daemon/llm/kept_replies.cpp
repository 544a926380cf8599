#include "daemon/llm/kept_replies.hpp"

#include <deque>
#include <utility>

#include "core/async/event.hpp"
#include "core/async/on_disk.hpp"

namespace assay::llm {
namespace {

using namespace std::chrono_literals;

constexpr auto kApart = 4ms;  // one group from the next: who comes alone does not wait

}  // namespace

struct KeptReplies::Group {
  explicit Group(asio::any_io_executor executor) : over(executor) {}

  struct Wanted {
    std::string key;
    std::optional<std::string> reply;
  };
  // Deques: what they hold stays where it is.
  std::deque<Wanted> wanted;
  std::deque<std::pair<std::string, std::string>> kept;
  bool is_over = false;
  Event over;

  void run(ReplyCache& cache) {
    cache.together(!kept.empty(), [&] {
      for (const auto& [key, reply] : kept) cache.keep(key, reply);
      for (auto& [key, reply] : wanted) reply = cache.find(key);
    });
  }
};

KeptReplies::KeptReplies(asio::any_io_executor executor, std::unique_ptr<ReplyCache> cache)
    : executor_(executor), cache_(std::move(cache)), bytes_(cache_->bytes()), scope_(executor) {}

Task<> KeptReplies::close() {
  co_await scope_.join();
}

/// The group that is served next: whoever has joined it calls serve_soon().
std::shared_ptr<KeptReplies::Group> KeptReplies::gathering() {
  if (!next_) next_ = std::make_shared<Group>(executor_);
  return next_;
}

/// May take the group at once: nobody may join it afterwards.
void KeptReplies::serve_soon() {
  if (!std::exchange(serving_, true)) scope_.spawn("kept replies", serve());
}

Task<> KeptReplies::serve() {
  while (next_) {
    if (Clock::now() < begun_ + kApart) co_await sleep_until(begun_ + kApart);
    begun_ = Clock::now();
    const auto group = std::exchange(next_, nullptr);
    bytes_ = co_await on_disk(disk_, [cache = cache_.get(), group] {
      group->run(*cache);
      return cache->bytes();
    });
    group->is_over = true;
    group->over.notify();
  }
  serving_ = false;
}

Task<std::optional<std::string>> KeptReplies::find(std::string key) {
  const auto group = gathering();
  auto& wanted = group->wanted.emplace_back(std::move(key), std::nullopt);
  serve_soon();
  co_await group->over.wait();
  if (!group->is_over) co_return std::nullopt;
  co_return std::move(wanted.reply);
}

Task<> KeptReplies::keep(std::string key, std::string reply) {
  const auto group = gathering();
  group->kept.emplace_back(std::move(key), std::move(reply));
  serve_soon();
  co_await group->over.wait();
}

}  // namespace assay::llm
