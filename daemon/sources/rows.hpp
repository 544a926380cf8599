// Reads the two sides of a shard's items and pairs them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/api_client.hpp"
#include "daemon/run_spec.hpp"

namespace assay::daemon {

/// An item as its evaluators get it: JSON text (sdk/protocol.md, "item").
struct ItemText {
  std::string json;
  /// Where the output of a side that is generated goes in; npos: neither is.
  size_t hole = std::string::npos;

  std::string with_output(std::string_view text) const;
  std::string without_output() const;  ///< null stands in the hole
};

struct Item {
  int64_t index = 0;
  Result<ItemText> text;  ///< or why it has none
};

/// Items [from, to) of a lease. Both sides of one source are read once. At most 1000 items; answers are
/// bounded in size, and a page that does not fit ends as `output_limit`: ask for fewer items then.
Task<Result<std::vector<Item>>> read_items(ApiClient& api, const RunSpec& spec, const Lease& lease,
                                           int64_t from, int64_t to);

/// One item from its rows, for tests and for `assay evaluators test`.
class ItemBuilder {
 public:
  /// `config` naming the column that a row lacks, `transport` for a row that is no JSON object.
  /// The row of a side that is generated is not looked at.
  Result<ItemText> build(const RunSpec& spec, int64_t index, std::string_view sample_row,
                         std::string_view ground_truth_row);

 private:
  Result<> parse(std::string_view row);
  RowReader reader_;
  std::string_view parsed_;  // the row that reader_ has
};

/// The plain text of a side's output: what a string says, a chat response's message, a sample's `output_text`
/// as OpenAI has it, else the JSON itself.
std::string text_of(std::string_view output_json);

}  // namespace assay::daemon
