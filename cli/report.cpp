#include "cli/report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/terminal_text.hpp"
#include "core/json.hpp"

namespace assay::cli {
namespace {

constexpr std::string_view kNone = "–";
constexpr size_t kNameColumns = 32;

enum class Colour { plain, bold, dim, red, green, yellow };

std::string painted(std::string_view text, Colour colour, const ReportStyle& style) {
  if (!style.colour || colour == Colour::plain) return std::string(text);
  static constexpr const char* kCodes[] = {"0", "1", "2", "31", "32", "33"};
  return std::string("\x1b[") + kCodes[static_cast<int>(colour)] + "m" + std::string(text) + "\x1b[0m";
}

struct Cell {
  std::string text;
  Colour colour = Colour::plain;
};

/// Rows under a heading, columns as wide as their widest cell. The first columns of names go left, numbers go
/// right.
class Table {
 public:
  Table(std::vector<std::string> headings, size_t names) : names_(names) {
    std::vector<Cell> row;
    for (auto& heading : headings) row.push_back({std::move(heading), Colour::dim});
    rows_.push_back({std::move(row), {}});
  }
  void add(std::vector<Cell> cells) { rows_.push_back({std::move(cells), {}}); }
  /// A line of text below the last row.
  void note(std::string text, Colour colour) { rows_.back().notes.push_back({std::move(text), colour}); }

  std::string render(const ReportStyle& style) const {
    std::vector<size_t> widths(rows_.front().cells.size(), 0);
    for (const auto& row : rows_)
      for (size_t i = 0; i < row.cells.size(); ++i)
        widths[i] = std::max(widths[i], display_width(row.cells[i].text));
    std::string out;
    for (const auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.cells.size(); ++i) {
        const auto& cell = row.cells[i];
        const bool last_name = i < names_ && i + 1 == row.cells.size();
        const std::string text = i >= names_ ? padded_left(cell.text, widths[i])
                                 : last_name ? cell.text
                                             : padded_right(cell.text, widths[i]);
        line += (i == 0 ? "" : "  ") + painted(text, cell.colour, style);
      }
      out += line + "\n";
      for (const auto& note : row.notes) out += "  " + painted(note.text, note.colour, style) + "\n";
    }
    return out;
  }

 private:
  struct Row {
    std::vector<Cell> cells;
    std::vector<Cell> notes;
  };
  std::vector<Row> rows_;
  size_t names_;
};

std::string text_at(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? printable(it->get<std::string>()) : std::string();
}

std::optional<double> number_at(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number()) return std::nullopt;
  return it->get<double>();
}

uint64_t count_at(const Json& object, const char* key) {
  const double value = number_at(object, key).value_or(0);
  return value > 0 ? static_cast<uint64_t>(value) : 0;
}

const Json* pair_at(const Json& object, const char* key) {
  const auto it = object.find(key);
  const bool is_pair =
      it != object.end() && it->is_array() && it->size() == 2 && (*it)[0].is_number() && (*it)[1].is_number();
  return is_pair ? &*it : nullptr;
}

std::string interval_in_percent(const Json& pair) {
  return "[" + decimal(100 * pair[0].get<double>(), 1) + ", " + decimal(100 * pair[1].get<double>(), 1) + "]";
}

std::string mean_text(const Json& metrics) {
  const auto mean = number_at(metrics, "mean");
  if (!mean) return std::string(kNone);
  const auto error = number_at(metrics, "stderr");
  return decimal(*mean, 4) + (error ? " ± " + decimal(*error, 4) : "");
}

std::string pass_text(const Json& metrics) {
  const auto rate = number_at(metrics, "pass_rate");
  if (!rate) return std::string(kNone);
  const Json* interval = pair_at(metrics, "pass_ci95");
  return percent(*rate) + (interval != nullptr ? " " + interval_in_percent(*interval) : "");
}

