// Any bytes as a data file of each format: rows are objects on one line, errors name the file and a line of
// it.
#include "cli/data_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/check.hpp"
#include "core/fd.hpp"
#include "core/row.hpp"

namespace {

using assay::cli::DataFile;
using assay::cli::DataFormat;

void check_error(const std::string& message, const std::string& path, size_t lines) {
  ASSAY_CHECK(message.starts_with(path + ":"), "an error does not begin with the file");
  const auto line = std::stoull(message.substr(path.size() + 1));
  ASSAY_CHECK(line >= 1 && line <= lines, "an error names a line that the file does not have");
}

void read_all(const std::string& path, DataFormat format, size_t size, size_t lines) {
  auto file = DataFile::open(path, format);
  ASSAY_CHECK(file.has_value(), "a file in memory cannot be opened");
  assay::RowReader reader;
  uint64_t last_line = 0;
  for (;;) {
    const auto row = file->next();
    if (!row) return check_error(row.error().message, path, lines);
    if (!*row) break;
    ASSAY_CHECK((*row)->find('\n') == std::string::npos, "a row has a line break");
    ASSAY_CHECK(reader.parse(**row).has_value(), "a row is no object");
    ASSAY_CHECK(file->line() >= last_line && file->line() <= lines, "lines do not go up");
    last_line = file->line();
  }
  ASSAY_CHECK(file->consumed_bytes() == size, "the file was not read to its end");
}

}  // namespace

/// The first byte says the format.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static constexpr std::array kFormats = {DataFormat::jsonl, DataFormat::csv, DataFormat::tsv,
                                          DataFormat::json};
  const DataFormat format = kFormats.at(data[0] % kFormats.size());
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const assay::UniqueFd memory(::memfd_create("rows", MFD_CLOEXEC));
  ASSAY_CHECK(::write(memory.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
              "no memory file");
  const size_t lines = 1 + static_cast<size_t>(std::ranges::count(text, '\n'));
  read_all("/proc/self/fd/" + std::to_string(memory.get()), format, text.size(), lines);
  return 0;
}
