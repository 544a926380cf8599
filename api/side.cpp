#include "api/side.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "api/json_text.hpp"
#include "api/row_ranges.hpp"

namespace assay::api {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

std::string_view top(std::string_view path) {
  return path.substr(0, path.find('.'));
}

/// Only the first component is checked: deeper ones may differ from row to row.
Answer<> check_column(const Dataset& dataset, const std::optional<std::string>& column,
                      const std::string& param) {
  if (!column) return {};
  for (const auto& known : dataset.columns)
    if (known == *column || top(known) == top(*column)) return {};
  std::string list;
  for (const auto& known : dataset.columns) list += (list.empty() ? "" : ", ") + known;
  return invalid(param, "dataset " + json_quote(dataset.name) + " has no column " + json_quote(*column) +
                            "; it has: " + list);
}

Answer<> select_rows(Side& side, const Dataset& dataset, const SourceRequest& request) {
  ASSAY_OK(check_column(dataset, request.input, side.param + ".columns.input"));
  ASSAY_OK(check_column(dataset, request.output, side.param + ".columns.output"));
  ASSAY_OK(check_column(dataset, request.join, side.param + ".join"));
  if (request.offset > dataset.rows)
    return invalid(side.param + ".offset", "the dataset has only " + std::to_string(dataset.rows) + " rows");
  const int64_t left = dataset.rows - request.offset;
  side.first = request.offset;
  side.count = std::min(request.limit.value_or(left), left);
  if (request.shuffle_seed && side.count < left) {
    side.rows =
        choose_rows(request.offset, dataset.rows, side.count, static_cast<uint64_t>(*request.shuffle_seed));
    side.first = 0;
  }
  return {};
}

Task<Answer<Side>> resolve_dataset(Store& store, int64_t project, SourceRequest request, Side side) {
  const auto dataset = co_await store.dataset(project, *request.name);
  if (!dataset) {
    Problem problem = dataset.error();
    problem.param = side.param + ".dataset";
    co_return std::unexpected(std::move(problem));
  }
  side.kind = SourceKind::dataset;
  side.row = dataset->row;
  side.id = dataset->id;
  side.name = dataset->name;
  side.input = request.input;
  side.output = request.output;
  side.join = request.join;
  ASSAY_CO_OK(select_rows(side, *dataset, request));
  co_return side;
}

Task<Answer<Side>> resolve_container(Store& store, Access access, Container container, SourceRequest request,
                                     Side side) {
  if (request.name) {
    auto named = co_await store.container(access, *request.name);
    if (!named) {
      named.error().param = side.param + ".container";
      co_return std::unexpected(named.error());
    }
    container = std::move(*named);
  }
  side.kind = SourceKind::container;
  side.row = container.row;
  side.id = container.id;
  side.name = container.label;
  side.join = request.join;
  Range range{0, container.logs};
  if (request.since || request.until) {
    const int64_t until = request.until.value_or(std::numeric_limits<int64_t>::max());
    const auto found = co_await store.log_range(container.row, request.since.value_or(0), until);
    if (!found) co_return std::unexpected(found.error());
    range = *found;
  }
  side.first = range.from;
  side.count = std::min(range.to - range.from, request.limit.value_or(range.to - range.from));
  co_return side;
}

std::string generation_json(const Generation& generation, std::optional<int64_t> rows) {
  std::string out;
  {
    JsonObject object(out);
    object.text("type", "generate");
    append_json_array(object.key("models"), generation.models,
                      [](std::string& to, const std::string& model) { append_json_quote(to, model); });
    if (generation.prompt) object.text("prompt", *generation.prompt);
    object.raw("inference_params", generation.inference_params);
    if (rows) object.number("rows", *rows);
  }
  return out;
}

}  // namespace

