// models.toml: which models a worker can call, where, with which key, how fast and at what price.
// docs/models.md is its reference.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/llm/dialect.hpp"
#include "daemon/llm/price.hpp"

namespace assay::llm {

/// An account: one endpoint, one key, one set of limits.
struct Provider {
  std::string name;
  std::string base_url;  ///< without a slash at its end
  Endpoint endpoint;
  std::string key_file;  ///< empty: no key is sent
  std::string ca_file;   ///< PEM; empty: the system's authorities
  int start_in_flight = 32, max_in_flight = 256;
  int64_t requests_per_minute = 0, tokens_per_minute = 0;  ///< 0: not limited here
  int64_t max_waiting = 100'000;                           ///< calls that wait for their turn
  std::chrono::milliseconds timeout{600'000};              ///< of one attempt
  std::chrono::milliseconds give_up{3'600'000};            ///< of a whole call, its waiting included
  std::vector<std::string> forward;  ///< parameters passed on besides the harmless (daemon/llm/permitted.hpp)
  bool image_urls = false;           ///< it may fetch images itself
};

struct Model {
  std::string slug;
  std::string provider;
  std::string name;  ///< at the endpoint
  std::optional<Dialect> api;
  std::optional<Prices> prices;  ///< nullopt: unpriced
  /// The most tokens it can write at once: what is reserved for a call without a limit of its own.
  std::optional<int64_t> max_output_tokens;
  std::optional<int64_t> image_tokens;  ///< the most that one image costs
  std::vector<std::string> forward;     ///< as a provider's, of this model
  bool listed = false;                  ///< has an entry of its own
};

class Models {
 public:
  /// Every fault of the file at once, each with FILE:LINE and what to do. Key files are not read here.
  static Result<Models> load(const std::string& path);
  static Result<Models> parse(std::string_view text, const std::string& path);

  const std::map<std::string, Provider>& providers() const { return providers_; }
  /// The slugs with an entry of their own.
  std::vector<std::string> slugs() const;
  /// What slugs may begin with: "openai" of "openai/gpt-4o".
  std::set<std::string> prefixes() const;
  /// The entry, or for "PROVIDER/NAME" without one the model NAME there, unpriced. `model_not_found` that
  /// says what there is.
  Result<Model> find(const std::string& slug) const;

 private:
  std::map<std::string, Provider> providers_;
  std::map<std::string, Model> models_;
};

/// The key in the file, without blanks behind it; "" when the provider needs none. The error names the file.
/// `is_public`, unless null, is set when everybody may read the file.
Result<std::string> read_key(const Provider& provider, bool* is_public = nullptr);

}  // namespace assay::llm
