#include "daemon/spool/record.hpp"

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/id.hpp"
#include "core/json.hpp"

namespace assay::daemon {
namespace {

static_assert(std::endian::native == std::endian::little, "the spool's files are little-endian");

constexpr size_t kAlign = 8;

struct Header {
  uint32_t check = 0;
  uint32_t payload_bytes = 0;
  uint64_t seq = 0;
  uint32_t payload_crc = 0;
  uint32_t kind = 0;
};
static_assert(sizeof(Header) == 24 && std::has_unique_object_representations_v<Header>);

uint32_t check_of(const Header& header, uint64_t salt) {
  char bytes[sizeof salt + sizeof header - sizeof header.check];
  std::memcpy(bytes, &salt, sizeof salt);
  std::memcpy(bytes + sizeof salt, reinterpret_cast<const char*>(&header) + sizeof header.check,
              sizeof header - sizeof header.check);
  return crc32c({bytes, sizeof bytes});
}

void append_record(std::string& out, uint64_t salt, uint64_t seq, RecordKind kind, std::string_view payload) {
  Header header;
  header.payload_bytes = static_cast<uint32_t>(payload.size());
  header.seq = seq;
  header.payload_crc = crc32c(payload);
  header.kind = static_cast<uint32_t>(kind);
  header.check = check_of(header, salt);
  out.append(reinterpret_cast<const char*>(&header), sizeof header);
  out += payload;
  out.append(record_bytes(payload.size()) - sizeof header - payload.size(), '\0');
}

template <class T>
void append_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T number_at(std::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

size_t record_bytes(size_t payload_bytes) {
  return (sizeof(Header) + payload_bytes + kAlign - 1) / kAlign * kAlign;
}

void append_lease_record(std::string& out, uint64_t salt, uint64_t seq, const LeaseRecord& lease) {
  const Json json{{"number", lease.number},
                  {"worker_id", lease.holder.worker_id},
                  {"boot_id", lease.holder.boot_id},
                  {"incarnation", lease.holder.incarnation},
                  {"run", lease.run},
                  {"shard", lease.shard},
                  {"epoch", lease.epoch},
                  {"token", lease.token}};
  append_record(out, salt, seq, RecordKind::lease, dump_json(json));
}

void append_outcome_record(std::string& out, uint64_t salt, uint64_t seq, uint32_t lease,
                           std::string_view json) {
  std::string payload;
  payload.reserve(sizeof lease + json.size());
  append_number(payload, lease);
  payload += json;
  append_record(out, salt, seq, RecordKind::outcome, payload);
}

void append_acknowledged_record(std::string& out, uint64_t salt, uint64_t seq, Acknowledgement what) {
  std::string payload;
  append_number(payload, what.lease);
  append_number(payload, what.through);
  append_record(out, salt, seq, RecordKind::acknowledged, payload);
}

std::optional<LeaseRecord> Record::lease() const {
  if (kind != RecordKind::lease) return std::nullopt;
  const auto json = parse_json(payload);
  if (!json || !json->is_object()) return std::nullopt;
  const auto text = [&](const char* name) -> std::optional<std::string> {
    const auto it = json->find(name);
    if (it == json->end() || !it->is_string()) return std::nullopt;
    return it->get<std::string>();
  };
  const auto whole = [&](const char* name) -> std::optional<int64_t> {
    const auto it = json->find(name);
    if (it == json->end() || !it->is_number_integer()) return std::nullopt;
    return it->get<int64_t>();
  };
  const auto number = whole("number"), shard = whole("shard"), epoch = whole("epoch");
  const auto worker_id = text("worker_id"), boot_id = text("boot_id"), incarnation = text("incarnation"),
             run = text("run"), token = text("token");
  if (!number || *number < 0 || *number > UINT32_MAX || !shard || !epoch || !worker_id || !boot_id ||
      !incarnation || !run || !token)
    return std::nullopt;
  return LeaseRecord{
      static_cast<uint32_t>(*number), {*worker_id, *boot_id, *incarnation}, *run, *shard, *epoch, *token};
}

std::optional<Acknowledgement> Record::acknowledged() const {
  if (kind != RecordKind::acknowledged || payload.size() != sizeof(uint32_t) + sizeof(uint64_t))
    return std::nullopt;
  return Acknowledgement{number_at<uint32_t>(payload, 0), number_at<uint64_t>(payload, sizeof(uint32_t))};
}

std::optional<Record::Outcome> Record::outcome() const {
  if (kind != RecordKind::outcome || payload.size() < sizeof(uint32_t)) return std::nullopt;
  return Outcome{number_at<uint32_t>(payload, 0), payload.substr(sizeof(uint32_t))};
}

std::optional<Record> SegmentScanner::at(size_t offset) const {
  const auto header = number_at<Header>(bytes_, offset);
  if (header.check != check_of(header, salt_) || header.seq <= last_seq_) return std::nullopt;
  if (header.kind < 1 || header.kind > 3) return std::nullopt;
  if (record_bytes(header.payload_bytes) > bytes_.size() - offset) return std::nullopt;
  const std::string_view payload = bytes_.substr(offset + sizeof header, header.payload_bytes);
  if (crc32c(payload) != header.payload_crc) return std::nullopt;
  return Record{static_cast<RecordKind>(header.kind), header.seq, payload};
}

std::optional<Record> SegmentScanner::next() {
  if (next_ == 0 && bytes_.starts_with(kSegmentMagic)) next_ = kSegmentMagic.size();
  for (size_t offset = next_; offset + sizeof(Header) <= bytes_.size(); offset += kAlign) {
    const auto record = at(offset);
    if (!record) continue;
    damaged_ += offset - next_;
    next_ = offset + record_bytes(record->payload.size());
    last_seq_ = record->seq;
    return record;
  }
  return std::nullopt;
}

}  // namespace assay::daemon
