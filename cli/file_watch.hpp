// Waiting for files to be saved.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/error.hpp"

namespace assay::cli {

/// Watches the folders, so that a file may be replaced by another of its name (as many editors save), or come
/// into being later. Not thread-safe.
class FileWatch {
 public:
  /// `config` naming the folder that is not there.
  static Result<FileWatch> open(asio::any_io_executor executor, const std::vector<std::string>& files);

  /// Waits until one of the files was saved and nothing more happened to them for 50 ms, or a second has
  /// passed. `cancelled`; `config` when a folder is gone.
  Task<Result<>> changed();

 private:
  explicit FileWatch(asio::posix::stream_descriptor events) : events_(std::move(events)) {}
  Result<> watch_folder_of(const std::string& file);
  Task<Result<>> next_event();
  Result<bool> is_ours(const char* begin, const char* end) const;

  asio::posix::stream_descriptor events_;
  std::map<int, std::set<std::string>> names_;  // of the files, by their folder's watch
};

}  // namespace assay::cli
