// Something in a judge's reply that was read as its verdict.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "plugins/judge/echo.hpp"
#include "plugins/judge/scan.hpp"
#include "plugins/judge/verdict.hpp"

namespace assay::judge {

inline constexpr size_t kWrittenLimit = 256;  ///< bytes of Claim::written

struct Hit {
  Result<Value> value;
  Channel channel = Channel::bare;
  Span span = {};   ///< all of it, in the text
  Span place = {};  ///< the value in it
  Claim claim = {};
  std::string reason = {};
  std::string doubt = {};  ///< not empty: why it counts only if no judged text so much as mentions its value
};

/// Whether two values differ; one that is an error differs from one that is none.
bool differ(const Result<Value>& left, const Result<Value>& right) noexcept;

/// The keys that a verdict of the contract may have in JSON, the most telling first.
std::span<const std::string_view> json_keys(const Contract& contract) noexcept;
/// The verdict of the JSON object at `object` (find_objects); nothing when it has no member for one. Keys
/// count whatever their case; members that disagree are judge_parse.
std::optional<Hit> hit_in_object(std::string_view text, const Span& object,
                                 const Contract& contract) noexcept;
/// The verdict under the key with the code.
std::optional<Hit> hit_of_code(std::string_view text, const Span& object, const Contract& contract,
                               std::string_view nonce) noexcept;
/// Whether the object has a member of that name.
bool has_member(std::string_view text, const Span& object, std::string_view key) noexcept;

}  // namespace assay::judge
