// The records in the spool's segment files, and how they are told from damage.
//
// A segment file is the 8 bytes "ASSAYSP1" and then records, each padded with zeros to a multiple of 8 bytes,
// little-endian:
//   u32 check of the 20 bytes after it | u32 payload bytes | u64 seq | u32 CRC-32C of the payload | u32 kind
//   | payload
// The check is the CRC-32C of the segment's salt and those 20 bytes. The salt is random and stands in the
// file's name, so neither stale bytes of a recycled block nor anything that an evaluator writes can look like
// a record. `seq` rises by one a record, over all segments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace assay::daemon {

/// Who talks to the API: ids that it gave, and the database it gave them from.
struct Identity {
  std::string worker_id;
  std::string boot_id;
  std::string incarnation;
  bool operator==(const Identity&) const = default;
};

/// What is needed to post outcomes of a lease, by this process or a later one.
struct LeaseRecord {
  uint32_t number = 0;  ///< of the lease in the log; never given twice while a record has it
  Identity holder;      ///< as whom it was held
  std::string run;
  int64_t shard = 0;
  int64_t epoch = 0;
  std::string token;

  std::string key() const { return run + "/" + std::to_string(shard); }  ///< as Lease::key()
};

/// Every outcome of lease `lease` with a seq up to `through` needs no more posting.
struct Acknowledgement {
  uint32_t lease = 0;
  uint64_t through = 0;
};

enum class RecordKind : uint32_t { lease = 1, outcome = 2, acknowledged = 3 };

inline constexpr std::string_view kSegmentMagic = "ASSAYSP1";

void append_lease_record(std::string& out, uint64_t salt, uint64_t seq, const LeaseRecord& lease);
void append_outcome_record(std::string& out, uint64_t salt, uint64_t seq, uint32_t lease,
                           std::string_view json);
void append_acknowledged_record(std::string& out, uint64_t salt, uint64_t seq, Acknowledgement what);
/// What a record with `payload_bytes` takes of a file.
size_t record_bytes(size_t payload_bytes);

/// A record whose checks hold.
struct Record {
  RecordKind kind = RecordKind::outcome;
  uint64_t seq = 0;
  std::string_view payload;

  /// What it says, when it is of that kind; nullopt for another kind or a payload that says nothing.
  std::optional<LeaseRecord> lease() const;
  std::optional<Acknowledgement> acknowledged() const;
  struct Outcome {
    uint32_t lease = 0;
    std::string_view json;
  };
  std::optional<Outcome> outcome() const;
};

/// Finds the records in a segment's bytes, in order; damage is stepped over to the next valid record.
class SegmentScanner {
 public:
  /// `bytes` from the segment's start or from the end of a record; they must outlive the scanner.
  SegmentScanner(std::string_view bytes, uint64_t salt) : bytes_(bytes), salt_(salt) {}

  std::optional<Record> next();
  /// Bytes stepped over between valid records so far.
  size_t damaged_bytes() const { return damaged_; }
  /// Where the last valid record ends: what is behind it, after next() gave nothing, is no record.
  size_t valid_end() const { return next_; }

 private:
  std::optional<Record> at(size_t offset) const;

  std::string_view bytes_;
  uint64_t salt_;
  size_t next_ = 0;
  size_t damaged_ = 0;
  uint64_t last_seq_ = 0;
};

}  // namespace assay::daemon
