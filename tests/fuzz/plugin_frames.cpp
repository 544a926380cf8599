// Any bytes as what a plugin host reads: frames of the pool, an item by dotted paths, metrics of a plugin,
// and what a plugin says of itself.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "sandbox/runtime/answer.hpp"
#include "sandbox/runtime/plugin/answer.hpp"
#include "sandbox/runtime/plugin/lookup.hpp"
#include "sandbox/runtime/plugin/message.hpp"
#include "sandbox/runtime/plugin_description.hpp"

using namespace assay::sandbox;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  plugin::parse_message(text);
  const size_t split = size == 0 ? 0 : data[0] % size;
  std::deque<std::string> kept;
  plugin::look_up_item(text.substr(split), text.substr(0, split), kept);
  plugin::look_up(text, "name", kept);
  assay_outcome outcome{};
  outcome.size = sizeof outcome;
  outcome.verdict = static_cast<assay_verdict>(split % 4);
  outcome.metrics = outcome.reason = outcome.kind = plugin::text_of(text);
  (void)plugin::to_answer(&outcome, 1 << 16);
  (void)parse_plugin_description(text);
  static AnswerParser parser(true);
  parser.parse(text);
  return 0;
}
