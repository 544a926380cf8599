// Datasets: rows in compressed chunks, so that reading a shard is reading a chunk or two.
#include <zstd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/store/sql_store.hpp"
#include "core/check.hpp"
#include "core/id.hpp"
#include "core/json.hpp"

namespace assay::api {
namespace {

std::string compress(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  ASSAY_CHECK(ZSTD_isError(size) == 0, "zstd refuses a buffer of the size that it asked for");
  out.resize(size);
  return out;
}

constexpr const char* kColumns =
    "SELECT id, public_id, name, rows, bytes, sha256, columns, metadata, created_at FROM datasets "
    "WHERE ready = 1 AND gone = 0 AND ((public_id = ?2 AND (?1 = 0 OR project = ?1)) OR (name = ?2 AND "
    "project = ?1)) "
    "ORDER BY public_id = ?2 DESC LIMIT 1";

Dataset dataset_from(const Rows& row) {
  Dataset dataset;
  dataset.row = row.integer(0);
  dataset.id = row.text(1);
  dataset.name = row.text(2);
  dataset.rows = row.integer(3);
  dataset.bytes = row.integer(4);
  dataset.sha256 = row.text(5);
  if (const auto columns = parse_json(row.view(6)))
    dataset.columns = columns->get<std::vector<std::string>>();
  dataset.metadata = row.text(7);
  dataset.created_at = row.integer(8);
  return dataset;
}

Answer<Dataset> find_dataset(Database& db, int64_t project, const std::string& name) {
  auto row = db.query(kColumns, project, name);
  if (!row.step()) return not_found("dataset", name, "dataset");
  return dataset_from(row);
}

std::unexpected<Problem> dataset_name_taken() {
  return refuse(409, "label_conflict", "a dataset with this name exists already", "name");
}

}  // namespace

std::shared_ptr<const ChunkCache::Chunk> ChunkCache::find(int64_t dataset, int64_t row) {
  const std::lock_guard lock(mutex_);
  const auto it = std::ranges::find_if(chunks_, [&](const auto& chunk) {
    return chunk->dataset == dataset && row >= chunk->first &&
           row < chunk->first + static_cast<int64_t>(chunk->ends.size());
  });
  if (it == chunks_.end()) return nullptr;
  chunks_.splice(chunks_.begin(), chunks_, it);
  return chunks_.front();
}

void ChunkCache::add(std::shared_ptr<const Chunk> chunk) {
  const std::lock_guard lock(mutex_);
  bytes_ += chunk->text.size();
  chunks_.push_front(std::move(chunk));
  while (bytes_ > kBytes && chunks_.size() > 1) {
    bytes_ -= chunks_.back()->text.size();
    chunks_.pop_back();
  }
}

Task<Answer<int64_t>> SqlStore::begin_upload(int64_t project, std::string name) {
  return write([=](Database& db) -> Answer<int64_t> {
    return *db.integer(
        "INSERT INTO datasets(project, name, rows, bytes, sha256, columns, metadata, created_at) "
        "VALUES(?, ?, 0, 0, '', '[]', '{}', ?) RETURNING id",
        project, name, now_ms());
  });
}

Task<Answer<>> SqlStore::append_rows(int64_t upload, int64_t first, int64_t rows, std::string lines) {
  const auto size = static_cast<int64_t>(lines.size());
  return write([=, data = compress(lines)](Database& db) -> Answer<> {
    db.run("INSERT INTO chunks(dataset, first, rows, size, data) VALUES(?, ?, ?, ?, ?)", upload, first, rows,
           size, Blob{data});
    return {};
  });
}

Task<Answer<>> SqlStore::finish_upload(int64_t project, int64_t upload, Dataset dataset,
                                       std::optional<Receipt> receipt) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_OK(keep_receipt(db, project, receipt));
    const auto taken =
        db.integer("SELECT 1 FROM datasets WHERE project = ? AND name = ? AND ready = 1 AND gone = 0",
                   project, dataset.name);
    if (taken) return dataset_name_taken();
    const auto finished = db.run(
        "UPDATE datasets SET public_id = ?, rows = ?, bytes = ?, sha256 = ?, columns = ?, metadata = ?, "
        "created_at = ?, "
        "ready = 1 WHERE id = ? AND ready = 0 AND gone = 0",
        dataset.id, dataset.rows, dataset.bytes, dataset.sha256, dump_json(Json(dataset.columns)),
        dataset.metadata, dataset.created_at, upload);
    if (finished == 1) return {};
    return refuse(409, "upload_gone", "the upload was given up meanwhile");
  });
}

