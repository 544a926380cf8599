#include "sandbox/runtime/process/result.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::process {
namespace {

using wire::JsonReader;

constexpr size_t kMetricLimit = 1'000;
constexpr size_t kQuoted = 60;
constexpr std::array kRunnerKinds = {ErrorKind::evaluator_error, ErrorKind::bad_result,
                                     ErrorKind::memory_limit};

std::string quoted(std::string_view text) {
  if (text.size() <= kQuoted) return std::string(text);
  size_t size = kQuoted;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) size--;
  return std::string(text.substr(0, size)) + "…";
}

class ResultReader {
 public:
  ResultReader(std::string_view text, wire::Answer& answer, const std::set<ErrorKind>& failures)
      : text_(text), reader_(text), answer_(answer), failures_(failures) {}

  void read() {
    const auto kind = reader_.peek();
    if (!kind) return bad("is no JSON");
    switch (*kind) {
      case JsonReader::Kind::number:
      case JsonReader::Kind::boolean:
        read_score();
        break;
      case JsonReader::Kind::object:
        read_object();
        break;
      default:
        bad("is neither a number, true or false, nor an object with a score");
    }
    if (answer_.error) return;
    if (reader_.failed()) return bad(reader_.error());
    if (!reader_.at_end()) return bad("is followed by something else: one result only");
    if (!scored_) bad("has no score");
  }

 private:
  void bad(std::string_view why) {
    if (answer_.error) return;
    std::string message = "the result ";
    message += why;
    if (!text_.empty()) message += ": " + quoted(text_);
    answer_.error = Error{ErrorKind::bad_result, std::move(message)};
  }

  // true and false are the scores 1 and 0, and say whether the item passed.
  void read_score() {
    if (scored_) return bad("has two scores");
    const auto kind = reader_.peek();
    if (kind == JsonReader::Kind::boolean) {
      const auto value = reader_.read_boolean();
      if (!value) return;
      answer_.score = *value ? 1 : 0;
      if (!answer_.passed) answer_.passed = value;
    } else if (kind == JsonReader::Kind::number) {
      const auto value = read_number("has a score that is no finite number");
      if (!value) return;
      answer_.score = *value;
    } else {
      return bad("has a score that is no number");
    }
    scored_ = true;
  }

  std::optional<double> read_number(const char* otherwise) {
    const auto number = reader_.read_number();
    if (!number) return std::nullopt;
    const double value = number->is_integer ? static_cast<double>(number->integer) : number->real;
    if (std::isfinite(value)) return value;
    bad(otherwise);
    return std::nullopt;
  }

  template <class Member>
  void each_member(Member member) {
    bool first = true;
    if (!reader_.open('{')) return;
    while (!answer_.error && reader_.next('}', first)) {
      const auto key = reader_.read_key();
      if (!key) return;
      member(std::string(*key));
    }
  }

  void read_object() {
    each_member([&](const std::string& key) {
      if (key == "score") return read_score();
      if (key == "error") return read_error();
      if (reader_.peek() == JsonReader::Kind::null) return void(reader_.read_null());
      if (key == "passed") {
        if (reader_.peek() != JsonReader::Kind::boolean)
          return bad("has a passed that is neither true nor false");
        answer_.passed = reader_.read_boolean();
      } else if (key == "reason") {
        if (reader_.peek() != JsonReader::Kind::string) return bad("has a reason that is no string");
        if (const auto reason = reader_.read_string()) answer_.reason = *reason;
      } else if (key == "metrics") {
        read_metrics();
      } else {
        reader_.skip();
      }
    });
  }

  void read_metrics() {
    if (reader_.peek() != JsonReader::Kind::object) return bad("has metrics that are no object of numbers");
    each_member([&](const std::string& name) {
      if (reader_.peek() != JsonReader::Kind::number) return bad("has a metric that is no number");
      if (answer_.metrics.size() == kMetricLimit) return bad("has more than 1000 metrics");
      if (const auto value = read_number("has a metric that is not finite"))
        answer_.metrics.emplace_back(name, *value);
    });
    std::ranges::sort(answer_.metrics);
    const auto same_name = [](const auto& one, const auto& other) { return one.first == other.first; };
    if (std::ranges::adjacent_find(answer_.metrics, same_name) != answer_.metrics.end())
      bad("has a metric twice");
  }

  void read_error() {
    Error error{ErrorKind::evaluator_error, ""};
    if (reader_.peek() != JsonReader::Kind::object) return bad("has an error that is no object");
    each_member([&](const std::string& key) {
      if (reader_.peek() != JsonReader::Kind::string) return void(reader_.skip());
      const auto value = reader_.read_string();
      if (!value) return;
      if (key == "kind") error.kind = error_kind_from(*value);
      if (key == "message") error.message = value->substr(0, wire::kMessageLimit);
    });
    if (std::ranges::find(kRunnerKinds, error.kind) == kRunnerKinds.end() && !failures_.contains(error.kind))
      error.kind = ErrorKind::evaluator_error;
    if (!answer_.error) answer_.error = std::move(error);
  }

  std::string_view text_;
  JsonReader reader_;
  wire::Answer& answer_;
  const std::set<ErrorKind>& failures_;
  bool scored_ = false;
};

/// One side, with `text` where it is wanted.
std::string side_with_text(std::string_view side) {
  JsonReader reader(side);
  std::string_view output;
  bool has_text = false, first = true;
  if (reader.peek() != JsonReader::Kind::object || !reader.open('{')) return std::string(side);
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key) break;
    const bool is_output = *key == "output";
    has_text |= *key == "text";
    const auto value = reader.skip();
    if (is_output && value) output = *value;
  }
  if (reader.failed() || has_text || !output.starts_with('"')) return std::string(side);
  std::string whole(side.substr(0, side.rfind('}')));
  whole += R"(,"text":)";
  whole += output;
  whole += '}';
  return whole;
}

}  // namespace

void read_result(std::string_view text, wire::Answer& answer, const std::set<ErrorKind>& failures) {
  while (!text.empty() && std::string_view(" \t\r\n").contains(text.back())) text.remove_suffix(1);
  ResultReader(text, answer, failures).read();
  if (!answer.error) return;
  answer.score = 0;
  answer.passed.reset();
  answer.reason.clear();
  answer.metrics.clear();
}

std::string with_text(std::string_view item) {
  JsonReader reader(item);
  std::string whole = "{";
  bool first = true, wrote = false;
  if (reader.peek() != JsonReader::Kind::object || !reader.open('{')) return std::string(item);
  while (reader.next('}', first)) {
    const auto key = reader.read_key();
    if (!key) break;
    const std::string name(*key);
    const auto value = reader.skip();
    if (!value) break;
    if (std::exchange(wrote, true)) whole += ',';
    wire::append_json_string(whole, name);
    whole += ':';
    whole += name == "sample" || name == "ground_truth" ? side_with_text(*value) : std::string(*value);
  }
  if (reader.failed()) return std::string(item);
  whole += '}';
  return whole;
}

}  // namespace assay::sandbox::process
