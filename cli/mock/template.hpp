// A text with {{variables}}.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace assay::cli::mock {

class Template {
 public:
  Template() = default;
  /// `config` for a variable that is not `known`, or one that does not end.
  static Result<Template> parse(std::string_view text,
                                const std::function<bool(std::string_view name)>& known);

  bool empty() const { return pieces_.empty(); }
  /// One pass: what a variable stands for is not looked at again.
  std::string expand(const std::function<std::string(std::string_view name)>& value) const;

 private:
  struct Piece {
    bool variable = false;
    std::string text;
  };
  std::vector<Piece> pieces_;
};

}  // namespace assay::cli::mock
