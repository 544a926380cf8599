// Values inside of JSON text, by dotted paths: the service assay.json/1.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace assay::sandbox::plugin {

struct Value {
  bool is_text = false;    ///< a string, and `value` its text; else `value` is JSON
  std::string_view value;  ///< into the JSON, or into `kept`
};

/// The value at `path` ("sample.output", "metadata.tags.0"; empty: all) in `json`, which was checked before;
/// nullopt when there is none. A string with escapes goes to `kept`.
std::optional<Value> look_up(std::string_view json, std::string_view path, std::deque<std::string>& kept);

/// The same in an item: "sample.text" and "ground_truth.text", which the wire leaves out where they are the
/// output itself, are found there.
std::optional<Value> look_up_item(std::string_view item, std::string_view path,
                                  std::deque<std::string>& kept);

}  // namespace assay::sandbox::plugin
