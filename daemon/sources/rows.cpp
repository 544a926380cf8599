#include "daemon/sources/rows.hpp"

#include <nlohmann/json.hpp>

#include "core/json.hpp"

namespace assay::daemon {
namespace {

constexpr size_t kPageBytes = 32ULL << 20;

/// The rows of one page, in one text. By their places in it: views would not outlive a move of a short text.
struct Page {
  std::string text;
  std::vector<std::pair<size_t, size_t>> lines;  ///< offset and size

  std::string_view line(size_t i) const {
    return std::string_view(text).substr(lines[i].first, lines[i].second);
  }
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

Task<Result<Page>> read_page(ApiClient& api, std::string path, size_t rows) {
  ApiClient::Call call;
  call.path = path;
  call.accept = "application/jsonl";
  Page page;
  bool too_large = false;
  call.on_body = [&page, &too_large](std::string_view piece) {
    if (page.text.size() + piece.size() > kPageBytes)
      too_large = true;
    else
      page.text.append(piece);
  };
  const auto answer = co_await api.call(std::move(call));
  if (!answer) co_return std::unexpected(answer.error());
  if (!answer->ok()) co_return std::unexpected(answer->error());
  // A single row always fits; more than one may have to be asked for in smaller pages.
  if (too_large) co_return fail(ErrorKind::output_limit, "the page of rows is too large");
  for (size_t at = 0; at < page.text.size();) {
    const size_t end = std::min(page.text.find('\n', at), page.text.size());
    page.lines.emplace_back(at, end - at);
    at = end + 1;
  }
  if (page.lines.size() != rows)
    co_return fail(ErrorKind::transport, "the API sent " + std::to_string(page.lines.size()) + " rows of " +
                                             path + " instead of " + std::to_string(rows));
  co_return page;
}

void append_side(std::string& out, const std::optional<std::string>& input,
                 const std::optional<std::string>& output) {
  out += "{\"input\":";
  out += input.value_or("null");
  out += ",\"output\":";
  out += output.value_or("null");
  // Left out for a string: the runtime sets `text` to `output` itself.
  if (output && !output->starts_with('"')) {
    out += ",\"text\":";
    append_json_quote(out, text_of(*output));
  }
  out += '}';
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
  // The API took in nothing else, so this is a page of something in between, or a part of one of the API's.
  if (const auto parsed = reader_.parse(row); !parsed)
    return fail(ErrorKind::transport, "the API sent a row that is none: " + parsed.error().message);
  return {};
}

Result<std::string> ItemBuilder::build(const RunSpec& spec, int64_t index, std::string_view sample_row,
                                       std::string_view ground_truth_row) {
  static const ColumnPath kId("id");
  static const ColumnPath kMetadata("metadata");
  ASSAY_OK(parse(sample_row));
  ASSAY_TRY(const auto sample_input, column(reader_, spec.sample, spec.sample.input, "input"));
  ASSAY_TRY(const auto sample_output, column(reader_, spec.sample, spec.sample.output, "output"));
  const auto id = reader_.select(kId);
  const auto metadata = reader_.select(kMetadata);
  if (ground_truth_row.data() != sample_row.data()) {
    ASSAY_OK(parse(ground_truth_row));
  }
  ASSAY_TRY(const auto truth_input, column(reader_, spec.ground_truth, spec.ground_truth.input, "input"));
  ASSAY_TRY(const auto truth_output, column(reader_, spec.ground_truth, spec.ground_truth.output, "output"));

  std::string json = "{\"id\":";
  if (id && id->starts_with('"'))
    json += *id;
  else if (id && (id->starts_with('-') ||
                  (!id->empty() && std::isdigit(static_cast<unsigned char>((*id)[0])) != 0)))
    append_json_quote(json, *id);
  else
    append_json_quote(json, std::to_string(index));
  json += ",\"index\":" + std::to_string(index) + ",\"sample\":";
  append_side(json, sample_input, sample_output);
  json += ",\"ground_truth\":";
  append_side(json, truth_input, truth_output);
  json += ",\"metadata\":";
  json += metadata && metadata->starts_with('{') ? *metadata : "{}";
  json += '}';
  return json;
}

Task<Result<std::vector<Item>>> read_items(ApiClient& api, const RunSpec& spec, const Lease& lease,
                                           int64_t from, int64_t to) {
  const auto count = static_cast<size_t>(to - from);
  const std::string sample_path =
      spec.sample.rows_path() + query_of(spec.sample, lease.sample_rows, lease, from, to);
  const std::string truth_path =
      spec.ground_truth.rows_path() + query_of(spec.ground_truth, lease.ground_truth_rows, lease, from, to);
  const auto sample = co_await read_page(api, sample_path, count);
  if (!sample) co_return std::unexpected(sample.error());
  Result<Page> truth;
  if (truth_path != sample_path) {
    truth = co_await read_page(api, truth_path, count);
    if (!truth) co_return std::unexpected(truth.error());
  }
  ItemBuilder builder;
  std::vector<Item> items;
  items.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const int64_t index = from + static_cast<int64_t>(i);
    auto json =
        builder.build(spec, index, sample->line(i), (truth_path == sample_path ? *sample : *truth).line(i));
    if (!json && json.error().kind == ErrorKind::transport)
      co_return std::unexpected(std::move(json.error()));
    items.push_back(Item{index, std::move(json)});
  }
  co_return items;
}

}  // namespace assay::daemon
