#include "cli/mock/template.hpp"

namespace assay::cli::mock {
namespace {

std::string_view trimmed(std::string_view name) {
  while (name.starts_with(' ')) name.remove_prefix(1);
  while (name.ends_with(' ')) name.remove_suffix(1);
  return name;
}

}  // namespace

Result<Template> Template::parse(std::string_view text, const std::function<bool(std::string_view)>& known) {
  Template made;
  while (!text.empty()) {
    const size_t open = std::min(text.find("{{"), text.size());
    if (open > 0) made.pieces_.push_back({false, std::string(text.substr(0, open))});
    text.remove_prefix(open);
    if (text.empty()) break;
    const size_t close = text.find("}}");
    if (close == std::string_view::npos) return fail(ErrorKind::config, "has a {{ without its }}");
    const auto name = trimmed(text.substr(2, close - 2));
    if (!known(name))
      return fail(ErrorKind::config, "has the unknown variable {{" + std::string(name) + "}}");
    made.pieces_.push_back({true, std::string(name)});
    text.remove_prefix(close + 2);
  }
  return made;
}

std::string Template::expand(const std::function<std::string(std::string_view)>& value) const {
  std::string text;
  for (const auto& piece : pieces_) text += piece.variable ? value(piece.text) : piece.text;
  return text;
}

}  // namespace assay::cli::mock
