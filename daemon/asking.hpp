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
  /// `purse`: of the run. `broker` outlives the evaluation.
  Asking(llm::Broker& broker, std::shared_ptr<llm::Purse> purse)
      : broker_(broker), purse_(std::move(purse)) {}

  void complete(std::string request, std::shared_ptr<const bool> unwanted, Done done) override;
  const ModelUse& use() const { return use_; }

 private:
  llm::Broker& broker_;
  std::shared_ptr<llm::Purse> purse_;
  ModelUse use_;
};

}  // namespace assay::daemon
