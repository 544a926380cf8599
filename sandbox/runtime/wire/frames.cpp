#include "sandbox/runtime/wire/frames.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::wire {
namespace {

constexpr int kEvaluationFailed = -32000;
constexpr size_t kHeader = 4;

template <class Integer>
void append_integer(std::string& out, Integer value) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

/// Appends the frame's head; finish_frame() fills the length in.
size_t start_frame(std::string& out, int64_t id) {
  const size_t start = out.size();
  out.append(kHeader, '\0');
  out += R"({"jsonrpc":"2.0","id":)";
  append_integer(out, id);
  return start;
}

void finish_frame(std::string& out, size_t start) {
  out += '}';
  const size_t size = out.size() - start - kHeader;
  for (size_t i = 0; i < kHeader; i++) out[start + i] = static_cast<char>(size >> (8 * i) & 0xFF);
}

void append_report(std::string& out, const Answer& answer) {
  if (!answer.log.empty()) {
    out += R"(,"log":)";
    append_json_string(out, answer.log);
  }
  out += R"(,"usage":{"wall_us":)";
  append_integer(out, answer.wall.count());
  out += R"(,"cpu_us":)";
  append_integer(out, answer.cpu.count());
  out += R"(,"memory_bytes":)";
  append_integer(out, answer.memory_bytes);
  out += R"(,"method":")";
  out += answer.method;
  out += "\"}";
}

void append_result(std::string& out, const Answer& answer) {
  out += R"(,"result":{)";
  if (answer.skipped) {
    out += R"("skipped":true)";
  } else {
    out += R"("score":)";
    append_json_double(out, answer.score);
  }
  if (answer.passed) out += *answer.passed ? R"(,"passed":true)" : R"(,"passed":false)";
  if (!answer.reason.empty()) {
    out += R"(,"reason":)";
    append_json_string(out, answer.reason);
  }
  if (!answer.metrics.empty()) {
    char separator = '{';
    out += R"(,"metrics":)";
    for (const auto& [name, value] : answer.metrics) {
      out += separator;
      append_json_string(out, name);
      out += ':';
      append_json_double(out, value);
      separator = ',';
    }
    out += '}';
  }
  append_report(out, answer);
  out += '}';
}

void append_failure(std::string& out, const Error& error) {
  out += R"(,"error":{"code":)";
  append_integer(out, kEvaluationFailed);
  out += R"(,"message":)";
  append_json_string(out, error.message);
  out += R"(,"data":{"kind":")";
  out += to_string(error.kind);
  out += '"';
}

/// Calls `member(key)` for each member of an object; it reads the value. False when the object is malformed.
template <class Member>
bool each_member(JsonReader& reader, Member member) {
  bool first = true;
  if (!reader.open('{')) return false;
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key || !member(std::string(*key))) return false;
  }
  return !reader.failed();
}

bool read_text(JsonReader& reader, std::string& text) {
  if (reader.peek() != JsonReader::Kind::string) return false;
  const auto value = reader.read_string();
  if (value) text = *value;
  return value.has_value();
}

bool read_whole(JsonReader& reader, int64_t& value) {
  if (reader.peek() != JsonReader::Kind::number) return false;
  const auto number = reader.read_number();
  if (!number || !number->is_integer || number->integer < 0) return false;
  value = number->integer;
  return true;
}

bool read_limits(JsonReader& reader, EvaluatorLimits& limits) {
  return each_member(reader, [&](const std::string& key) {
    int64_t value = 0;
    if (!read_whole(reader, value)) return false;
    if (key == "wall_ms") limits.wall = std::chrono::milliseconds(value);
    if (key == "cpu_ms") limits.cpu = std::chrono::milliseconds(value);
    if (key == "load_ms") limits.load = std::chrono::milliseconds(value);
    if (key == "memory_bytes") limits.memory_bytes = static_cast<uint64_t>(value);
    if (key == "result_bytes") limits.result_bytes = static_cast<uint64_t>(value);
    if (key == "log_bytes") limits.log_bytes = static_cast<uint64_t>(value);
    return true;
  });
}

std::optional<std::string_view> item_of(std::string_view params) {
  JsonReader reader(params);
  std::optional<std::string_view> item;
  const bool good = each_member(reader, [&](const std::string& key) {
    const auto value = reader.skip();
    if (key == "item") item = value;
    return value.has_value();
  });
  return good ? item : std::nullopt;
}

bool read_grants(JsonReader& reader, EvaluatorSource& source) {
  bool first = true;
  if (reader.peek() != JsonReader::Kind::array || !reader.open('[')) return false;
  while (reader.next(']', first)) {
    const auto grant = reader.read_string();
    if (!grant) return false;
    source.grants.emplace_back(*grant);
  }
  return !reader.failed();
}

bool read_error(JsonReader& reader, Error& error) {
  return each_member(reader, [&](const std::string& key) {
    if (key == "message") return read_text(reader, error.message);
    if (key != "data") return reader.skip().has_value();
    return each_member(reader, [&](const std::string& name) {
      if (name != "kind") return reader.skip().has_value();
      std::string kind;
      if (!read_text(reader, kind)) return false;
      error.kind = error_kind_from(kind);
      return true;
    });
  });
}

}  // namespace

