#include "cli/data_file.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "core/id.hpp"
#include "tests/unit/temporary_folder.hpp"

using namespace assay;
using namespace assay::cli;

namespace {

using Rows = std::vector<std::string>;

/// All rows of a file with this name and text, or the first error without the folder's name.
std::expected<Rows, std::string> rows_of(std::string_view name, std::string_view text) {
  const test::TemporaryFolder folder;
  const auto path = folder.write(name, text);
  const auto local = [&](std::string message) {
    REQUIRE(message.starts_with(folder.path() + "/"));
    return std::unexpected(message.substr(folder.path().size() + 1));
  };
  auto file = DataFile::open(path);
  if (!file) return local(file.error().message);
  Rows rows;
  for (;;) {
    auto row = file->next();
    if (!row) return local(row.error().message);
    if (!*row) break;
    rows.push_back(std::move(**row));
  }
  CHECK(file->consumed_bytes() == text.size());
  CHECK(file->total_bytes() == text.size());
  CHECK(file->next().value() == std::nullopt);
  return rows;
}

Rows good(std::string_view name, std::string_view text) {
  INFO(text);
  const auto rows = rows_of(name, text);
  INFO((rows ? "" : rows.error()));
  REQUIRE(rows.has_value());
  return *rows;
}

std::string bad(std::string_view name, std::string_view text) {
  INFO(text.substr(0, 200));
  const auto rows = rows_of(name, text);
  REQUIRE_FALSE(rows.has_value());
  return rows.error();
}

}  // namespace

TEST_CASE("DataFile: the name says the format", "[cli][data_file]") {
  CHECK(data_format_of("a/b.jsonl") == DataFormat::jsonl);
  CHECK(data_format_of("b.ndjson") == DataFormat::jsonl);
  CHECK(data_format_of("b.csv") == DataFormat::csv);
  CHECK(data_format_of("b.tsv") == DataFormat::tsv);
  CHECK(data_format_of("b.json") == DataFormat::json);
  CHECK(data_format_of("rows.parquet").error().message ==
        "rows.parquet: a data file's name must end in .jsonl, .ndjson, .csv, .tsv or .json, which says its "
        "format");
}

TEST_CASE("DataFile: JSON lines come out as they stand", "[cli][data_file]") {
  CHECK(good("a.jsonl", "") == Rows{});
  CHECK(good("a.jsonl", "\n \n\r\n") == Rows{});
  CHECK(good("a.jsonl", "{\"a\": 1}\n{ \"b\":[1, 2]}\n") == Rows{"{\"a\": 1}", "{ \"b\":[1, 2]}"});
  CHECK(good("a.jsonl", "{}\r\n\r\n{}") == Rows{"{}", "{}"});
  CHECK(good("a.ndjson", "\xEF\xBB\xBF{\"a\":1}") == Rows{"{\"a\":1}"});
}

TEST_CASE("DataFile: CSV is read by RFC 4180", "[cli][data_file]") {
  CHECK(good("a.csv", "q,a\n1,2\n") == Rows{R"({"q":"1","a":"2"})"});
  CHECK(good("a.csv", "q,a\r\n1,2\r\n3,4") == Rows{R"({"q":"1","a":"2"})", R"({"q":"3","a":"4"})"});
  CHECK(good("a.csv", "\xEF\xBB\xBFq,a\n,\n") == Rows{R"({"q":"","a":""})"});
  CHECK(good("a.csv", "q\n\"\"\n") == Rows{R"({"q":""})"});
  CHECK(good("a.csv", "q,a\n\"x,y\",\"say \"\"hi\"\"\"\n") == Rows{R"({"q":"x,y","a":"say \"hi\""})"});
  CHECK(good("a.csv", "q,a\n\"two\nlines\",\"three\r\n\r\nlines\"\r\n") ==
        Rows{R"({"q":"two\nlines","a":"three\r\n\r\nlines"})"});
  CHECK(good("a.csv", "\"the, q\",\"a\"\"b\"\n1,2\n") == Rows{R"({"the, q":"1","a\"b":"2"})"});
  CHECK(good("a.csv", "q,a\n\n1,2\n\r\n\n") == Rows{R"({"q":"1","a":"2"})"});
  CHECK(good("a.csv", "q,a\n") == Rows{});
  CHECK(good("a.csv", "q,a\n é , 7 \n") == Rows{R"({"q":" é ","a":" 7 "})"});
}

TEST_CASE("DataFile: TSV is the same with tabs", "[cli][data_file]") {
  CHECK(good("a.tsv", "q\ta\n1,5\t\"x\ty\"\n") == Rows{R"({"q":"1,5","a":"x\ty"})"});
}

