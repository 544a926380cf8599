#include "cli/data_file.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "core/fd.hpp"
#include "core/id.hpp"
#include "core/json.hpp"
#include "core/settings.hpp"

namespace assay::cli {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr size_t kColumnsShown = 30;

struct OpenedFile {
  UniqueFd fd;
  uint64_t bytes = 0;
};

Result<OpenedFile> open_to_read(const std::string& path) {
  OpenedFile file;
  ASSAY_TRY(file.fd, open_cloexec(path, O_RDONLY));
  struct stat info{};
  if (::fstat(file.fd.get(), &info) != 0) return fail_errno(ErrorKind::config, "cannot read " + path, errno);
  if (S_ISDIR(info.st_mode)) return fail(ErrorKind::config, path + " is a directory, not a file");
  if (S_ISREG(info.st_mode)) file.bytes = static_cast<uint64_t>(info.st_size);
  ::posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return file;
}

/// 0 at the end of the file.
Result<size_t> read_some(const UniqueFd& fd, const std::string& path, char* into, size_t size) {
  for (;;) {
    const ssize_t n = ::read(fd.get(), into, size);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return fail_errno(ErrorKind::config, "cannot read " + path, errno);
  }
}

/// The part of the file that is in memory: read and not yet taken.
class Window {
 public:
  Window(UniqueFd fd, std::string path)
      : fd_(std::move(fd)), path_(std::move(path)), buffer_(2 * kBlockBytes) {}

  std::string_view rest() const { return {buffer_.data() + begin_, end_ - begin_}; }
  /// Reads one block more behind the rest; false at the end of the file.
  Result<bool> grow() {
    if (buffer_.size() - end_ < kBlockBytes) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= std::exchange(begin_, 0);
      if (buffer_.size() - end_ < kBlockBytes) buffer_.resize(2 * buffer_.size());
    }
    ASSAY_TRY(const size_t n, read_some(fd_, path_, buffer_.data() + end_, kBlockBytes));
    end_ += n;
    return n > 0;
  }
  void take(size_t bytes) {
    line_ += static_cast<uint64_t>(std::ranges::count(rest().substr(0, bytes), '\n'));
    begin_ += bytes;
    consumed_ += bytes;
  }
  /// Of the first byte of the rest.
  uint64_t line() const { return line_; }
  uint64_t consumed() const { return consumed_; }

 private:
  UniqueFd fd_;
  std::string path_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t line_ = 1;
  uint64_t consumed_ = 0;
};

// Each scanner finds where one row ends. It is called again with the same text and more behind it, and goes
// on where it stopped, so that a long row costs its length once.

constexpr size_t kNotYet = std::string_view::npos;

class LineScanner {
 public:
  size_t end_of(std::string_view text) {
    const size_t end = text.find('\n', at_);
    at_ = text.size();
    return end == std::string_view::npos ? kNotYet : end + 1;
  }

 private:
  size_t at_ = 0;
};

/// A line that ends outside quotes. A doubled quote leaves and enters again at once, which comes to the same.
class RecordScanner {
 public:
  size_t end_of(std::string_view text) {
    for (; at_ < text.size(); ++at_) {
      if (text[at_] == '"') quoted_ = !quoted_;
      if (text[at_] == '\n' && !quoted_) return at_ + 1;
    }
    return kNotYet;
  }

 private:
  size_t at_ = 0;
  bool quoted_ = false;
};

/// A value that begins with a bracket, up to the bracket that closes it. Whether the brackets match is the
/// parser's.
class ElementScanner {
 public:
  size_t end_of(std::string_view text) {
    for (; at_ < text.size(); ++at_) {
      const char c = text[at_];
      if (in_string_) {
        if (escaped_)
          escaped_ = false;
        else if (c == '\\')
          escaped_ = true;
        else if (c == '"')
          in_string_ = false;
        continue;
      }
      if (c == '"') in_string_ = true;
      if (c == '{' || c == '[') ++depth_;
      if ((c == '}' || c == ']') && --depth_ == 0) return at_ + 1;
    }
    return kNotYet;
  }

