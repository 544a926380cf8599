#include "cli/evaluation.hpp"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/data_file.hpp"
#include "cli/remote.hpp"
#include "core/fd.hpp"
#include "core/id.hpp"
#include "core/row.hpp"
#include "daemon/sources/rows.hpp"

namespace assay::cli {
namespace {

using daemon::ApiAnswer;
using daemon::ApiClient;
using daemon::url_encode;
using namespace std::chrono_literals;

constexpr size_t kWorstShown = 10;

/// A call that had to succeed, as JSON.
Task<Result<Json>> call(ApiClient& api, std::string method, std::string path, std::string body) {
  ApiClient::Call request;
  request.method = std::move(method);
  request.path = std::move(path);
  request.body = std::move(body);
  const auto answer = co_await api.call_until(std::move(request), Clock::now() + 60s, tell_trouble());
  if (!answer) co_return std::unexpected(answer.error());
  if (!answer->ok()) co_return std::unexpected(answer->error());
  co_return parse_json(answer->body);
}

/// The object at `path`, or null when there is none.
Task<Result<Json>> look(ApiClient& api, std::string path) {
  ApiClient::Call request;
  request.path = std::move(path);
  const auto answer = co_await api.call_until(std::move(request), Clock::now() + 60s, tell_trouble());
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status == 404) co_return Json();
  if (!answer->ok()) co_return std::unexpected(answer->error());
  co_return parse_json(answer->body);
}

// Data

/// What has to be found in every row of a file, for both sides that use it.
using FileColumns = std::map<std::string, std::vector<ColumnPath>>;

FileColumns files_of(const EvaluationFile& file) {
  FileColumns files;
  for (const auto* side : {&file.sample, &file.ground_truth}) {
    if (!*side || (*side)->file.empty()) continue;
    auto& columns = files[(*side)->file];
    for (const auto* column : {&(*side)->input_column, &(*side)->output_column, &(*side)->join})
      if (!column->empty()) columns.emplace_back(*column);
  }
  return files;
}

/// Rows of a data file as a request body.
class Upload {
 public:
  Upload(DataFile& data, const std::vector<ColumnPath>& columns, Progress& progress, const bool& stop)
      : data_(data), columns_(columns), progress_(progress), stop_(stop) {}

  size_t read(char* into, size_t size) {
    if (stop_)
      fault_ = Error{ErrorKind::cancelled, "interrupted while uploading; nothing of the file is stored"};
    if (fault_) return http::kAbortBody;
    while (buffer_.size() - used_ < size && !ended_) {
      if (used_ > 0) buffer_.erase(0, std::exchange(used_, 0));
      auto row = data_.next();
      if (row && *row)
        if (auto checked = data_.check_columns(columns_); !checked) row = std::unexpected(checked.error());
      if (!row) {
        fault_ = row.error();
        return http::kAbortBody;
      }
      ended_ = !row->has_value();
      if (ended_) break;
      buffer_ += **row;
      buffer_ += '\n';
      // A megabyte is enough for one piece; the next call goes on.
      if (buffer_.size() >= size) break;
    }
    const size_t count = std::min(size, buffer_.size() - used_);
    buffer_.copy(into, count, used_);
    used_ += count;
    progress_.update({"uploading", data_.consumed_bytes(), data_.total_bytes(), 0, Progress::Unit::bytes});
    return count;
  }
  const std::optional<Error>& fault() const { return fault_; }

