// What whoever asks wrote into a request. Providers repeat it in their complaints, so words of a complaint
// that may be the asker's own prove nothing: neither that an account is out of money, nor what a model takes.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "daemon/llm/completion.hpp"

namespace assay::llm {

/// Whether `words` stand in anything that the asker wrote: the model's name, messages, forwarded members,
/// stop sequences, the schema. Case and what stands between words are left out. False without a request.
bool stands_in(const Request* request, std::string_view words);

/// Whether `message` names a forwarded member, or quotes something ('…', "…", `…`) of the schema.
bool names_what_was_asked(const Request* request, std::string_view message);

/// Whether `lowered` has one of `words` that is not the asker's own.
template <size_t N>
bool says_itself(std::string_view lowered, const std::array<std::string_view, N>& words,
                 const Request* request) {
  return std::ranges::any_of(
      words, [&](std::string_view word) { return lowered.contains(word) && !stands_in(request, word); });
}

}  // namespace assay::llm
