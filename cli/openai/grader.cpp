#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "cli/openai/conversion.hpp"
#include "cli/openai/members.hpp"
#include "cli/openai/toml_text.hpp"
#include "cli/templates/openai_grader.py.hpp"
#include "core/formula.hpp"

namespace assay::cli::openai {
namespace {

/// What the hosted service gives a python grader: two minutes of two cores, 2 GiB.
constexpr const char* kPythonLimits = "{ wall_ms = 120000, cpu_ms = 240000, memory_bytes = 2147483648 }";

struct Package {
  std::string_view module, requirement;
};
/// What python graders find installed (image 2025-05-08), by what they import.
constexpr std::array<Package, 16> kPackages = {{{"numpy", "numpy==2.2.4"},
                                                {"scipy", "scipy==1.15.2"},
                                                {"sympy", "sympy==1.13.3"},
                                                {"pandas", "pandas==2.2.3"},
                                                {"rapidfuzz", "rapidfuzz==3.10.1"},
                                                {"sklearn", "scikit-learn==1.6.1"},
                                                {"rouge_score", "rouge-score==0.1.2"},
                                                {"deepdiff", "deepdiff==8.4.2"},
                                                {"jsonschema", "jsonschema==4.23.0"},
                                                {"pydantic", "pydantic==2.10.6"},
                                                {"yaml", "pyyaml==6.0.2"},
                                                {"nltk", "nltk==3.9.1"},
                                                {"sqlparse", "sqlparse==0.5.3"},
                                                {"rdkit", "rdkit==2024.9.6"},
                                                {"skbio", "scikit-bio==0.6.3"},
                                                {"ast_grep_py", "ast-grep-py==0.36.2"}}};

/// Whether a line of `source` begins with an import of `module`.
bool imports(std::string_view source, std::string_view module) {
  for (size_t at = 0; at < source.size();) {
    const size_t end = std::min(source.find('\n', at), source.size());
    std::string_view line = source.substr(at, end - at);
    at = end + 1;
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    const bool import = line.starts_with("import ");
    if (!import && !line.starts_with("from ")) continue;
    line.remove_prefix(import ? 7 : 5);
    // "import a.b as c, d": each name up to its dot; "from a import b": the first.
    while (!line.empty()) {
      line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
      if (line.substr(0, line.find_first_of(" \t.,;#\r")) == module) return true;
      const size_t comma = import ? line.find(',') : std::string_view::npos;
      line.remove_prefix(comma == std::string_view::npos ? line.size() : comma + 1);
    }
  }
  return false;
}

/// Turns one grader into the table of one evaluator.
class Converter {
 public:
  Converter(Members grader, Conversion& into, EvaluatorTable& table, bool part)
      : grader_(std::move(grader)), into_(into), table_(table), part_(part) {}

  Result<> convert() {
    ASSAY_TRY(const std::string type, grader_.text("type"));
    using Convert = Result<> (Converter::*)();
    static constexpr std::array<std::pair<std::string_view, Convert>, 6> kTypes = {
        {{"string_check", &Converter::string_check},
         {"text_similarity", &Converter::text_similarity},
         {"score_model", &Converter::score_model},
         {"label_model", &Converter::label_model},
         {"python", &Converter::python},
         {"multi", &Converter::multi}}};
    const auto* const known = std::ranges::find(kTypes, type, &std::pair<std::string_view, Convert>::first);
    if (known == kTypes.end())
      return fault(grader_.at("type"), "\"" + type +
                                           "\" is none of string_check, text_similarity, score_model, "
                                           "label_model, python and multi");
    if (part_ && type == "multi") return fault(grader_.at("type"), "a multi cannot be a part of a multi");
    ASSAY_OK((this->*known->second)());
    grader_.ignore({"id", "object", "created_at", "updated_at", "metadata"});
    return grader_.done();
  }

 private:
  Result<std::string> templated(std::string_view key) {
    ASSAY_TRY(std::string text, grader_.text_or(key, ""));
    if (grader_.find(key) == nullptr) return fault(grader_.at(key), "is missing: it must be a string");
    ASSAY_OK(check_template(text, grader_.at(key), into_));
    return text;
  }

