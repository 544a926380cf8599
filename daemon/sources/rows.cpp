#include "daemon/sources/rows.hpp"

#include <nlohmann/json.hpp>

#include "core/json.hpp"
#include "daemon/sources/lines.hpp"

namespace assay::daemon {
namespace {

/// What a side's columns hold in one row, as compact JSON.
struct Selected {
  std::optional<std::string> input, output;
};

std::string query_of(const Side& side, const std::optional<std::vector<int64_t>>& rows, const Lease& lease,
                     int64_t from, int64_t to) {
  if (!rows) return "?offset=" + std::to_string(side.first + from) + "&limit=" + std::to_string(to - from);
  std::string query = "?rows=";
  for (int64_t item = from; item < to;) {
    const int64_t start = (*rows)[static_cast<size_t>(item - lease.lo)];
    int64_t end = start;
    ++item;
    while (item < to && (*rows)[static_cast<size_t>(item - lease.lo)] == end + 1) {
      ++end;
      ++item;
    }
    if (query.back() != '=') query += ',';
    query += std::to_string(start);
    if (end > start) query += "-" + std::to_string(end);
  }
  return query;
}

Task<Result<Lines>> read_page(ApiClient& api, std::string path, size_t rows) {
  auto page = co_await read_lines(api, path);
  if (page && page->size() != rows)
    co_return fail(ErrorKind::transport, "the API sent " + std::to_string(page->size()) + " rows of " + path +
                                             " instead of " + std::to_string(rows));
  co_return page;
}

Result<std::optional<std::string>> column(RowReader& reader, const Side& side,
                                          const std::optional<ColumnPath>& path,
                                          const char* container_field) {
  static const ColumnPath kInput("input");
  static const ColumnPath kOutput("output");
  if (side.type == Side::Type::container)
    return reader.select(std::string_view(container_field) == "input" ? kInput : kOutput);
  if (!path) return std::nullopt;
  auto value = reader.select(*path);
  if (!value) return fail(ErrorKind::config, "the row has no column \"" + path->text() + "\"");
  return value;
}

/// A side that is generated has the other's input, and a hole for its output.
void append_side(ItemText& item, const Side& side, const Selected& own, const Selected& other) {
  std::string& out = item.json;
  out += "{\"input\":";
  out += (side.generation ? other : own).input.value_or("null");
  out += ",\"output\":";
  if (side.generation)
    item.hole = out.size();
  else
    out += own.output.value_or("null");
  // Left out for a string: the runtime sets `text` to `output` itself.
  if (own.output && !own.output->starts_with('"')) {
    out += ",\"text\":";
    append_json_quote(out, text_of(*own.output));
  }
  out += '}';
}

}  // namespace

std::string text_of(std::string_view output_json) {
  const auto parsed = parse_json(output_json);
  if (!parsed) return std::string(output_json);
  if (parsed->is_string()) return parsed->get<std::string>();
  if (parsed->is_object()) {
    static const Json::json_pointer kChat("/choices/0/message/content");
    static const Json::json_pointer kMessage("/content");
    static const Json::json_pointer kOpenAi("/output_text");
    for (const auto& pointer : {kOpenAi, kChat, kMessage})
      if (parsed->contains(pointer) && (*parsed)[pointer].is_string())
        return (*parsed)[pointer].get<std::string>();
  }
  return std::string(output_json);
}

Result<> ItemBuilder::parse(std::string_view row) {
  parsed_ = row;
  // The API took in nothing else, so this is a page of something in between, or a part of one of the API's.
  if (const auto parsed = reader_.parse(row); !parsed)
    return fail(ErrorKind::transport, "the API sent a row that is none: " + parsed.error().message);
  return {};
}

std::string ItemText::with_output(std::string_view text) const {
  std::string quoted;
  append_json_quote(quoted, text);
  return json.substr(0, hole) + quoted + json.substr(hole);
}

std::string ItemText::without_output() const {
  return hole == std::string::npos ? json : json.substr(0, hole) + "null" + json.substr(hole);
}

Result<ItemText> ItemBuilder::build(const RunSpec& spec, int64_t index, std::string_view sample_row,
                                    std::string_view ground_truth_row) {
  static const ColumnPath kId("id");
  static const ColumnPath kMetadata("metadata");
  // Of two rows the sample's says which item this is.
  std::optional<std::string> id, metadata;
  bool identified = false;
  const auto read = [&](const Side& side, std::string_view row) -> Result<Selected> {
    Selected selected;
    if (side.generation) return selected;
    if (row.data() != parsed_.data() || row.size() != parsed_.size()) {
      ASSAY_OK(parse(row));
    }
    if (!std::exchange(identified, true)) {
      id = reader_.select(kId);
      metadata = reader_.select(kMetadata);
    }
    ASSAY_TRY(selected.input, column(reader_, side, side.input, "input"));
    ASSAY_TRY(selected.output, column(reader_, side, side.output, "output"));
    return selected;
  };
  parsed_ = {};
  ASSAY_TRY(const auto sample, read(spec.sample, sample_row));
  ASSAY_TRY(const auto truth, read(spec.ground_truth, ground_truth_row));

  ItemText item;
  std::string& json = item.json;
  json = "{\"id\":";
  if (id && id->starts_with('"'))
    json += *id;
  else if (id && (id->starts_with('-') ||
                  (!id->empty() && std::isdigit(static_cast<unsigned char>((*id)[0])) != 0)))
    append_json_quote(json, *id);
  else
    append_json_quote(json, std::to_string(index));
  json += ",\"index\":" + std::to_string(index) + ",\"sample\":";
  append_side(item, spec.sample, sample, truth);
  json += ",\"ground_truth\":";
  append_side(item, spec.ground_truth, truth, sample);
  json += ",\"metadata\":";
  json += metadata && metadata->starts_with('{') ? *metadata : "{}";
  json += '}';
  return item;
}

Task<Result<std::vector<Item>>> read_items(ApiClient& api, const RunSpec& spec, const Lease& lease,
                                           int64_t from, int64_t to) {
  const auto count = static_cast<size_t>(to - from);
  const auto path_of = [&](const Side& side, const std::optional<std::vector<int64_t>>& rows) {
    return side.generation ? std::string() : side.rows_path() + query_of(side, rows, lease, from, to);
  };
  const std::string sample_path = path_of(spec.sample, lease.sample_rows);
  const std::string truth_path = path_of(spec.ground_truth, lease.ground_truth_rows);
  Result<Lines> sample, truth;
  if (!sample_path.empty()) {
    sample = co_await read_page(api, sample_path, count);
    if (!sample) co_return std::unexpected(sample.error());
  }
  const bool one_page = truth_path == sample_path;
  if (!truth_path.empty() && !one_page) {
    truth = co_await read_page(api, truth_path, count);
    if (!truth) co_return std::unexpected(truth.error());
  }
  const auto row = [](const Lines& page, size_t i) {
    return page.size() == 0 ? std::string_view() : page.line(i);
  };
  ItemBuilder builder;
  std::vector<Item> items;
  items.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const int64_t index = from + static_cast<int64_t>(i);
    auto text = builder.build(spec, index, row(*sample, i), row(one_page ? *sample : *truth, i));
    if (!text && text.error().kind == ErrorKind::transport)
      co_return std::unexpected(std::move(text.error()));
    items.push_back(Item{index, std::move(text)});
  }
  co_return items;
}

}  // namespace assay::daemon
