#include "cli/mock/mock.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/mock/answer.hpp"
#include "cli/mock/limits.hpp"
#include "cli/mock/reply.hpp"
#include "core/json.hpp"
#include "core/settings.hpp"

namespace assay::cli::mock {
namespace {

using std::chrono::milliseconds;
constexpr size_t kAccountLimit = 1024;
constexpr std::string_view kOthers = "others";  // the account of all keys beyond
constexpr std::string_view kAbout = "assay mock-llm: a mock. It answers by rules; there is no model here.\n";

template <class List, class Value>
bool has(const List& list, const Value& value) {
  return std::ranges::find(list, value) != list.end();
}

/// Enough to tell keys apart, and no more.
std::string shown(std::string_view key) {
  if (key.empty() || key == kOthers) return key.empty() ? "none" : std::string(key);
  return "…" + to_valid_utf8(key.substr(key.size() - std::min<size_t>(key.size(), 4)));
}

/// As Go writes durations, which is how OpenAI tells resets: "20ms", "1.5s", "6m0.25s".
std::string go_duration(Clock::duration time) {
  const auto ms = std::chrono::ceil<milliseconds>(time).count();
  if (ms < 1000) return std::to_string(ms) + "ms";
  std::string text = ms >= 60'000 ? std::to_string(ms / 60'000) + "m" : "";
  append_json_number(text, static_cast<double>(ms % 60'000) / 1000);
  return text + "s";
}

void tell_bucket(HttpAnswer& answer, Bucket& bucket, const std::string& of, Clock::time_point now) {
  if (!bucket.limited()) return;
  answer.headers.emplace_back("x-ratelimit-limit-" + of, std::to_string(bucket.per_minute()));
  answer.headers.emplace_back("x-ratelimit-remaining-" + of,
                              std::to_string(static_cast<int64_t>(std::max(0.0, bucket.level(now)))));
  answer.headers.emplace_back("x-ratelimit-reset-" + of, go_duration(bucket.until_full(now)));
}

HttpAnswer complained(Dialect dialect, const Complaint& complaint) {
  HttpAnswer answer;
  answer.status = complaint.status;
  answer.body = complaint_json(dialect, complaint);
  return answer;
}

HttpAnswer nothing_here(const HttpRequest& request) {
  const std::string what = std::string(request.method) + " " + std::string(request.target);
  return complained(Dialect::chat, {404, "nothing is served under " + to_valid_utf8(what)});
}

HttpAnswer refused(Dialect dialect, const Ruling& ruling, Account& account, int64_t tokens) {
  const std::string of = ruling.by_tokens || ruling.too_large ? "tokens" : "requests";
  Complaint complaint{429, "", dialect == Dialect::messages ? "rate_limit_error" : of, "",
                      "rate_limit_exceeded"};
  Bucket& bucket = of == "tokens" ? account.tokens() : account.requests();
  const std::string numbers = " on " + of + " per minute: Limit " + std::to_string(bucket.per_minute()) +
                              ", Requested " + std::to_string(of == "tokens" ? tokens : 1) + ".";
  complaint.message = ruling.too_large ? "Request too large" + numbers
                                       : "Rate limit reached" + numbers + " Please try again in " +
                                             go_duration(ruling.wait) + ".";
  auto answer = complained(dialect, complaint);
  if (ruling.too_large) return answer;
  const auto wait = std::chrono::ceil<milliseconds>(ruling.wait);
  answer.headers.emplace_back("retry-after",
                              std::to_string(std::chrono::ceil<std::chrono::seconds>(wait).count()));
  answer.headers.emplace_back("retry-after-ms", std::to_string(wait.count()));
  return answer;
}

Json limits_json(const LimitSettings& limits) {
  const auto or_null = [](const std::optional<int64_t>& value) { return value ? Json(*value) : Json(); };
  return {{"requests_per_minute", or_null(limits.requests_per_minute)},
          {"tokens_per_minute", or_null(limits.tokens_per_minute)},
          {"burst", std::to_string(limits.burst.count()) + "ms"}};
}

/// Changes what the object names and leaves the rest.
Result<> read_limits(const Json& json, LimitSettings& limits) {
  if (!json.is_object()) return fail(ErrorKind::config, "the limits must be a JSON object");
  for (const auto& [name, value] : json.items()) {
    if (name == "burst") {
      if (!value.is_string()) return fail(ErrorKind::config, R"(burst must be a time such as "60s")");
      ASSAY_TRY(limits.burst, parse_duration(value.get<std::string>()));
    } else if (name == "requests_per_minute" || name == "tokens_per_minute") {
      auto& limit = name == "requests_per_minute" ? limits.requests_per_minute : limits.tokens_per_minute;
      const bool counts = value.is_number_integer() && value > 0 && value <= 1'000'000'000;
      if (!counts && !value.is_null())
        return fail(ErrorKind::config,
                    name + " must be a whole number from 1 to 1000000000, or null for none");
      limit = counts ? std::optional(value.get<int64_t>()) : std::nullopt;
    } else {
      return fail(ErrorKind::config, "unknown limit \"" + name +
                                         "\": there are requests_per_minute, tokens_per_minute and burst");
    }
  }
  return {};
}

Json counts_json(const KeyCounts& counts) {
  return {{"requests", counts.requests},
          {"rate_limited", counts.rate_limited},
          {"early_retries", counts.early_retries},
          {"during_wait", counts.during_wait},
          {"tokens", counts.tokens}};
}

}  // namespace

struct Mock::Impl {
  explicit Impl(Script s)
      : script(std::move(s)), matched(script.rules.size()), answered(script.rules.size()) {
    (void)parser.allocate(size_t{64} << 10, kJsonDepthLimit);
  }

