// The host's side of the evaluator protocol (sdk/protocol.md): requests in, answers out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sandbox/runtime/lua/evaluator.hpp"

namespace assay::sandbox::lua {

inline constexpr size_t kRequestLimit = 16U << 20;  ///< bytes of one request

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

/// nullopt when a member is missing or wrong.
std::optional<EvaluatorSource> parse_initialize(std::string_view params);

// Each appends one frame.
void append_initialized(std::string& out, int64_t id);
void append_answer(std::string& out, int64_t id, const Answer& answer);
void append_error(std::string& out, int64_t id, const Error& error);

}  // namespace assay::sandbox::lua
