// JSON Schema: whether a document is as a schema describes.
#pragma once

#include <expected>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace assay::json_check {

struct Verdict {
  bool valid = true;
  std::string reason;  ///< the first thing wrong, with its JSON pointer; empty if valid
};

/// A schema of drafts 6, 7, 2019-09 or 2020-12, read as 2020-12 where they differ, and older keywords
/// (`definitions`, `dependencies`, `additionalItems` and arrays in `items`) as they were. `$ref` leads to
/// places in the same document
/// ("#", "#/$defs/x"). `format` and other annotations are not checked, as JSON Schema has it. `pattern` is
/// RE2's: no look-around, no backreferences.
class Schema {
 public:
  /// The error names the place and what is wrong: no schema, a keyword that is not supported (a reference to
  /// another document, `$dynamicRef`, `unevaluatedProperties`…), an invalid pattern, or nested too deeply.
  static std::expected<Schema, std::string> compile(const nlohmann::json& schema);

  Schema(Schema&&) noexcept;
  Schema& operator=(Schema&&) noexcept;
  ~Schema();

  /// Usable from many threads at once. The error says that the schema asks for more than a million checks of
  /// this document, or refers to itself without end.
  std::expected<Verdict, std::string> validate(const nlohmann::json& document) const;

 private:
  struct Compiled;
  explicit Schema(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace assay::json_check
