// A spool's folder with any bytes in it: it opens, gives no record that was not written, and takes outcomes
// that are there at the next start.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/check.hpp"
#include "core/log.hpp"
#include "daemon/spool/log.hpp"

namespace {

using namespace assay::daemon;

constexpr uint64_t kSalt = 0x1234;

/// In memory where there is such a folder: every append is synced.
std::string make_folder() {
  std::string name =
      std::filesystem::exists("/dev/shm") ? "/dev/shm/assay-fuzz-XXXXXX" : "/tmp/assay-fuzz-XXXXXX";
  ASSAY_CHECK(::mkdtemp(name.data()) != nullptr, "no folder to work in");
  return name;
}

/// Records with right checksums whose content, kinds and places the input chooses, between its own bytes.
std::string segment_from(std::string_view input) {
  std::string bytes;
  for (uint64_t seq = 1; !input.empty(); ++seq) {
    const auto what = static_cast<unsigned char>(input[0]);
    const std::string_view part = input.substr(1, what >> 2);
    input.remove_prefix(1 + part.size());
    LeaseRecord lease{.number = what & 12U, .run = "run", .token = std::string(part)};
    if ((what & 3) == 0) append_lease_record(bytes, kSalt, seq, lease);
    if ((what & 3) == 1) append_outcome_record(bytes, kSalt, seq, what & 12U, part);
    if ((what & 3) == 2) append_acknowledged_record(bytes, kSalt, seq, {what & 12U, part.size()});
    if ((what & 3) == 3) bytes += part;
  }
  return bytes;
}

size_t count(SpoolLog& log, std::string_view text) {
  size_t found = 0;
  for (SpoolLog::Position at;;) {
    const auto chunk = log.read(at);
    for (const auto& outcome : chunk.outcomes) found += outcome.json == text ? 1 : 0;
    if (chunk.next == at) return found;
    at = chunk.next;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string folder = make_folder();
  assay::log::set_level(assay::log::Level::off);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string crafted = segment_from(input);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) std::filesystem::remove_all(entry);
  std::ofstream(folder + "/0000000000000001-0000000000001234.spool", std::ios::binary) << crafted;
  std::ofstream(folder + "/0000000000010000-0000000000001234.spool", std::ios::binary)
      << kSegmentMagic << input;
  constexpr std::string_view kText = "an outcome that no input spells, being longer than sixty-three bytes";
  for (size_t start = 0; start < 2; ++start) {
    auto log = SpoolLog::open(folder, 4096);
    ASSAY_CHECK(log.has_value(), "a damaged spool stopped the start");
    ASSAY_CHECK(count(**log, kText) == start, "an outcome was lost or came twice");
    const auto lease = std::make_shared<const LeaseRecord>(
        LeaseRecord{.number = (*log)->recovered().next_lease, .run = "run"});
    std::vector<SpoolLog::Outcome> group{{lease, std::string(kText)}};
    ASSAY_CHECK((*log)->append(group).has_value(), "a recovered spool takes no outcome");
    ASSAY_CHECK(count(**log, kText) == start + 1, "an outcome was lost or came twice");
    (*log)->acknowledge({lease->number + 1, UINT64_MAX});
  }
  return 0;
}