 private:
  DataFile& data_;
  const std::vector<ColumnPath>& columns_;
  Progress& progress_;
  const bool& stop_;
  std::string buffer_;
  size_t used_ = 0;
  bool ended_ = false;
  std::optional<Error> fault_;
};

Result<> check_rows(const std::string& path, const std::vector<ColumnPath>& columns) {
  ASSAY_TRY(auto data, DataFile::open(path));
  for (;;) {
    ASSAY_TRY(const auto row, data.next());
    if (!row) return {};
    ASSAY_OK(data.check_columns(columns));
  }
}

/// The name under which the API has the file's rows: its content's, so that the same file is uploaded once.
Task<Result<std::string>> upload(ApiClient& api, std::string path, std::vector<ColumnPath> columns,
                                 Progress& progress, const bool& stop) {
  const auto digest = file_sha256(path);
  if (!digest) co_return std::unexpected(digest.error());
  const std::string name = std::filesystem::path(path).stem().string() + "-" + digest->substr(0, 16);
  const auto present = co_await look(api, "/v1/datasets/" + url_encode(name));
  if (!present) co_return std::unexpected(present.error());
  if (!present->is_null()) {
    if (auto checked = check_rows(path, columns); !checked) co_return std::unexpected(checked.error());
    co_return name;
  }
  auto data = DataFile::open(path);
  if (!data) co_return std::unexpected(data.error());
  Upload body(*data, columns, progress, stop);
  ApiClient::Call request;
  request.method = "POST";
  request.path = "/v1/datasets?name=" + url_encode(name);
  request.content_type = "application/jsonl";
  request.body_source = [&body](char* into, size_t size) { return body.read(into, size); };
  request.timeout = std::chrono::hours(24);
  const auto answer = co_await api.call(std::move(request));
  if (body.fault()) co_return std::unexpected(*body.fault());
  if (!answer) co_return std::unexpected(answer.error());
  if (!answer->ok()) co_return std::unexpected(answer->error().with("dataset " + path));
  co_return name;
}

// Evaluators, container, run

/// Creates the evaluator, or brings it up to date: a run pins the version it was created with.
Task<Result<>> ensure_evaluator(ApiClient& api, Json wanted) {
  const std::string path = "/v1/evaluators/" + url_encode(wanted["name"].get<std::string>());
  const auto present = co_await look(api, path);
  if (!present) co_return std::unexpected(present.error());
  if (present->is_null()) {
    const auto created = co_await call(api, "POST", "/v1/evaluators", dump_json(wanted));
    if (!created) co_return std::unexpected(created.error());
    co_return Result<>{};
  }
  Json changes = Json::object();
  for (const auto& [key, value] : wanted.items())
    if (key != "container" && present->value(key, Json()) != value) changes[key] = value;
  if (changes.empty()) co_return Result<>{};
  const auto patched = co_await call(api, "PATCH", path, dump_json(changes));
  if (!patched) co_return std::unexpected(patched.error());
  co_return Result<>{};
}

Task<Result<>> ensure_container(ApiClient& api, std::string label) {
  const auto present = co_await look(api, "/v1/containers/" + url_encode(label));
  if (!present) co_return std::unexpected(present.error());
  if (!present->is_null()) co_return Result<>{};
  const auto created = co_await call(api, "POST", "/v1/containers", dump_json(Json{{"label", label}}));
  if (!created) co_return std::unexpected(created.error());
  co_return Result<>{};
}

Json side_json(const DataSide& side, const std::map<std::string, std::string>& datasets) {
  Json json;
  if (side.type == DataSide::Type::generate) {
    json = generation_json(side);
  } else if (side.type == DataSide::Type::container) {
    json["type"] = "container";
    if (!side.container.empty()) json["container"] = side.container;
    if (!side.since.empty()) json["since"] = side.since;
    if (!side.until.empty()) json["until"] = side.until;
  } else {
    json["type"] = "dataset";
    json["dataset"] = side.file.empty() ? side.dataset : datasets.at(side.file);
    Json columns = Json::object();
    if (!side.input_column.empty()) columns["input"] = side.input_column;
    if (!side.output_column.empty()) columns["output"] = side.output_column;
    if (!columns.empty()) json["columns"] = std::move(columns);
    if (!side.join.empty()) json["join"] = side.join;
    if (side.offset) json["offset"] = *side.offset;
    if (side.shuffle_seed) json["shuffle_seed"] = *side.shuffle_seed;
  }
  if (side.limit) json["limit"] = *side.limit;
  return json;
}

/// A run of the same evaluation that an earlier call left unfinished.
Task<Result<std::string>> find_unfinished(ApiClient& api, std::string container, std::string fingerprint) {
  for (const char* status : {"running", "queued"}) {
    const auto runs = co_await call(
        api, "GET",
        "/v1/evaluation/runs?limit=100&status=" + std::string(status) + "&container=" + url_encode(container),
        "");
    if (!runs) co_return std::unexpected(runs.error());
    for (const auto& run : runs->value("data", Json::array()))
      if (run.contains("metadata") && run["metadata"].value("fingerprint", Json()) == fingerprint)
        co_return run["id"].get<std::string>();
  }
  co_return std::string();
}

}  // namespace

