// Whatever bytes a client sends as a body or a query: they are taken or refused, and nothing else happens.
#include <nlohmann/json.hpp>
#include <string_view>

#include "api/container/evaluator_spec.hpp"
#include "api/http/message.hpp"
#include "api/planner.hpp"
#include "api/row_ranges.hpp"
#include "api/worker/outcomes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace assay;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)api::parse_query(text);
  (void)api::percent_decode(text, false);
  (void)api::parse_rows(text, 1000);
  const auto json = parse_json(text);
  if (!json) return 0;
  (void)api::run_request_from(*json);
  (void)api::evaluator_spec_from(*json);
  if (json->is_array()) (void)api::batch_from(*json);
  if (const auto row = outcome_from_json(*json)) {
    std::string back;
    append_outcome_json(back, row->id, row->outcome);
    if (!parse_json(back)) __builtin_trap();
  }
  return 0;
}
