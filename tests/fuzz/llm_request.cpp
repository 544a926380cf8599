// Whatever an evaluator asks for is a request that every dialect can send, or a `config` error.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/check.hpp"
#include "core/json.hpp"
#include "daemon/llm/ask.hpp"
#include "daemon/llm/dialect.hpp"

using namespace assay;
using namespace assay::llm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto ask = ask_from({reinterpret_cast<const char*>(data), size});
  if (!ask) {
    ASSAY_CHECK(ask.error().kind == ErrorKind::config, "a request at fault is the evaluator's fault");
    return 0;
  }
  ASSAY_CHECK(!ask->model.empty(), "a request has a model");
  for (const auto dialect : {Dialect::openai_chat, Dialect::openai_responses, Dialect::anthropic_messages}) {
    for (const auto mode :
         {StructureMode::schema, StructureMode::tool, StructureMode::json_object, StructureMode::prompt}) {
      if (ask->request.structure) ask->request.structure->mode = mode;
      const auto call = build({dialect, false, ""}, ask->request);
      ASSAY_CHECK(!call || parse_json(call->body).has_value(), "what is sent is JSON");
      ASSAY_CHECK(call || call.error().kind == ErrorKind::config,
                  "what cannot be sent is the evaluator's fault");
    }
  }
  return 0;
}
