#include "plugins/text/regex.hpp"

#include <re2/re2.h>

#include <array>

namespace assay::text {

Regex::Regex(std::unique_ptr<const re2::RE2> compiled) : compiled_(std::move(compiled)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

std::expected<Regex, std::string> Regex::compile(std::string_view pattern, Case letters) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_case_sensitive(letters == Case::sensitive);
  auto compiled = std::make_unique<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!compiled->ok()) return std::unexpected("invalid pattern: " + compiled->error());
  return Regex(std::move(compiled));
}

bool Regex::matches(std::string_view text) const {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *compiled_);
}

bool Regex::matches_all(std::string_view text) const {
  return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *compiled_);
}

std::optional<std::string_view> Regex::extract(std::string_view text) const {
  std::array<re2::StringPiece, 2> groups;
  const int count = compiled_->NumberOfCapturingGroups() > 0 ? 2 : 1;
  const re2::StringPiece piece(text.data(), text.size());
  if (!compiled_->Match(piece, 0, piece.size(), re2::RE2::UNANCHORED, groups.data(), count))
    return std::nullopt;
  const auto& found = groups.at(static_cast<size_t>(count) - 1);
  return std::string_view(found.data(), found.size());
}

}  // namespace assay::text
