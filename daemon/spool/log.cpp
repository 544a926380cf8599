#include "daemon/spool/log.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <random>

#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::daemon {
namespace {

constexpr size_t kBadSegments = 16;  ///< kept in `bad/`
constexpr size_t kLargestSegment = size_t{1} << 31;
constexpr std::string_view kSuffix = ".spool";

/// "<first seq>-<salt>.spool", both as 16 hexadecimal digits.
struct SegmentName {
  uint64_t first_seq = 0;
  uint64_t salt = 0;

  static std::optional<SegmentName> parse(std::string_view name) {
    SegmentName parsed;
    const auto hex = [&](size_t at, uint64_t& value) {
      const auto [end, error] = std::from_chars(name.data() + at, name.data() + at + 16, value, 16);
      return error == std::errc() && end == name.data() + at + 16;
    };
    if (name.size() != 33 + kSuffix.size() || !name.ends_with(kSuffix) || name[16] != '-')
      return std::nullopt;
    if (!hex(0, parsed.first_seq) || !hex(17, parsed.salt)) return std::nullopt;
    return parsed;
  }
  std::string text() const {
    char digits[34];
    std::snprintf(digits, sizeof digits, "%016lx-%016lx", static_cast<unsigned long>(first_seq),
                  static_cast<unsigned long>(salt));
    return digits + std::string(kSuffix);
  }
};

uint64_t random_salt() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

Result<std::set<std::string>> names_in(const std::string& folder) {
  std::set<std::string> names;
  std::error_code failed;
  auto it = std::filesystem::directory_iterator(folder, failed);
  for (; !failed && it != std::filesystem::directory_iterator(); it.increment(failed))
    names.insert(it->path().filename().string());
  if (failed) return fail(ErrorKind::config, "cannot read the folder " + folder + ": " + failed.message());
  return names;
}

/// [offset, end) of a file; less where the file is shorter.
Result<std::string> read_part(const std::string& path, uint64_t offset, uint64_t end) {
  ASSAY_TRY(const UniqueFd fd, open_cloexec(path, O_RDONLY));
  std::string bytes(end - offset, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n =
        ::pread(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(ErrorKind::internal, "cannot read " + path, errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace

Result<std::unique_ptr<SpoolLog>> SpoolLog::open(std::string folder, uint64_t segment_bytes) {
  std::unique_ptr<SpoolLog> log(new SpoolLog(std::move(folder), segment_bytes));
  ASSAY_OK(log->lock());
  ASSAY_OK(log->recover());
  return log;
}

SpoolLog::~SpoolLog() {
  active_.reset();
  collect();
}

Result<> SpoolLog::lock() {
  std::error_code failed;
  const bool made = std::filesystem::create_directories(folder_, failed);
  if (failed)
    return fail(ErrorKind::config, "cannot make the spool's folder " + folder_ + ": " + failed.message() +
                                       "; spool.folder names another");
  ASSAY_TRY(folder_fd_, open_cloexec(folder_, O_RDONLY | O_DIRECTORY));
  if (made) ::fchmod(folder_fd_.get(), 0700);  // outcomes and tokens are nobody else's
  if (::faccessat(folder_fd_.get(), ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0)
    return fail_errno(ErrorKind::config, "cannot write to the spool's folder " + folder_, errno);
  if (::flock(folder_fd_.get(), LOCK_EX | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK) return fail_errno(ErrorKind::config, "cannot lock " + folder_, errno);
  return fail(ErrorKind::config, "another process uses the spool in " + folder_ +
                                     ": give each worker its own worker.name, or its own spool.folder");
}

Result<> SpoolLog::recover() {
  ASSAY_TRY(const auto files, names_in(folder_));
  std::map<uint64_t, std::string> names;
  for (const auto& file : files)
    if (const auto name = SegmentName::parse(file)) names[name->first_seq] = file;
  MetLeases leases;
  for (const auto& [first_seq, name] : names)
    recover_segment(name, first_seq == names.rbegin()->first, leases);
  // Outcomes whose lease is unknown, because its record was damaged, cannot be posted.
  std::erase_if(leases, [](const auto& lease) { return !lease.second.record; });
  for (auto& [first_seq, segment] : segments_)
    std::erase_if(segment.last, [&](const auto& entry) { return !leases.contains(entry.first); });
  recovered_.through = last_seq();
  for (auto& [number, lease] : leases)
    if (!lease.outcomes.empty())
      recovered_.leases.push_back({std::move(*lease.record), lease.outcomes.size(), lease.outcomes.back()});
  collect();
  return {};
}

void SpoolLog::recover_segment(const std::string& name, bool newest, MetLeases& leases) {
  const auto named = SegmentName::parse(name);
  next_seq_ = std::max(next_seq_, named->first_seq + 1);
  const auto bytes = read_file(path(name), kLargestSegment);
  if (!bytes) {
    log::error("a segment of the spool cannot be read; its outcomes are computed again",
               {{"file", path(name)}, {"error", bytes.error().message}});
    ++recovered_.damaged_segments;
    quarantine(name);
    ::unlink(path(name).c_str());
    return;
  }
  Segment segment{.name = name, .salt = named->salt};
  SegmentScanner scanner(*bytes, segment.salt);
  while (const auto record = scanner.next()) recover_record(*record, segment, leases);
  segment.size = scanner.valid_end();
  const size_t tail = bytes->size() - segment.size;
  if (const size_t damaged = scanner.damaged_bytes() + (newest ? 0 : tail); damaged > 0) {
    ++recovered_.damaged_segments;
    tell_damage(segment, damaged);
  }
  if (newest && tail > 0) recover_tail(segment, bytes->size());
  segments_.emplace(named->first_seq, std::move(segment));
}

void SpoolLog::recover_record(const Record& record, Segment& segment, MetLeases& leases) {
  next_seq_ = std::max(next_seq_, record.seq + 1);
  segment.last_seq = record.seq;
  uint32_t number = 0;
  if (auto lease = record.lease()) {
    number = lease->number;
    leases[number].record = std::move(*lease);
  } else if (const auto outcome = record.outcome()) {
    number = outcome->lease;
    segment.last[number] = record.seq;
    leases[number].outcomes.push_back(record.seq);
  } else if (const auto acknowledgement = record.acknowledged()) {
    number = acknowledgement->lease;
    auto& through = acknowledged_[number];
    through = std::max(through, acknowledgement->through);
    auto& outcomes = leases[number].outcomes;
    while (!outcomes.empty() && outcomes.front() <= through) outcomes.pop_front();
  }
  recovered_.next_lease = std::max(recovered_.next_lease, number + 1);
}

/// What is behind the last record of the newest segment: a write that a crash cut short.
void SpoolLog::recover_tail(Segment& segment, uint64_t file_bytes) {
  const uint64_t tail = file_bytes - segment.size;
  recovered_.torn_bytes += tail;
  log::warn("the spool ends in a torn write, which is cut",
            {{"file", path(segment.name)}, {"bytes", std::to_string(tail)}});
  if (::truncate(path(segment.name).c_str(), static_cast<off_t>(segment.size)) != 0)
    log::warn("the torn write stays",
              {{"file", path(segment.name)}});  // and is found again at the next start
}

void SpoolLog::tell_damage(Segment& segment, uint64_t bytes) const {
  if (segment.damaged) return;
  segment.damaged = true;
  quarantine(segment.name);
  log::error("a segment of the spool is damaged; what cannot be read is computed again",
             {{"file", path(segment.name)},
              {"bytes", std::to_string(bytes)},
              {"copy", path("bad/" + segment.name)}});
}

Result<> SpoolLog::begin_segment() {
  const SegmentName name{next_seq_++, random_salt()};  // a number of its own, so that no two have one name
  ASSAY_TRY(active_, open_cloexec(path(name.text()), O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));
  Segment& segment = segments_[name.first_seq];
  segment.name = name.text();
  segment.salt = name.salt;
  active_is_named_ = false;
  if (auto written = write(kSegmentMagic); !written) {
    abandon();
    return written;
  }
  segment.size = kSegmentMagic.size();
  return {};
}

Result<> SpoolLog::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(active_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(ErrorKind::internal, "cannot write to " + folder_, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<> SpoolLog::sync_folder() const {
  if (::fsync(folder_fd_.get()) != 0) return fail_errno(ErrorKind::internal, "cannot sync " + folder_, errno);
  return {};
}

Result<> SpoolLog::append(std::vector<Outcome>& outcomes) {
  if (!active_) {
    ASSAY_OK(begin_segment());
  }
  Segment& segment = segments_.rbegin()->second;
  std::string bytes;
  for (auto& outcome : outcomes) {
    if (segment.leases.insert(outcome.lease->number).second)
      append_lease_record(bytes, segment.salt, next_seq_++, *outcome.lease);
    outcome.seq = next_seq_++;
    append_outcome_record(bytes, segment.salt, outcome.seq, outcome.lease->number, outcome.json);
  }
  auto written = write(bytes);
  if (written && ::fdatasync(active_.get()) != 0)
    written = fail_errno(ErrorKind::internal, "cannot sync " + path(segment.name), errno);
  if (written && !active_is_named_) written = sync_folder();
  if (!written) {
    abandon();
    return written;
  }
  active_is_named_ = true;
  segment.size += bytes.size();
  segment.last_seq = last_seq();
  for (const auto& outcome : outcomes) segment.last[outcome.lease->number] = outcome.seq;
  close_if_full();
  return {};
}

/// Leaves the newest segment as it was before the write that failed, as far as that works.
void SpoolLog::abandon() {
  active_.reset();
  const Segment& segment = segments_.rbegin()->second;
  if (segment.size > kSegmentMagic.size()) {
    if (::truncate(path(segment.name).c_str(), static_cast<off_t>(segment.size)) != 0)
      log::warn("a failed write stays in the spool, and is stepped over", {{"file", path(segment.name)}});
    return;
  }
  ::unlink(path(segment.name).c_str());
  segments_.erase(std::prev(segments_.end()));
}

void SpoolLog::close_if_full() {
  if (segments_.rbegin()->second.size >= segment_bytes_) active_.reset();
}

void SpoolLog::acknowledge(Acknowledgement what) {
  auto& through = acknowledged_[what.lease];
  through = std::max(through, std::min(what.through, last_seq()));
  what.through = through;
  collect();
  const bool matters = std::any_of(segments_.begin(), segments_.end(),
                                   [&](const auto& entry) { return entry.second.last.contains(what.lease); });
  // One that cannot be written is no loss: the next start posts again what it would have said.
  if (!matters || (!active_ && !begin_segment())) return;
  Segment& segment = segments_.rbegin()->second;
  std::string bytes;
  append_acknowledged_record(bytes, segment.salt, next_seq_++, what);
  if (!write(bytes)) {
    abandon();
    return;
  }
  segment.size += bytes.size();
  segment.last_seq = last_seq();
  close_if_full();
}

bool SpoolLog::acknowledged(uint32_t lease, uint64_t seq) const {
  const auto it = acknowledged_.find(lease);
  return it != acknowledged_.end() && seq <= it->second;
}

bool SpoolLog::needed(const Segment& segment) const {
  return std::any_of(segment.last.begin(), segment.last.end(),
                     [&](const auto& entry) { return !acknowledged(entry.first, entry.second); });
}

/// Unlinks from the oldest on what needs no more posting, but for the segment that is being written.
void SpoolLog::collect() {
  bool unlinked = false;
  while (!segments_.empty() && !(active_ && segments_.size() == 1) && !needed(segments_.begin()->second)) {
    ::unlink(path(segments_.begin()->second.name).c_str());
    segments_.erase(segments_.begin());
    unlinked = true;
  }
  if (!unlinked) return;
  // When the unlink is lost, the next start does it.
  if (const auto synced = sync_folder(); !synced) log::warn(synced.error().message);
  std::erase_if(acknowledged_, [&](const auto& entry) {
    return std::none_of(segments_.begin(), segments_.end(),
                        [&](const auto& segment) { return segment.second.last.contains(entry.first); });
  });
}

SpoolLog::Chunk SpoolLog::read(Position from) {
  Chunk chunk{.next = from, .through = last_seq()};
  auto it = segments_.lower_bound(from.segment);
  if (it != segments_.end() && it->first == from.segment && from.offset >= it->second.size) ++it;
  if (it == segments_.end()) return chunk;
  auto& [first_seq, segment] = *it;
  const uint64_t offset = first_seq == from.segment ? from.offset : 0;
  chunk.next = {first_seq, segment.size};
  chunk.through = std::max(segment.last_seq, first_seq);
  const auto bytes = read_part(path(segment.name), offset, segment.size);
  size_t damaged = segment.size - offset;
  if (bytes) {
    SegmentScanner scanner(*bytes, segment.salt);
    while (const auto record = scanner.next())
      if (const auto outcome = record->outcome(); outcome && !acknowledged(outcome->lease, record->seq))
        chunk.outcomes.push_back({outcome->lease, record->seq, std::string(outcome->json)});
    damaged = damaged - scanner.valid_end() + scanner.damaged_bytes();
  }
  if (damaged > 0) tell_damage(segment, damaged);
  return chunk;
}

SpoolLog::Position SpoolLog::end() const {
  if (segments_.empty()) return {next_seq_, 0};
  return {segments_.rbegin()->first, segments_.rbegin()->second.size};
}

uint64_t SpoolLog::bytes() const {
  uint64_t sum = 0;
  for (const auto& [first_seq, segment] : segments_) sum += segment.size;
  return sum;
}

void SpoolLog::set_aside(uint32_t lease) {
  active_.reset();  // nothing more is written to them, no acknowledgement either
  for (const auto& [first_seq, segment] : segments_)
    if (segment.last.contains(lease)) quarantine(segment.name);
}

/// A second name for the file costs no room, and outlives the first.
void SpoolLog::quarantine(const std::string& name) const {
  const std::string bad = path("bad");
  ::mkdir(bad.c_str(), 0700);
  if (::link(path(name).c_str(), (bad + "/" + name).c_str()) != 0 && errno != EEXIST) {
    log::warn("the spool's damaged segment has no copy", {{"file", path(name)}});
    return;
  }
  auto kept = names_in(bad);
  while (kept && kept->size() > kBadSegments) {
    ::unlink((bad + "/" + *kept->begin()).c_str());
    kept->erase(kept->begin());
  }
}

}  // namespace assay::daemon