Task<Result<Submitted>> submit(ApiClient& api, const EvaluationFile& file, bool fresh, Progress& progress,
                               const bool& stop) {
  std::map<std::string, std::string> datasets;
  for (const auto& [path, columns] : files_of(file)) {
    auto name = co_await upload(api, path, columns, progress, stop);
    if (!name) co_return std::unexpected(std::move(name.error()));
    datasets[path] = std::move(*name);
  }
  const auto contained = co_await ensure_container(api, file.container);
  if (!contained) co_return std::unexpected(contained.error());
  Json definitions = Json::array();
  Json names = Json::array();
  for (const auto& entry : file.evaluators) {
    Json wanted = evaluator_json(entry, file.container);
    definitions.push_back(wanted);
    names.push_back(entry.name);
    auto ensured = co_await ensure_evaluator(api, std::move(wanted));
    if (!ensured) co_return std::unexpected(std::move(ensured.error()).with("evaluator " + entry.name));
  }
  Json config{{"container", file.container}, {"evaluators", std::move(names)}, {"trials", file.trials}};
  if (file.sample) config["sample"] = side_json(*file.sample, datasets);
  if (file.ground_truth) config["ground_truth"] = side_json(*file.ground_truth, datasets);
  if (file.shard_size) config["shard_size"] = *file.shard_size;
  if (!file.environment.empty()) config["environment"] = file.environment;
  if (!file.labels.empty()) config["labels"] = file.labels;
  if (file.priority != 0) config["priority"] = file.priority;
  if (file.spend_limit) config["spend_limit"] = *file.spend_limit;
  config["metadata"] = *parse_json(file.metadata);
  config["metadata"]["name"] = file.name;
  const std::string fingerprint = sha256_hex(dump_json(config) + dump_json(definitions));
  config["metadata"]["fingerprint"] = fingerprint;

  const auto unfinished = co_await find_unfinished(api, file.container, fingerprint);
  if (!unfinished) co_return std::unexpected(unfinished.error());
  if (!unfinished->empty() && !fresh) co_return Submitted{*unfinished, true};
  if (!unfinished->empty()) {
    const auto cancelled = co_await call(api, "POST", "/v1/evaluation/runs/" + *unfinished + "/cancel", "{}");
    if (!cancelled) co_return std::unexpected(cancelled.error());
  }
  const auto run = co_await call(api, "POST", "/v1/evaluation/runs", dump_json(config));
  if (!run) co_return std::unexpected(run.error());
  co_return Submitted{run->value("id", std::string()), false};
}

Task<Result<std::string>> watch(ApiClient& api, std::string run, Progress& progress, const bool& stop) {
  const auto began = Clock::now();
  for (;;) {
    ApiClient::Call request;
    request.path = "/v1/evaluation/runs/" + run;
    const auto answer = co_await api.call_until(std::move(request), Clock::now() + 300s, tell_trouble());
    if (!answer) co_return std::unexpected(answer.error());
    if (!answer->ok()) co_return std::unexpected(answer->error());
    const auto json = parse_json(answer->body);
    if (!json) co_return std::unexpected(json.error());
    const Json counts = json->value("progress", Json::object());
    progress.update({"evaluating", counts.value("items_done", uint64_t{0}),
                     counts.value("items_total", uint64_t{0}), counts.value("errors", uint64_t{0}),
                     Progress::Unit::items});
    // A worker that starts beside us needs a moment to be heard of.
    if (Clock::now() - began > 3s) progress.note_waiting(json->value("waiting_for", std::string()));
    const std::string status = json->value("status", std::string());
    if (stop || (status != "queued" && status != "running")) co_return answer->body;
    // Short runs end within a glance; long ones are asked about a few times a second.
    const Clock::duration wait = std::clamp<Clock::duration>((Clock::now() - began) / 10, 2ms, 250ms);
    co_await sleep_until(Clock::now() + wait);
  }
}

