// Reading a TOML file of ours, such as an evaluation: what is wrong with it is told all at once, each fault
// with its line. Private to source files: it brings toml++.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace assay::cli {

using Names = std::vector<std::string>;
/// "a, b, c".
std::string joined(const Names& names);

/// What is wrong with the file, in the order of its lines.
class Faults {
 public:
  explicit Faults(std::string path) : path_(std::move(path)) {}
  void add(const toml::source_region& where, std::string what) {
    found_.emplace(where.begin.line, std::move(what));
  }
  bool empty() const { return found_.empty(); }
  /// `config`, a line a fault: "PATH:LINE: what".
  std::unexpected<Error> error() const;

 private:
  std::string path_;
  std::multimap<toml::source_index, std::string> found_;  // by line
};

/// Parses `text`; `config` with PATH:LINE for what is no TOML.
Result<toml::table> parse_toml(const std::string& path, const std::string& text);

/// Reads the keys of one table: each reader gives what is there, or adds a fault and gives what stands for
/// nothing. A key that nobody asked for is a fault when the reader is done with.
class TableReader {
 public:
  static constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

  /// `place` is how messages name the table: "sample", "evaluator 2"; empty for the file's top.
  TableReader(const toml::table& table, std::string place, Faults& faults)
      : table_(table), place_(std::move(place)), faults_(faults) {}
  TableReader(const TableReader&) = delete;
  TableReader& operator=(const TableReader&) = delete;
  ~TableReader();

  const toml::node* find(const std::string& key);
  std::string text(const std::string& key);
  std::vector<std::string> texts(const std::string& key);
  std::string required_text(const std::string& key, const std::string& for_what);
  std::optional<int64_t> integer(const std::string& key, int64_t low, int64_t high = kMost);
  std::optional<double> number(const std::string& key);
  const toml::table* table(const std::string& key);
  /// A table as JSON, "{}" when there is none.
  std::string json(const std::string& key);

  bool has(const std::string& key) const { return table_.contains(key); }
  const toml::source_region& source() const { return table_.source(); }
  /// "sample.file"; evaluators are numbered: "file of evaluator 2".
  std::string named(const std::string& key) const;
  void wrong(const toml::node& node, const std::string& key, const std::string& expected);
  void missing(const std::string& key, const std::string& for_what);
  void fault(const std::string& key, std::string what);

 private:
  const toml::table& table_;
  std::string place_;
  Faults& faults_;
  Names known_;
};

/// A word of a fixed set; a fault names the set.
bool is_one_of(TableReader& reader, const std::string& key, const std::string& word, const Names& words);

}  // namespace assay::cli
