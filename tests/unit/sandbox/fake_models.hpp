// Models for tests of the pool.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/unit/sandbox/pool_fixture.hpp"

namespace assay::sandbox {

/// Models that say what a test wants, when it wants.
class FakeModels : public Completions {
 public:
  struct Asked {
    std::string request;
    std::shared_ptr<const bool> unwanted;
    Done done;
  };
  void complete(std::string request, std::shared_ptr<const bool> unwanted, Done done) override {
    asked.push_back({std::move(request), std::move(unwanted), std::move(done)});
  }
  void answer(Result<std::string> reply) {
    Asked first = std::move(asked.front());
    asked.pop_front();
    first.done(std::move(reply));
  }
  std::deque<Asked> asked;
};

/// Submits with models; the outcome is there once `outcome` has a value.
struct Asking {
  Asking(PoolFixture& pool, std::shared_ptr<const Program> program, std::string item,
         std::shared_ptr<FakeModels> models, std::shared_ptr<const bool> unwanted = nullptr) {
    pool->submit(
        std::move(program), std::move(item), [this](Outcome ended) { outcome = std::move(ended); },
        std::move(unwanted), std::move(models));
  }
  std::optional<Outcome> outcome;
};

}  // namespace assay::sandbox
