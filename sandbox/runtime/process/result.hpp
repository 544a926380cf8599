// What a process says its result is, and what it is told.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox::process {

/// Reads a result: JSON that is a finite number, true or false, or an object {score, passed, reason, metrics,
/// error}; with `error` {kind, message} when the runner said that the item failed. Sets answer.error
/// (bad_result, with what came) when it is none of these. Other members are ignored. `failures`: what calls
/// of the item have failed with, which the item may end with too.
void read_result(std::string_view text, wire::Answer& answer, const std::set<ErrorKind>& failures = {});

/// The item with `text` added to sample and ground_truth where output is a string (sdk/protocol.md).
std::string with_text(std::string_view item);

}  // namespace assay::sandbox::process
