// What a plugin says of an evaluation, made into what the pool is told. A plugin is foreign code: each member
// is checked.
#pragma once

#include <assay/plugin.h>

#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox::plugin {

inline std::string_view view_of(assay_text text) {
  return text.size == 0 ? std::string_view() : std::string_view(text.data, text.size);
}
inline assay_text text_of(std::string_view view) {
  return {view.data(), view.size()};
}

/// Without log and usage. An outcome that is none becomes an error of the kind bad_result; one with more than
/// `result_bytes` of reason and metrics, output_limit.
wire::Answer to_answer(const assay_outcome* outcome, uint64_t result_bytes);

}  // namespace assay::sandbox::plugin
