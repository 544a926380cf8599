// Data rows: JSON objects that are many, so they stay text and are read with simdjson.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace assay {

/// A dotted path into a row, "175b_verification.solution". A component that is a number indexes an array. A
/// key that itself contains the whole dotted text wins over the path.
class ColumnPath {
 public:
  explicit ColumnPath(std::string text);
  const std::string& text() const { return text_; }
  const std::vector<std::string>& parts() const { return parts_; }

 private:
  std::string text_;
  std::vector<std::string> parts_;
};

/// Reads rows one after another; keeps its buffers, so use one per thread and stream.
class RowReader {
 public:
  RowReader();
  RowReader(RowReader&&) noexcept;
  RowReader& operator=(RowReader&&) noexcept;
  ~RowReader();

  /// Parses one row; `config` for what is no JSON object, deeper than kJsonDepthLimit or not UTF-8. The row
  /// is valid until the next parse.
  Result<void> parse(std::string_view row);
  /// The value at `path` of the parsed row as compact JSON text, or nullopt when the row has none there.
  std::optional<std::string> select(const ColumnPath& path);
  bool has(const ColumnPath& path);
  /// The row's keys, in order; nested objects as dotted paths, two levels deep: for messages and column
  /// lists.
  std::vector<std::string> columns();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay
