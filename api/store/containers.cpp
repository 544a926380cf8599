// Containers and their task logs.
#include "api/store/sql_store.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

Container container_from(const Rows& row) {
  Container container;
  container.row = row.integer(0);
  container.id = row.text(1);
  container.label = row.text(2);
  container.metadata = row.text(3);
  container.logs = row.integer(4);
  container.created_at = row.integer(5);
  return container;
}

}  // namespace

Answer<Container> find_container(Database& db, const Access& access, const std::string& name) {
  // Across projects a label names nothing, so a worker of the fleet finds a container by its id alone.
  auto row = db.query(
      "SELECT id, public_id, label, metadata, logs, created_at FROM containers "
      "WHERE gone = 0 AND ((public_id = ?2 AND (?1 = 0 OR project = ?1)) OR (label = ?2 AND project = ?1)) "
      "ORDER BY public_id = ?2 DESC LIMIT 1",
      access.project, name);
  if (!row.step() || !access.sees(row.integer(0))) return not_found("container", name, "container");
  return container_from(row);
}

bool used_by_open_run(Database& db, SourceKind kind, int64_t source) {
  return db
      .integer(
          "SELECT 1 FROM run_sources s JOIN runs r ON r.id = s.run WHERE s.kind = ? AND s.source = ? AND "
          "r.status < 3 "
          "LIMIT 1",
          kind, source)
      .has_value();
}

Task<Answer<>> SqlStore::create_container(int64_t project, Container container,
                                          std::optional<Receipt> receipt) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_OK(keep_receipt(db, project, receipt));
    const auto made = db.run(
        "INSERT INTO containers(public_id, project, label, metadata, created_at) VALUES(?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        container.id, project, container.label, container.metadata, container.created_at);
    if (made == 1) return {};
    return refuse(409, "label_conflict", "a container with this label exists already", "label");
  });
}

Task<Answer<Listing<Container>>> SqlStore::containers(Access access, Page page) {
  return read([=](Database& db) -> Answer<Listing<Container>> {
    const auto seen = comma_list(access.containers);
    Listing<Container> list;
    list.total = db.integer(db.either("SELECT count(*) FROM containers WHERE project = ?1 AND gone = 0 "
                                      "AND (?2 = '' OR id IN " ASSAY_SQLITE_LIST("?2") ")",
                                      "SELECT count(*) FROM containers WHERE project = ?1 AND gone = 0 "
                                      "AND (?2 = '' OR id = ANY(string_to_array(?2, ',')::bigint[]))"),
                            access.project, seen)
                     .value_or(0);
    auto row = db.query(
        db.either(
            "SELECT id, public_id, label, metadata, logs, created_at FROM containers WHERE project = ?1 "
            "AND gone = 0 AND (?2 = '' OR id IN " ASSAY_SQLITE_LIST(
                "?2") ") ORDER BY id DESC LIMIT ?3 OFFSET ?4",
            "SELECT id, public_id, label, metadata, logs, created_at FROM containers WHERE project = ?1 "
            "AND gone = 0 AND (?2 = '' OR id = ANY(string_to_array(?2, ',')::bigint[])) "
            "ORDER BY id DESC LIMIT ?3 OFFSET ?4"),
        access.project, seen, page.limit, page.offset);
    while (row.step()) list.data.push_back(container_from(row));
    return list;
  });
}

Task<Answer<Container>> SqlStore::container(Access access, std::string name) {
  return read([=](Database& db) -> Answer<Container> { return find_container(db, access, name); });
}

Task<Answer<Container>> SqlStore::delete_container(Access access, std::string name) {
  return write([=](Database& db) -> Answer<Container> {
    ASSAY_TRY(auto container, find_container(db, access, name));
    // First: a run that is being created holds the row, and is then seen.
    db.run("UPDATE containers SET gone = 1 WHERE id = ?", container.row);
    if (used_by_open_run(db, SourceKind::container, container.row))
      return refuse(409, "container_in_use", "a run that has not ended uses this container; cancel it first");
    return container;
  });
}

Task<Answer<>> SqlStore::append_logs(int64_t container, std::vector<std::string> bodies, int64_t project,
                                     std::optional<Receipt> receipt) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_OK(keep_receipt(db, project, receipt));
    int64_t seq = 0;
    int64_t at = now_ms();
    {
      auto row =
          db.query(db.either("SELECT logs, last_log_at FROM containers WHERE id = ? AND gone = 0",
                             "SELECT logs, last_log_at FROM containers WHERE id = ? AND gone = 0 FOR UPDATE"),
                   container);
      if (!row.step())
        return refuse(404, "container_not_found", "the container was deleted meanwhile", "container");
      seq = row.integer(0);
      // The order of times is that of seqs also when the wall clock is set back: a span of time is a range of
      // seqs.
      at = std::max(at, row.integer(1));
    }
    for (const auto& body : bodies)
      db.run("INSERT INTO logs(container, seq, created_at, body) VALUES(?, ?, ?, ?)", container, seq++, at,
             body);
    db.run("UPDATE containers SET logs = ?, last_log_at = ? WHERE id = ?", seq, at, container);
    return {};
  });
}

Task<Answer<std::vector<LogEntry>>> SqlStore::logs(int64_t container, Page page) {
  return read([=](Database& db) -> Answer<std::vector<LogEntry>> {
    std::vector<LogEntry> entries;
    auto row = db.query(
        "SELECT seq, created_at, body FROM logs WHERE container = ? AND seq >= ? ORDER BY seq LIMIT ?",
        container, page.offset, page.limit);
    while (row.step()) entries.push_back({row.integer(0), row.integer(1), row.text(2)});
    return entries;
  });
}

Task<Answer<Lines>> SqlStore::log_lines(int64_t container, Range range, size_t bytes) {
  return read([=](Database& db) -> Answer<Lines> {
    Lines lines;
    auto row = db.query("SELECT body FROM logs WHERE container = ? AND seq >= ? AND seq < ? ORDER BY seq",
                        container, range.from, range.to);
    while (lines.text.size() < bytes && row.step()) {
      lines.text += row.view(0);
      lines.text += '\n';
      ++lines.rows;
    }
    return lines;
  });
}

Task<Answer<Range>> SqlStore::log_range(int64_t container, int64_t since, int64_t until) {
  return read([=](Database& db) -> Answer<Range> {
    auto row = db.query(
        "SELECT min(seq), max(seq) FROM logs WHERE container = ? AND created_at >= ? AND created_at < ?",
        container, since, until);
    if (!row.step() || row.null(0)) return Range{};
    return Range{row.integer(0), row.integer(1) + 1};
  });
}

}  // namespace assay::api
