// A side of the items that models generate: what they are asked, and what becomes of their replies.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/json.hpp"
#include "core/outcome.hpp"
#include "daemon/api_client.hpp"
#include "plugins/common/template.hpp"

namespace assay::daemon {

struct Generation {
  std::vector<std::string> models;          ///< slugs
  std::string run;                          ///< the run that has the texts; empty: they are generated
  std::optional<plugins::Template> prompt;  ///< nullopt: the other side's input is what is asked
  std::string inference_params = "{}";      ///< a JSON object
  std::string schema;  ///< of the text, as a completion request says it; empty: it is free
};

/// From a side of a run's specification; `config` for a prompt or inference parameters that are none.
Result<Generation> generation_from(const Json& side);

/// The completion request for one item (sdk/protocol.md, "item"), whose generated side has no output yet.
/// `config` for an item that lacks what the prompt names, or has no input that could be asked.
Result<std::string> request_for(const Generation& generation, const std::string& model,
                                std::string_view item_json);

/// The reply's text as an outcome: `generated`, or errored as the failure is, or when the model gave no text.
Outcome generated_from(const Result<std::string>& reply_json);

/// What Outcome::generation says of a text, and of one that could not be generated.
std::string generation_id(const Outcome& generated);

/// The texts of some items that are stored already, by item, model and trial.
using StoredTexts = std::map<std::tuple<int64_t, int, int>, Outcome>;
/// Of the items [from, to) of `run`. Bounded as pages of rows are: `output_limit` when they do not fit.
Task<Result<StoredTexts>> read_texts(ApiClient& api, std::string run, int64_t from, int64_t to);

}  // namespace assay::daemon
