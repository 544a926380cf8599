#include "cli/openai/import.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "cli/data_file.hpp"
#include "cli/openai/conversion.hpp"
#include "cli/openai/members.hpp"
#include "cli/openai/source_file.hpp"
#include "cli/openai/toml_text.hpp"
#include "core/fd.hpp"

namespace assay::cli::openai {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFileLimitBytes = size_t{256} << 20;
constexpr const char* kEvaluation = "evaluation.toml";
constexpr const char* kData = "data.jsonl";

// Rows

/// Gives each row to `take`, as {"item": {…}, …}: a row without an object `item` is the item itself.
using Take = std::function<void(const std::string& row)>;

struct RowCount {
  size_t rows = 0, samples = 0;
};

class Rows {
 public:
  /// Of a data file, or of a run's content, a JSON array; at most one is given.
  Rows(std::string path, std::string run_path, std::optional<std::string> content)
      : path_(std::move(path)), run_path_(std::move(run_path)), content_(std::move(content)) {}

  bool known() const { return !path_.empty() || content_; }

  Result<> each(const Take& take) {
    count_ = {};
    if (!known()) return {};
    if (path_.empty()) return each_of_content(take);
    ASSAY_TRY(auto file, DataFile::open(path_));
    for (;;) {
      ASSAY_TRY(const auto row, file.next());
      if (!row) return {};
      ASSAY_OK(give(*row, path_ + ":" + std::to_string(file.line()), take));
    }
  }
  /// Of the last each().
  const RowCount& count() const { return count_; }

 private:
  Result<> each_of_content(const Take& take) {
    ASSAY_TRY(const Json list, parse_json(*content_));
    for (size_t i = 0; i < list.size(); ++i) {
      ASSAY_OK(give(dump_json(list[i]), run_path_ + ": data_source.source.content[" + std::to_string(i) + "]",
                    take));
    }
    return {};
  }

  Result<> give(const std::string& row, const std::string& place, const Take& take) {
    ASSAY_TRY(const Json json, parse_json(row));
    if (!json.is_object()) return fault(place, "a row must be an object");
    const auto item = json.find("item");
    const bool wrapped = item != json.end() && item->is_object();
    if (count_.rows > 0 && wrapped != wrapped_)
      return fault(place, "rows must be all of one kind: {\"item\": {…}}, or the item itself");
    wrapped_ = wrapped;
    ++count_.rows;
    if (const auto sample = json.find("sample"); wrapped && sample != json.end() && !sample->is_null()) {
      if (!sample->is_object())
        return fault(place, "sample must be an object, such as {\"output_text\": \"…\"}");
      ++count_.samples;
    }
    take(wrapped ? row : "{\"item\":" + row + "}");
    return {};
  }

  std::string path_, run_path_;
  std::optional<std::string> content_;
  RowCount count_;
  bool wrapped_ = false;
};

// The evaluation file

/// One import on its way.
class Import {
 public:
  explicit Import(const ImportOptions& options) : options_(options) {}

  Result<Imported> run() {
    ASSAY_OK(in_file(options_.file, [this](const Json& json) { return read_graders(json); }));
    if (!options_.run.empty()) {
      ASSAY_OK(in_file(options_.run, [this](const Json& json) { return read_question(json); }));
    }
    Rows rows(options_.data, options_.run, options_.data.empty() ? run_.rows : std::nullopt);
    ASSAY_OK(rows.each([](const std::string&) {}));
    if (auto checked = check_rows(rows); !checked)
      return std::unexpected(std::move(checked.error()).with(options_.file));
    return write(rows);
  }

 private:
  static Result<> in_file(const std::string& path, const std::function<Result<>(const Json&)>& read) {
    ASSAY_TRY(const std::string text, read_file(path, kFileLimitBytes));
    const auto json = parse_json(text);
    const auto done = json ? read(*json) : std::unexpected(json.error());
    if (!done) return std::unexpected(Error(done.error()).with(path));
    return {};
  }

  Result<> read_graders(const Json& json) {
    ASSAY_TRY(eval_, read_eval(json, options_.name));
    for (const auto& [path, grader] : eval_.graders) {
      ASSAY_OK(convert_grader(*parse_json(grader), path, made_));
    }
    return {};
  }

  Result<> read_question(const Json& json) {
    ASSAY_TRY(run_, read_run(json));
    if (!run_.rows && options_.data.empty()) return fault("", run_.rows_elsewhere);
    if (!run_.generates) return {};
    Conversion question;
    ASSAY_TRY(const Json chat, chat_from(*parse_json(run_.messages), run_.messages_path, question));
    if (!question.sample_used.empty())
      return fault(question.sample_used, "names the sample, which is what the model is to write");
    made_.notes.insert(made_.notes.end(), question.notes.begin(), question.notes.end());
    ASSAY_TRY(const Json params, sampling_params());
    const auto params_text = toml_value(params);
    if (!params_text) return fault(run_.sampling_path, "holds a null in a list, or too large a number");
    const std::string file = made_.new_file("generate", ".prompt.json", dump_json_pretty(chat) + "\n");
    generate_ = "models = [" + toml_quote("openai/" + run_.model) + "]\nprompt_file = " + toml_quote(file) +
                "\n" + (params.empty() ? "" : "inference_params = " + *params_text + "\n");
    return {};
  }

  /// The responses API has the format of the answer at another place.
  Result<Json> sampling_params() const {
    Json params = *parse_json(run_.sampling_params);
    if (params.is_object() && params.contains("text")) {
      Json format = params["text"].is_object() ? params["text"].value("format", Json()) : Json();
      params.erase("text");
      if (format.is_object() && format.value("type", Json()) == "json_schema") {
        format.erase("type");
        format = {{"type", "json_schema"}, {"json_schema", std::move(format)}};
      }
      params["response_format"] = std::move(format);
    }
    ASSAY_TRY(Json out, inference_params_from(params.is_null() ? nullptr : &params, run_.sampling_path));
    // What holds without it.
    if (out.contains("response_format") && out["response_format"].is_object() &&
        out["response_format"].value("type", Json()) == "text")
      out.erase("response_format");
    return out;
  }

  /// Whether there is, or will be, what the graders read.
  Result<> check_rows(const Rows& rows) {
    if (!rows.known() && eval_.rows == EvalFile::Rows::stored)
      return fault(eval_.rows_path,
                   "its rows are completions that OpenAI stored, and are nowhere else; write them as lines "
                   "{\"item\": {…}, \"sample\": {\"output_text\": …}} and give them with --data");
    if (rows.known() && rows.count().rows == 0) return fault("", "there are no rows in " + options_.data);
    if (run_.generates) return {};
    const bool expected = eval_.rows == EvalFile::Rows::with_sample || !made_.sample_used.empty();
    sampled_ = rows.known() ? rows.count().samples > 0 : expected;
    if (!rows.known()) return {};
    if (sampled_ && rows.count().samples < rows.count().rows)
      return fault("", std::to_string(rows.count().rows - rows.count().samples) + " of " +
                           std::to_string(rows.count().rows) +
                           " rows have no sample; give all or none of them one");
    if (!sampled_ && !made_.sample_used.empty())
      return fault(made_.sample_used,
                   "names the sample, but the rows have none; give rows {\"item\": {…}, \"sample\": "
                   "{\"output_text\": …}}, or with --run a run that asks a model for them");
    return {};
  }

  std::string title() const { return eval_.name.empty() ? made_.evaluators.front().name : eval_.name; }

  std::string side(const char* name, const char* column) const {
    return std::string("\n[") + name + "]\ntype = \"dataset\"\nfile = \"" + kData + "\"\n" +
           (column == nullptr ? "" : std::string("columns = { output = \"") + column + "\" }\n");
  }

  static void append_table(std::string& out, const std::string& head, const EvaluatorTable& table) {
    out += "\n" + head + "\n";
    for (const auto& [key, value] : table.keys) out += key + " = " + value + "\n";
  }

  std::string evaluation_text() const {
    std::string out =
        "# From " + toml_quote(fs::path(options_.file).filename().string()) +
        ", an eval of OpenAI's hosted service, by `assay import openai-eval` (docs/import.md).\n"
        "# {{ item.… }} is a row's item: the ground truth here; {{ sample.… }} is its sample.\n";
    out += "name = " + toml_quote(title()) +
           "\ncontainer = " + toml_quote(plain_name(title(), "openai-eval")) + "\n";
    out += generate_.empty() ? side("sample", sampled_ ? "sample" : nullptr)
                             : "\n[sample]\ntype = \"generate\"\n" + generate_;
    out += side("ground_truth", "item");
    for (const EvaluatorTable& evaluator : made_.evaluators) {
      append_table(out, "[[evaluator]]\nname = " + toml_quote(evaluator.name), evaluator);
      for (const EvaluatorTable& part : evaluator.parts)
        append_table(out, "[evaluator.parts." + part.name + "]", part);
    }
    return out;
  }

  Result<Imported> write(Rows& rows) {
    Imported done{.folder = options_.out.empty() ? plain_name(title(), "openai-eval") : options_.out,
                  .files = {},
                  .notes = made_.notes};
    std::vector<BesideFile> files = made_.files;
    files.insert(files.begin(), {kEvaluation, evaluation_text()});
    const fs::path folder = done.folder;
    std::error_code error;
    for (const BesideFile& file : files) done.files.push_back((folder / file.name).string());
    if (rows.known()) done.files.push_back((folder / kData).string());
    for (const std::string& path : done.files)
      if (fs::exists(fs::symlink_status(path, error)))
        return fail(ErrorKind::config, path + " is there already; nothing was written (--out FOLDER)");
    fs::create_directories(folder, error);
    if (error)
      return fail(ErrorKind::config, "cannot make the folder " + folder.string() + ": " + error.message());
    if (rows.known()) {
      ASSAY_OK(write_rows(rows, (folder / kData).string()));
    } else {
      done.notes.push_back("the rows are missing: put them into " + (folder / kData).string() +
                           (sampled_ ? R"(, a line each, {"item": {…}, "sample": {"output_text": "…"}})"
                                     : R"(, a line each, {"item": {…}})"));
    }
    for (const BesideFile& file : files) {
      ASSAY_OK(write_file((folder / file.name).string(), file.text));
    }
    return done;
  }

  static Result<> write_rows(Rows& rows, const std::string& path) {
    std::ofstream out(path, std::ios::binary);
    ASSAY_OK(rows.each([&out](const std::string& row) { out << row << '\n'; }));
    out.close();
    if (!out) return fail_errno(ErrorKind::config, "cannot write " + path, errno);
    return {};
  }

  const ImportOptions& options_;
  EvalFile eval_;
  RunFile run_;
  Conversion made_;
  std::string generate_;  ///< TOML of the side that is generated; empty: none is
  bool sampled_ = false;  ///< rows bring samples
};

}  // namespace

Result<Imported> import_eval(const ImportOptions& options) {
  return Import(options).run();
}

}  // namespace assay::cli::openai