Task<Answer<Side>> resolve_side(Store& store, Access access, Container container,
                                std::optional<SourceRequest> request, std::string param) {
  Side side;
  side.param = std::move(param);
  SourceRequest source;
  if (request) source = std::move(*request);
  if (source.generation) {
    side.generation = std::move(source.generation);
    co_return side;
  }
  if (source.type == SourceRequest::Type::dataset)
    co_return co_await resolve_dataset(store, access.project, std::move(source), std::move(side));
  co_return co_await resolve_container(store, std::move(access), std::move(container), std::move(source),
                                       std::move(side));
}

std::string resolved_json(const Side& side) {
  if (side.generation) return generation_json(*side.generation, side.count);
  const bool dataset = side.kind == SourceKind::dataset;
  std::string out;
  {
    JsonObject object(out);
    object.text("type", dataset ? "dataset" : "container");
    object.text(dataset ? "dataset" : "container", side.id);
    object.text(dataset ? "name" : "label", side.name);
    if (side.input || side.output) {
      JsonObject columns(object.key("columns"));
      columns.maybe_text("input", side.input.value_or(""));
      columns.maybe_text("output", side.output.value_or(""));
    }
    object.maybe_text("join", side.join.value_or(""));
    if (side.rows.empty()) object.number("first", side.first);
    object.number("rows", side.count);
  }
  return out;
}

std::string worker_json(const Side& side) {
  if (side.generation) return generation_json(*side.generation, std::nullopt);
  const bool dataset = side.kind == SourceKind::dataset;
  std::string out;
  {
    JsonObject object(out);
    object.text("type", dataset ? "dataset" : "container");
    object.text(dataset ? "dataset" : "container", side.id);
    if (dataset) {
      JsonObject columns(object.key("columns"));
      columns.maybe_text("input", side.input.value_or(""));
      columns.maybe_text("output", side.output.value_or(""));
    }
    object.number("first", side.first);
  }
  return out;
}

Json worker_json_again(Json side, const std::string& run) {
  if (side["type"] == "generate" && !side.contains("run")) side["run"] = run;
  return side;
}

SideReader::SideReader(Store& store, Side side)
    : store_(store), side_(std::move(side)), column_(side_.join.value_or("")) {}

int64_t SideReader::row_at(int64_t index) const {
  return side_.rows.empty() ? side_.first + index : side_.rows[static_cast<size_t>(index)];
}

Task<Answer<>> SideReader::load() {
  Answer<Lines> lines;
  if (side_.kind == SourceKind::container) {
    const Range range{side_.first + index_, side_.first + side_.count};
    lines = co_await store_.log_lines(side_.row, range, kReadBytes);
  } else {
    constexpr int64_t kRows = 4096;
    std::vector<Range> ranges;
    for (int64_t i = index_; i < std::min(side_.count, index_ + kRows); ++i) append_row(ranges, row_at(i));
    lines = co_await store_.dataset_lines(side_.row, std::move(ranges), kReadBytes);
  }
  if (!lines) co_return std::unexpected(lines.error());
  if (lines->rows == 0)
    co_return refuse(404, "rows_not_found", "the rows were deleted meanwhile", side_.param);
  text_ = std::move(lines->text);
  position_ = 0;
  co_return Answer<>{};
}

Task<Answer<std::optional<SideReader::Value>>> SideReader::next() {
  if (index_ == side_.count) co_return std::nullopt;
  if (position_ == text_.size()) {
    const auto loaded = co_await load();
    if (!loaded) co_return std::unexpected(loaded.error());
  }
  const size_t end = text_.find('\n', position_);
  const auto line = std::string_view(text_).substr(position_, end - position_);
  position_ = end + 1;
  Value value;
  value.row = row_at(index_++);
  ASSAY_CO_OK(reader_.parse(line));
  auto selected = reader_.select(column_);
  if (!selected)
    co_return invalid(side_.param + ".join",
                      "row " + std::to_string(value.row) + " has no value at " + json_quote(column_.text()));
  value.value = std::move(*selected);
  co_return std::optional<Value>(std::move(value));
}

}  // namespace assay::api