  HttpAnswer answer(const HttpRequest& request, Clock::time_point now) {
    const auto path = request.target.substr(0, request.target.find('?'));
    if (request.method == "POST") {
      if (path.ends_with("/chat/completions")) return complete(Dialect::chat, request, now);
      if (path.ends_with("/responses")) return complete(Dialect::responses, request, now);
      if (path.ends_with("/messages")) return complete(Dialect::messages, request, now);
      if (path == "/mock/limits") return set_limits(request, now);
    } else if (request.method == "GET") {
      if (path.ends_with("/models")) return models(request);
      if (path == "/mock/stats") return statistics();
      if (path == "/") return about();
    }
    return nothing_here(request);
  }

  HttpAnswer complete(Dialect dialect, const HttpRequest& request, Clock::time_point now) {
    ++requests;
    HttpAnswer answer = let_in(request) ? completion(dialect, request, now) : wrong_key(dialect, request);
    if (answer.status == 200) ++completed;
    return answer;
  }

  HttpAnswer completion(Dialect dialect, const HttpRequest& request, Clock::time_point now) {
    simdjson::dom::element body;
    if (parser.parse(request.body.data(), request.body.size()).get(body) != simdjson::SUCCESS)
      return complained(dialect, {400, "the body is no JSON"});
    const auto asked = read_asked(dialect, body);
    if (!asked) return complained(dialect, asked.error());
    if (auto complaint = unsupported(*asked)) return complained(dialect, *complaint);
    return rule_on(*asked, request, now);
  }

  std::optional<Complaint> unsupported(const Asked& asked) const {
    if (!script.models.empty() && !has(script.models, asked.model))
      return Complaint{404, "The model `" + asked.model + "` does not exist",
                       asked.dialect == Dialect::messages ? "not_found_error" : "invalid_request_error",
                       "model", "model_not_found"};
    if (asked.structure != Structure::text && !has(script.structures, asked.structure))
      return Complaint{400, "this kind of structured output is not supported", "invalid_request_error",
                       asked.structure == Structure::tool ? "tools" : "response_format", "unsupported_value"};
    return std::nullopt;
  }

  /// What the rule says, unless the limits forbid it; then the rules have seen nothing.
  HttpAnswer rule_on(const Asked& asked, const HttpRequest& request, Clock::time_point now) {
    std::vector<size_t> seen;
    const auto index = pick(asked, seen);
    const Rule& rule = index ? script.rules[*index] : fallback;
    const auto said = compose(rule, asked, completed + 1);
    Account& account = account_of(request.key, now);
    const int64_t tokens = said.input + said.output;
    const auto ruling = account.ask(std::hash<std::string_view>()(request.body), tokens, now);
    HttpAnswer answer;
    if (ruling.allowed) {
      if (index) ++answered[*index];
      answer = answer_by(rule, asked, said);
    } else {
      for (const size_t i : seen) --matched[i];
      answer = refused(asked.dialect, ruling, account, tokens);
    }
    if (asked.dialect != Dialect::messages) {
      tell_bucket(answer, account.requests(), "requests", now);
      tell_bucket(answer, account.tokens(), "tokens", now);
    }
    return answer;
  }

  HttpAnswer answer_by(const Rule& rule, const Asked& asked, const Answer& said) {
    HttpAnswer answer;
    answer.status = rule.status;
    answer.headers = rule.headers;
    answer.delay =
        std::chrono::duration_cast<Clock::duration>(rule.latency.value_or(script.latency).draw(random));
    if (rule.body) {
      answer.body = *rule.body;
    } else if (rule.status != 200) {
      answer.body = complaint_json(
          asked.dialect, {rule.status, "an error, as the rule \"" + rule.name + "\" wants it", "mock_error"});
    } else {
      const auto since = std::chrono::system_clock::now().time_since_epoch();
      answer.body = reply_json(asked, rule, said, completed + 1,
                               std::chrono::duration_cast<std::chrono::seconds>(since).count());
      input_tokens += static_cast<uint64_t>(said.input);
      output_tokens += static_cast<uint64_t>(said.output);
    }
    return answer;
  }