bool EvaluatorSource::is_granted(std::string_view grant) const {
  return std::ranges::find(grants, grant) != grants.end();
}

char* FrameReader::prepare(size_t bytes) {
  if (begin_ > 0) {
    memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < bytes) buffer_.resize(end_ + bytes);
  return buffer_.data() + end_;
}

std::optional<std::string_view> FrameReader::next() {
  if (broken_ || end_ - begin_ < kHeader) return std::nullopt;
  size_t size = 0;
  for (size_t i = 0; i < kHeader; i++)
    size |= size_t{static_cast<unsigned char>(buffer_[begin_ + i])} << (8 * i);
  broken_ = size == 0 || size > limit_bytes_;
  if (broken_ || end_ - begin_ - kHeader < size) return std::nullopt;
  const std::string_view frame(buffer_.data() + begin_ + kHeader, size);
  begin_ += kHeader + size;
  return frame;
}

std::optional<Request> parse_request(std::string_view text) {
  JsonReader reader(text);
  Request request{Method::shutdown};
  std::string version, method;
  std::string_view params;
  const bool good = each_member(reader, [&](const std::string& key) {
    if (key == "jsonrpc") return read_text(reader, version);
    if (key == "method") return read_text(reader, method);
    if (key == "id") return read_whole(reader, request.id);
    const auto value = reader.skip();
    if (key == "params" && value) params = *value;
    return value.has_value();
  });
  if (!good || !reader.at_end() || version != "2.0") return std::nullopt;
  if (method == "shutdown") return request;
  request.params = params;
  if (method == "initialize") {
    request.method = Method::initialize;
    return request;
  }
  const auto item = method == "evaluate" ? item_of(params) : std::nullopt;
  if (!item) return std::nullopt;
  request.method = Method::evaluate;
  request.params = *item;
  return request;
}

std::optional<Result<std::string_view>> parse_call_answer(std::string_view text) {
  JsonReader reader(text);
  std::optional<Result<std::string_view>> answer;
  const bool good = each_member(reader, [&](const std::string& key) {
    if (key == "error") {
      Error error;
      if (!read_error(reader, error)) return false;
      if (error.kind == ErrorKind::cancelled) error.kind = ErrorKind::internal;
      answer = std::unexpected(std::move(error));
      return true;
    }
    const auto value = reader.skip();
    if (key == "result" && value) answer = *value;
    return value.has_value();
  });
  if (!good || !reader.at_end()) return std::nullopt;
  return answer;
}

std::optional<EvaluatorSource> parse_initialize(std::string_view params) {
  JsonReader reader(params);
  EvaluatorSource source;
  int64_t protocol = 0;
  const bool good = each_member(reader, [&](const std::string& key) {
    if (key == "protocol") return read_whole(reader, protocol);
    if (key == "evaluator") return read_text(reader, source.name);
    if (key == "language") return read_text(reader, source.language);
    if (key == "source") return read_text(reader, source.source);
    if (key == "grants") return read_grants(reader, source);
    if (key == "isolation") return read_text(reader, source.isolation);
    if (key == "plugin") return read_text(reader, source.plugin);
    if (key == "limits") return read_limits(reader, source.limits);
    const auto value = reader.skip();
    if (key == "params" && value) source.params = *value;
    return value.has_value();
  });
  if (!good || protocol != 1) return std::nullopt;
  return source;
}

void append_initialized(std::string& out, int64_t id, size_t concurrent, std::string_view description) {
  const size_t start = start_frame(out, id);
  out += R"(,"result":{"max_in_flight":4096,"concurrent":)";
  append_integer(out, concurrent);
  if (!description.empty()) {
    out += R"(,"description":)";
    append_json_string(out, description);
  }
  out += '}';
  finish_frame(out, start);
}

void append_call(std::string& out, int64_t id, std::string_view method, std::string_view params) {
  const size_t start = start_frame(out, id);
  out += R"(,"method":")";
  out += method;
  out += R"(","params":)";
  out += params;
  finish_frame(out, start);
}

void append_evaluator_call(std::string& out, int64_t evaluation, std::string_view method,
                           std::string_view request) {
  if (method != kComplete) return append_call(out, 0, method, request);
  std::string params = R"({"evaluation":)";
  append_integer(params, evaluation);
  params += R"(,"request":)";
  params += request;
  params += '}';
  append_call(out, 0, method, params);
}

void append_answer(std::string& out, int64_t id, const Answer& answer) {
  const size_t start = start_frame(out, id);
  if (answer.error) {
    append_failure(out, *answer.error);
    append_report(out, answer);
    out += "}}";
  } else {
    append_result(out, answer);
  }
  finish_frame(out, start);
}

void append_error(std::string& out, int64_t id, const Error& error) {
  const size_t start = start_frame(out, id);
  append_failure(out, error);
  out += "}}";
  finish_frame(out, start);
}

}  // namespace assay::sandbox::wire
