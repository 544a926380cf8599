// The spool's files: a folder of append-only segments, written, read back, recovered and removed.
//
// Theory of operation. Outcomes are appended to the newest segment and are durable when append() returns.
// Acknowledgements are records of the same log, so that there is one source of truth; they are not synced,
// since one that is lost only means that its outcomes are posted again. A segment is closed when it is full
// and unlinked, oldest first, when the API has all of its outcomes: an acknowledgement thus never goes before
// what it acknowledges. Nothing is kept beyond that, because the API's store is durable before it
// acknowledges, and whoever restores an older copy of it has the outcomes computed again. Every segment
// begins its leases anew, so that each can be read without the ones before it.
//
// A damaged log never stops a start: a torn tail is cut, other damage is stepped over, and the segment is
// kept in `bad/` too, for a person to look at. After a failed write or sync a file is never written again:
// the kernel may have dropped what was not written, so the next append begins a new segment.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/fd.hpp"
#include "daemon/spool/record.hpp"

namespace assay::daemon {

/// Blocks on the disk; one thread at a time.
class SpoolLog {
 public:
  struct Outcome {
    std::shared_ptr<const LeaseRecord> lease;
    std::string json;
    uint64_t seq = 0;  ///< given by append()
  };
  struct Position {
    uint64_t segment = 0;
    uint64_t offset = 0;
    bool operator==(const Position&) const = default;
  };
  struct Chunk {
    struct Entry {
      uint32_t lease = 0;
      uint64_t seq = 0;
      std::string json;
    };
    std::vector<Entry> outcomes;  ///< in order, without those acknowledged
    Position next;                ///< where to read on; `from` itself when there was nothing more
    uint64_t through = 0;         ///< the seq up to which all was read
  };
  /// What an earlier process left.
  struct Recovered {
    struct Lease {
      LeaseRecord record;
      size_t outcomes = 0;
      uint64_t last_seq = 0;
    };
    std::vector<Lease> leases;  ///< those with outcomes that are not acknowledged
    uint64_t through = 0;       ///< the highest seq
    uint32_t next_lease = 1;    ///< the first number that no record has
    size_t torn_bytes = 0;      ///< cut from the end
    size_t damaged_segments = 0;
  };

  /// Takes the folder, which is made when missing, and recovers what is in it. `config` when the folder
  /// cannot be used or another process has it. A segment is closed when it has `segment_bytes`.
  static Result<std::unique_ptr<SpoolLog>> open(std::string folder, uint64_t segment_bytes);
  SpoolLog(const SpoolLog&) = delete;
  SpoolLog& operator=(const SpoolLog&) = delete;
  /// Removes what is acknowledged.
  ~SpoolLog();

  const Recovered& recovered() const { return recovered_; }
  /// Durable when it succeeds. After an error, which says what the disk said, none of them may be taken for
  /// durable: append them again.
  Result<> append(std::vector<Outcome>& outcomes);
  /// Unlinks what needs no more posting. Needs no room on the disk to do so.
  void acknowledge(Acknowledgement what);
  /// Copies the segments with outcomes of `lease` to `bad/`, where they stay when acknowledged.
  void set_aside(uint32_t lease);
  /// The outcomes from `from` to the end of a segment.
  Chunk read(Position from);
  /// Behind the last record.
  Position end() const;
  uint64_t last_seq() const { return next_seq_ - 1; }
  /// Of all segments.
  uint64_t bytes() const;

 private:
  struct Segment {
    std::string name;
    uint64_t salt = 0;
    uint64_t size = 0;  ///< of valid content
    uint64_t last_seq = 0;
    std::map<uint32_t, uint64_t> last;  ///< lease → seq of its last outcome here
    std::set<uint32_t> leases;          ///< with a record here
    bool damaged = false;               ///< and a copy is in `bad/`
  };
  /// The leases met while recovering, each with the seqs of its outcomes that are not acknowledged.
  struct Met {
    std::optional<LeaseRecord> record;
    std::deque<uint64_t> outcomes;
  };
  using MetLeases = std::map<uint32_t, Met>;

  SpoolLog(std::string folder, uint64_t segment_bytes)
      : folder_(std::move(folder)), segment_bytes_(segment_bytes) {}

  Result<> lock();
  Result<> recover();
  void recover_segment(const std::string& name, bool newest, MetLeases& leases);
  void recover_record(const Record& record, Segment& segment, MetLeases& leases);
  void recover_tail(Segment& segment, uint64_t file_bytes);
  void tell_damage(Segment& segment, uint64_t bytes) const;
  Result<> begin_segment();
  Result<> write(std::string_view bytes);
  Result<> sync_folder() const;
  void abandon();
  void close_if_full();
  void collect();
  bool acknowledged(uint32_t lease, uint64_t seq) const;
  bool needed(const Segment& segment) const;
  void quarantine(const std::string& name) const;
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
  uint64_t segment_bytes_;
  UniqueFd folder_fd_;                    ///< holds the lock
  UniqueFd active_;                       ///< of the newest segment, when it is being written
  bool active_is_named_ = false;          ///< and its name is durable
  std::map<uint64_t, Segment> segments_;  ///< by first seq
  std::map<uint32_t, uint64_t> acknowledged_;
  uint64_t next_seq_ = 1;
  Recovered recovered_;
};

}  // namespace assay::daemon
