// An evaluation file on its way through the public API: data uploaded, evaluators and run created, results
// fetched.
#pragma once

#include <string>
#include <vector>

#include "cli/evaluation_file.hpp"
#include "cli/progress.hpp"
#include "cli/report.hpp"
#include "daemon/api_client.hpp"

namespace assay::cli {

struct Submitted {
  std::string run;       ///< id
  bool resumed = false;  ///< an earlier run of the same file that was cut short
};

/// Uploads what the API does not have yet (files are known by their content), creates or updates the
/// evaluators, and creates the run or finds the one that an earlier call left unfinished. `fresh` cancels
/// that one instead. `stop`, once set, gives an upload up (`cancelled`). A fault of the data is `config` with
/// FILE:LINE, and nothing of that file is stored.
Task<Result<Submitted>> submit(daemon::ApiClient& api, const EvaluationFile& file, bool fresh,
                               Progress& progress, const bool& stop);

/// Follows the run until it is terminal or `stop` is set; the run object as the API last gave it.
Task<Result<std::string>> watch(daemon::ApiClient& api, std::string run, Progress& progress,
                                const bool& stop);

struct Worst {
  std::vector<WorstItem> items;
  std::string json;  ///< the same as an array of the API's result objects
};
/// The items most worth a look: those that erred, then those that failed, lowest score first.
Task<Result<Worst>> worst_items(daemon::ApiClient& api, std::string run_json, const EvaluationFile& file);

/// Streams every result of the run into `path`, one JSON object a line, in the order of the items.
Task<Result<>> save_results(daemon::ApiClient& api, std::string run, std::string path);

}  // namespace assay::cli
