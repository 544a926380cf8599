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

#define ASSAY_EVALUATORS                                                                                  \
  "SELECT id, public_id, name, version, spec, created_at, updated_at FROM evaluators WHERE project = ?1 " \
  "AND gone = 0 AND "
// A key of some containers sees the evaluators of these and of none: ?2 lists them.
#define ASSAY_SQLITE_SEEN                                                                      \
  "(?2 = '' OR coalesce(json_extract(spec, '$.container_id'), '') = '' OR json_extract(spec, " \
  "'$.container_id') "                                                                         \
  "IN (SELECT public_id FROM containers WHERE id IN " ASSAY_SQLITE_LIST("?2") "))"
#define ASSAY_POSTGRES_SEEN                                                                                 \
  "(?2 = '' OR coalesce(spec::jsonb->>'container_id', '') = '' OR spec::jsonb->>'container_id' IN (SELECT " \
  "public_id FROM containers WHERE id = ANY(string_to_array(?2, ',')::bigint[])))"
#define ASSAY_NAMED " AND (public_id = ?3 OR name = ?3) ORDER BY public_id = ?3 DESC LIMIT 1"

Answer<Evaluator> find_evaluator(Database& db, const Access& access, const std::string& name) {
  auto row = db.query(db.either(ASSAY_EVALUATORS ASSAY_SQLITE_SEEN ASSAY_NAMED,
                                ASSAY_EVALUATORS ASSAY_POSTGRES_SEEN ASSAY_NAMED),
                      access.project, comma_list(access.containers), name);
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

#define ASSAY_COUNT "SELECT count(*) FROM evaluators WHERE project = ?1 AND gone = 0 AND "
#define ASSAY_PAGE " ORDER BY id DESC LIMIT ?3 OFFSET ?4"

Task<Answer<Listing<Evaluator>>> SqlStore::evaluators(Access access, Page page) {
  return read([=](Database& db) -> Answer<Listing<Evaluator>> {
    const auto seen = comma_list(access.containers);
    Listing<Evaluator> list;
    list.total = db.integer(db.either(ASSAY_COUNT ASSAY_SQLITE_SEEN, ASSAY_COUNT ASSAY_POSTGRES_SEEN),
                            access.project, seen)
                     .value_or(0);
    auto row = db.query(db.either(ASSAY_EVALUATORS ASSAY_SQLITE_SEEN ASSAY_PAGE,
                                  ASSAY_EVALUATORS ASSAY_POSTGRES_SEEN ASSAY_PAGE),
                        access.project, seen, page.limit, page.offset);
    while (row.step()) list.data.push_back(evaluator_from(row));
    return list;
  });
}

Task<Answer<Evaluator>> SqlStore::evaluator(Access access, std::string name) {
  return read([=](Database& db) -> Answer<Evaluator> { return find_evaluator(db, access, name); });
}

Task<Answer<>> SqlStore::update_evaluator(Access access, Evaluator evaluator) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_TRY(const auto stored, find_evaluator(db, access, evaluator.id));
    if (stored.version + 1 != evaluator.version)
      return refuse(409, "version_conflict", "the evaluator was changed meanwhile; read it again");
    const auto taken =
        db.integer("SELECT 1 FROM evaluators WHERE project = ? AND name = ? AND gone = 0 AND id <> ?",
                   access.project, evaluator.name, stored.row);
    if (taken) return evaluator_name_taken();
    db.run("UPDATE evaluators SET name = ?, version = ?, spec = ?, updated_at = ? WHERE id = ?",
           evaluator.name, evaluator.version, evaluator.spec, evaluator.updated_at, stored.row);
    add_version(db, stored.row, evaluator);
    return {};
  });
}

Task<Answer<Evaluator>> SqlStore::delete_evaluator(Access access, std::string name) {
  return write([=](Database& db) -> Answer<Evaluator> {
    ASSAY_TRY(auto evaluator, find_evaluator(db, access, name));
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
