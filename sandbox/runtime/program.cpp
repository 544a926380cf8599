#include "sandbox/runtime/program.hpp"

#include <algorithm>

#include "core/id.hpp"
#include "sandbox/runtime/language.hpp"

namespace assay::sandbox {

std::string Program::key() const {
  std::string all;
  // Lengths before the texts, so that no two programs run together to the same key.
  for (const std::string* text : {&name, &language, &source, &params, &isolation, &run, &plugin}) {
    all += std::to_string(text->size()) + ':';
    all += *text;
  }
  for (const std::string& grant : grants) all += grant + ';';
  for (const std::string& line : requirements) all += std::to_string(line.size()) + ':' + line;
  for (const uint64_t limit :
       {static_cast<uint64_t>(limits.wall.count()), static_cast<uint64_t>(limits.cpu.count()),
        static_cast<uint64_t>(limits.load.count()), limits.memory_bytes, limits.result_bytes,
        limits.log_bytes, limits.llm_calls})
    all += ',' + std::to_string(limit);
  return sha256_hex(all);
}

bool Program::is_granted(std::string_view grant) const {
  return std::ranges::find(grants, grant) != grants.end();
}

bool Program::may_ask_models() const {
  return language == kPlugin || is_granted("llm");
}

}  // namespace assay::sandbox