 private:
  size_t at_ = 0;
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

std::string_view without_line_end(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// A parser's "at line 2, column 7: …" counts from the row; people count from the file: moves the line number
/// into `line` and leaves "column 7: …".
std::string without_line(std::string message, uint64_t& line) {
  static constexpr std::string_view kMark = "at line ";
  const size_t mark = message.find(kMark);
  const size_t comma = message.find(", ", mark);
  if (mark == std::string::npos || comma == std::string::npos) return message;
  uint64_t within = 1;
  std::from_chars(message.data() + mark + kMark.size(), message.data() + comma, within);
  line += within - 1;
  return message.erase(mark, comma + 2 - mark);
}

/// A cell's text and what follows it in the record.
struct Cell {
  std::string text;
  std::string_view rest;
  bool last = false;
};

/// The first cell of `record`, which has no line end; an error is what to say of it.
std::expected<Cell, std::string> read_cell(std::string_view record, char separator) {
  Cell cell;
  size_t at = 0;
  if (record.starts_with('"')) {
    for (at = 1;; ++at) {
      const size_t quote = record.find('"', at);
      if (quote == std::string_view::npos) return std::unexpected("a quoted field is never closed");
      cell.text += record.substr(at, quote - at);
      at = quote + 1;
      if (at >= record.size() || record[at] != '"') break;
      cell.text += '"';
    }
    if (at < record.size() && record[at] != separator)
      return std::unexpected(
          "text follows the closing quote of a field; a quote inside a field is written twice");
  } else {
    at = std::min(record.find(separator), record.size());
    cell.text = record.substr(0, at);
    if (cell.text.contains('"'))
      return std::unexpected(
          "a quote inside a field that is not quoted; quote the field and write the quote twice");
  }
  cell.last = at >= record.size();
  if (!cell.last) cell.rest = record.substr(at + 1);
  return cell;
}

std::expected<std::vector<std::string>, std::string> read_record(std::string_view record, char separator) {
  std::vector<std::string> cells;
  for (;;) {
    auto cell = read_cell(record, separator);
    if (!cell) return std::unexpected(std::move(cell).error());
    cells.push_back(std::move(cell->text));
    if (cell->last) return cells;
    record = cell->rest;
  }
}

}  // namespace

Result<DataFormat> data_format_of(const std::string& path) {
  static constexpr std::array<std::pair<std::string_view, DataFormat>, 5> kEndings = {{
      {".jsonl", DataFormat::jsonl},
      {".ndjson", DataFormat::jsonl},
      {".csv", DataFormat::csv},
      {".tsv", DataFormat::tsv},
      {".json", DataFormat::json},
  }};
  for (const auto& [ending, format] : kEndings)
    if (path.ends_with(ending)) return format;
  return fail(
      ErrorKind::config,
      path + ": a data file's name must end in .jsonl, .ndjson, .csv, .tsv or .json, which says its format");
}

struct DataFile::Impl {
  Impl(OpenedFile file, std::string p, DataFormat f)
      : path(std::move(p)), format(f), total(file.bytes), window(std::move(file.fd), path) {}

  std::unexpected<Error> fault(uint64_t at_line, std::string_view what) const {
    return fail(ErrorKind::config, path + ":" + std::to_string(at_line) + ": " + std::string(what));
  }

  /// The bytes of the next row as the scanner delimits it, all of the rest at the end of the file. Not taken
  /// yet.
  template <class Scanner>
  Result<std::string_view> raw_row() {
    Scanner scanner;
    row_line = window.line();
    for (;;) {
      const size_t end = scanner.end_of(window.rest());
      if (std::min(end, window.rest().size()) > kRowLimitBytes)
        return fault(row_line, "the row that begins here is larger than the limit of 8 MiB");
      if (end != kNotYet) return window.rest().substr(0, end);
      ASSAY_TRY(const bool grown, window.grow());
      if (!grown) return window.rest();
    }
  }

  Result<void> skip_byte_order_mark() {
    while (window.rest().size() < kByteOrderMark.size()) {
      ASSAY_TRY(const bool grown, window.grow());
      if (!grown) break;
    }
    if (window.rest().starts_with(kByteOrderMark)) window.take(kByteOrderMark.size());
    return {};
  }

  Result<void> parse(std::string_view row) {
    auto parsed = reader.parse(row);
    if (parsed) return {};
    uint64_t at_line = row_line;
    const std::string what = without_line(std::move(parsed).error().message, at_line);
    return fault(at_line, what);
  }

  Result<std::optional<std::string>> next_line() {
    for (;;) {
      ASSAY_TRY(const std::string_view raw, raw_row<LineScanner>());
      if (raw.empty()) return std::nullopt;
      if (!is_blank(raw)) {
        std::string row(without_line_end(raw));
        ASSAY_OK(parse(row));
        window.take(raw.size());
        return row;
      }
      window.take(raw.size());
    }
  }

  /// The cells of the next record that is not blank; none at the end.
  Result<std::vector<std::string>> next_cells() {
    for (;;) {
      ASSAY_TRY(const std::string_view raw, raw_row<RecordScanner>());
      if (raw.empty()) return std::vector<std::string>();
      const std::string_view record = without_line_end(raw);
      if (!record.empty()) {
        if (!is_valid_utf8(record)) return fault(row_line, "the row is not UTF-8 text");
        auto cells = read_record(record, format == DataFormat::csv ? ',' : '\t');
        if (!cells) return fault(row_line, cells.error());
        window.take(raw.size());
        return std::move(*cells);
      }
      window.take(raw.size());
    }
  }

  Result<void> read_header() {
    ASSAY_TRY(const auto names, next_cells());
    if (names.empty()) return fault(1, "the file is empty; its first line must name the columns");
    std::set<std::string_view> seen;
    for (const auto& name : names) {
      if (!seen.insert(name).second) return fault(row_line, "two columns are named \"" + name + "\"");
      keys.push_back(json_quote(name) + ":");
    }
    return {};
  }

