// The models that evaluators may ask, as the sandbox sees them: it knows nothing of HTTP, keys or money.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/error.hpp"

namespace assay::sandbox {

/// Requests and replies are JSON objects (docs/plugins.md, "Completions").
class Completions {
 public:
  using Done = std::move_only_function<void(Result<std::string> reply)>;

  virtual ~Completions() = default;

  /// `done` is called exactly once, on the pool's thread, never from inside complete(). When *unwanted
  /// becomes true, soon, with `cancelled`.
  virtual void complete(std::string request, std::shared_ptr<const bool> unwanted, Done done) = 0;
};

}  // namespace assay::sandbox
