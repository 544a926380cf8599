// The list envelope, and the lines of sequences of rows: what several resources answer with.
#pragma once

#include <functional>

#include "api/context.hpp"
#include "api/fields.hpp"
#include "api/http/message.hpp"
#include "api/json_text.hpp"

namespace assay::api {

/// `limit` 1..100, default 20, and `offset`, default 0.
Page read_page(Query& query);

/// {"object":"list","data":[…],"total":N}; `write(out, element)` appends one element.
template <class T, class Write>
Response list_response(const std::vector<T>& data, int64_t total, Write write) {
  Response response;
  {
    JsonObject list(response.body);
    list.text("object", "list");
    append_json_array(list.key("data"), data, write);
    list.number("total", total);
  }
  return response;
}

bool wants_lines(const Request& request);

/// Rows as JSON lines, read from the store piece by piece as they are sent.
using ReadLines = std::function<Task<Answer<Lines>>(std::vector<Range> ranges)>;
Response lines_response(std::vector<Range> ranges, ReadLines read);

/// {"object":KIND,"id":…,"deleted":true}
Response deleted_response(std::string_view kind, std::string_view id);

inline constexpr size_t kPieceBytes = size_t{512} << 10;

}  // namespace assay::api