std::string latency_text(const Json& metrics, const char* quantile) {
  const auto it = metrics.find("latency");
  const auto value = it != metrics.end() && it->is_object() ? number_at(*it, quantile) : std::nullopt;
  return value ? duration_text(*value) : std::string(kNone);
}

/// Of the texts that models gave for a side of the items, which nobody scores: their evaluations are the
/// other rows.
bool is_of_texts(const Json& metrics) {
  const auto evaluator = metrics.find("evaluator");
  return evaluator != metrics.end() && evaluator->is_object() && text_at(*evaluator, "id") == "generation";
}

/// Errors are not scores: what they are, and between what and what the pass rate lies because of them.
void note_errors(Table& table, const Json& metrics) {
  const uint64_t errors = count_at(metrics, "errors");
  if (errors == 0) return;
  const bool texts = is_of_texts(metrics);
  std::string kinds;
  if (const auto it = metrics.find("errors_by_kind"); it != metrics.end() && it->is_object())
    for (const auto& [kind, count] : it->items())
      if (count.is_number())
        kinds +=
            (kinds.empty() ? ": " : ", ") + printable(kind) + " " + with_thousands(count.get<uint64_t>());
  table.note(with_thousands(errors) + " of " + with_thousands(count_at(metrics, "count")) +
                 (texts ? " not generated" : " not scored, in no mean and no pass rate") + kinds,
             Colour::red);
  if (const Json* bounds = pair_at(metrics, "bounds"))
    table.note("counting them, the pass rate lies in " + interval_in_percent(*bounds) + " %", Colour::yellow);
}

/// What models were asked for it. A cost that is not known is never shown as none.
void note_models(Table& table, const Json& metrics) {
  const auto use = metrics.find("models");
  if (use == metrics.end() || !use->is_object()) return;
  const uint64_t calls = count_at(*use, "calls"), unpriced = count_at(*use, "unpriced");
  std::string note = with_thousands(calls) + (calls == 1 ? " model call, " : " model calls, ") +
                     with_thousands(count_at(*use, "input_tokens")) + " tokens in, " +
                     with_thousands(count_at(*use, "output_tokens")) + " out";
  const std::string about = count_at(*use, "estimated") > 0 ? "about " : "";
  if (unpriced < calls) note += ", " + about + "$" + decimal(number_at(*use, "cost").value_or(0), 4);
  if (unpriced > 0) note += ", " + with_thousands(unpriced) + " of no known price";
  table.note(std::move(note), Colour::dim);
}

std::string metrics_table(const Json& metrics, const ReportStyle& style) {
  const bool with_models =
      std::ranges::any_of(metrics, [](const Json& m) { return !text_at(m, "model").empty(); });
  const bool with_skips =
      std::ranges::any_of(metrics, [](const Json& m) { return count_at(m, "skipped") > 0; });
  std::vector<std::string> headings = {"evaluator"};
  if (with_models) headings.emplace_back("model");
  headings.insert(headings.end(), {"scored", "errors"});
  if (with_skips) headings.emplace_back("skipped");
  headings.insert(headings.end(), {"mean", "pass rate", "p50", "p95"});
  Table table(std::move(headings), with_models ? 2 : 1);
  for (const auto& of_evaluator : metrics) {
    const auto evaluator = of_evaluator.find("evaluator");
    const Json& identity =
        evaluator != of_evaluator.end() && evaluator->is_object() ? *evaluator : of_evaluator;
    const std::string name =
        text_at(identity, "name").empty() ? text_at(identity, "id") : text_at(identity, "name");
    const uint64_t errors = count_at(of_evaluator, "errors");
    std::vector<Cell> row = {{clipped(name, kNameColumns), Colour::bold}};
    if (with_models) row.push_back({clipped(text_at(of_evaluator, "model"), kNameColumns)});
    row.push_back(
        {is_of_texts(of_evaluator) ? std::string(kNone) : with_thousands(count_at(of_evaluator, "scored"))});
    row.push_back({with_thousands(errors), errors > 0 ? Colour::red : Colour::plain});
    if (with_skips) row.push_back({with_thousands(count_at(of_evaluator, "skipped"))});
    row.push_back({mean_text(of_evaluator)});
    row.push_back({pass_text(of_evaluator)});
    row.push_back({latency_text(of_evaluator, "p50_ms")});
    row.push_back({latency_text(of_evaluator, "p95_ms")});
    table.add(std::move(row));
    if (const uint64_t texts = count_at(of_evaluator, "generated"); texts > 0)
      table.note(with_thousands(texts) + (texts == 1 ? " text generated" : " texts generated"), Colour::dim);
    note_errors(table, of_evaluator);
    note_models(table, of_evaluator);
  }
  return table.render(style);
}