  /// In a formula the score counts; whether a part passes does not.
  Result<> pass_threshold(std::optional<double> otherwise, const std::string& why) {
    ASSAY_TRY(auto threshold, grader_.number("pass_threshold"));
    if (part_) {
      if (threshold)
        into_.notes.push_back(grader_.at("pass_threshold") +
                              ": has no effect in a multi, whose formula takes the score");
      return {};
    }
    if (!threshold && otherwise && !why.empty()) into_.notes.push_back(why);
    if (!threshold) threshold = otherwise;
    if (threshold) table_.add("pass_threshold", *toml_value(*threshold));
    return {};
  }

  Result<> built_in(const std::string& evaluator, Json params) {
    ASSAY_TRY(params["output"], templated("input"));
    ASSAY_TRY(params["expected"], templated("reference"));
    for (const char* side : {"output", "expected"}) {
      const auto& text = params[side].get_ref<const std::string&>();
      const auto json = parse_json(text);
      if (json && json->is_array() && !json->empty() && (*json)[0].is_object())
        return fault(
            grader_.at(std::string_view(side) == "output" ? "input" : "reference"),
            "is a list of objects, which would be taken for a chat; put it into the rows and name it "
            "as {{ item.… }}");
    }
    table_.add("type", "\"code\"");
    table_.add("language", "\"plugin\"");
    table_.add("code", toml_quote(evaluator));
    table_.add("params", *toml_value(params));
    return {};
  }

  Result<> string_check() {
    ASSAY_TRY(const std::string operation, grader_.text("operation"));
    static constexpr std::array<std::string_view, 4> kOperations = {"eq", "ne", "like", "ilike"};
    if (std::ranges::find(kOperations, operation) == kOperations.end())
      return fault(grader_.at("operation"), "must be eq, ne, like or ilike");
    ASSAY_OK(built_in("text/string-check", {{"operation", operation}}));
    return pass_threshold(1, "");
  }

  Result<> text_similarity() {
    ASSAY_TRY(const std::string metric, grader_.text("evaluation_metric"));
    const std::string where = grader_.at("evaluation_metric");
    if (metric == "meteor")
      return fault(where,
                   "meteor is not computed here: it needs WordNet, a thesaurus of English; rouge_l is the "
                   "nearest that is");
    if (metric == "cosine")
      return fault(where,
                   "cosine is not computed here: it needs a model of embeddings; ask a score_model, or use "
                   "fuzzy_match or rouge_l");
    const bool rouge = metric.starts_with("rouge_") && metric.size() == 7 &&
                       std::string_view("12345l").contains(metric.back());
    if (rouge) {
      ASSAY_OK(built_in("text/rouge", {{"variant", std::string("rouge-") + metric.back()}}));
    } else if (metric == "fuzzy_match" || metric == "bleu" || metric == "gleu") {
      ASSAY_OK(built_in(metric == "fuzzy_match" ? "text/fuzzy" : "text/" + metric, Json::object()));
    } else {
      return fault(where, "must be fuzzy_match, bleu, gleu, rouge_1 to rouge_5 or rouge_l");
    }
    return pass_threshold(std::nullopt, "");
  }

  Result<> model_grader(const Json& params) {
    ASSAY_TRY(const std::string model, grader_.text("model"));
    ASSAY_TRY(const Json* input, grader_.array("input"));
    ASSAY_TRY(const Json chat, chat_from(*input, grader_.at("input"), into_));
    ASSAY_TRY(const Json inference,
              inference_params_from(grader_.find("sampling_params"), grader_.at("sampling_params")));
    const auto inference_text = toml_value(inference);
    if (!inference_text)
      return fault(grader_.at("sampling_params"), "holds a null in a list, or too large a number");
    table_.add("type", "\"judge\"");
    table_.add("model", toml_quote("openai/" + model));
    table_.add("prompt_file",
               toml_quote(into_.new_file(table_.name, ".prompt.json", dump_json_pretty(chat) + "\n")));
    table_.add("params", *toml_value(params));
    if (!inference.empty()) table_.add("inference_params", *inference_text);
    return {};
  }

