// The model calls of one evaluation: passed to the broker, and added up.
#pragma once

#include <memory>
#include <string>

#include "core/outcome.hpp"
#include "daemon/llm/broker.hpp"
#include "sandbox/runtime/completions.hpp"

namespace assay::daemon {

/// What one reply of the broker cost.
ModelUse use_of(std::string_view reply_json);

class Asking : public sandbox::Completions, public std::enable_shared_from_this<Asking> {
 public:
  /// `purse`: of the run. `broker` outlives the evaluation. `fresh`: a reply that was kept will not do,
  /// unless the evaluator itself says that it will.
  Asking(llm::Broker& broker, std::shared_ptr<llm::Purse> purse, bool fresh = false)
      : broker_(broker), purse_(std::move(purse)), fresh_(fresh) {}

  void complete(std::string request, std::shared_ptr<const bool> unwanted, Done done) override;
  /// Replies, and what was paid for without one.
  const ModelUse& use() const { return use_; }

 private:
  void count(ModelUse more);

  llm::Broker& broker_;
  std::shared_ptr<llm::Purse> purse_;
  bool fresh_;
  ModelUse use_;
};

}  // namespace assay::daemon
