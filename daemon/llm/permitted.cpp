#include "daemon/llm/permitted.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "daemon/llm/quote.hpp"

namespace assay::llm {
namespace {

/// Sampling, thinking within max_tokens, and labels: none of them costs more than the request says, or makes
/// another answer of it.
constexpr std::array<std::string_view, 20> kHarmless = {"presence_penalty",
                                                        "frequency_penalty",
                                                        "repetition_penalty",
                                                        "repeat_penalty",
                                                        "logit_bias",
                                                        "top_k",
                                                        "top_a",
                                                        "min_p",
                                                        "typical_p",
                                                        "tfs_z",
                                                        "random_seed",
                                                        "user",
                                                        "metadata",
                                                        "store",
                                                        "safety_identifier",
                                                        "prompt_cache_key",
                                                        "thinking",

                                                        "verbosity",
                                                        "text",
                                                        "truncation"};

std::unexpected<Error> bad(std::string_view where, std::string_view what) {
  return fail(ErrorKind::config, std::string(where) + ": " + std::string(what));
}

bool is_forwarded(std::string_view name, const Model& model, const Provider& provider) {
  const auto has = [name](const auto& names) { return std::ranges::find(names, name) != names.end(); };
  return has(kHarmless) || has(model.forward) || has(provider.forward);
}

Result<void> check_forwarded(const Request& request, const Model& model, const Provider& provider) {
  if (request.parameters.forwarded == "{}") return {};
  ASSAY_TRY(const auto forwarded, parse_json(request.parameters.forwarded));
  for (const auto& [name, value] : forwarded.items()) {
    // Of `text` the rest is how structured output is asked for.
    if (name == "text" && (!value.is_object() || value.size() != 1 || !value.contains("verbosity")))
      return bad("text", "must be an object with \"verbosity\" alone");
    if (!is_forwarded(name, model, provider))
      return bad(name,
                 "is not passed on to models, since it may cost more than the limits know of; where it "
                 "shall be, models.toml says so of the model or the provider: forward = [\"" +
                     name + "\"]");
  }
  return {};
}

Result<void> check_image(const std::string& url, const Model& model, const Provider& provider, bool limited) {
  const bool fetched = url.starts_with("https://") || url.starts_with("http://");
  if (!fetched && !url.starts_with("data:image/"))
    return bad("image_url.url",
               "must be a data URL of an image (\"data:image/png;base64,…\") or an http(s) address");
  if (fetched && !provider.image_urls)
    return bad("image_url.url", "must be a data URL: provider " + provider.name +
                                    " may not fetch images (image_urls = true in models.toml allows it)");
  if (limited && !model.image_tokens)
    return bad("image_url",
               "the run has a spend limit, but models.toml does not say what an image costs: give " +
                   model.slug + " image_tokens");
  return {};
}

}  // namespace

Result<void> check_permitted(const Request& request, const Model& model, const Provider& provider,
                             bool limited) {
  ASSAY_OK(check_forwarded(request, model, provider));
  const auto& wanted = request.parameters.max_tokens;
  if (wanted && model.max_output_tokens && *wanted > *model.max_output_tokens)
    return bad("max_tokens", "is " + std::to_string(*wanted) + ", but " + model.slug + " writes at most " +
                                 std::to_string(*model.max_output_tokens) +
                                 " tokens (max_output_tokens in models.toml)");
  for (const auto& message : request.messages)
    for (const auto& part : message.parts)
      if (part.type == Part::Type::image) {
        ASSAY_OK(check_image(part.text, model, provider, limited));
      }
  return {};
}

}  // namespace assay::llm