TEST_CASE("DataFile: a JSON array is taken apart", "[cli][data_file]") {
  CHECK(good("a.json", "[]") == Rows{});
  CHECK(good("a.json", " [ ] \n") == Rows{});
  CHECK(good("a.json", "[{\"a\":1},{\"b\":[{}]}]") == Rows{"{\"a\":1}", "{\"b\":[{}]}"});
  CHECK(good("a.json", "[\n  {\n    \"a\": 1\n  },\r\n  {}\n]\n") == Rows{"{     \"a\": 1   }", "{}"});
  CHECK(good("a.json", R"([{"a":"]},{[\"\\"},{"b":"\\\""}])") ==
        Rows{R"({"a":"]},{[\"\\"})", R"({"b":"\\\""})"});
}

TEST_CASE("DataFile: each fault is named with its line", "[cli][data_file]") {
  const auto [name, text, message] = GENERATE(table<std::string, std::string, std::string>({
      {"a.jsonl", "{}\n\n[]\n", "a.jsonl:3: a row must be a JSON object"},
      {"a.jsonl", "{\"a\":1,\"a\":tru}\n", "a.jsonl:1: not valid JSON: column 10: duplicate key \"a\""},
      {"a.csv", "", "a.csv:1: the file is empty; its first line must name the columns"},
      {"a.csv", "a,b,a\n", "a.csv:1: two columns are named \"a\""},
      {"a.csv", "a,b\n1,2\n1\n", "a.csv:3: the row has 1 field, but the header names 2"},
      {"a.csv", "a,b\n\"1\n2\n3\",4\n1,2,3\n", "a.csv:5: the row has 3 fields, but the header names 2"},
      {"a.csv", "a,b\n1,2\n\"x,3\n4,5\n", "a.csv:3: a quoted field is never closed"},
      {"a.csv", "a,b\n\"x\"y,3\n",
       "a.csv:2: text follows the closing quote of a field; a quote inside a field is written twice"},
      {"a.csv", "a,b\n5\" disk,3\"\n",
       "a.csv:2: a quote inside a field that is not quoted; quote the field and write the quote twice"},
      {"a.csv", "a,b\n\xFF,1\n", "a.csv:2: the row is not UTF-8 text"},
      {"a.json", "",
       "a.json:1: a .json data file must be an array of objects; a file of one object a line is named "
       ".jsonl"},
      {"a.json", "{\"a\":1}",
       "a.json:1: a .json data file must be an array of objects; a file of one object a line is named "
       ".jsonl"},
      {"a.json", "[\n{},\n1]", "a.json:3: expects an object as the next element of the array"},
      {"a.json", "[{},]", "a.json:1: expects an object as the next element of the array"},
      {"a.json", "[{}\n{}]", "a.json:2: expects , or ] after an element of the array"},
      {"a.json", "[{}\n", "a.json:2: expects , or ] after an element of the array"},
      {"a.json", "[]\n\n[]", "a.json:3: text follows the end of the array"},
  }));
  CHECK(bad(name, text) == message);
}

TEST_CASE("DataFile: a fault inside a row of several lines is found on its own line", "[cli][data_file]") {
  CHECK_THAT(bad("a.json", "[\n{},\n{\n\"a\":1,\n\"b\":oops\n}]"),
             Catch::StartsWith("a.json:5: not valid JSON: column 5: "));
  CHECK_THAT(bad("a.json", "[{\"a\":[1,\n2"), Catch::StartsWith("a.json:2: not valid JSON: column "));
  CHECK_THAT(bad("a.json", "[{\"a\":\"two\nlines\"}]"),
             Catch::StartsWith("a.json:1: not valid JSON: column "));
}

