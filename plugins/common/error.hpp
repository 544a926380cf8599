// Why there is no verdict, or no prompt. A failure is never a score: not 0, not a pass.
//
// Nothing here throws: the public functions of this folder are noexcept, and memory that has run out ends the
// plugin's host, which costs the one item.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace assay::plugins {

/// The kinds of errored outcomes that the shipped plugins cause, spelled as on the wire (docs/plugins.md).
enum class ErrorKind {
  judge_refusal,    ///< the model declined to judge
  judge_truncated,  ///< the reply was cut at the token limit: what came last is unknown
  judge_parse,     ///< the reply holds no verdict, or two, or one that cannot be trusted; also an empty reply
  judge_off_menu,  ///< a verdict that the contract does not offer
  content_filter,  ///< the provider withheld the reply
  context_too_long,  ///< the prompt is larger than any that is sent
  config,            ///< the template, the contract or the item: the message names the place
  completion,        ///< a model could not be asked: Error::host_kind is the host's word for why
};
std::string_view to_string(ErrorKind kind) noexcept;

struct Error {
  ErrorKind kind = ErrorKind::judge_parse;
  std::string message;         ///< for a person; names the place and what to do
  std::string host_kind = {};  ///< of ErrorKind::completion: "auth", "timeout", …
};
/// The kind as the host is told it.
std::string kind_of(const Error& error) noexcept;

/// A value, or why there is none. As std::expected, which C++20 does not have.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& operator*() noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const noexcept { return *std::get_if<0>(&state_); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }
  const Error& error() const noexcept { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

}  // namespace assay::plugins