  /// The first rule that matches and whose turn it is; `seen` are those that matched.
  std::optional<size_t> pick(const Asked& asked, std::vector<size_t>& seen) {
    const auto finds = [](const std::unique_ptr<const RE2>& pattern, std::string_view text) {
      return pattern == nullptr || RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *pattern);
    };
    for (size_t i = 0; i < script.rules.size(); ++i) {
      const Rule& rule = script.rules[i];
      if (rule.times && answered[i] >= *rule.times) continue;
      if (!finds(rule.model, asked.model) || !finds(rule.match, asked.last())) continue;
      seen.push_back(i);
      if (++matched[i] % rule.every == 0) return i;
    }
    return std::nullopt;
  }

  bool let_in(const HttpRequest& request) const {
    return script.keys.empty() || has(script.keys, request.key);
  }
  static HttpAnswer wrong_key(Dialect dialect, const HttpRequest& request) {
    return complained(dialect,
                      {401, "Incorrect API key provided: " + shown(request.key),
                       dialect == Dialect::messages ? "authentication_error" : "invalid_request_error", "",
                       "invalid_api_key"});
  }

  Account& account_of(std::string_view key, Clock::time_point now) {
    if (const auto known = accounts.find(key); known != accounts.end()) return known->second;
    const std::string name(accounts.size() < kAccountLimit ? key : kOthers);
    return accounts.try_emplace(name, script.limits, now).first->second;
  }

  HttpAnswer set_limits(const HttpRequest& request, Clock::time_point now) {
    const auto json = parse_json(request.body);
    if (!json) return complained(Dialect::chat, {400, json.error().message});
    auto changed = script.limits;
    if (const auto read = read_limits(*json, changed); !read)
      return complained(Dialect::chat, {400, read.error().message});
    script.limits = changed;
    for (auto& [key, account] : accounts) account.set(changed, now);
    HttpAnswer answer;
    answer.body = dump_json(limits_json(changed));
    return answer;
  }

  HttpAnswer models(const HttpRequest& request) const {
    if (!let_in(request)) return wrong_key(Dialect::chat, request);
    Json list = Json::array();
    const auto add = [&list](const std::string& name) {
      list.push_back({{"id", name}, {"object", "model"}, {"created", 0}, {"owned_by", std::string(kName)}});
    };
    std::ranges::for_each(script.models, add);
    if (script.models.empty()) add("mock");
    HttpAnswer answer;
    answer.body = dump_json({{"object", "list"}, {"data", std::move(list)}});
    return answer;
  }

  HttpAnswer statistics() const {
    Json keys = Json::array(), rules = Json::array();
    KeyCounts all;
    for (const auto& [key, account] : accounts) {
      Json counts = counts_json(account.counts());
      counts["key"] = shown(key);
      keys.push_back(std::move(counts));
      all.rate_limited += account.counts().rate_limited;
      all.early_retries += account.counts().early_retries;
      all.during_wait += account.counts().during_wait;
    }
    for (size_t i = 0; i < script.rules.size(); ++i)
      rules.push_back({{"name", script.rules[i].name}, {"answered", answered[i]}});
    HttpAnswer answer;
    answer.body = dump_json({{"mock", true},
                             {"requests", requests},
                             {"completed", completed},
                             {"rate_limited", all.rate_limited},
                             {"early_retries", all.early_retries},
                             {"during_wait", all.during_wait},
                             {"input_tokens", input_tokens},
                             {"output_tokens", output_tokens},
                             {"connections", traffic.connections},
                             {"in_flight", traffic.in_flight},
                             {"most_in_flight", traffic.most_in_flight},
                             {"limits", limits_json(script.limits)},
                             {"keys", std::move(keys)},
                             {"rules", std::move(rules)}});
    return answer;
  }

  static HttpAnswer about() {
    HttpAnswer answer;
    answer.body = kAbout;
    answer.content_type = "text/plain; charset=utf-8";
    return answer;
  }

  Script script;
  const Rule fallback;
  simdjson::dom::parser parser;
  std::mt19937_64 random{1};  // the same times in every run
  std::vector<uint64_t> matched, answered;
  std::map<std::string, Account, std::less<>> accounts;
  uint64_t requests = 0, completed = 0, input_tokens = 0, output_tokens = 0;
  Traffic traffic;
};

Mock::Mock(Script script) : impl_(std::make_unique<Impl>(std::move(script))) {}
Mock::~Mock() = default;

HttpAnswer Mock::answer(const HttpRequest& request, Clock::time_point now) {
  return impl_->answer(request, now);
}
Traffic& Mock::traffic() {
  return impl_->traffic;
}
uint64_t Mock::requests() const {
  return impl_->requests;
}

}  // namespace assay::cli::mock
