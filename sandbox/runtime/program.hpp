// An evaluator as the sandbox sees it: source, language and limits.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay::sandbox {

/// Limits of one evaluation, but for `load`. Defaults are those of the lua runtime.
struct Limits {
  std::chrono::milliseconds wall{10'000};
  std::chrono::milliseconds cpu{5'000};
  /// Of an interpreter until it has run the top level, in wall time. Imports take what they take, and a host
  /// does them once for all its items. A lua top level has the limits of one evaluation.
  std::chrono::milliseconds load{30'000};
  uint64_t memory_bytes = 64ULL << 20;
  uint64_t result_bytes = 1ULL << 20;  ///< of the result as JSON
  uint64_t log_bytes = 64ULL << 10;    ///< kept: half from the head, half from the tail
  uint64_t llm_calls = 16;             ///< of models; plugins have no such limit
};

struct Program {
  std::string name;           ///< for messages and as the chunk name of tracebacks
  std::string language;       ///< one of language.hpp
  std::string source;         ///< of the language plugin: "PLUGIN/EVALUATOR"
  std::string params = "{}";  ///< a JSON object, given to the evaluator
  /// Of node: "item" gives each item a process, "run" lets one process serve many. The others always isolate
  /// items.
  std::string isolation = "item";
  /// With "run": whose. What one item leaves behind in the process is for the items of this run alone.
  std::string run;
  std::vector<std::string>
      grants;  ///< "candidate": it may run text of the sample as a program; "llm": it may ask models
  std::vector<std::string> requirements;  ///< of python: lines as pip has them; of node: as npm has them
  /// Of the language plugin: the absolute path of the library. All of the folder that it lies in can be read
  /// by it.
  std::string plugin;
  Limits limits;

  bool is_granted(std::string_view grant) const;
  /// Granted "llm", as plugins always are.
  bool may_ask_models() const;
  /// Two programs with the same key share hosts.
  std::string key() const;
};

}  // namespace assay::sandbox
