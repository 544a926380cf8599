#include "daemon/spend.hpp"

#include <nlohmann/json.hpp>

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

ApiClient::Call spend_call(const std::string& run, const Identity& self, const char* what, int64_t amount) {
  ApiClient::Call call;
  call.method = "POST";
  call.path = "/v1/runs/" + run + "/spend";
  call.body = dump_json(Json{{"worker_id", self.worker_id}, {"boot_id", self.boot_id}, {what, amount}});
  call.timeout = 15s;
  return call;
}

}  // namespace

class Purses::Grants : public llm::SpendSource {
 public:
  Grants(ApiClient& api, const Identity& self, std::string run)
      : api_(api), self_(self), run_(std::move(run)) {}

  // A grant whose answer is lost stays granted and unused: the limit holds, and the run has that much less.
  Task<Result<int64_t>> more(int64_t wanted) override {
    const auto answer =
        co_await api_.call_until(spend_call(run_, self_, "wanted", wanted), Clock::now() + 60s);
    if (!answer) co_return std::unexpected(answer.error());
    if (!answer->ok()) co_return std::unexpected(answer->error());
    const auto json = parse_json(answer->body);
    if (!json || !json->is_object() || !json->value("granted", Json()).is_number_integer())
      co_return fail(ErrorKind::transport, "the API's answer about what the run may spend is none");
    co_return (*json)["granted"].get<int64_t>();
  }

 private:
  ApiClient& api_;
  const Identity& self_;
  const std::string run_;
};

std::shared_ptr<llm::Purse> Purses::take(const RunSpec& spec) {
  Held& held = held_[spec.id];
  if (!held.purse) {
    std::shared_ptr<llm::SpendSource> source;
    if (spec.spend_limit) source = std::make_shared<Grants>(api_, self_, spec.id);
    held.purse = std::make_shared<llm::Purse>(executor_, std::nullopt, std::move(source));
  }
  held.shards++;
  return held.purse;
}

Task<> Purses::release(std::string run) {
  const auto held = held_.find(run);
  if (held == held_.end() || --held->second.shards > 0) co_return;
  const auto purse = std::move(held->second.purse);
  held_.erase(held);
  const int64_t left = purse->left();
  if (left <= 0) co_return;
  // Once only: were it taken twice, the run could spend more than it may.
  co_await api_.call(spend_call(run, self_, "returned", left));
}

}  // namespace assay::daemon
