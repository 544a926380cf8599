#include "daemon/completer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json.hpp"

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMost = 256;  // leases a call; the API takes 1024

/// The verdict on every lease of the batch, in their order.
std::vector<Result<std::string>> verdicts_from(const Result<ApiAnswer>& answer, size_t count) {
  if (!answer) return {count, std::unexpected(answer.error())};
  if (!answer->ok()) return {count, std::unexpected(answer->error())};
  const auto json = parse_json(answer->body);
  if (!json || !json->is_object() || !json->value("leases", Json()).is_array() ||
      (*json)["leases"].size() != count)
    return {count, fail(ErrorKind::transport, "the answer is none of the API's")};
  std::vector<Result<std::string>> verdicts;
  for (const auto& entry : (*json)["leases"])
    verdicts.emplace_back(entry.is_object() && entry.value("verdict", Json()).is_string()
                              ? entry["verdict"].get<std::string>()
                              : "lost");
  return verdicts;
}

}  // namespace

Completer::Completer(asio::any_io_executor executor, ApiClient& api, const Identity& self)
    : executor_(executor), api_(api), self_(self), scope_(executor) {}

Task<Result<std::string>> Completer::complete(Lease lease) {
  if (stopping_) co_return fail(ErrorKind::cancelled, "stopped");
  const auto mine = std::make_shared<Waiting>(std::move(lease), executor_);
  waiting_.push_back(mine);
  if (!std::exchange(sending_, true)) scope_.spawn("complete shards", send_all());
  while (!mine->verdict) co_await mine->answered.wait();
  co_return std::move(*mine->verdict);
}

std::string Completer::body_of(std::span<const std::shared_ptr<Waiting>> batch) const {
  Json leases = Json::array();
  for (const auto& one : batch)
    leases.push_back({{"run", one->lease.run},
                      {"shard", one->lease.shard},
                      {"epoch", one->lease.epoch},
                      {"token", one->lease.token}});
  return dump_json(
      Json{{"worker_id", self_.worker_id}, {"boot_id", self_.boot_id}, {"leases", std::move(leases)}});
}

Task<> Completer::send_all() {
  while (!waiting_.empty() && !stopping_) {
    const auto count = std::min(waiting_.size(), kMost);
    const std::vector<std::shared_ptr<Waiting>> batch(waiting_.begin(),
                                                      waiting_.begin() + static_cast<std::ptrdiff_t>(count));
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
    ApiClient::Call call;
    call.method = "POST";
    call.path = "/v1/complete";
    call.body = body_of(batch);
    call.timeout = 15s;
    const auto answer = co_await api_.call_until(std::move(call), Clock::now() + 60s);
    auto verdicts = verdicts_from(answer, batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i]->verdict = std::move(verdicts[i]);
      batch[i]->answered.notify();
    }
  }
  sending_ = false;
}

void Completer::stop() {
  if (std::exchange(stopping_, true)) return;
  for (const auto& one : waiting_) {
    one->verdict = fail(ErrorKind::cancelled, "stopped");
    one->answered.notify();
  }
  scope_.cancel();
}

Task<> Completer::join() {
  co_await scope_.join();
}

}  // namespace assay::daemon
