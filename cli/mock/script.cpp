#include "cli/mock/script.hpp"

#include <algorithm>
#include <cmath>

#include "cli/table_reader.hpp"
#include "core/fd.hpp"
#include "core/settings.hpp"

namespace assay::cli::mock {
namespace {

constexpr size_t kFileLimitBytes = size_t{4} << 20;
constexpr double kQuantile99 = 2.3263478740408408;  // of the normal distribution
constexpr int64_t kMostTokens = 1'000'000'000;

/// A duration as a string; nullopt with a fault otherwise.
std::optional<double> milliseconds(TableReader& reader, const std::string& key) {
  const std::string text = reader.text(key);
  if (text.empty()) return std::nullopt;
  const auto time = parse_duration(text);
  if (!time) {
    reader.fault(key, reader.named(key) + ": " + time.error().message);
    return std::nullopt;
  }
  return static_cast<double>(time->count());
}

std::optional<Latency> read_latency(TableReader& reader, Faults& faults) {
  const auto* node = reader.find("latency");
  if (node == nullptr) return std::nullopt;
  if (node->is_string()) return Latency{milliseconds(reader, "latency").value_or(0)};
  const auto* table = node->as_table();
  if (table == nullptr) {
    reader.wrong(*node, "latency", R"(a time such as "50ms", or { mean = "500ms", p99 = "2s" })");
    return std::nullopt;
  }
  TableReader times(*table, reader.named("latency"), faults);
  const auto mean = milliseconds(times, "mean"), p99 = milliseconds(times, "p99");
  if (!mean || !p99) {
    for (const char* key : {"mean", "p99"})
      if (!times.has(key)) times.missing(key, "a log-normal distribution has both");
    return std::nullopt;
  }
  auto latency = Latency::log_normal(*mean, *p99);
  if (!latency) times.fault("p99", times.named("p99") + " " + latency.error().message);
  return latency ? std::optional(*latency) : std::nullopt;
}

LimitSettings read_limits(TableReader& top, Faults& faults) {
  LimitSettings limits;
  const auto* table = top.table("limits");
  if (table == nullptr) return limits;
  TableReader reader(*table, "limits", faults);
  limits.requests_per_minute = reader.integer("requests_per_minute", 1, kMostTokens);
  limits.tokens_per_minute = reader.integer("tokens_per_minute", 1, kMostTokens);
  if (const auto burst = milliseconds(reader, "burst"))
    limits.burst = std::chrono::milliseconds(static_cast<int64_t>(*burst));
  return limits;
}

std::unique_ptr<const RE2> read_pattern(TableReader& reader, const std::string& key) {
  if (!reader.has(key)) return nullptr;
  RE2::Options options;
  options.set_log_errors(false);
  auto pattern = std::make_unique<const RE2>(reader.text(key), options);
  if (!pattern->ok()) reader.fault(key, reader.named(key) + " is no regular expression: " + pattern->error());
  return pattern;
}

std::optional<Template> read_template(TableReader& reader, const std::string& key, const RE2* match) {
  if (!reader.has(key)) return std::nullopt;
  const int groups = match != nullptr && match->ok() ? match->NumberOfCapturingGroups() : -1;
  const auto known = [groups](std::string_view name) {
    if (name.size() == 1 && name[0] >= '0' && name[0] <= '9') return name[0] - '0' <= groups;
    return name == "message" || name == "model" || name == "count" || name == "verdict_key";
  };
  auto text = Template::parse(reader.text(key), known);
  if (text) return std::move(*text);
  reader.fault(key, reader.named(key) + " " + text.error().message +
                        ": there are message, model, count, verdict_key and the groups of match, 0 to 9");
  return std::nullopt;
}

std::optional<Verdict> read_verdict(TableReader& reader) {
  const auto* node = reader.find("verdict");
  if (node == nullptr) return std::nullopt;
  if (const auto* truth = node->as_boolean()) return truth->get();
  if (const auto number = node->value<double>(); number && node->is_number()) return *number;
  const auto* text = node->as_string();
  if (text == nullptr) {
    reader.wrong(*node, "verdict", R"(true, false, a number, a label, "equal" or "contains")");
    return std::nullopt;
  }
  if (text->get() == "equal") return Comparison::equal;
  if (text->get() == "contains") return Comparison::contains;
  return text->get();
}

void read_usage(TableReader& reader, Faults& faults, Rule& rule) {
  const auto* node = reader.find("usage");
  if (node == nullptr) return;
  if (const auto* told = node->as_boolean(); told != nullptr && !told->get()) {
    rule.tell_usage = false;
    return;
  }
  const auto* table = node->as_table();
  if (table == nullptr)
    return reader.wrong(*node, "usage", "false, or a table of input, output, cached, reasoning");
  TableReader usage(*table, reader.named("usage"), faults);
  rule.usage = {usage.integer("input", 0, kMostTokens), usage.integer("output", 0, kMostTokens),
                usage.integer("cached", 0, kMostTokens), usage.integer("reasoning", 0, kMostTokens)};
}

void read_headers(TableReader& reader, Faults& faults, Rule& rule) {
  const auto* table = reader.table("headers");
  if (table == nullptr) return;
  TableReader headers(*table, reader.named("headers"), faults);
  for (const auto& [key, node] : *table) {
    const std::string name(key.str()), value = headers.text(name);
    if ((name + value).find_first_of("\r\n:") < name.size() ||
        value.find_first_of("\r\n") != std::string::npos)
      headers.fault(name, headers.named(name) + " is no header");
    rule.headers.emplace_back(name, value);
  }
}

void read_probabilities(TableReader& reader, Faults& faults, Rule& rule) {
  const auto* table = reader.table("probabilities");
  if (table == nullptr) return;
  TableReader entries(*table, reader.named("probabilities"), faults);
  for (const auto& [key, node] : *table) {
    const std::string token(key.str());
    const auto part = entries.number(token);
    if (part && (*part <= 0 || *part > 1))
      entries.fault(token, entries.named(token) + " must be above 0, at most 1");
    rule.probabilities[token] = part.value_or(1);
  }
  if (!rule.verdict)
    reader.fault("probabilities", "probabilities are of what stands in place of a verdict: give one");
}

/// What a rule says is one of these.
void check_answer(TableReader& reader) {
  std::string first;
  for (const char* key : {"text", "verdict", "refusal", "body", "status"}) {
    if (!reader.has(key)) continue;
    const bool fits = first.empty() || (first == "body" && std::string_view(key) == "status");
    if (!fits) reader.fault(key, "give " + first + " or " + key + ", not both");
    if (first.empty()) first = key;
  }
  if (reader.has("reason") && !reader.has("verdict"))
    reader.fault("reason", "reason stands beside a verdict: give one, or text");
}

Rule read_rule(const toml::table& table, size_t number, Faults& faults) {
  Rule rule;
  TableReader reader(table, "rule " + std::to_string(number), faults);
  rule.name = reader.text("name");
  if (rule.name.empty()) rule.name = "rule " + std::to_string(number);
  rule.match = read_pattern(reader, "match");
  rule.model = read_pattern(reader, "model");
  rule.every = static_cast<uint64_t>(reader.integer("every", 1).value_or(1));
  rule.times = reader.integer("times", 1);
  rule.latency = read_latency(reader, faults);
  check_answer(reader);
  rule.text = read_template(reader, "text", rule.match.get());
  rule.verdict = read_verdict(reader);
  rule.reason = read_template(reader, "reason", rule.match.get());
  if (reader.has("refusal")) rule.refusal = reader.text("refusal");
  if (reader.has("body")) rule.body = reader.text("body");
  rule.status = static_cast<int>(reader.integer("status", 200, 599).value_or(200));
  read_headers(reader, faults, rule);
  read_probabilities(reader, faults, rule);
  if (const auto tokens = reader.integer("truncate", 0, kMostTokens))
    rule.truncate = static_cast<size_t>(*tokens);
  rule.finish = reader.text("finish");
  read_usage(reader, faults, rule);
  return rule;
}

std::vector<Rule> read_rules(TableReader& top, Faults& faults) {
  std::vector<Rule> rules;
  const auto* node = top.find("rule");
  if (node == nullptr) return rules;
  const auto* list = node->as_array();
  if (list == nullptr) {
    top.wrong(*node, "rule", "a list: [[rule]]");
    return rules;
  }
  for (const auto& element : *list) {
    if (const auto* table = element.as_table())
      rules.push_back(read_rule(*table, rules.size() + 1, faults));
    else
      top.wrong(element, "rule", "a list of tables: [[rule]]");
  }
  return rules;
}

void read_structures(TableReader& top, Script& script) {
  static const Names kWords = {"json_object", "json_schema", "tool"};
  if (!top.has("structured_output")) return;
  script.structures.clear();
  for (const auto& word : top.texts("structured_output")) {
    if (!is_one_of(top, "structured_output", word, kWords)) return;
    script.structures.push_back(word == "tool"          ? Structure::tool
                                : word == "json_schema" ? Structure::schema
                                                        : Structure::json_object);
  }
}

void read_models(TableReader& top, Script& script) {
  script.models = top.texts("models");
  for (const auto& name : script.models)
    if (!name.contains("mock"))
      return top.fault("models",
                       "\"" + name + "\" must have \"mock\" in it: nobody is to take it for a model");
}

}  // namespace

Result<Latency> Latency::log_normal(double mean_ms, double p99_ms) {
  const double ratio = std::log(p99_ms / mean_ms);
  const double rest = kQuantile99 * kQuantile99 - 2 * ratio;
  if (!(mean_ms > 0) || ratio < 0 || rest < 0)
    return fail(ErrorKind::config, "must be at least the mean, and at most 14 times it");
  return Latency{mean_ms, kQuantile99 - std::sqrt(rest)};
}

std::chrono::nanoseconds Latency::draw(std::mt19937_64& random) const {
  double time = mean_ms;
  if (sigma > 0) time = std::lognormal_distribution(std::log(mean_ms) - sigma * sigma / 2, sigma)(random);
  return std::chrono::nanoseconds(static_cast<int64_t>(time * 1e6));
}

Result<Script> load_script(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path, kFileLimitBytes));
  ASSAY_TRY(const toml::table table, parse_toml(path, text));
  Script script;
  Faults faults(path);
  {
    TableReader top(table, "", faults);
    read_models(top, script);
    script.keys = top.texts("keys");
    read_structures(top, script);
    script.latency = read_latency(top, faults).value_or(Latency{});
    script.limits = read_limits(top, faults);
    script.rules = read_rules(top, faults);
  }
  if (!faults.empty()) return faults.error();
  return script;
}

}  // namespace assay::cli::mock
