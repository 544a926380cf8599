// Settings of a program: declared once, then read from a TOML file, the environment and shown by --help.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace assay {

/// One table of keys. Each key is a dotted TOML path ("api.url") and, in the environment, ASSAY_ with the
/// path in capitals ("ASSAY_API_URL"); lists are separated by commas there, and a list of one may be written
/// as its element in the file. A secret has no key: its *file* has one.
class Settings {
 public:
  void add(std::string key, std::string doc, std::string* value);
  void add(std::string key, std::string doc, bool* value);
  void add(std::string key, std::string doc, size_t* value, size_t low, size_t high);
  void add(std::string key, std::string doc, std::chrono::milliseconds* value);  ///< "10s", "250ms", "5m"
  void add(std::string key, std::string doc, std::vector<std::string>* value);

  /// Reads the file; every fault is reported at once, each with FILE:LINE where it has one. The caller gives
  /// up after a fault: some values may have been set.
  Result<> load_file(const std::string& path);
  /// Reads the ASSAY_… variables; one that names no key of this table is left alone.
  Result<> load_environment();
  /// "key  (ASSAY_KEY)  what it is [default]" a line.
  std::string help() const;

 private:
  struct Entry {
    std::string key;
    std::string doc;
    std::string fallback;
    std::string expects;
    bool is_list = false;
    std::function<Result<>(const std::vector<std::string>&)> set;
  };
  const Entry* find(const std::string& key) const;
  std::vector<Entry> entries_;
};

/// "10s", "250ms", "5m", "2h"; `config` for anything else.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

/// The candidate nearest to `word`, when it is near enough to be meant.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace assay
