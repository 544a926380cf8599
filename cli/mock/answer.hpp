// What a mock says to a request, before it is put into the words of an API. Private to this folder: it brings
// simdjson.
#pragma once

#include <string>

#include "cli/mock/asked.hpp"

namespace assay::cli::mock {

struct Answer {
  std::string text;
  size_t verdict_at = 0, verdict_size = 0;  ///< the place of the verdict in it; a size of 0: none
  bool refused = false;                     ///< the text is a refusal
  bool by_tool = false;                     ///< the text is the arguments of the tool that was asked for
  std::string finish;                       ///< "stop", "length", or what the rule says
  int64_t input = 0, output = 0, cached = 0,
          reasoning = 0;  ///< tokens, as OpenAI counts: the first two are totals
};

/// `count`: how many completions there have been, with this one.
Answer compose(const Rule& rule, const Asked& asked, uint64_t count);

}  // namespace assay::cli::mock
