// What a host says, as the pool reads it. A host may have been taken over by what it ran: nothing here is
// believed that is not checked, and nothing it says can be more than an outcome of its own item.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/outcome.hpp"
#include "sandbox/runtime/program.hpp"

namespace assay::sandbox {

/// The most bytes that an honest host can need for one frame.
size_t answer_limit(const Limits& limits);

/// Takes frames out of received bytes: a 4-byte little-endian length, then so many bytes.
class FrameBuffer {
 public:
  explicit FrameBuffer(size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  void append(std::string_view bytes);
  /// The next whole frame, valid until append(); nullopt when there is none yet, or the stream is broken().
  std::optional<std::string_view> next();
  bool broken() const { return broken_; }

 private:
  std::string bytes_;
  size_t begin_ = 0;
  size_t limit_bytes_;
  bool broken_ = false;
};

/// A program of the sample's that an evaluator wants run (sdk/protocol.md, "run_candidate").
struct Candidate {
  std::string item;  ///< JSON for a host of the language `candidate`
  Limits limits;
};

/// Of those that an evaluation ends with only when models were asked for it.
bool is_of_models(ErrorKind kind);

/// A model that an evaluator asks (sdk/protocol.md, "llm.complete").
struct ModelCall {
  int64_t evaluation = 0;  ///< the id of its `evaluate`
  std::string request;     ///< a JSON object
};

struct HostAnswer {
  int64_t id = 0;                       ///< of a call: the host's own number
  Outcome outcome;                      ///< of initialize: `errored` when it failed, else meaningless
  bool has_outcome = false;             ///< a score or an error; false for the answer to initialize
  std::optional<Candidate> candidate;   ///< it is no answer but asks for this, while an item runs
  std::optional<ModelCall> model_call;  ///< likewise
  // Of initialize.
  size_t concurrent = 1;
  std::string description;
};

class AnswerParser {
 public:
  /// `may_ask_models`: evaluations may end with what models and judges end with too.
  explicit AnswerParser(bool may_ask_models = false);
  ~AnswerParser();
  /// nullopt for what is no answer of the protocol.
  std::optional<HostAnswer> parse(std::string_view frame);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Each appends one frame.
void append_initialize_request(std::string& out, int64_t id, const Program& program);
void append_evaluate_request(std::string& out, int64_t id, std::string_view item);
/// The evaluation is not wanted any more, or late; its answer is owed even so.
void append_cancel(std::string& out, int64_t evaluation);
/// What became of the model call `id`: `reply` is a JSON object.
void append_completion(std::string& out, int64_t id, const Result<std::string>& reply);
/// What became of a candidate, for the evaluator that asked: `outcome` is of a host of the language
/// `candidate`.
void append_candidate_answer(std::string& out, const Outcome& outcome);

}  // namespace assay::sandbox
