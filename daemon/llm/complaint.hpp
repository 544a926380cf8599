// What of a request a provider does not take, found in its error: by `param` and code where it gives them,
// else in the words of its message.
#pragma once

#include <string>

#include "daemon/llm/completion.hpp"
#include "daemon/llm/provider_error.hpp"

namespace assay::llm {

struct Complaint {
  enum class About { nothing, parameter, structure };
  About about = About::nothing;
  std::string parameter;  ///< as Parameters names it ("stop" for "stop_sequences"), or as it was forwarded
  /// It is about the model, and so about every request; else it may be about what this one says: a forwarded
  /// member, its schema, or words of its own that the provider repeats.
  bool of_model = false;
};

/// `nothing` unless the error says that something is unknown, unsupported or not allowed here: a value out of
/// range is no complaint of that kind. `asked`: what it complains of, where that is known.
Complaint complaint_of(const ProviderError& error, const Request* asked = nullptr);

}  // namespace assay::llm
