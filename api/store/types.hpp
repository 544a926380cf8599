// What the store keeps, as plain values. Public ids ("run_…") go in and out; `row` numbers are the store's
// own, are never shown, and are cheap keys for calls that follow a look-up. JSON is kept as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/outcome.hpp"

namespace assay::api {

enum KeyScope : unsigned { kAdmin = 1, kSubmit = 2, kRead = 4, kWorker = 8, kMonitor = 16 };

/// Of workers that serve every project, and of those who watch the servers. Names mean nothing across
/// projects: such a worker finds things by id.
inline constexpr int64_t kAnyProject = 0;

/// What a request may see.
struct Access {
  int64_t project = kAnyProject;
  std::vector<int64_t> containers;  ///< rows of those that may be seen, with their runs; empty: all

  bool sees(int64_t container) const;
};

/// Whom a key lets in.
struct Principal {
  Access access;
  unsigned scopes = 0;
  std::string key_id;  ///< names the key, and is no secret

  int64_t project() const { return access.project; }
};

/// A key's name in lists and logs, from its hash; it says nothing about the key.
std::string key_id_of(std::string_view sha256);

struct NewKey {
  std::string project;  ///< its name; made when absent. "*": every project, for workers and monitors alone
  std::string name;
  unsigned scopes = 0;
  std::string sha256;
  std::vector<std::string> containers;  ///< ids or labels; empty: all
};

struct KeyInfo {
  std::string id, project, name;
  unsigned scopes = 0;
  std::vector<std::string> containers;  ///< labels
  int64_t created_at = 0, revoked_at = 0;
};

/// Who did what: one line for every request that changed something.
struct AuditEntry {
  int64_t at = 0;
  std::string key_id, action, object, request_id;
  int status = 0;
};

/// The answer to a request with an Idempotency-Key, kept in the transaction that did the work.
struct Receipt {
  std::string key;
  std::string request_sha256;
  std::string response;
};

struct Page {
  int64_t limit = 20;
  int64_t offset = 0;
};
template <class T>
struct Listing {
  std::vector<T> data;
  int64_t total = 0;
};

/// Half-open.
struct Range {
  int64_t from = 0;
  int64_t to = 0;
  bool operator==(const Range&) const = default;
};

struct Container {
  int64_t row = 0;
  std::string id, label, metadata = "{}";
  int64_t logs =
      0;  ///< their number; seq runs from 0 without gaps, because logs are never deleted one by one
  int64_t created_at = 0;
};

struct LogEntry {
  int64_t seq = 0;
  int64_t created_at = 0;
  std::string body;  ///< {"input":…,"output":…}
};

struct Dataset {
  int64_t row = 0;
  std::string id, name, sha256, metadata = "{}";
  std::vector<std::string> columns;
  int64_t rows = 0;
  int64_t bytes = 0;  ///< of the canonical lines, newlines included
  int64_t created_at = 0;
};

struct Evaluator {
  int64_t row = 0;
  std::string id, name;
  int64_t version = 1;
  std::string spec;  ///< every other field, one JSON object
  int64_t created_at = 0;
  int64_t updated_at = 0;
};

/// `finalizing` is public as running: all outcomes are there, the metrics are being computed.
enum class RunStatus : int { queued, running, finalizing, completed, error, cancelled };
inline bool is_terminal(RunStatus status) {
  return status >= RunStatus::completed;
}
std::string_view to_string(RunStatus status);

enum class SourceKind : int { dataset, container, run };

struct Run {
  int64_t row = 0;
  std::string id;
  RunStatus status = RunStatus::queued;
  std::string environment = "main";
  int64_t items = 0, models = 1, evaluators = 1, trials = 1;
  std::string spec;      ///< what workers are told (docs/worker-protocol.md, "Run specification")
  std::string detail;    ///< what clients are told beside the fields here, one JSON object
  std::string metrics;   ///< a JSON array; empty until completed
  std::string error;     ///< why the run ends or ended as `error`
  int64_t priority = 0;  ///< higher ones of a project are worked on first
  bool paused = false;   ///< its shards are not handed out
  std::vector<std::string> required;  ///< labels that a worker must have
  std::string source_run;             ///< the run whose items this one evaluates again; empty: none
  int64_t project = 0, container = 0;
  std::vector<std::string> sandboxes;  ///< modes of the workers that delivered outcomes
  int64_t shards = 0, shards_done = 0;
  int64_t retries = 0;
  int64_t shards_aside = 0;  ///< given up after they failed again and again
  int64_t outcomes = 0, errors = 0;
  std::optional<int64_t> spend_limit;                        ///< of model calls, in nano-dollars
  int64_t created_at = 0, started_at = 0, completed_at = 0;  ///< 0: not yet

  int64_t per_item() const { return models * evaluators * trials; }
};

/// A planned run, to be stored at once.
struct NewRun {
  struct Evaluator {
    int64_t row = 0;
    int64_t version = 1;
  };
  struct Source {
    SourceKind kind = SourceKind::dataset;
    int64_t row = 0;
  };
  Run run;
  int64_t container = 0;
  int64_t shard_size = 1;
  std::vector<Evaluator> evaluators;
  std::vector<Source> sources;
  /// For every item the row of that side's source; empty: row = first + item.
  std::vector<int64_t> sample_rows, ground_truth_rows;
};

/// The rows that a planner chose for a run; empty: row = first + item.
struct RunRows {
  std::vector<int64_t> sample, ground_truth;
};

struct RunFilter {
  std::optional<int64_t> container;
  std::optional<RunStatus> status;  ///< `running` also finds finalizing
};

/// Outcomes as they are stored: typed columns, and the rest as one JSON object that results show as it is.
struct OutcomeBatch {
  struct Row {
    OutcomeId id;
    Verdict verdict = Verdict::errored;
    std::string_view kind;  ///< of `errored` only; a static string
    double score = 0;
    std::optional<bool> passed;
    int64_t wall_us = 0;
    ModelUse models;
    std::string generation;                      ///< as Outcome::generation
    size_t payload_begin = 0, payload_size = 0;  ///< within `payloads`
  };
  std::vector<Row> rows;
  std::string payloads;

  void add(const OutcomeRow& row);
  std::string_view payload(const Row& row) const {
    return std::string_view(payloads).substr(row.payload_begin, row.payload_size);
  }
};

struct ResultRow {
  OutcomeId id;
  Verdict verdict = Verdict::errored;
  double score = 0;
  std::optional<bool> passed;
  int64_t wall_us = 0;
  std::string payload;
};
struct ResultFilter {
  std::optional<int> evaluator;
  bool failed = false;                ///< only what erred or did not pass
  std::optional<int64_t> until = {};  ///< only items before this one
};

/// The typed columns alone, for metrics.
struct ScoreRow {
  OutcomeId id;
  Verdict verdict = Verdict::errored;
  std::string_view kind;  ///< valid during the call
  double score = 0;
  std::optional<bool> passed;
  int64_t wall_us = 0;
  ModelUse models;  ///< but for from_cache, cached_tokens, reasoning_tokens
};

}  // namespace assay::api
