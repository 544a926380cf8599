// The host's side of the evaluator protocol (sdk/protocol.md): requests in, answers out.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace assay::sandbox::wire {

inline constexpr size_t kRequestLimit = 16U << 20;  ///< bytes of one request
inline constexpr size_t kCallLimit = 4U << 20;      ///< bytes of what an evaluator calls the worker with

struct EvaluatorLimits {
  std::chrono::milliseconds wall{10'000};
  std::chrono::milliseconds cpu{5'000};
  std::chrono::milliseconds load{30'000};
  uint64_t memory_bytes = 64ULL << 20;
  uint64_t result_bytes = 1ULL << 20;
  uint64_t log_bytes = 64ULL << 10;
};

struct EvaluatorSource {
  std::string language;
  std::string name;  ///< the chunk name in messages
  std::string source;
  std::string params = "{}";  ///< a JSON object
  std::string plugin;         ///< of the language plugin: the path of the library on this machine
  std::vector<std::string> grants;
  std::string isolation = "item";  ///< or "run": node's processes may serve many items
  EvaluatorLimits limits;

  bool is_granted(std::string_view grant) const;
};

/// How one evaluation ended: a score, or an error when `error` is set, or skipped.
struct Answer {
  double score = 0;
  std::optional<bool> passed;
  std::string reason;
  std::vector<std::pair<std::string, double>> metrics;  ///< in the order of their names
  std::optional<Error> error;
  bool skipped = false;  ///< neither: the evaluator does not apply; `reason` says why
  std::string log;
  std::chrono::microseconds wall{0}, cpu{0};
  uint64_t memory_bytes = 0;
  std::string_view method = "rusage";  ///< how memory and processor time were measured; static text
};

inline constexpr size_t kSourceLimit = 4U << 20;
inline constexpr size_t kMessageLimit = 16U << 10;  ///< of an error: message and traceback

/// Takes frames out of a stream of bytes: a 4-byte little-endian length, then so many bytes.
class FrameReader {
 public:
  explicit FrameReader(size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  /// Room for at least `bytes` more; commit() says how many were written there. Invalidates frames.
  char* prepare(size_t bytes);
  void commit(size_t bytes) { end_ += bytes; }
  /// The next whole frame, valid until prepare(); nullopt when more bytes are needed or the stream is
  /// broken().
  std::optional<std::string_view> next();
  bool broken() const { return broken_; }

 private:
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
  size_t limit_bytes_;
  bool broken_ = false;
};

enum class Method { initialize, evaluate, shutdown };

struct Request {
  Method method;
  int64_t id = 0;
  std::string_view params;  ///< JSON text: of initialize, all of it; of evaluate, the item
};
/// nullopt for anything that is no request of this protocol. Views into `text`.
std::optional<Request> parse_request(std::string_view text);

// What an evaluator may have the worker do while an item runs, by the names of the methods.
inline constexpr std::string_view kRunCandidate = "run_candidate";
inline constexpr std::string_view kComplete = "llm.complete";

/// The result, JSON text and a view into `text`, in an answer to a call of ours, or why there is none;
/// nullopt for anything else. Whose cancellation is meant is not asked of an evaluator: it is `internal` to
/// it.
std::optional<Result<std::string_view>> parse_call_answer(std::string_view text);

/// nullopt when a member is missing or wrong.
std::optional<EvaluatorSource> parse_initialize(std::string_view params);

// Each appends one frame.
/// `concurrent`: how many evaluations are under way at once; with more than one, answers come in any order.
/// `description`: of a plugin that was asked for one.
void append_initialized(std::string& out, int64_t id, size_t concurrent = 1,
                        std::string_view description = {});
void append_answer(std::string& out, int64_t id, const Answer& answer);
/// A call that the evaluator makes while an item runs; `params` is a JSON object.
void append_call(std::string& out, int64_t id, std::string_view method, std::string_view params);
/// A call for `evaluation`, of a host that has one call under way: `request` is what its evaluator says, a
/// JSON object.
void append_evaluator_call(std::string& out, int64_t evaluation, std::string_view method,
                           std::string_view request);
void append_error(std::string& out, int64_t id, const Error& error);

}  // namespace assay::sandbox::wire
