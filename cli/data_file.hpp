// Data files, read as a stream: whatever the format, a row comes out as one line of JSON object text.
//
// Memory stays flat (one block, or the one row that is larger than it), so a file may be larger than memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/error.hpp"
#include "core/row.hpp"

namespace assay::cli {

enum class DataFormat {
  jsonl,  ///< one object a line; blank lines are skipped
  csv,    ///< RFC 4180 with a header line; every cell becomes a string; blank lines are skipped
  tsv,    ///< the same with tabs
  json,   ///< one array of objects
};

/// The format by the name's ending: .jsonl .ndjson .csv .tsv .json; `config` for another.
Result<DataFormat> data_format_of(const std::string& path);

inline constexpr size_t kRowLimitBytes = size_t{8} << 20;

/// Every error is `config` and begins with FILE:LINE, the line counted from 1. After an error the file is
/// done with.
class DataFile {
 public:
  static Result<DataFile> open(const std::string& path);
  static Result<DataFile> open(const std::string& path, DataFormat format);
  DataFile(DataFile&&) noexcept;
  DataFile& operator=(DataFile&&) noexcept;
  ~DataFile();

  /// The next row, checked to be a JSON object, without a line break inside; nullopt at the end.
  Result<std::optional<std::string>> next();
  /// An error when the row that next() gave last has nothing at one of `columns`; it lists what the row does
  /// have.
  Result<void> check_columns(std::span<const ColumnPath> columns);

  /// Line on which the last row begins.
  uint64_t line() const;
  uint64_t consumed_bytes() const;
  /// 0 when it is no regular file, such as a pipe.
  uint64_t total_bytes() const;

 private:
  struct Impl;
  explicit DataFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// SHA-256 of the file's bytes as lower-case hexadecimal.
Result<std::string> file_sha256(const std::string& path);

}  // namespace assay::cli
