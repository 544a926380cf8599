// The spool: what was computed, kept until the API has it.
//
// Theory of operation. Shards add() outcomes. A group of them is made durable at a time, on the disk's thread
// (log.hpp), and only then do they become `ready` in their lease's Outbox, from which the Sender posts them
// in order. What the API acknowledged is forgotten. Memory is bounded: beyond kReadyBytes durable outcomes
// stay on the disk alone, and are read back in the order of the log when the ready ones have been posted.
// Without a folder outcomes are ready at once and live in memory only, up to the same bound on their bytes.
//
// Nothing is ever dropped for want of room. From 90 % of the bound on, or when the disk takes no writes,
// full() says so: nothing more is claimed or read. What is in flight then still goes into the rest, but for a
// part that is left to acknowledgements, and what does not fit waits in memory.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/async/event.hpp"
#include "core/async/scope.hpp"
#include "daemon/spool/log.hpp"

namespace assay::daemon {

struct SpoolOptions {
  std::string folder;              ///< empty: in memory only
  size_t bytes = size_t{1} << 30;  ///< of outcomes kept
};

inline constexpr size_t kBatchOutcomes = 1000;
inline constexpr size_t kBatchBytes = size_t{2} << 20;

/// The outcomes of one lease on their way to the API. Shared by the spool, the shard and the sender.
struct Outbox {
  explicit Outbox(const asio::any_io_executor& executor) : changed(executor), filled(executor) {}

  struct Ready {
    uint64_t seq = 0;
    std::string json;
  };
  enum class Standing {
    wanted,
    ended,   ///< the run is over: its outcomes are not wanted any more
    refused  ///< the API will not take them: `refusal` says why
  };

  std::shared_ptr<const LeaseRecord> lease;
  bool leftover = false;  ///< of an earlier process
  bool open = false;      ///< a shard may add to it
  bool hurry = false;     ///< to be posted without waiting for a whole batch
  Standing standing = Standing::wanted;
  Error refusal;
  bool lost = false;  ///< the API says that the lease is no longer this worker's

  std::deque<Ready> ready;  ///< durable, to be posted
  size_t ready_bytes = 0;
  Deadline ready_since;
  size_t unwritten = 0;   ///< added, not durable yet
  size_t held = 0;        ///< all that are not acknowledged
  uint64_t last_seq = 0;  ///< of the newest that is durable
  Event changed;          ///< any of the above
  Event filled;           ///< a whole batch is ready, or there will be no more

  /// The sender's.
  struct Posting {
    bool active = false;
    bool as_recorded = false;  ///< as `lease->holder`, an earlier process
    bool away = false;         ///< the API did not answer, or was not asked yet
    size_t most = kBatchOutcomes;
    uint64_t replaced = 0;  ///< the outcome that the API would not take as it was
  } posting;

  bool has_batch() const;
};

/// Runs on one executor; only the disk work is elsewhere.
class Spool {
 public:
  Spool(asio::any_io_executor executor, SpoolOptions options);
  ~Spool();

  /// Recovers what the last process left: it is in outboxes() then, and on its way once on_ready is set and
  /// resume() was called. `config` when the folder cannot be used.
  Task<Result<>> open();
  /// Begins to give out what is on the disk.
  void resume();
  /// Writes what is not yet durable and ends; after it nothing may be added.
  Task<> close();

  /// For a lease that this process holds as `holder`.
  std::shared_ptr<Outbox> begin(LeaseRecord lease);
  void add(const std::shared_ptr<Outbox>& outbox, std::string json);
  /// No more is expected: what there is need not wait for a whole batch.
  void flush(const std::shared_ptr<Outbox>& outbox);
  /// Nothing more will be added; the outbox goes when all it holds is posted.
  void finish(const std::shared_ptr<Outbox>& outbox);
  /// Whether all that was added is acknowledged (or dropped).
  bool settled(const Outbox& outbox) const;

  /// Another text for the first ready one; the log keeps the old.
  void replace_first(const std::shared_ptr<Outbox>& outbox, std::string json);
  /// The first `count` ready ones.
  void acknowledge(const std::shared_ptr<Outbox>& outbox, size_t count);
  /// All of them, because the API will never take them; `keep_copy` leaves the log's segments in `bad/` too.
  void drop(const std::shared_ptr<Outbox>& outbox, Outbox::Standing why, bool keep_copy = false);

  /// Nothing more should be claimed or read.
  bool full() const { return !trouble_.empty() || used() >= options_.bytes / 10 * 9; }
  /// Whether a shard may read more items now.
  bool has_room() const;
  /// Whether there are durable outcomes that are not in memory.
  bool has_backlog() const { return loaded_ < durable_; }
  size_t outcomes() const { return held_; }
  /// Bytes, towards SpoolOptions::bytes.
  size_t used() const { return (log_ ? log_bytes_ : ready_bytes_) + unwritten_bytes_; }
  size_t ready_bytes() const { return ready_bytes_; }
  bool in_memory() const { return options_.folder.empty(); }
  const std::map<uint32_t, std::shared_ptr<Outbox>>& outboxes() const { return outboxes_; }

  /// Called when an outbox has got something to post.
  std::function<void(const std::shared_ptr<Outbox>&)> on_ready;

 private:
  struct Unwritten {
    std::shared_ptr<Outbox> outbox;
    std::string json;
  };
  struct Settlement {
    Acknowledgement what;
    bool keep_copy = false;
  };
  struct Group {
    std::vector<SpoolLog::Outcome> outcomes;
    std::vector<std::shared_ptr<Outbox>> outboxes;
    std::vector<Settlement> settlements;
    size_t bytes = 0;
    SpoolLog::Position end;
    uint64_t last_seq = 0;
    uint64_t log_bytes = 0;
    Result<> written;
  };

  Task<> write_loop();
  Task<> wait_for_group();
  Group take_group();
  bool fits(size_t bytes, bool first) const;
  Task<> write(Group& group);
  void put_back(Group& group);
  void took(Group& group);
  Task<> read_loop();
  bool wants_to_read() const;
  void took(SpoolLog::Chunk chunk);
  void make_ready(const std::shared_ptr<Outbox>& outbox, uint64_t seq, std::string json);
  void forget_if_settled(const std::shared_ptr<Outbox>& outbox);
  void tell_room();

  asio::any_io_executor executor_;
  SpoolOptions options_;
  std::unique_ptr<asio::thread_pool> disk_;
  std::unique_ptr<SpoolLog> log_;  ///< used on disk_ only, once open
  Scope loops_;
  Event write_, read_;
  std::map<uint32_t, std::shared_ptr<Outbox>> outboxes_;  ///< by lease number
  uint32_t next_lease_ = 1;
  std::deque<Unwritten> unwritten_;
  size_t unwritten_bytes_ = 0;
  Deadline unwritten_since_;
  std::vector<Settlement> settlements_;
  size_t log_bytes_ = 0;
  size_t ready_bytes_ = 0;
  size_t held_ = 0;
  uint64_t durable_ = 0;       ///< the last seq of the log
  uint64_t loaded_ = 0;        ///< up to this seq all outcomes were made ready
  SpoolLog::Position cursor_;  ///< behind loaded_
  std::string trouble_;        ///< what the disk said to the last write
  bool was_full_ = false;
  bool resumed_ = false;
  bool closing_ = false;
};

}  // namespace assay::daemon
