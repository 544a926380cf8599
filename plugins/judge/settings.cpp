#include "plugins/judge/settings.hpp"

#include <assay/evaluator.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"
#include "plugins/judge/prompts.hpp"
#include "plugins/judge/question.hpp"
#include "plugins/judge/value.hpp"

namespace assay::judge {
namespace {

constexpr int64_t kModelsLimit = 16;
constexpr int64_t kVotesLimit = 16;
constexpr size_t kCallsLimit = 64;  // of one item
constexpr size_t kExamplesLimit = 32;
constexpr int64_t kBudgetLimit = 1024 * 1024;
constexpr int64_t kSeedLimit = int64_t{1} << 53;

/// What a prompt that names no variable is followed by: without it the judge would see nothing of the item.
constexpr std::string_view kComparison =
    "\n\nRequest:\n{{ input }}\n\nResponse A:\n{{ response_a }}\n\nResponse B:\n{{ response_b }}";
constexpr std::string_view kTruthQuestion =
    "\n\nTRUE: Response A is at least as good as Response B. FALSE: it is not.";

[[noreturn]] void bad(const std::string& field, const std::string& what) {
  throw Failure(field + ": " + what, "config");
}

template <class T>
T need(const std::string& field, Result<T> result) {
  if (!result) bad(field, result.error().message);
  return std::move(*result);
}

int64_t whole(const Json& value, const std::string& field, int64_t low, int64_t high) {
  const bool fits = value.is_number_integer() && value >= low && value <= high;
  if (!fits) bad(field, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  return value.get<int64_t>();
}

/// Reads one member after the other, each from the raw parameters and what was read before.
class Reader {
 public:
  explicit Reader(const Json& params) : params_(params) {}

  Settings read() {
    settings_.models = texts("models");
    if (settings_.models.empty() || settings_.models.size() > kModelsLimit)
      bad("models", "must be a list of 1 to " + std::to_string(kModelsLimit) + " model slugs");
    read_ready_prompt();
    read_mode();
    read_inference_params();
    read_contract();
    read_prompt();
    read_votes();
    read_expected_score();
    read_budgets();
    read_examples();
    return std::move(settings_);
  }

 private:
  const Json* member(std::string_view name) const { return find_member(&params_, name); }
  bool has(std::string_view name) const { return member(name) != nullptr; }

  std::vector<std::string> texts(const std::string& name) const {
    std::vector<std::string> texts;
    const Json* list = member(name);
    if (list == nullptr) return texts;
    if (!list->is_array()) bad(name, "must be a list of strings");
    for (const Json& element : *list) {
      const std::string* text = as_string(&element);
      if (text == nullptr || text->empty()) bad(name, "must be a list of strings, none of them empty");
      texts.push_back(*text);
    }
    return texts;
  }

  std::string choice(const std::string& name, std::initializer_list<std::string_view> words,
                     std::string_view otherwise) const {
    if (!has(name)) return std::string(otherwise);
    const std::string* text = as_string(member(name));
    std::string all;
    for (const std::string_view word : words) {
      if (text != nullptr && *text == word) return *text;
      all += (all.empty() ? "" : ", ") + std::string(word);
    }
    bad(name, "must be one of " + all);
  }

  void read_ready_prompt() {
    if (has("use") == has("prompt"))
      bad("prompt", "give either a prompt, or in `use` the name of a ready one");
    if (!has("use")) return;
    const std::string* name = as_string(member("use"));
    ready_ = name == nullptr ? nullptr : find_prompt(*name);
    if (ready_ != nullptr) return;
    std::string names;
    for (const ReadyPrompt& prompt : ready_prompts())
      names += (names.empty() ? "" : ", ") + std::string(prompt.name);
    bad("use", "must be one of " + names);
  }

  void read_mode() {
    const bool pairs = ready_ != nullptr && ready_->contract.is_pairwise();
    settings_.pairwise =
        choice("mode", {"pointwise", "pairwise"}, pairs ? "pairwise" : "pointwise") == "pairwise";
    if (ready_ != nullptr && settings_.pairwise != pairs)
      bad("mode",
          "the ready prompt " + std::string(ready_->name) + " is " + (pairs ? "pairwise" : "pointwise"));
  }

  void read_inference_params() {
    Json forwarded = has("inference_params") ? *member("inference_params") : Json::object();
    if (!forwarded.is_object()) bad("inference_params", "must be an object");
    read_response_format(forwarded);
    settings_.max_tokens_name = "max_tokens";
    for (const char* name : {"max_tokens", "max_completion_tokens", "max_output_tokens"}) {
      const auto found = forwarded.find(name);
      if (found == forwarded.end()) continue;
      if (settings_.max_tokens) bad(std::string("inference_params.") + name, "the limit is given twice");
      settings_.max_tokens = whole(*found, std::string("inference_params.") + name, 1, 1'000'000'000);
      settings_.max_tokens_name = name;
      forwarded.erase(found);
    }
    // One answer should be the same when it is asked for again; several should be free to differ.
    if (!forwarded.contains("temperature") && member_is_one("votes")) forwarded["temperature"] = 0;
    if (has("expected_score") && *member("expected_score") == true) {
      forwarded["logprobs"] = true;
      if (!forwarded.contains("top_logprobs")) forwarded["top_logprobs"] = 20;
    }
    if (const Json* seed = find_member(&forwarded, "seed"))
      whole(*seed, "inference_params.seed", -kSeedLimit, kSeedLimit);
    settings_.inference_params = dump_json(forwarded);
  }

  bool member_is_one(std::string_view name) const { return !has(name) || *member(name) == 1; }

  void read_response_format(Json& forwarded) {
    const auto format = forwarded.find("response_format");
    if (format == forwarded.end()) return;
    const std::string where = "inference_params.response_format";
    const std::string* type = as_string(find_member(&*format, "type"));
    if (type != nullptr && *type == "text") {
      settings_.format = Format::prompt;
    } else if (type != nullptr && *type == "json_schema") {
      const Json* given = find_member(&*format, "json_schema");
      const Json* schema = find_member(given, "schema");
      if (schema == nullptr || !schema->is_object()) bad(where, "json_schema.schema must be an object");
      const std::string* name = as_string(find_member(given, "name"));
      settings_.format = Format::schema;
      settings_.schema = dump_json({{"name", name != nullptr ? *name : "judgement"},
                                    {"schema", *schema},
                                    {"strict", given->value("strict", Json(false)) == true}});
      score_schema_ = *schema;
    } else if (type == nullptr || *type != "json_object") {
      bad(where, "type must be text, json_object or json_schema");
    }
    forwarded.erase(format);
  }

  void read_contract() {
    const int said =
        (ready_ != nullptr) + has("range") + has("choices") + (settings_.pairwise && ready_ == nullptr);
    if (said > 1) {
      bad(has("range") ? "range" : "choices",
          "the scale is given twice: `use`, `range`, `choices` and the mode pairwise each have one");
    }
    if (ready_ != nullptr) {
      settings_.contract = ready_->contract;
    } else if (settings_.pairwise) {
      settings_.contract = Contract::pairwise();
    } else if (has("range")) {
      settings_.contract = need("range", checked(range_of(*member("range"))));
    } else if (has("choices")) {
      settings_.contract = need("choices", checked(choices_of(*member("choices"))));
    } else {
      settings_.contract = scored_contract().value_or(Contract::truth());
    }
  }

  static Contract range_of(const Json& range) {
    const bool pair = range.is_array() && range.size() == 2 && range[0].is_number() && range[1].is_number();
    if (!pair) bad("range", "must be two numbers, the lower one first");
    return Contract::number(range[0].get<double>(), range[1].get<double>());
  }

  static Contract choices_of(const Json& choices) {
    if (!choices.is_object() || choices.size() < 2)
      bad("choices", "must be at least two labels with their scores");
    std::vector<Choice> menu;
    for (const auto& [label, score] : choices.items()) {
      if (!score.is_number()) bad("choices." + label, "the score must be a number");
      menu.push_back({label, score.get<double>()});
    }
    return Contract::choices(std::move(menu));
  }

  /// Of a response_format whose schema has a number `score`; what it does not bound is not bounded.
  std::optional<Contract> scored_contract() const {
    const Json* score = find_member(find_member(&score_schema_, "properties"), "score");
    const std::string* type = as_string(find_member(score, "type"));
    if (score == nullptr) return std::nullopt;
    if (type == nullptr || (*type != "number" && *type != "integer"))
      bad("inference_params.response_format", "the schema's score must be a number or an integer");
    const auto bound = [&](const char* name, double otherwise) {
      const Json* value = find_member(score, name);
      return value != nullptr && value->is_number() ? value->get<double>() : otherwise;
    };
    constexpr double kMost = std::numeric_limits<double>::max();
    return need("inference_params.response_format",
                checked(Contract::number(bound("minimum", -kMost), bound("maximum", kMost))));
  }

  void read_prompt() {
    const auto also = texts("variables");
    std::string text = prompt_text();
    settings_.prompt = need("prompt", Template::compile(text, also));
    if (settings_.prompt.variables().empty()) {
      text = with_comparison(text);
      settings_.prompt = need("prompt", Template::compile(text, also));
    }
    const auto is_system = [](const Json& message) {
      return message["role"] == "system" || message["role"] == "developer";
    };
    const Json chat = settings_.prompt.is_chat() ? *parse_json(text) : Json::array();
    if (!chat.empty() && std::ranges::all_of(chat, is_system))
      bad("prompt", "needs a message that is not of the system");
    if (!settings_.pairwise) return;
    for (const char* name : {"response_a", "response_b"}) {
      const auto& variables = settings_.prompt.variables();
      const auto named = [&](const std::string& variable) { return variable.starts_with(name); };
      if (std::ranges::none_of(variables, named))
        bad("prompt", std::string("a pairwise prompt needs {{ ") + name + " }}");
    }
  }

  std::string prompt_text() const {
    if (ready_ != nullptr) return std::string(ready_->text);
    const Json& prompt = *member("prompt");
    const std::string* text = as_string(&prompt);
    if (text == nullptr && !prompt.is_array()) bad("prompt", "must be a text or a chat array");
    std::string written = text != nullptr ? *text : dump_json(prompt);
    if (trim(written).empty()) bad("prompt", "is empty");
    return written;
  }

  std::string with_comparison(const std::string& text) const {
    const std::string added =
        std::string(kComparison) + std::string(settings_.contract.is_truth() ? kTruthQuestion : "");
    if (!settings_.prompt.is_chat()) return text + added;
    Json chat = *parse_json(text);  // it was one a moment ago
    chat.push_back({{"role", "user"}, {"content", trim(added)}});
    return dump_json(chat);
  }

  void read_votes() {
    if (has("votes")) settings_.votes = static_cast<size_t>(whole(*member("votes"), "votes", 1, kVotesLimit));
    const size_t calls = settings_.voters() * (settings_.pairwise ? 2 : 1);
    if (calls > kCallsLimit)
      bad("votes", "these are " + std::to_string(calls) + " calls an item; there may be " +
                       std::to_string(kCallsLimit));
    const auto voters = static_cast<int64_t>(settings_.voters());
    settings_.quorum = settings_.voters() / 2 + 1;
    if (has("quorum")) settings_.quorum = static_cast<size_t>(whole(*member("quorum"), "quorum", 1, voters));
    settings_.majority = choice("combine", {"mean", "majority"},
                                settings_.contract.is_number() ? "mean" : "majority") == "majority";
  }

  void read_expected_score() {
    if (!has("expected_score")) return;
    if (!member("expected_score")->is_boolean()) bad("expected_score", "must be true or false");
    settings_.expected_score = *member("expected_score") == true;
    if (!settings_.expected_score) return;
    const Contract& scale = settings_.contract;
    const bool whole_numbers = scale.is_number() && scale.low >= 0 && scale.high - scale.low <= 1000 &&
                               std::floor(scale.low) == scale.low && std::floor(scale.high) == scale.high;
    if (!whole_numbers)
      bad("expected_score", "needs a range of at most 1000 whole numbers from 0 on, such as [1, 5]");
    settings_.contract.whole = whole_numbers;
  }

  void read_budgets() {
    if (has("budget"))
      settings_.budget = static_cast<size_t>(whole(*member("budget"), "budget", 1, kBudgetLimit));
    if (!has("budgets")) return;
    if (!member("budgets")->is_object()) bad("budgets", "must be variables of the prompt with bytes");
    for (const auto& [variable, bytes] : member("budgets")->items()) {
      const auto& variables = settings_.prompt.variables();
      if (std::ranges::find(variables, variable) == variables.end())
        bad("budgets." + variable, "is no variable of the prompt");
      settings_.budgets[variable] = static_cast<size_t>(whole(bytes, "budgets." + variable, 1, kBudgetLimit));
    }
  }

  void read_examples() {
    if (!has("examples")) return;
    const Json& examples = *member("examples");
    if (!examples.is_array() || examples.size() > kExamplesLimit)
      bad("examples", "must be a list of at most " + std::to_string(kExamplesLimit));
    for (size_t i = 0; i < examples.size(); ++i)
      settings_.examples.push_back(example_of(examples[i], "examples[" + std::to_string(i) + "]"));
    const auto tried = try_examples(settings_);
    if (!tried) throw Failure("examples" + tried.error().message, "config");
  }

  Example example_of(const Json& given, const std::string& where) const {
    const Json* verdict = find_member(&given, "verdict");
    if (!given.is_object() || verdict == nullptr) bad(where, "must be an object with a verdict");
    const Value value = need(where + ".verdict", read_json_value(*verdict, settings_.contract));
    const std::string* reason = as_string(find_member(&given, "reason"));
    Json item = given;
    Json sample = Json::object();
    Json truth = Json::object();
    for (const char* name : {"input", "output", "expected", "verdict", "reason"}) item.erase(name);
    if (const Json* input = find_member(&given, "input")) sample["input"] = truth["input"] = *input;
    if (const Json* output = find_member(&given, "output")) sample["output"] = *output;
    if (const Json* expected = find_member(&given, "expected")) truth["output"] = *expected;
    item["sample"] = std::move(sample);
    item["ground_truth"] = std::move(truth);
    return {dump_json(item), value.label.empty() ? dump_json(value.score) : dump_json(value.label),
            reason != nullptr ? *reason : ""};
  }

  const Json& params_;
  const ReadyPrompt* ready_ = nullptr;
  Json score_schema_;
  Settings settings_;
};

}  // namespace

Settings settings_from(std::string_view params) {
  const auto read = parse_json(params);
  if (!read || !read->is_object())
    throw Failure("the parameters are no JSON object without double keys", "config");
  return Reader(*read).read();
}

}  // namespace assay::judge
