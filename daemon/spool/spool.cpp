#include "daemon/spool/spool.hpp"

#include <algorithm>

#include "core/async/on_disk.hpp"
#include "core/check.hpp"
#include "core/log.hpp"

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr size_t kGroupRecords = 64;
constexpr size_t kGroupBytes = size_t{1} << 20;
constexpr auto kGroupAge = 10ms;
constexpr size_t kSegmentBytes = size_t{16} << 20;
constexpr size_t kReadyBytes = size_t{16} << 20;      ///< from here on durable outcomes stay on the disk
constexpr size_t kUnwrittenBytes = size_t{16} << 20;  ///< from here on shards read nothing more
constexpr auto kDiskRetry = 500ms;

/// An outcome also costs what keeps track of it.
size_t cost(const std::string& json) {
  return json.size() + 64;
}

}  // namespace

bool Outbox::has_batch() const {
  return ready.size() >= kBatchOutcomes || ready_bytes >= kBatchBytes;
}

Spool::Spool(asio::any_io_executor executor, SpoolOptions options)
    : executor_(executor),
      options_(std::move(options)),
      loops_(executor),
      write_(executor),
      read_(executor) {}

Spool::~Spool() {
  if (disk_) disk_->join();
}

Task<Result<>> Spool::open() {
  if (in_memory()) co_return Result<>{};
  disk_ = std::make_unique<asio::thread_pool>(1);
  const auto segment_bytes = std::min<uint64_t>(kSegmentBytes, options_.bytes / 8);
  auto log = co_await on_disk(
      *disk_, [folder = options_.folder, segment_bytes] { return SpoolLog::open(folder, segment_bytes); });
  if (!log) co_return std::unexpected(std::move(log.error()));
  log_ = std::move(*log);
  log_bytes_ = log_->bytes();
  const auto& recovered = log_->recovered();
  durable_ = recovered.through;
  next_lease_ = recovered.next_lease;
  for (const auto& lease : recovered.leases) {
    const auto outbox = std::make_shared<Outbox>(executor_);
    outbox->lease = std::make_shared<const LeaseRecord>(lease.record);
    outbox->leftover = true;
    outbox->hurry = true;
    outbox->held = lease.outcomes;
    outbox->last_seq = lease.last_seq;
    held_ += lease.outcomes;
    outboxes_[lease.record.number] = outbox;
  }
  if (outboxes_.empty()) loaded_ = durable_;
  cursor_ = outboxes_.empty() ? log_->end() : SpoolLog::Position{};
  if (held_ > 0)
    log::info("outcomes of an earlier process are in the spool",
              {{"outcomes", std::to_string(held_)}, {"bytes", std::to_string(log_bytes_)}});
  loops_.spawn("write the spool", write_loop());
  loops_.spawn("read the spool", read_loop());
  co_return Result<>{};
}

void Spool::resume() {
  resumed_ = true;
  read_.notify();
}

Task<> Spool::close() {
  closing_ = true;
  write_.notify();
  read_.notify();
  co_await loops_.join();
  if (!log_) co_return;
  // Closing the log unlinks files.
  co_await on_disk(*disk_, [this] {
    log_.reset();
    return true;
  });
}

std::shared_ptr<Outbox> Spool::begin(LeaseRecord lease) {
  const auto outbox = std::make_shared<Outbox>(executor_);
  lease.number = next_lease_++;
  outbox->open = true;
  outboxes_[lease.number] = outbox;
  outbox->lease = std::make_shared<const LeaseRecord>(std::move(lease));
  return outbox;
}

void Spool::add(const std::shared_ptr<Outbox>& outbox, std::string json) {
  ASSAY_CHECK(outbox->open, "an outcome was added to a lease that has ended");
  if (outbox->standing != Outbox::Standing::wanted) return;
  ++outbox->held;
  ++held_;
  if (!log_) {
    make_ready(outbox, ++durable_, std::move(json));
    loaded_ = durable_;
  } else {
    ++outbox->unwritten;
    unwritten_bytes_ += cost(json);
    if (unwritten_.empty()) unwritten_since_ = Clock::now();
    unwritten_.push_back({outbox, std::move(json)});
    if (unwritten_.size() == 1 || unwritten_.size() == kGroupRecords) write_.notify();
  }
  tell_room();
}

void Spool::flush(const std::shared_ptr<Outbox>& outbox) {
  outbox->hurry = true;
  outbox->filled.notify();
}

void Spool::finish(const std::shared_ptr<Outbox>& outbox) {
  outbox->open = false;
  flush(outbox);
  forget_if_settled(outbox);
}

