// What of a request a provider does not take, found in its error: by `param` and code where it gives them,
// else in the words of its message.
#pragma once

#include <string>

#include "daemon/llm/provider_error.hpp"

namespace assay::llm {

struct Complaint {
  enum class About { nothing, parameter, structure };
  About about = About::nothing;
  std::string parameter;  ///< as Parameters names it ("stop" for "stop_sequences"), or as it was forwarded
};

/// `nothing` unless the error says that something is unknown, unsupported or not allowed here: a value out of
/// range is no complaint of that kind.
Complaint complaint_of(const ProviderError& error);

}  // namespace assay::llm