  Result<std::optional<std::string>> next_record() {
    if (keys.empty()) {
      ASSAY_OK(read_header());
    }
    ASSAY_TRY(const auto cells, next_cells());
    if (cells.empty()) return std::nullopt;
    if (cells.size() != keys.size())
      return fault(row_line, "the row has " + std::to_string(cells.size()) +
                                 (cells.size() == 1 ? " field" : " fields") + ", but the header names " +
                                 std::to_string(keys.size()));
    std::string row;
    for (size_t i = 0; i < cells.size(); ++i) {
      row += i == 0 ? '{' : ',';
      row += keys[i];
      append_json_quote(row, cells[i]);
    }
    row += '}';
    ASSAY_OK(parse(row));
    return row;
  }

  /// The next byte that is no white space, not taken; '\0' at the end of the file (and for a NUL, which no
  /// caller wants).
  Result<char> peek() {
    for (;;) {
      const size_t at = window.rest().find_first_not_of(" \t\r\n");
      window.take(std::min(at, window.rest().size()));
      if (!window.rest().empty()) return window.rest().front();
      ASSAY_TRY(const bool grown, window.grow());
      if (!grown) return '\0';
    }
  }

  Result<std::optional<std::string>> next_element() {
    ASSAY_TRY(char c, peek());
    if (done) {
      if (c != '\0' || !window.rest().empty())
        return fault(window.line(), "text follows the end of the array");
      return std::nullopt;
    }
    const char separator = first ? '[' : ',';
    if (c == ']' && !first) return close_array();
    if (c != separator)
      return fault(window.line(),
                   first ? "a .json data file must be an array of objects; a file of one object a line "
                           "is named .jsonl"
                         : "expects , or ] after an element of the array");
    window.take(1);
    ASSAY_TRY(c, peek());
    if (c == ']' && std::exchange(first, false)) return close_array();
    first = false;
    if (c != '{') return fault(window.line(), "expects an object as the next element of the array");
    ASSAY_TRY(const std::string_view raw, raw_row<ElementScanner>());
    std::string row(raw);
    ASSAY_OK(parse(row));
    window.take(raw.size());
    // Valid JSON has line breaks between tokens only, so a blank in their place changes nothing.
    std::ranges::replace_if(row, [](char b) { return b == '\n' || b == '\r'; }, ' ');
    return row;
  }

  Result<std::optional<std::string>> close_array() {
    window.take(1);
    done = true;
    return next_element();
  }

  std::string path;
  DataFormat format;
  uint64_t total;
  Window window;
  RowReader reader;
  uint64_t row_line = 0;
  std::vector<std::string> keys;  // csv, tsv: each column's name as "name":
  bool first = true;              // json: no element was read yet
  bool done = false;              // json: the array was closed
};

DataFile::DataFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DataFile::DataFile(DataFile&&) noexcept = default;
DataFile& DataFile::operator=(DataFile&&) noexcept = default;
DataFile::~DataFile() = default;

Result<DataFile> DataFile::open(const std::string& path) {
  ASSAY_TRY(const DataFormat format, data_format_of(path));
  return open(path, format);
}

Result<DataFile> DataFile::open(const std::string& path, DataFormat format) {
  ASSAY_TRY(OpenedFile file, open_to_read(path));
  auto impl = std::make_unique<Impl>(std::move(file), path, format);
  ASSAY_OK(impl->skip_byte_order_mark());
  return DataFile(std::move(impl));
}

Result<std::optional<std::string>> DataFile::next() {
  switch (impl_->format) {
    case DataFormat::jsonl:
      return impl_->next_line();
    case DataFormat::csv:
    case DataFormat::tsv:
      return impl_->next_record();
    case DataFormat::json:
      return impl_->next_element();
  }
  return std::nullopt;
}

Result<void> DataFile::check_columns(std::span<const ColumnPath> columns) {
  for (const auto& column : columns) {
    if (impl_->reader.has(column)) continue;
    const auto present = impl_->reader.columns();
    const auto meant = nearest(column.text(), present);
    std::string what = "the row has no column " + column.text();
    if (meant) what += "; did you mean " + *meant + "?";
    what += meant ? " It has " : "; it has ";
    for (size_t i = 0; i < std::min(present.size(), kColumnsShown); ++i)
      what += (i == 0 ? "" : ", ") + present[i];
    if (present.empty()) what += "none";
    if (present.size() > kColumnsShown)
      what += " and " + std::to_string(present.size() - kColumnsShown) + " more";
    return impl_->fault(impl_->row_line, what);
  }
  return {};
}

uint64_t DataFile::line() const {
  return impl_->row_line;
}
uint64_t DataFile::consumed_bytes() const {
  return impl_->window.consumed();
}
uint64_t DataFile::total_bytes() const {
  return impl_->total;
}

Result<std::string> file_sha256(const std::string& path) {
  ASSAY_TRY(const OpenedFile file, open_to_read(path));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  ASSAY_CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1,
              "SHA-256 is not available");
  std::vector<char> block(kBlockBytes);
  for (;;) {
    ASSAY_TRY(const size_t n, read_some(file.fd, path, block.data(), block.size()));
    if (n == 0) break;
    EVP_DigestUpdate(context.get(), block.data(), n);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &length);
  return to_hex({reinterpret_cast<const char*>(digest.data()), length});
}

}  // namespace assay::cli
