// The results of a run, page by page or as one stream of lines.
#pragma once

#include <string>

#include "api/context.hpp"
#include "api/http/message.hpp"

namespace assay::api {

Task<Answer<Response>> run_results(Context& context, Request& request);
/// Where the results behind `after` are.
std::string results_link(std::string_view run, const OutcomeId& after, int64_t limit);

}  // namespace assay::api
