// What a model may be asked at all, by what models.toml says of it and its provider.
#pragma once

#include "daemon/llm/completion.hpp"
#include "daemon/llm/models.hpp"

namespace assay::llm {

/// `config` that names the member at fault, and the key of models.toml that would allow it:
///   - forwarded members that are not known to be harmless. A parameter that a server knows may buy more than
///     a limit of money was told of (`n_predict`, `service_tier`, `fallbacks`), or send the request elsewhere
///     (`api_base`);
///   - more output than the model's max_output_tokens;
///   - images behind an address, where the provider is not said to be allowed to fetch; and in a run with a
///     limit (`limited`) images of unknown cost.
Result<void> check_permitted(const Request& request, const Model& model, const Provider& provider,
                             bool limited);

}  // namespace assay::llm
