// Runs and results as clients see them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/json_text.hpp"
#include "api/store/types.hpp"

namespace assay::api {

/// What results need to know of their run.
struct RunNames {
  std::vector<std::string> evaluator_ids;
  std::vector<std::string> evaluator_names;
  std::vector<std::string> models;
};
RunNames names_of(const Run& run);

/// Whether its workers generate a side of its items.
bool generates(const Run& run);

/// The member "progress".
void append_progress(JsonObject& object, const Run& run);

/// `metrics`: a JSON array, or empty for none. What `access` may not see is left out.
void append_run(JsonObject& object, const Run& run, std::string_view metrics, const Access& access);
void append_result(std::string& out, const ResultRow& result, const RunNames& names);

/// The id of a result within its run, "item.model.evaluator.trial"; it is also the cursor that continues
/// behind it.
std::string result_id(const OutcomeId& id);
std::optional<OutcomeId> result_id_from(std::string_view text);

}  // namespace assay::api