bool Spool::settled(const Outbox& outbox) const {
  return outbox.unwritten == 0 && outbox.ready.empty() && outbox.last_seq <= loaded_;
}

bool Spool::has_room() const {
  return !full() && unwritten_bytes_ < kUnwrittenBytes;
}

void Spool::forget_if_settled(const std::shared_ptr<Outbox>& outbox) {
  outbox->changed.notify();
  if (!settled(*outbox)) return;
  // What could not be read back from a damaged disk is settled too.
  held_ -= outbox->held;
  outbox->held = 0;
  if (!outbox->open) outboxes_.erase(outbox->lease->number);
}

void Spool::replace_first(const std::shared_ptr<Outbox>& outbox, std::string json) {
  auto& first = outbox->ready.front();
  outbox->ready_bytes = outbox->ready_bytes - cost(first.json) + cost(json);
  ready_bytes_ = ready_bytes_ - cost(first.json) + cost(json);
  first.json = std::move(json);
}

void Spool::acknowledge(const std::shared_ptr<Outbox>& outbox, size_t count) {
  uint64_t through = 0;
  for (size_t i = 0; i < count && !outbox->ready.empty(); ++i) {
    const auto& first = outbox->ready.front();
    through = first.seq;
    outbox->ready_bytes -= cost(first.json);
    ready_bytes_ -= cost(first.json);
    outbox->ready.pop_front();
    --outbox->held;
    --held_;
  }
  outbox->ready_since = Clock::now();
  if (log_) {
    settlements_.push_back({{outbox->lease->number, through}});
    write_.notify();
    read_.notify();
  }
  forget_if_settled(outbox);
  tell_room();
}

void Spool::drop(const std::shared_ptr<Outbox>& outbox, Outbox::Standing why, bool keep_copy) {
  if (outbox->standing != Outbox::Standing::wanted) return;
  outbox->standing = why;
  ready_bytes_ -= outbox->ready_bytes;
  outbox->ready_bytes = 0;
  outbox->ready.clear();
  std::erase_if(unwritten_, [&](const Unwritten& entry) {
    if (entry.outbox != outbox) return false;
    unwritten_bytes_ -= cost(entry.json);
    --outbox->unwritten;
    return true;
  });
  held_ -= outbox->held;
  outbox->held = 0;
  if (log_) {
    settlements_.push_back({{outbox->lease->number, UINT64_MAX}, keep_copy});
    write_.notify();
    read_.notify();
  }
  outbox->filled.notify();
  forget_if_settled(outbox);
  tell_room();
}

void Spool::make_ready(const std::shared_ptr<Outbox>& outbox, uint64_t seq, std::string json) {
  if (outbox->standing != Outbox::Standing::wanted) return;
  if (outbox->ready.empty()) outbox->ready_since = Clock::now();
  const bool had_batch = outbox->has_batch();
  outbox->ready_bytes += cost(json);
  ready_bytes_ += cost(json);
  outbox->ready.push_back({seq, std::move(json)});
  if (!had_batch && outbox->has_batch()) outbox->filled.notify();
  if (on_ready) on_ready(outbox);
}

/// Says once when claiming stops for want of room, and once when it goes on.
void Spool::tell_room() {
  if (full() == was_full_) return;
  was_full_ = full();
  if (!was_full_)
    log::info("the spool has room again; claiming goes on", {{"outcomes", std::to_string(held_)}});
  else
    log::warn("the spool is full: nothing more is claimed until the API has taken outcomes",
              {{"outcomes", std::to_string(held_)},
               {"bytes", std::to_string(used())},
               {"disk", trouble_.empty() ? "ok" : trouble_}});
}

// Writing.

/// The next group may be written: enough of it is there, or it has waited long enough.
Task<> Spool::wait_for_group() {
  while (!closing_) {
    if (settlements_.empty() && (unwritten_.empty() || !fits(unwritten_.front().json.size(), true))) {
      co_await write_.wait();
      continue;
    }
    const auto due = unwritten_since_ + kGroupAge;
    if (unwritten_.empty() || unwritten_.size() >= kGroupRecords || unwritten_bytes_ >= kGroupBytes ||
        Clock::now() >= due)
      co_return;
    co_await write_.wait_until(due);
  }
}

/// A part of the bound is left to acknowledgements. The first outcome on the disk always fits, or it would
/// wait forever; and when the process ends, what is in memory must go somewhere.
bool Spool::fits(size_t bytes, bool first) const {
  const size_t reserve = std::min<size_t>(size_t{1} << 20, options_.bytes / 32);
  const bool alone = first && held_ == unwritten_.size();
  return closing_ || alone || log_bytes_ + record_bytes(bytes) <= options_.bytes - reserve;
}

