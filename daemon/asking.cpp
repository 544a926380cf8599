#include "daemon/asking.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json.hpp"
#include "daemon/llm/bounds.hpp"

namespace assay::daemon {
namespace {

/// The most that an outcome may say.
constexpr int64_t kMostNanoDollars = 9'000'000'000'000'000;

}  // namespace

ModelUse use_of(std::string_view reply_json) {
  ModelUse use;
  use.calls = 1;
  const auto reply = parse_json(reply_json);
  if (!reply || !reply->is_object()) return use;
  if (const auto usage = reply->find("usage"); usage != reply->end() && usage->is_object()) {
    use.input_tokens = usage->value("input", int64_t{0});
    use.cached_tokens = usage->value("cached", int64_t{0});
    use.output_tokens = usage->value("output", int64_t{0});
    use.reasoning_tokens = usage->value("reasoning", int64_t{0});
    use.estimated = usage->value("estimated", false) ? 1 : 0;
  }
  use.from_cache = reply->value("from_cache", false) ? 1 : 0;
  if (const auto cost = reply->find("cost"); cost != reply->end() && cost->is_number())
    use.nano_dollars = std::llround(std::clamp(cost->get<double>() * 1e9, 0.0, double{kMostNanoDollars}));
  else if (use.from_cache == 0)
    use.unpriced = 1;
  return use;
}

void Asking::count(ModelUse more) {
  more.nano_dollars = std::min(more.nano_dollars, kMostNanoDollars);
  use_ += more;
  use_.nano_dollars = std::min(use_.nano_dollars, kMostNanoDollars);
}

void Asking::complete(std::string request, std::shared_ptr<const bool> unwanted, Done done) {
  if (fresh_ && !llm::has_more_values(request, llm::kRequestValues))
    // Written into the text: the order of a schema's properties is to stay.
    if (const auto json = parse_json(request);
        json && json->is_object() && !json->empty() && !json->contains("cache"))
      request.replace(request.find('{'), 1, R"({"cache":false,)");
  const auto lost = std::make_shared<ModelUse>();
  broker_.complete(
      std::move(request), {.purse = purse_, .unwanted = std::move(unwanted), .lost = lost},
      [self = shared_from_this(), lost, done = std::move(done)](Result<std::string> reply) mutable {
        // Outcomes tell nothing of models without a call.
        if (!reply && *lost != ModelUse{}) lost->calls = 1;
        self->count(*lost);
        if (reply) self->count(use_of(*reply));
        done(std::move(reply));
      });
}

}  // namespace assay::daemon
