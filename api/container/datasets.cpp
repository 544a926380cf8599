// Datasets: named lists of rows that never change.
#include <simdjson.h>

#include <nlohmann/json.hpp>

#include "api/container/list.hpp"
#include "api/container/upload.hpp"
#include "api/routes.hpp"
#include "api/row_ranges.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

void append_dataset(std::string& out, const Dataset& dataset) {
  JsonObject object(out);
  object.text("object", "dataset");
  object.text("id", dataset.id);
  object.text("name", dataset.name);
  object.number("rows", dataset.rows);
  object.number("bytes", dataset.bytes);
  object.text("sha256", dataset.sha256);
  append_json_array(object.key("columns"), dataset.columns,
                    [](std::string& to, const std::string& column) { append_json_quote(to, column); });
  object.raw("metadata", dataset.metadata);
  object.text("created_at", iso8601(dataset.created_at));
}

/// Stores the last chunk and makes the dataset visible.
Task<Answer<Response>> publish_upload(Context& context, Request& request, Upload& upload,
                                      std::string metadata) {
  const auto flushed = co_await upload.flush();
  if (!flushed) co_return std::unexpected(flushed.error());
  Dataset dataset = upload.describe();
  if (dataset.rows == 0) co_return invalid("rows", "a dataset needs at least one row");
  dataset.id = make_id("ds_");
  dataset.metadata = std::move(metadata);
  dataset.created_at = now_ms();
  // The digest of the rows stands for the body, which is gone by now.
  if (request.receipt)
    request.receipt->request_sha256 =
        sha256_hex(dataset.name + '\n' + dataset.metadata + '\n' + dataset.sha256);
  Response response;
  append_dataset(response.body, dataset);
  const auto finished = co_await context.store.finish_upload(request.principal.project(), upload.id(),
                                                             dataset, request.receipt_for(response.body));
  if (!finished) co_return std::unexpected(finished.error());
  co_return response;
}

/// Ends an upload one way or the other: published whole, or nothing of it left.
Task<Answer<Response>> finish_upload(Context& context, Request& request, Upload& upload, Answer<> added,
                                     std::string metadata) {
  Answer<Response> answer;
  if (added) {
    answer = co_await publish_upload(context, request, upload, std::move(metadata));
  } else {
    answer = std::unexpected(std::move(added).error());
  }
  if (!answer) co_await upload.abort();
  co_return answer;
}

/// Cuts a body into lines as it arrives.
Task<Answer<>> add_lines(BodyReader& reader, Upload& upload, size_t longest) {
  std::string rest;  // the beginning of a line that has not arrived whole
  int64_t number = 0;
  for (;;) {
    const auto piece = co_await reader.next();
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) break;
    std::string_view text = *piece;
    for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
      const auto tail = text.substr(0, end);
      if (!rest.empty()) rest += tail;
      const auto added = upload.add(rest.empty() ? tail : std::string_view(rest), ++number);
      if (!added) co_return added;
      rest.clear();
      text.remove_prefix(end + 1);
      if (!upload.full()) continue;
      const auto flushed = co_await upload.flush();
      if (!flushed) co_return flushed;
    }
    rest += text;
    if (rest.size() > longest) co_return upload.add(rest, number + 1);
  }
  co_return upload.add(rest, number + 1);
}

std::optional<std::string> read_name(Query& query) {
  auto name = query.text("name");
  query.note("name", "The dataset's, of a body of JSON lines, which needs it; at most 256 bytes.");
  return name;
}

Task<Answer<Response>> upload_lines(Context& context, Request& request) {
  Query query(request.query);
  const auto name = read_name(query);
  ASSAY_CO_OK(query.done());
  if (!name || name->empty() || name->size() > kLabelLength)
    co_return invalid("name", "give the dataset's name as ?name=NAME, at most 256 bytes");
  if (const char* const wrong = bad_characters(*name, true))
    co_return invalid("name", "name " + std::string(wrong));
  Upload upload(context, request.principal.project(), *name);
  const auto begun = co_await upload.begin();
  if (!begun) co_return std::unexpected(begun.error());
  const auto added = co_await add_lines(*request.reader, upload, context.options.limits.line_bytes);
  auto answer = co_await finish_upload(context, request, upload, added, "{}");
  co_return answer;
}

/// The text of every row of a body that parse_json() has taken: numbers and the order of keys stay as they
/// were written.
Answer<std::vector<std::string_view>> rows_of(const simdjson::padded_string& body) {
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::array elements;
  if (parser.iterate(body).get(document) != simdjson::SUCCESS ||
      document["rows"].get_array().get(elements) != simdjson::SUCCESS)
    return refuse(400, "invalid_json", "the body could not be read");
  std::vector<std::string_view> rows;
  for (auto element : elements) {
    simdjson::ondemand::object object;
    std::string_view text;
    if (element.get_object().get(object) != simdjson::SUCCESS ||
        object.raw_json().get(text) != simdjson::SUCCESS) {
      const std::string param = "rows[" + std::to_string(rows.size()) + ']';
      return refuse(422, "invalid_row", param + " must be an object; nothing was stored", param);
    }
    rows.push_back(text);
  }
  return rows;
}

