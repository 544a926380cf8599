// JSON lines of the API, a page at a time.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/api_client.hpp"

namespace assay::daemon {

/// The lines of one page, in one text. By their places in it: views would not outlive a move of a short text.
struct Lines {
  std::string text;
  std::vector<std::pair<size_t, size_t>> places;  ///< offset and size

  size_t size() const { return places.size(); }
  std::string_view line(size_t i) const {
    return std::string_view(text).substr(places[i].first, places[i].second);
  }
};

/// At most 32 MiB; what does not fit ends as `output_limit`: ask for less then.
Task<Result<Lines>> read_lines(ApiClient& api, std::string path);

}  // namespace assay::daemon