namespace {

/// Each item's id and input, where an item is a known row of a dataset.
Task<> add_inputs(ApiClient& api, const Json& run, std::vector<WorstItem>& items) {
  Json side = run.value("sample", Json::object());
  if (side.value("type", Json()) == "generate") side = run.value("ground_truth", Json::object());
  const Json columns = side.value("columns", Json::object());
  if (side.value("type", Json()) != "dataset" || side.contains("shuffle_seed") ||
      !columns.contains("input") || items.empty())
    co_return;
  const int64_t offset = side.value("offset", int64_t{0});
  std::string rows;
  for (const auto& item : items) rows += (rows.empty() ? "" : ",") + std::to_string(offset + item.index);
  ApiClient::Call request;
  request.path = "/v1/datasets/" + url_encode(side.value("dataset", std::string())) + "/rows?rows=" + rows;
  request.accept = "application/jsonl";
  const auto answer = co_await api.call(std::move(request));
  if (!answer || !answer->ok()) co_return;  // the table is whole without them
  RowReader reader;
  const ColumnPath path(columns["input"].get<std::string>());
  const ColumnPath id("id");
  std::string_view text = answer->body;
  for (auto& item : items) {
    const size_t end = text.find('\n');
    if (reader.parse(text.substr(0, end))) {
      if (const auto value = reader.select(path)) item.input = daemon::text_of(*value);
      if (const auto value = reader.select(id)) item.id = daemon::text_of(*value);
    }
    if (end == std::string_view::npos) co_return;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Task<Result<Worst>> worst_items(ApiClient& api, std::string run_json, const EvaluationFile& file) {
  const auto run = parse_json(run_json);
  if (!run) co_return std::unexpected(run.error());
  const std::string id = run->value("id", std::string());
  const auto found = co_await call(
      api, "GET", "/v1/evaluation/runs/" + id + "/results?order=worst&limit=" + std::to_string(kWorstShown),
      "");
  if (!found) co_return std::unexpected(found.error());
  std::map<std::string, std::string> names;
  for (const auto& metrics : run->value("metrics", Json::array()))
    names[metrics["evaluator"].value("id", std::string())] =
        metrics["evaluator"].value("name", std::string());
  Worst worst;
  Json list = Json::array();
  for (const auto& result : found->value("data", Json::array())) {
    WorstItem item;
    item.index = result.value("index", int64_t{0});
    item.evaluator = names[result.value("evaluator_id", std::string())];
    item.model = result.value("model", std::string());
    if (result.value("score", Json()).is_number()) item.score = result["score"].get<double>();
    item.reason = result.value("reason", std::string());
    if (const Json error = result.value("error", Json()); error.is_object()) {
      item.error_kind = error.value("kind", std::string());
      item.reason = error.value("message", std::string());
    }
    worst.items.push_back(std::move(item));
    list.push_back(result);
  }
  co_await add_inputs(api, *run, worst.items);
  worst.json = dump_json(list);
  co_return worst;
}

Task<Result<>> save_results(ApiClient& api, std::string run, std::string path) {
  const std::string temporary = path + ".tmp";
  auto file = open_cloexec(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!file) co_return std::unexpected(file.error());
  int failed = 0;
  ApiClient::Call request;
  request.path = "/v1/evaluation/runs/" + run + "/results";
  request.accept = "application/jsonl";
  request.timeout = std::chrono::hours(1);
  request.on_body = [&](std::string_view piece) {
    while (!piece.empty() && failed == 0) {
      const ssize_t n = ::write(file->get(), piece.data(), piece.size());
      if (n < 0) failed = errno;
      if (n > 0) piece.remove_prefix(static_cast<size_t>(n));
    }
  };
  const auto answer = co_await api.call(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  if (!answer->ok()) co_return std::unexpected(answer->error());
  if (failed != 0) co_return fail_errno(ErrorKind::config, "cannot write " + temporary, failed);
  if (std::rename(temporary.c_str(), path.c_str()) != 0)
    co_return fail_errno(ErrorKind::config, "cannot write " + path, errno);
  co_return Result<>{};
}

}  // namespace assay::cli
