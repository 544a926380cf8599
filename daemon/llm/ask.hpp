// Completions as evaluators ask for them and get them: the JSON of the plugin ABI's assay_llm_service and of
// the evaluator protocol (sdk/protocol.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/llm/completion.hpp"

namespace assay::llm {

/// Whether a reply may be one that was given before.
struct CacheWish {
  bool on = false;
  /// Part of the cache's key: votes with a name each are sampled once each.
  std::string name;
};

struct Ask {
  std::string model;  ///< the slug
  Request request;    ///< `model` unset: that is the endpoint's name for it
  CacheWish cache;
};

/// {"model","messages","params"?,"schema"?,"cache"?}. `cache`: true, false, or a name; without it a reply is
/// kept when the temperature is 0. `config` that names the member at fault; other members are one.
Result<Ask> ask_from(std::string_view text);

/// A reply with what became of it on the way.
struct Answered {
  Reply reply;
  TokenUsage usage;
  std::optional<int64_t> cost;  ///< nano-dollars; nullopt: unpriced
  bool from_cache = false;
  std::vector<std::string> changes;  ///< what of the request was changed or left out for this model
};

/// As the contract has it.
std::string to_json(const Answered& answered);
/// The inverse, for the cache: all but cost and from_cache.
Result<Answered> answered_from(std::string_view text);

}  // namespace assay::llm
