#include "cli/openai/source_file.hpp"

#include <nlohmann/json.hpp>

#include "cli/openai/members.hpp"

namespace assay::cli::openai {
namespace {

const Json* member(const Json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const Json& json, const char* key) {
  const Json* value = member(json, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

std::string indexed(const std::string& path, size_t index) {
  return path + "[" + std::to_string(index) + "]";
}

Result<> add_graders(const Json& list, const std::string& path, EvalFile& file) {
  if (!list.is_array() || list.empty()) return fault(path, "must be a list of graders, at least one");
  for (size_t i = 0; i < list.size(); ++i) file.graders.emplace_back(indexed(path, i), dump_json(list[i]));
  return {};
}

/// `custom` says in its schema whether rows bring samples.
Result<> read_data_source(const Json& config, const std::string& path, EvalFile& file) {
  const std::string type = text_of(config, "type");
  file.rows_path = path + ".type";
  if (type == "logs" || type == "stored_completions") {
    file.rows = EvalFile::Rows::stored;
  } else if (type == "custom") {
    const Json* schema = member(config, "schema");
    const Json* properties = schema == nullptr ? nullptr : member(*schema, "properties");
    const Json* include = member(config, "include_sample_schema");
    const bool sample = (include != nullptr && *include == true) ||
                        (properties != nullptr && member(*properties, "sample") != nullptr);
    file.rows = sample ? EvalFile::Rows::with_sample : EvalFile::Rows::items;
  } else {
    return fault(path + ".type", "must be custom, logs or stored_completions");
  }
  return {};
}

Result<EvalFile> eval_from(const Json& json, const std::string& prefix) {
  EvalFile file;
  file.name = text_of(json, "name");
  ASSAY_OK(add_graders(json["testing_criteria"], prefix + "testing_criteria", file));
  if (const Json* config = member(json, "data_source_config")) {
    ASSAY_OK(read_data_source(*config, prefix + "data_source_config", file));
  }
  return file;
}

Result<EvalFile> eval_of_list(const Json& list, const std::string& name) {
  std::string names;
  std::optional<size_t> found;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string other = text_of(list[i], "name");
    names += (names.empty() ? "" : ", ") + json_quote(other);
    if (name.empty() ? list.size() > 1 : other != name && text_of(list[i], "id") != name) continue;
    if (found)
      return fault("data", "two evals are named " + json_quote(name) + "; give --name the id of one");
    found = i;
  }
  if (!found && name.empty())
    return fault("data",
                 "there are " + std::to_string(list.size()) + " evals; choose one with --name: " + names);
  if (!found) return fault("data", "there is no eval named " + json_quote(name) + "; there are " + names);
  return read_eval(list[*found], "");
}

/// {"grader": …}, also within `method.reinforcement` of a fine-tuning job.
const Json* fine_tuning_grader(const Json& json, std::string& path) {
  const Json* place = &json;
  for (const char* key : {"method", "reinforcement"})
    if (const Json* inner = member(*place, key)) {
      place = inner;
      path += std::string(key) + ".";
    }
  path += "grader";
  return member(*place, "grader");
}

Result<> read_rows(const Json& source, const std::string& path, RunFile& run) {
  const std::string type = text_of(source, "type");
  if (type == "file_content") {
    const Json* content = member(source, "content");
    if (content == nullptr || !content->is_array() || content->empty())
      return fault(path + ".content", "must be a list of rows, at least one");
    run.rows = dump_json(*content);
  } else if (type == "file_id") {
    run.rows_elsewhere = path + ": the rows are in a file that OpenAI keeps; fetch it (GET /v1/files/" +
                         text_of(source, "id") + "/content) and give it with --data";
  } else {
    run.rows_elsewhere =
        path + ".type: \"" + type +
        "\": the rows are completions that OpenAI stored; write them as lines {\"item\": {…}, "
        "\"sample\": {\"output_text\": …}} and give them with --data";
  }
  return {};
}

Result<> read_question(const Json& source, const std::string& path, RunFile& run) {
  run.generates = true;
  run.model = text_of(source, "model");
  if (run.model.empty()) return fault(path + ".model", "is missing: it must be the model that was asked");
  const Json* messages = member(source, "input_messages");
  run.messages_path = path + ".input_messages";
  if (messages == nullptr)
    return fault(run.messages_path, "is missing: without it there is nothing to ask a model");
  if (text_of(*messages, "type") != "template")
    return fault(
        run.messages_path + ".type",
        "\"" + text_of(*messages, "type") +
            "\" has no counterpart: the messages must be one template for all rows, with {{ item.… }} "
            "where they differ");
  const Json* list = member(*messages, "template");
  run.messages_path += ".template";
  if (list == nullptr || !list->is_array() || list->empty())
    return fault(run.messages_path, "must be a list of messages, at least one");
  run.messages = dump_json(*list);
  run.sampling_path = path + ".sampling_params";
  if (const Json* params = member(source, "sampling_params")) run.sampling_params = dump_json(*params);
  return {};
}

}  // namespace

Result<EvalFile> read_eval(const Json& json, const std::string& name) {
  if (member(json, "testing_criteria") != nullptr) return eval_from(json, "");
  if (const Json* list = member(json, "data"); list != nullptr && list->is_array() && !list->empty())
    return eval_of_list(*list, name);
  EvalFile file;
  if (json.is_array()) {
    ASSAY_OK(add_graders(json, "", file));
    return file;
  }
  std::string path;
  if (const Json* grader = fine_tuning_grader(json, path)) {
    file.graders.emplace_back(path, dump_json(*grader));
    return file;
  }
  if (text_of(json, "type").empty())
    return fault("", "is no eval: it has no testing_criteria, no grader and no type of a grader");
  file.graders.emplace_back("", dump_json(json));
  return file;
}

Result<RunFile> read_run(const Json& json) {
  if (const Json* list = member(json, "data"); list != nullptr && list->is_array()) {
    if (list->size() == 1) return read_run((*list)[0]);
    return fault("data", "there are " + std::to_string(list->size()) + " runs; give a file with one of them");
  }
  const Json* source = member(json, "data_source");
  if (source == nullptr) return fault("data_source", "is missing: it must be a run of an eval");
  const std::string type = text_of(*source, "type");
  if (type != "jsonl" && type != "completions" && type != "responses")
    return fault("data_source.type", "must be jsonl, completions or responses");
  const Json* rows = member(*source, "source");
  if (rows == nullptr) return fault("data_source.source", "is missing");
  RunFile run;
  ASSAY_OK(read_rows(*rows, "data_source.source", run));
  if (type != "jsonl") {
    ASSAY_OK(read_question(*source, "data_source", run));
  }
  return run;
}

}  // namespace assay::cli::openai
