#include "plugins/common/sides.hpp"

#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"

namespace assay::plugins {
namespace {

constexpr size_t kBudget = 1024 * 1024;  // bytes of one variable: the most that a template inserts

std::optional<Template> template_of(const Params& params, const std::string& name) {
  const auto text = params.text(name);
  if (!text && params.has(name)) throw Failure(name + ": must be a template, a string", "config");
  if (!text) return std::nullopt;
  auto made = Template::compile(*text);
  if (!made) throw Failure(name + ": " + made.error().message, "config");
  if (made->is_chat()) throw Failure(name + ": must be a text, not a chat", "config");
  return std::move(*made);
}

std::string filled(const Template& made, const std::string& name, const Item& item) {
  const auto read = parse_json(item.all());
  if (!read) throw Failure("the item is nested deeper than 64 levels or has a key twice", "config");
  const auto rendered = made.render(*read, {.budget = kBudget});
  if (!rendered) throw Failure(name + ": " + rendered.error().message, kind_of(rendered.error()));
  if (!rendered->cut.empty())
    throw Failure(name + ": {{ " + rendered->cut.front() + " }} is larger than 1 MiB", "config");
  return rendered->messages.front().content;
}

}  // namespace

Sides::Sides(const Params& params)
    : output_(template_of(params, "output")), expected_(template_of(params, "expected")) {}

std::string Sides::output(const Item& item) const {
  return output_ ? filled(*output_, "output", item) : std::string(item.sample());
}
std::string Sides::expected(const Item& item) const {
  return expected_ ? filled(*expected_, "expected", item) : std::string(item.ground_truth());
}

}  // namespace assay::plugins