TEST_CASE("DataFile: in a large file the bad row is named by its line", "[cli][data_file]") {
  constexpr int kBad = 17'204;
  const std::string padding(200, 'x');  // several blocks of the reader
  std::string jsonl, csv = "id,text\n", json = "[\n";
  for (int line = 1; line <= 20'000; ++line) {
    const std::string number = std::to_string(line);
    jsonl +=
        line == kBad ? "{\"id\":" + number + ",\n" : "{\"id\":" + number + ",\"text\":\"" + padding + "\"}\n";
    if (line > 1) csv += line == kBad ? number + "\n" : number + "," + padding + "\n";
    if (line > 1)
      json += "{\"id\":" + (line == kBad ? "x" : number) + ",\"text\":\"" + padding + "\"}" +
              (line < 20'000 ? ",\n" : "\n]\n");
  }
  CHECK_THAT(bad("a.jsonl", jsonl), Catch::StartsWith("a.jsonl:17204: not valid JSON: column "));
  CHECK(bad("a.csv", csv) == "a.csv:17204: the row has 1 field, but the header names 2");
  CHECK_THAT(bad("a.json", json), Catch::StartsWith("a.json:17204: not valid JSON: column "));
}

TEST_CASE("DataFile: rows of every length pass, wherever a block of the reader ends", "[cli][data_file]") {
  std::string jsonl, csv = "a\n", json = "[";
  size_t bytes = 0;
  int rows = 0;
  for (size_t size = 1; bytes < 6'000'000; size = size * 3 / 2 % 900'001 + 1, ++rows) {
    const std::string row = "{\"a\":\"" + std::string(size, 'y') + "\"}";
    jsonl += row + "\n";
    csv += "\"" + std::string(size / 2, 'y') + "\n" + std::string(size / 2, 'y') + "\"\r\n";
    json += (json.size() > 1 ? "," : "") + row;
    bytes += size;
  }
  json += "]";
  CHECK(good("a.jsonl", jsonl).size() == static_cast<size_t>(rows));
  CHECK(good("a.csv", csv).size() == static_cast<size_t>(rows));
  CHECK(good("a.json", json).size() == static_cast<size_t>(rows));
}

TEST_CASE("DataFile: a row larger than the limit is refused where it begins", "[cli][data_file]") {
  const auto row_of = [](size_t size) { return "{\"a\":\"" + std::string(size - 9, 'x') + "\"}\n"; };
  CHECK(good("a.jsonl", row_of(kRowLimitBytes)).size() == 1);
  CHECK(bad("a.jsonl", "{}\n" + row_of(kRowLimitBytes + 1)) ==
        "a.jsonl:2: the row that begins here is larger than the limit of 8 MiB");
  CHECK(bad("a.csv", "a\n1\n\"" + std::string(kRowLimitBytes, '\n')) ==
        "a.csv:3: the row that begins here is larger than the limit of 8 MiB");
  CHECK(bad("a.json", "[\n\n{\"a\":\"" + std::string(kRowLimitBytes, 'x')) ==
        "a.json:3: the row that begins here is larger than the limit of 8 MiB");
}

TEST_CASE("DataFile: a row without a column is an error that lists what it has", "[cli][data_file]") {
  const test::TemporaryFolder folder;
  const auto path =
      folder.write("a.jsonl", "{\"question\":1,\"175b\":{\"solution\":2}}\n{\"qestion\":1}\n{}\n");
  auto file = DataFile::open(path);
  REQUIRE(file.has_value());
  const std::vector<ColumnPath> columns = {ColumnPath("question"), ColumnPath("175b.solution")};
  REQUIRE(file->next().has_value());
  CHECK(file->line() == 1);
  CHECK(file->check_columns(columns).has_value());
  REQUIRE(file->next().has_value());
  CHECK(file->line() == 2);
  CHECK(file->check_columns(columns).error().message ==
        path + ":2: the row has no column question; did you mean qestion? It has qestion");
  REQUIRE(file->next().has_value());
  CHECK(file->check_columns(columns).error().message ==
        path + ":3: the row has no column question; it has none");

  auto table = DataFile::open(folder.write("a.csv", "q.text,a\n1,2\n"));
  REQUIRE(table->next().has_value());
  CHECK(table->check_columns(std::vector{ColumnPath("q.text")}).has_value());
  CHECK(table->check_columns(std::vector{ColumnPath("answers")}).error().message ==
        folder.path("a.csv") + ":2: the row has no column answers; it has q.text, a");
}

TEST_CASE("DataFile: what cannot be opened is named", "[cli][data_file]") {
  const test::TemporaryFolder folder;
  CHECK(DataFile::open(folder.path("none.csv")).error().message ==
        "cannot open " + folder.path("none.csv") + ": No such file or directory");
  std::filesystem::create_directory(folder.path("d.csv"));
  CHECK(DataFile::open(folder.path("d.csv")).error().message ==
        folder.path("d.csv") + " is a directory, not a file");
}

TEST_CASE("DataFile: a digest of the file is that of its bytes", "[cli][data_file]") {
  const test::TemporaryFolder folder;
  const std::string text(3'000'001, 'z');
  CHECK(file_sha256(folder.write("a", text)) == sha256_hex(text));
  CHECK(file_sha256(folder.write("b", "")) == sha256_hex(""));
  CHECK_FALSE(file_sha256(folder.path("none")).has_value());
}
