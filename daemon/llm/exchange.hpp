// One HTTP exchange with a model endpoint, as values: what is to be sent and what came back.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay::llm {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A POST. `path` (with its query) is appended to the endpoint's base URL: "https://api.openai.com/v1",
/// "https://api.anthropic.com/v1", "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT".
struct Call {
  std::string path;
  Headers headers;  ///< all but the key's
  /// The key is sent as `key_header`: `key_prefix` + key. It is added last, where the call is sent.
  std::string key_header, key_prefix;
  std::string body;  ///< JSON
  /// Parameters of the request that this dialect has no word for: not sent. For the record.
  std::vector<std::string> left_out;
};

struct Answer {
  int status = 0;
  Headers headers;
  std::string body;
};

/// The first header of that name, whatever its case, without blanks around it; "" when there is none.
std::string_view header(const Headers& headers, std::string_view name);

/// The id that the provider's support asks for: x-request-id, request-id or apim-request-id, cut,
/// printable and without `key`; "" when there is none.
std::string request_id(const Headers& headers, std::string_view key = {});

}  // namespace assay::llm