Task<Answer<>> add_rows(std::vector<std::string_view> rows, Upload& upload) {
  int64_t number = 0;
  for (const auto row : rows) {
    ASSAY_CO_OK(upload.add(row, ++number));
    if (!upload.full()) continue;
    const auto flushed = co_await upload.flush();
    if (!flushed) co_return flushed;
  }
  co_return Answer<>{};
}

Task<Answer<std::string>> read_all(BodyReader& reader, size_t limit) {
  std::string body;
  for (;;) {
    const auto piece = co_await reader.next();
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) co_return body;
    if (body.size() + piece->size() > limit)
      co_return refuse(413, "body_too_large",
                       "a JSON body has at most " + std::to_string(limit) +
                           " bytes; send the rows as application/jsonl to ?name=NAME instead");
    body += *piece;
  }
}

struct DatasetFields {
  std::string name, metadata;
};

DatasetFields read_dataset(Fields& body) {
  DatasetFields dataset;
  dataset.name = body.text("name", kLabelLength);
  dataset.metadata = body.object_text("metadata");
  body.array("rows", SIZE_MAX, R"({"type":"object"})");
  return dataset;
}

Task<Answer<Response>> upload_json(Context& context, Request& request) {
  const auto text = co_await read_all(*request.reader, context.options.limits.json_body_bytes);
  if (!text) co_return std::unexpected(text.error());
  const auto json = parse_json(*text);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto dataset = read_dataset(body);
  ASSAY_CO_OK(body.done());
  const simdjson::padded_string padded(*text);
  auto rows = rows_of(padded);
  if (!rows) co_return std::unexpected(rows.error());
  Upload upload(context, request.principal.project(), std::move(dataset.name));
  const auto begun = co_await upload.begin();
  if (!begun) co_return std::unexpected(begun.error());
  const auto added = co_await add_rows(std::move(*rows), upload);
  auto answer = co_await finish_upload(context, request, upload, added, std::move(dataset.metadata));
  co_return answer;
}

Task<Answer<Response>> create_dataset(Context& context, Request& request) {
  const auto type = request.header("content-type");
  const auto media = type.substr(0, type.find(';'));
  if (media == "application/json") co_return co_await upload_json(context, request);
  if (media == "application/jsonl" || media == "application/x-ndjson" || media == "application/ndjson")
    co_return co_await upload_lines(context, request);
  co_return refuse(415, "unsupported_media_type", "send application/json, or application/jsonl to ?name=NAME",
                   "Content-Type");
}

Task<Answer<Response>> list_datasets(Context& context, Request& request) {
  Query query(request.query);
  const Page page = read_page(query);
  ASSAY_CO_OK(query.done());
  const auto found = co_await context.store.datasets(request.principal.project(), page);
  if (!found) co_return std::unexpected(found.error());
  co_return list_response(found->data, found->total, append_dataset);
}

Task<Answer<Response>> get_dataset(Context& context, Request& request) {
  const auto found = co_await context.store.dataset(request.principal.project(), request.parameters[0]);
  if (!found) co_return std::unexpected(found.error());
  Response response;
  append_dataset(response.body, *found);
  co_return response;
}

Task<Answer<Response>> dataset_rows(Context& context, Request& request) {
  const auto dataset = co_await context.store.dataset(request.principal.project(), request.parameters[0]);
  if (!dataset) co_return std::unexpected(dataset.error());
  Query query(request.query);
  auto ranges = rows_asked_for(query, dataset->rows);
  if (!ranges) co_return std::unexpected(ranges.error());
  ReadLines read = [&store = context.store, row = dataset->row](std::vector<Range> left) {
    return store.dataset_lines(row, std::move(left), kPieceBytes);
  };
  co_return lines_response(std::move(*ranges), std::move(read));
}

Task<Answer<Response>> remove_dataset(Context& context, Request& request) {
  const auto gone = co_await context.store.delete_dataset(request.principal.project(), request.parameters[0]);
  if (!gone) co_return std::unexpected(gone.error());
  co_return deleted_response("dataset", gone->id);
}

}  // namespace

std::vector<Route> dataset_routes() {
  return {
      {"POST",
       "/datasets",
       kMaySubmit,
       Body::stream,
       create_dataset,
       {.summary = "Make a dataset from rows: one JSON document, or one row a line",
        .query = asks<read_name>,
        .body = asks<read_dataset>,
        .answer = "Dataset"},
       kCreates},
      {"GET",
       "/datasets",
       kMayRead,
       Body::none,
       list_datasets,
       {.summary = "List the datasets", .query = asks<read_page>, .answer = "Dataset", .list = true}},
      {"GET",
       "/datasets/{dataset}",
       kMayRead,
       Body::none,
       get_dataset,
       {.summary = "A dataset", .answer = "Dataset"}},
      {"GET",
       "/datasets/{dataset}/rows",
       kMayReadRows,
       Body::none,
       dataset_rows,
       {.summary = "Rows of a dataset", .query = asks<read_rows>, .lines = "Row"}},
      {"DELETE",
       "/datasets/{dataset}",
       kAdmin,
       Body::none,
       remove_dataset,
       {.summary = "Delete a dataset", .answer = "Deleted", .refusals = {409}}},
  };
}

}  // namespace assay::api
