// An answer in the words of an API. Private to this folder: it brings simdjson.
#pragma once

#include <string>

#include "cli/mock/answer.hpp"

namespace assay::cli::mock {

/// What replies call who made them.
inline constexpr std::string_view kName = "assay-mock-llm";

/// The body of an answer of 200. `number` makes its id; `created` is in seconds since 1970.
std::string reply_json(const Asked& asked, const Rule& rule, const Answer& answer, uint64_t number,
                       int64_t created);

/// The body of one that is not.
std::string complaint_json(Dialect dialect, const Complaint& complaint);

}  // namespace assay::cli::mock