Task<Answer<>> SqlStore::abort_upload(int64_t upload) {
  return write([=](Database& db) -> Answer<> {
    db.run("UPDATE datasets SET gone = 1 WHERE id = ? AND ready = 0", upload);
    return {};
  });
}

Task<Answer<Listing<Dataset>>> SqlStore::datasets(int64_t project, Page page) {
  return read([=](Database& db) -> Answer<Listing<Dataset>> {
    Listing<Dataset> list;
    list.total =
        db.integer("SELECT count(*) FROM datasets WHERE project = ? AND ready = 1 AND gone = 0", project)
            .value_or(0);
    auto row = db.query(
        "SELECT id, public_id, name, rows, bytes, sha256, columns, metadata, created_at FROM datasets "
        "WHERE project = ? AND ready = 1 AND gone = 0 ORDER BY id DESC LIMIT ? OFFSET ?",
        project, page.limit, page.offset);
    while (row.step()) list.data.push_back(dataset_from(row));
    return list;
  });
}

Task<Answer<Dataset>> SqlStore::dataset(int64_t project, std::string name) {
  return read([=](Database& db) -> Answer<Dataset> { return find_dataset(db, project, name); });
}

Task<Answer<Dataset>> SqlStore::delete_dataset(int64_t project, std::string name) {
  return write([=](Database& db) -> Answer<Dataset> {
    ASSAY_TRY(auto dataset, find_dataset(db, project, name));
    db.run("UPDATE datasets SET gone = 1 WHERE id = ?", dataset.row);  // first: see delete_container()
    if (used_by_open_run(db, SourceKind::dataset, dataset.row))
      return refuse(409, "dataset_in_use", "a run that has not ended uses this dataset; cancel it first");
    return dataset;
  });
}

std::shared_ptr<const ChunkCache::Chunk> SqlStore::load_chunk(Database& db, int64_t dataset, int64_t row) {
  if (auto cached = chunk_cache_.find(dataset, row)) return cached;
  auto found = db.query(
      "SELECT first, size, data, rows FROM chunks WHERE dataset = ? AND first <= ? ORDER BY first DESC LIMIT "
      "1",
      dataset, row);
  if (!found.step() || row >= found.integer(0) + found.integer(3)) return nullptr;
  auto chunk = std::make_shared<ChunkCache::Chunk>();
  chunk->dataset = dataset;
  chunk->first = found.integer(0);
  chunk->text.resize(static_cast<size_t>(found.integer(1)));
  const auto data = found.view(2);
  const size_t size = ZSTD_decompress(chunk->text.data(), chunk->text.size(), data.data(), data.size());
  if (size != chunk->text.size())
    throw StoreError(StoreError::Kind::broken, "a chunk of a dataset does not decompress");
  for (size_t end = chunk->text.find('\n'); end != std::string::npos; end = chunk->text.find('\n', end + 1))
    chunk->ends.push_back(end + 1);
  if (static_cast<int64_t>(chunk->ends.size()) != found.integer(3))
    throw StoreError(StoreError::Kind::broken, "a chunk of a dataset has lost rows");
  chunk_cache_.add(chunk);
  return chunk;
}

Task<Answer<Lines>> SqlStore::dataset_lines(int64_t dataset, std::vector<Range> ranges, size_t bytes) {
  return read([=, this](Database& db) -> Answer<Lines> {
    Lines lines;
    for (const auto& range : ranges) {
      for (int64_t row = range.from; row < range.to;) {
        if (lines.text.size() >= bytes) return lines;
        const auto chunk = load_chunk(db, dataset, row);
        if (chunk == nullptr) return lines;
        const auto begin_row = static_cast<size_t>(row - chunk->first);
        const auto end_row = std::min(chunk->ends.size(), static_cast<size_t>(range.to - chunk->first));
        const size_t begin = begin_row == 0 ? 0 : chunk->ends[begin_row - 1];
        lines.text.append(chunk->text, begin, chunk->ends[end_row - 1] - begin);
        lines.rows += static_cast<int64_t>(end_row - begin_row);
        row = chunk->first + static_cast<int64_t>(end_row);
      }
    }
    return lines;
  });
}

}  // namespace assay::api
