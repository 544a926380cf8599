// Templates, and judged texts behind a fence: the first half of the input is the one, the second the other.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "plugins/common/template.hpp"
#include "plugins/common/text.hpp"
#include "plugins/judge/fence.hpp"

using namespace assay::judge;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::string prompt = input.substr(0, size / 2);
  const std::string candidate = input.substr(size / 2);
  const auto fence = Fence::with_nonce("k3j9x0q7m2w5z8b1");
  if (!fence) std::abort();

  const std::string wrapped = fence->wrap("output", candidate);
  const size_t opening = fence->opening("output").size();
  const std::string inside = wrapped.substr(opening, wrapped.size() - opening - fence->closing().size());
  if (lower(std::string_view(inside)).find(fence->nonce()) != std::string::npos) std::abort();
  if (inside.size() > 12 * candidate.size() + 2) std::abort();

  const auto made = Template::compile(prompt);
  if (!made) {
    if (made.error().message.empty()) std::abort();
    return 0;
  }
  const nlohmann::json item = {{"sample", {{"input", prompt}, {"output", candidate}}},
                               {"metadata", {{"a", {1, 2, {{"b", candidate}}}}}}};
  RenderOptions options;
  options.wrap = [&](std::string_view field, std::string_view text) { return fence->wrap(field, text); };
  options.budget = 64;
  for (const bool swapped : {false, true}) {
    options.swapped = swapped;
    const auto rendered = made->render(item, options);
    if (!rendered && rendered.error().message.empty()) std::abort();
  }
  return 0;
}
