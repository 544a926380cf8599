// Evaluators and their versions.
#include "api/store/sql_store.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

Evaluator evaluator_from(const Rows& row) {
  Evaluator evaluator;
  evaluator.row = row.integer(0);
  evaluator.id = row.text(1);
  evaluator.name = row.text(2);
  evaluator.version = row.integer(3);
  evaluator.spec = row.text(4);
  evaluator.created_at = row.integer(5);
  evaluator.updated_at = row.integer(6);
  return evaluator;
}

Answer<Evaluator> find_evaluator(Database& db, int64_t project, const std::string& name) {
  auto row = db.query(
      "SELECT id, public_id, name, version, spec, created_at, updated_at FROM evaluators "
      "WHERE project = ?1 AND gone = 0 AND (public_id = ?2 OR name = ?2) ORDER BY public_id = ?2 DESC LIMIT "
      "1",
      project, name);
  if (!row.step()) return not_found("evaluator", name, "evaluator");
  return evaluator_from(row);
}

void add_version(Database& db, int64_t row, const Evaluator& evaluator) {
  db.run("INSERT INTO evaluator_versions(evaluator, version, name, spec, created_at) VALUES(?, ?, ?, ?, ?)",
         row, evaluator.version, evaluator.name, evaluator.spec, evaluator.updated_at);
}

std::unexpected<Problem> evaluator_name_taken() {
  return refuse(409, "label_conflict", "an evaluator with this name exists already", "name");
}

}  // namespace

Task<Answer<>> SqlStore::create_evaluator(int64_t project, Evaluator evaluator,
                                          std::optional<Receipt> receipt) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_OK(keep_receipt(db, project, receipt));
    const auto made = db.integer(
        "INSERT INTO evaluators(public_id, project, name, version, spec, created_at, updated_at) "
        "VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        evaluator.id, project, evaluator.name, evaluator.version, evaluator.spec, evaluator.created_at,
        evaluator.updated_at);
    if (!made) return evaluator_name_taken();
    add_version(db, *made, evaluator);
    return {};
  });
}

Task<Answer<Listing<Evaluator>>> SqlStore::evaluators(int64_t project, Page page) {
  return read([=](Database& db) -> Answer<Listing<Evaluator>> {
    Listing<Evaluator> list;
    list.total =
        db.integer("SELECT count(*) FROM evaluators WHERE project = ? AND gone = 0", project).value_or(0);
    auto row = db.query(
        "SELECT id, public_id, name, version, spec, created_at, updated_at FROM evaluators "
        "WHERE project = ? AND gone = 0 ORDER BY id DESC LIMIT ? OFFSET ?",
        project, page.limit, page.offset);
    while (row.step()) list.data.push_back(evaluator_from(row));
    return list;
  });
}

Task<Answer<Evaluator>> SqlStore::evaluator(int64_t project, std::string name) {
  return read([=](Database& db) -> Answer<Evaluator> { return find_evaluator(db, project, name); });
}

Task<Answer<>> SqlStore::update_evaluator(int64_t project, Evaluator evaluator) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_TRY(const auto stored, find_evaluator(db, project, evaluator.id));
    if (stored.version + 1 != evaluator.version)
      return refuse(409, "version_conflict", "the evaluator was changed meanwhile; read it again");
    const auto taken =
        db.integer("SELECT 1 FROM evaluators WHERE project = ? AND name = ? AND gone = 0 AND id <> ?",
                   project, evaluator.name, stored.row);
    if (taken) return evaluator_name_taken();
    db.run("UPDATE evaluators SET name = ?, version = ?, spec = ?, updated_at = ? WHERE id = ?",
           evaluator.name, evaluator.version, evaluator.spec, evaluator.updated_at, stored.row);
    add_version(db, stored.row, evaluator);
    return {};
  });
}

Task<Answer<Evaluator>> SqlStore::delete_evaluator(int64_t project, std::string name) {
  return write([=](Database& db) -> Answer<Evaluator> {
    ASSAY_TRY(auto evaluator, find_evaluator(db, project, name));
    // Kept, unnamed: finished runs point to its versions. First: see delete_container().
    db.run("UPDATE evaluators SET gone = 1 WHERE id = ?", evaluator.row);
    const auto used = db.integer(
        "SELECT 1 FROM run_evaluators e JOIN runs r ON r.id = e.run WHERE e.evaluator = ? AND r.status < 3 "
        "LIMIT 1",
        evaluator.row);
    if (used)
      return refuse(409, "evaluator_in_use", "a run that has not ended uses this evaluator; cancel it first");
    return evaluator;
  });
}

}  // namespace assay::api
