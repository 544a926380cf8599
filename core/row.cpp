#include "core/row.hpp"

#include <simdjson.h>

#include <nlohmann/json.hpp>

#include "core/json.hpp"

namespace assay {
namespace {

/// simdjson reads up to this many bytes behind the document.
constexpr size_t kPadding = simdjson::SIMDJSON_PADDING;

}  // namespace

ColumnPath::ColumnPath(std::string text) : text_(std::move(text)) {
  size_t start = 0;
  for (;;) {
    const size_t dot = text_.find('.', start);
    parts_.push_back(text_.substr(start, dot - start));
    if (dot == std::string::npos) return;
    start = dot + 1;
  }
}

struct RowReader::Impl {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string padded;

  std::optional<simdjson::dom::element> find(const ColumnPath& path) const {
    simdjson::dom::element value;
    if (root.at_key(path.text()).get(value) == simdjson::SUCCESS) return value;
    value = root;
    for (const auto& part : path.parts()) {
      simdjson::error_code error = simdjson::NO_SUCH_FIELD;
      if (value.is_object()) {
        error = value.at_key(part).get(value);
      } else if (value.is_array() && !part.empty() &&
                 part.find_first_not_of("0123456789") == std::string::npos) {
        error = value.at_pointer("/" + part).get(value);
      }
      if (error != simdjson::SUCCESS) return std::nullopt;
    }
    return value;
  }
};

RowReader::RowReader() : impl_(std::make_unique<Impl>()) {}
RowReader::RowReader(RowReader&&) noexcept = default;
RowReader& RowReader::operator=(RowReader&&) noexcept = default;
RowReader::~RowReader() = default;

Result<void> RowReader::parse(std::string_view row) {
  // Headroom of doubling keeps a stream of slowly growing rows from reallocating for each.
  if (impl_->padded.size() < row.size() + kPadding) impl_->padded.resize(2 * row.size() + kPadding);
  row.copy(impl_->padded.data(), row.size());
  // The parser counts the document itself as a level.
  if (impl_->parser.max_depth() != kJsonDepthLimit + 1) {
    const auto error = impl_->parser.allocate(row.size(), kJsonDepthLimit + 1);
    if (error != simdjson::SUCCESS) return fail(ErrorKind::internal, simdjson::error_message(error));
  }
  const auto error = impl_->parser.parse(impl_->padded.data(), row.size(), false).get(impl_->root);
  if (error != simdjson::SUCCESS) {
    // The strict parser says where; it also refuses what this one refuses, but for numbers beyond 64 bits.
    if (const auto strict = parse_json(row); !strict) return std::unexpected(strict.error());
    if (error == simdjson::NUMBER_ERROR)
      return fail(ErrorKind::config,
                  "a whole number of the row does not fit in 64 bits; write it as a string");
    return fail(ErrorKind::config, std::string("not readable as JSON: ") + simdjson::error_message(error));
  }
  if (!impl_->root.is_object()) return fail(ErrorKind::config, "a row must be a JSON object");
  return {};
}

std::optional<std::string> RowReader::select(const ColumnPath& path) {
  const auto value = impl_->find(path);
  if (!value) return std::nullopt;
  return simdjson::minify(*value);
}

bool RowReader::has(const ColumnPath& path) {
  return impl_->find(path).has_value();
}

std::vector<std::string> RowReader::columns() {
  std::vector<std::string> names;
  for (const auto field : simdjson::dom::object(impl_->root)) {
    simdjson::dom::object nested;
    if (field.value.get(nested) != simdjson::SUCCESS || nested.size() == 0) {
      names.emplace_back(field.key);
      continue;
    }
    for (const auto inner : nested) names.push_back(std::string(field.key) + "." + std::string(inner.key));
  }
  return names;
}

}  // namespace assay