Spool::Group Spool::take_group() {
  Group group;
  group.settlements.swap(settlements_);
  const size_t most = std::min(kGroupBytes, options_.bytes / 8);
  while (!unwritten_.empty() && group.bytes < most) {
    auto& next = unwritten_.front();
    if (!fits(group.bytes + next.json.size(), group.outcomes.empty())) break;
    group.bytes += record_bytes(next.json.size());
    group.outcomes.push_back({next.outbox->lease, std::move(next.json)});
    group.outboxes.push_back(std::move(next.outbox));
    unwritten_.pop_front();
  }
  unwritten_since_ = Clock::now();
  return group;
}

Task<> Spool::write(Group& group) {
  co_await on_disk(*disk_, [log = log_.get(), &group] {
    // What is acknowledged goes first: it may make room.
    for (const auto& settlement : group.settlements) {
      if (settlement.keep_copy) log->set_aside(settlement.what.lease);
      log->acknowledge(settlement.what);
    }
    if (!group.outcomes.empty()) group.written = log->append(group.outcomes);
    group.end = log->end();
    group.last_seq = log->last_seq();
    group.log_bytes = log->bytes();
    return true;
  });
}

Task<> Spool::write_loop() {
  for (;;) {
    co_await wait_for_group();
    Group group = take_group();
    if (group.outcomes.empty() && group.settlements.empty()) co_return;  // closing, and this was all
    co_await write(group);
    log_bytes_ = group.log_bytes;
    if (group.written) {
      took(group);
      tell_room();
      continue;
    }
    if (trouble_ != group.written.error().message) log::error(group.written.error().message);
    trouble_ = group.written.error().message;
    put_back(group);
    tell_room();
    if (closing_) co_return;
    co_await write_.wait_until(Clock::now() + kDiskRetry);
  }
}

void Spool::put_back(Group& group) {
  for (size_t i = group.outcomes.size(); i-- > 0;) {
    auto& outbox = group.outboxes[i];
    auto& json = group.outcomes[i].json;
    if (outbox->standing == Outbox::Standing::wanted) {
      unwritten_.push_front({std::move(outbox), std::move(json)});
      continue;
    }
    unwritten_bytes_ -= cost(json);
    --outbox->unwritten;
    forget_if_settled(outbox);
  }
}

void Spool::took(Group& group) {
  const bool any = !group.outcomes.empty();
  if (any || unwritten_.empty()) trouble_.clear();
  // With nothing on the disk that memory lacks, and room in memory, there is no need to read these back.
  const bool straight =
      !has_backlog() && ready_bytes_ < kReadyBytes && (!any || group.outcomes.front().seq > loaded_);
  durable_ = std::max(durable_, group.last_seq);
  if (straight) {
    loaded_ = durable_;
    cursor_ = group.end;
  }
  for (size_t i = 0; i < group.outcomes.size(); ++i) {
    auto& outbox = group.outboxes[i];
    auto& outcome = group.outcomes[i];
    unwritten_bytes_ -= cost(outcome.json);
    --outbox->unwritten;
    outbox->last_seq = outcome.seq;
    if (straight) make_ready(outbox, outcome.seq, std::move(outcome.json));
    if (outbox->standing != Outbox::Standing::wanted) forget_if_settled(outbox);
  }
  if (!straight) read_.notify();
}

// Reading back.

bool Spool::wants_to_read() const {
  return resumed_ && has_backlog() && ready_bytes_ < kReadyBytes / 2;
}

Task<> Spool::read_loop() {
  while (!closing_) {
    if (!wants_to_read()) {
      co_await read_.wait();
      continue;
    }
    auto chunk = co_await on_disk(*disk_, [log = log_.get(), from = cursor_] { return log->read(from); });
    took(std::move(chunk));
  }
}

void Spool::took(SpoolLog::Chunk chunk) {
  cursor_ = chunk.next;
  loaded_ = std::max(loaded_, chunk.through);
  durable_ = std::max(durable_, loaded_);
  for (auto& outcome : chunk.outcomes)
    if (const auto it = outboxes_.find(outcome.lease); it != outboxes_.end()) {
      const auto outbox = it->second;
      outbox->last_seq = std::max(outbox->last_seq, outcome.seq);
      make_ready(outbox, outcome.seq, std::move(outcome.json));
    }
  // Some may have had nothing left there: it was acknowledged, or it is damaged.
  std::vector<std::shared_ptr<Outbox>> all;
  for (const auto& [number, outbox] : outboxes_) all.push_back(outbox);
  for (const auto& outbox : all) forget_if_settled(outbox);
}

}  // namespace assay::daemon
