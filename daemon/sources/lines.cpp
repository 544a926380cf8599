#include "daemon/sources/lines.hpp"

#include <algorithm>

namespace assay::daemon {

Task<Result<Lines>> read_lines(ApiClient& api, std::string path) {
  constexpr size_t kPageBytes = 32ULL << 20;
  ApiClient::Call call;
  call.path = std::move(path);
  call.accept = "application/jsonl";
  Lines lines;
  bool too_large = false;
  call.on_body = [&lines, &too_large](std::string_view piece) {
    if (lines.text.size() + piece.size() > kPageBytes)
      too_large = true;
    else
      lines.text.append(piece);
  };
  const auto answer = co_await api.call(std::move(call));
  if (!answer) co_return std::unexpected(answer.error());
  if (!answer->ok()) co_return std::unexpected(answer->error());
  // A single row always fits; more than one may have to be asked for in smaller pages.
  if (too_large) co_return fail(ErrorKind::output_limit, "the page is too large");
  for (size_t at = 0; at < lines.text.size();) {
    const size_t end = std::min(lines.text.find('\n', at), lines.text.size());
    lines.places.emplace_back(at, end - at);
    at = end + 1;
  }
  co_return lines;
}

}  // namespace assay::daemon
