#include "api/container/list.hpp"

#include "api/row_ranges.hpp"

namespace assay::api {
namespace {

class LinesWriter final : public BodyWriter {
 public:
  LinesWriter(std::vector<Range> ranges, ReadLines read)
      : ranges_(std::move(ranges)), read_(std::move(read)) {}

  Task<Answer<std::string>> next() override {
    if (ranges_.empty()) co_return std::string();
    auto lines = co_await read_(ranges_);
    if (!lines) co_return std::unexpected(lines.error());
    // Shorter than asked for would look complete to whoever reads it.
    if (lines->rows == 0) co_return refuse(404, "rows_not_found", "the rows were deleted meanwhile");
    drop_rows(ranges_, lines->rows);
    co_return std::move(lines->text);
  }

 private:
  std::vector<Range> ranges_;
  ReadLines read_;
};

}  // namespace

Page read_page(Query& query) {
  Page page;
  page.limit = query.integer("limit", 20, 1, 100);
  page.offset = query.integer("offset", 0, 0, INT64_MAX / 2);
  return page;
}

bool wants_lines(const Request& request) {
  const auto accept = request.header("accept");
  return accept.starts_with("application/jsonl") || accept.starts_with("application/x-ndjson");
}

Response lines_response(std::vector<Range> ranges, ReadLines read) {
  Response response;
  response.content_type = "application/jsonl";
  response.writer = std::make_unique<LinesWriter>(std::move(ranges), std::move(read));
  return response;
}

Response deleted_response(std::string_view kind, std::string_view id) {
  Response response;
  {
    JsonObject object(response.body);
    object.text("object", kind);
    object.text("id", id);
    object.boolean("deleted", true);
  }
  return response;
}

}  // namespace assay::api
