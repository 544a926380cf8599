// Replies kept on disk, found by what was asked: a run that is repeated or resumed pays only for what is new.
//
// A SQLite file in a folder, bounded in bytes; what was not used for longest goes first. A crash loses at
// most the last entries; a damaged file is thrown away and begun again, with a warning, whenever it is met.
// Workers may share a folder.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/error.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace assay::llm {

/// Blocks on the disk; one thread at a time.
class ReplyCache {
 public:
  /// Makes the folder and its file, for their owner only. `config` when it cannot be used.
  static Result<std::unique_ptr<ReplyCache>> open(const std::string& folder, int64_t limit_bytes);
  ReplyCache(const ReplyCache&) = delete;
  ReplyCache& operator=(const ReplyCache&) = delete;
  ~ReplyCache();

  /// nullopt: not there, or not readable (told once by a warning).
  std::optional<std::string> find(const std::string& key);
  /// Failing to is told once by a warning. What is larger than an eighth of the limit is not kept, nor what
  /// there is no room for once a few hundred others are gone. Takes as long whatever is kept already.
  void keep(const std::string& key, const std::string& value);
  /// What `work` finds and keeps is one transaction. `writes`: it keeps something.
  template <class Work>
  void together(bool writes, Work work) {
    const bool begun = run(writes ? "BEGIN IMMEDIATE" : "BEGIN");
    work();
    if (begun && is_together() && !run("COMMIT")) {
      warn("replies could not be kept");
      run("ROLLBACK");
    }
  }
  /// Of all entries, as of the last one that was kept.
  int64_t bytes() const { return bytes_; }

 private:
  ReplyCache(std::string path, int64_t limit_bytes) : path_(std::move(path)), limit_bytes_(limit_bytes) {}
  bool begin();
  bool begin_again();
  void close();
  bool run(const char* sql);
  bool is_together() const;  ///< not, when the file was begun again meanwhile
  sqlite3_stmt* statement(int which);
  bool is_sound(int code, const char* what);
  bool make_room(int64_t bytes, int evictions);
  void count();
  void warn(const char* what);

  std::string path_;
  int64_t limit_bytes_;
  int64_t bytes_ = 0;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statements_[5] = {};
  bool warned_ = false;
};

/// SHA-256 of the parts, each with its length before it; 64 hexadecimal digits.
std::string cache_key(std::initializer_list<std::string_view> parts);

}  // namespace assay::llm
