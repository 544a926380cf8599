// The results of a run, page by page or as one stream of lines.
#pragma once

#include <string>

#include "api/context.hpp"
#include "api/fields.hpp"
#include "api/http/message.hpp"

namespace assay::api {

struct ResultsQuery {
  int64_t limit = 0;
  std::optional<std::string> cursor, evaluator;
  bool worst = false, failed = false;
};
ResultsQuery read_results(Query& query);

Task<Answer<Response>> run_results(Context& context, Request& request);
/// Where the results behind `after` are.
std::string results_link(std::string_view run, const OutcomeId& after, int64_t limit);

}  // namespace assay::api
