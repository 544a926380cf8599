// What a mock answers, and when: the file of `assay mock-llm --rules`, read.
#pragma once

#include <re2/re2.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cli/mock/limits.hpp"
#include "cli/mock/template.hpp"
#include "cli/mock/verdict.hpp"

namespace assay::cli::mock {

/// How long an answer takes: always the same, or log-normally distributed.
struct Latency {
  double mean_ms = 0;
  double sigma = 0;  ///< of the logarithm; 0: always the mean
  /// `config` unless mean <= p99 <= 14 means: no log-normal distribution has a longer tail.
  static Result<Latency> log_normal(double mean_ms, double p99_ms);
  std::chrono::nanoseconds draw(std::mt19937_64& random) const;
};

/// Tokens as the answer tells them; what is not said is counted.
struct Usage {
  std::optional<int64_t> input, output, cached, reasoning;
};

struct Rule {
  std::string name;                  ///< "rule 2" when the file gives it none
  std::unique_ptr<const RE2> match;  ///< is found in the last message of the user; null: any
  std::unique_ptr<const RE2> model;  ///< is found in the model's name; null: any
  uint64_t every = 1;                ///< only each so-manieth time that it matches
  std::optional<uint64_t> times;     ///< only so often
  std::optional<Latency> latency;    ///< instead of the script's

  std::optional<Template> text;    ///< what is said, whatever was asked for
  std::optional<Verdict> verdict;  ///< what is found, in the shape that was asked for
  std::optional<Template> reason;  ///< the texts beside the verdict
  std::map<std::string, double>
      probabilities;  ///< of what may stand in the verdict's place, for log probabilities
  std::optional<std::string> refusal;
  int status = 200;                                          ///< of HTTP; anything else is an error
  std::optional<std::string> body;                           ///< of the HTTP answer, as it is
  std::vector<std::pair<std::string, std::string>> headers;  ///< beside the usual ones
  std::optional<size_t> truncate;                            ///< says only so many tokens, and why
  std::string finish;                                        ///< finish_reason; empty: what is true
  Usage usage;
  bool tell_usage = true;
};

enum class Structure { text, json_object, schema, tool };

struct Script {
  std::vector<std::string> models;  ///< empty: any is answered
  std::vector<std::string> keys;    ///< API keys that are let in; empty: any, and none
  std::vector<Structure> structures = {Structure::json_object, Structure::schema, Structure::tool};
  Latency latency;
  LimitSettings limits;
  std::vector<Rule> rules;  ///< the first that matches answers
};

/// `config` with FILE:LINE for each fault.
Result<Script> load_script(const std::string& path);

}  // namespace assay::cli::mock
