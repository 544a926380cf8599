#include "daemon/llm/purse.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "core/log.hpp"

namespace assay::llm {

std::string dollars(int64_t nano_dollars) {
  const auto nano = static_cast<uint64_t>(std::max<int64_t>(nano_dollars, 0));
  std::string fraction = std::to_string(nano % 1'000'000'000);
  fraction.insert(0, 9 - fraction.size(), '0');
  while (fraction.size() > 2 && fraction.back() == '0') fraction.pop_back();
  return "$" + std::to_string(nano / 1'000'000'000) + "." + fraction;
}

int64_t Purse::left() const {
  return limit_ ? *limit_ - reserved_ - spend_.spent : 0;
}

Task<Result<void>> Purse::reserve(int64_t most, Deadline until) {
  ASSAY_CHECK(most >= 0, "less than nothing was to be set aside");
  if (busy_) {
    const bool my_turn = co_await line_.wait(until);
    if (!my_turn) co_return co_await why_not(until);
  }
  busy_ = true;
  auto outcome = co_await make_room(most, until);
  if (outcome) reserved_ += most;
  // The turn is handed on, so that nobody who comes now gets in between.
  busy_ = !line_.empty();
  line_.wake_first();
  co_return outcome;
}

Task<Result<void>> Purse::make_room(int64_t most, Deadline until) {
  while (limit_ && most > left()) {
    if (source_) {
      auto more = co_await source_->more(added(most, -left()));
      if (!more) co_return std::unexpected(std::move(more.error()));
      ASSAY_CHECK(*more >= 0, "a spend limit was lowered");
      *limit_ = added(*limit_, *more);
      if (*more > 0 || most <= left()) continue;
    }
    if (reserved_ == 0)
      co_return fail(ErrorKind::billing, "the run's spend limit of " + dollars(*limit_) +
                                             " is reached: " + dollars(spend_.spent) +
                                             " is spent and this call may cost up to " + dollars(most));
    const bool freed = co_await freed_.wait(until);
    if (!freed) co_return co_await why_not(until);
  }
  co_return Result<void>();
}

Task<Result<void>> Purse::why_not(Deadline until) {
  const bool cancelled = co_await is_cancelled();
  if (cancelled || Clock::now() < until) co_return fail(ErrorKind::cancelled, "cancelled");
  co_return fail(ErrorKind::timeout,
                 "waited in vain for other calls to leave room in the run's spend limit of " +
                     dollars(limit_.value_or(0)));
}

void Purse::free(int64_t reserved) {
  reserved_ -= reserved;
  ASSAY_CHECK(reserved_ >= 0, "more was freed than was set aside");
  freed_.wake_all();
}

void Purse::settle(int64_t reserved, const std::optional<Cost>& cost, const TokenUsage& usage) {
  spend_.input_tokens += usage.input + usage.cache_write_5m + usage.cache_write_1h;
  spend_.cached_tokens += usage.cached;
  spend_.output_tokens += usage.output;
  if (cost) {
    ++spend_.priced_calls;
    spend_.spent = added(spend_.spent, cost->nano_dollars);
    if (cost->estimated) spend_.estimated = added(spend_.estimated, cost->nano_dollars);
    if (limit_ && cost->nano_dollars > reserved)
      log::warn("a model call cost more than it could",
                {{"cost", dollars(cost->nano_dollars)}, {"reserved", dollars(reserved)}});
  } else {
    ++spend_.unpriced_calls;
  }
  free(reserved);
}

void Purse::release(int64_t reserved) {
  free(reserved);
}

}  // namespace assay::llm
