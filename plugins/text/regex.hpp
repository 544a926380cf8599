// Regular expressions in linear time (RE2), on UTF-8.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/text/contains.hpp"

namespace re2 {
class RE2;
}

namespace assay::text {

/// A compiled pattern; usable from many threads at once.
class Regex {
 public:
  /// The error is RE2's: the pattern is none, or too large, or asks for what linear time cannot give
  /// (look-around, backreferences).
  static std::expected<Regex, std::string> compile(std::string_view pattern, Case letters = Case::sensitive);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// Somewhere in `text`.
  bool matches(std::string_view text) const;
  /// From the first to the last byte.
  bool matches_all(std::string_view text) const;
  /// The first group of the first match, or the whole match of a pattern without groups; a view into `text`.
  /// nullopt for no match; empty for a group that took no part in it.
  std::optional<std::string_view> extract(std::string_view text) const;

 private:
  explicit Regex(std::unique_ptr<const re2::RE2> compiled);
  std::unique_ptr<const re2::RE2> compiled_;
};

}  // namespace assay::text
