// What runs may spend on models: a purse for each run of this worker, filled by the API where the run has a
// limit.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/async/task.hpp"
#include "daemon/api_client.hpp"
#include "daemon/llm/purse.hpp"
#include "daemon/run_spec.hpp"
#include "daemon/spool/spool.hpp"

namespace assay::daemon {

/// Used on the worker's thread.
class Purses {
 public:
  Purses(asio::any_io_executor executor, ApiClient& api, const Identity& self)
      : executor_(executor), api_(api), self_(self) {}

  /// Of a run that one shard more works on.
  std::shared_ptr<llm::Purse> take(const RunSpec& spec);
  /// A shard has ended, and its calls with it. The last one of a run gives back what was not spent.
  Task<> release(std::string run);

 private:
  class Grants;
  struct Held {
    std::shared_ptr<llm::Purse> purse;
    size_t shards = 0;
  };
  asio::any_io_executor executor_;
  ApiClient& api_;
  const Identity& self_;
  std::map<std::string, Held> held_;
};

}  // namespace assay::daemon