std::string headline(const Json& run, const ReportStyle& style) {
  const std::string status = text_at(run, "status");
  const Colour colour = status == "completed" ? Colour::green
                        : status == "error"   ? Colour::red
                                              : Colour::yellow;
  std::string line = painted(text_at(run, "id"), Colour::bold, style) + "  " + painted(status, colour, style);
  if (const auto progress = run.find("progress"); progress != run.end() && progress->is_object()) {
    const uint64_t done = count_at(*progress, "items_done");
    const uint64_t total = count_at(*progress, "items_total");
    line += "  " + with_thousands(done);
    if (total != done) line += " of " + with_thousands(total);
    line += total == 1 ? " item" : " items";
  }
  return line + "\n";
}

std::string worst_items(std::span<const WorstItem> worst, const ReportStyle& style) {
  std::string out = "\n" + painted("worst items", Colour::bold, style) + "\n";
  for (const auto& item : worst) {
    const std::string score = item.score ? "score " + decimal(*item.score, 4) : printable(item.error_kind);
    const std::string id = item.id.empty() ? "" : " (" + clipped(printable(item.id), kNameColumns) + ")";
    const auto line = [&](std::string_view text) {
      return "    " + clipped(printable(text), std::max<size_t>(style.width, 24) - 4) + "\n";
    };
    out += "  #" + std::to_string(item.index) + id + "  " + clipped(printable(item.evaluator), kNameColumns) +
           (item.model.empty() ? "" : "  " + clipped(printable(item.model), kNameColumns)) + "  " +
           painted(score, item.score ? Colour::yellow : Colour::red, style) + "\n";
    if (!item.reason.empty()) out += line(item.reason);
    if (!item.input.empty()) out += painted(line("input: " + item.input), Colour::dim, style);
  }
  return out;
}

}  // namespace

Result<std::string> render_report(std::string_view run_json, std::span<const WorstItem> worst,
                                  const ReportStyle& style) {
  ASSAY_TRY(const Json run, parse_json(run_json));
  if (!run.is_object()) return fail(ErrorKind::config, "a run must be an object");
  std::string out = headline(run, style);
  if (const auto error = run.find("error"); error != run.end() && error->is_object())
    out += painted(text_at(*error, "message"), Colour::red, style) + "\n";
  const auto metrics = run.find("metrics");
  const bool has_metrics = metrics != run.end() && metrics->is_array() && !metrics->empty() &&
                           std::ranges::all_of(*metrics, [](const Json& m) { return m.is_object(); });
  out += has_metrics ? "\n" + metrics_table(*metrics, style) : "no metrics yet\n";
  if (!worst.empty()) out += worst_items(worst, style);
  return out;
}

std::string render_gates(std::span<const GateResult> results, const ReportStyle& style) {
  std::string out;
  for (const auto& result : results) {
    const Colour colour = result.verdict == GateVerdict::pass   ? Colour::green
                          : result.verdict == GateVerdict::fail ? Colour::red
                                                                : Colour::yellow;
    out += painted(padded_right(to_string(result.verdict), 12), colour, style) + "  " +
           printable(result.gate.text);
    if (!result.model.empty()) out += " (" + printable(result.model) + ")";
    out += ": " + printable(result.why) + "\n";
  }
  return out;
}

}  // namespace assay::cli