  Result<> score_model() {
    Json range = {0, 1};
    if (const Json* given = grader_.find("range")) range = *given;
    const bool pair = range.is_array() && range.size() == 2 && range[0].is_number() && range[1].is_number() &&
                      range[0] < range[1];
    if (!pair) return fault(grader_.at("range"), "must be two numbers, the lower one first");
    ASSAY_OK(model_grader({{"range", range}}));
    return pass_threshold(
        range[1].get<double>(),
        grader_.at("pass_threshold") +
            ": there is none, so only the highest score passes; change it in evaluation.toml");
  }

  Result<> label_model() {
    ASSAY_TRY(const auto labels, grader_.texts("labels"));
    ASSAY_TRY(const auto passing, grader_.texts("passing_labels"));
    Json choices = Json::object();
    for (const std::string& label : labels) choices[label] = 0;
    if (choices.size() != labels.size() || labels.size() < 2)
      return fault(grader_.at("labels"), "must be two labels or more, all different");
    for (const std::string& label : passing) {
      if (!choices.contains(label))
        return fault(grader_.at("passing_labels"), "\"" + label + "\" is none of the labels");
      choices[label] = 1;
    }
    ASSAY_OK(model_grader({{"choices", choices}}));
    return pass_threshold(1, "");
  }

  Result<> python() {
    ASSAY_TRY(std::string source, grader_.text("source"));
    if (grader_.find("image_tag") != nullptr)
      into_.notes.push_back(grader_.at("image_tag") +
                            ": is not used; the worker's own Python runs the grader");
    Json requirements = Json::array();
    for (const Package& package : kPackages)
      if (imports(source, package.module)) requirements.push_back(package.requirement);
    if (!requirements.empty())
      into_.notes.push_back(grader_.at("source") + ": needs " + dump_json(requirements) +
                            ", which the worker must be able to install (docs/packages.md)");
    if (!source.ends_with('\n')) source += '\n';
    table_.add("type", "\"code\"");
    table_.add("language", "\"python\"");
    table_.add("file", toml_quote(into_.new_file(table_.name, ".py", source + std::string(kGraderAdapter))));
    if (!requirements.empty()) table_.add("requirements", *toml_value(requirements));
    table_.add("limits", kPythonLimits);
    return pass_threshold(std::nullopt, "");
  }

  Result<> multi() {
    ASSAY_TRY(const Json* graders, grader_.object("graders"));
    ASSAY_TRY(const std::string formula, grader_.text("calculate_output"));
    // The API's own description has a single grader there.
    const Json only = graders->value("type", Json()).is_string()
                          ? Json{{graders->value("name", std::string("grader")), *graders}}
                          : *graders;
    std::vector<std::string> names;
    for (const auto& [name, grader] : only.items()) {
      const std::string path = grader_.at("graders") + "." + name;
      if (!Formula::is_name(name))
        return fault(
            path, "cannot be named in a formula here: a name is a letter or _, then letters, digits and _");
      ASSAY_TRY(Members members, Members::of(grader, path));
      members.ignore({"name"});
      EvaluatorTable part{.name = table_.name + "-" + name, .keys = {}, .parts = {}};
      ASSAY_OK(Converter(std::move(members), into_, part, true).convert());
      part.name = name;
      table_.parts.push_back(std::move(part));
      names.push_back(name);
    }
    if (const auto parsed = Formula::parse(formula, names); !parsed)
      return fault(grader_.at("calculate_output"), parsed.error().message);
    table_.add("type", "\"multi\"");
    table_.add("formula", toml_quote(formula));
    return pass_threshold(std::nullopt, "");
  }

  Members grader_;
  Conversion& into_;
  EvaluatorTable& table_;
  bool part_;
};

}  // namespace

Result<> convert_grader(const Json& grader, const std::string& path, Conversion& into) {
  ASSAY_TRY(Members members, Members::of(grader, path));
  ASSAY_TRY(const std::string type, members.text_or("type", ""));
  ASSAY_TRY(const std::string name, members.text_or("name", type));
  EvaluatorTable table{.name = into.new_name(name), .keys = {}, .parts = {}};
  ASSAY_OK(Converter(std::move(members), into, table, false).convert());
  into.evaluators.push_back(std::move(table));
  return {};
}

}  // namespace assay::cli::openai
