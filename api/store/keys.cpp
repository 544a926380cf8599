// Keys, what was done with them, and the receipts of requests.
#include <nlohmann/json.hpp>

#include "api/store/sql_store.hpp"
#include "core/id.hpp"
#include "core/json.hpp"

namespace assay::api {
namespace {

constexpr int64_t kReceiptLife = int64_t{24} * 3600 * 1000;

int64_t make_project(Database& db, const std::string& name) {
  db.run("INSERT INTO projects(name, created_at) VALUES(?, ?) ON CONFLICT DO NOTHING", name, now_ms());
  return *db.integer("SELECT id FROM projects WHERE name = ?", name);
}

std::vector<std::string> labels_of(Database& db, std::string_view list) {
  std::vector<std::string> labels;
  auto row = db.query(
      db.either(
          "SELECT label FROM containers WHERE id IN " ASSAY_SQLITE_LIST("?1") " ORDER BY label",
          "SELECT label FROM containers WHERE id = ANY(string_to_array(?1, ',')::bigint[]) ORDER BY label"),
      list);
  while (row.step()) labels.push_back(row.text(0));
  return labels;
}

std::vector<int64_t> numbers_of(std::string_view list) {
  std::vector<int64_t> numbers;
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    numbers.push_back(std::stoll(std::string(list.substr(at, end - at))));
    at = end + 1;
  }
  return numbers;
}

}  // namespace

Task<Answer<>> SqlStore::ping() {
  return read([](Database& db) -> Answer<> {
    db.integer("SELECT 1");
    return {};
  });
}

Task<Answer<>> SqlStore::create_key(NewKey key) {
  return write([=](Database& db) -> Answer<> {
    const bool fleet = key.project == "*";
    if (fleet && key.scopes != kWorker && key.scopes != kMonitor)
      return refuse(422, "invalid_value",
                    "only a key of the one scope worker or of the one scope monitor is of every project",
                    "project");
    if (!fleet && (key.scopes & kMonitor) != 0)
      return refuse(422, "invalid_value",
                    "the scope monitor shows the whole server: it takes a key of every project, '*'",
                    "project");
    if (!key.containers.empty() && (key.scopes & (kWorker | kAdmin | kMonitor)) != 0)
      return refuse(422, "invalid_value",
                    "a key of the scope worker or admin sees all containers of its project", "containers");
    const int64_t project = fleet ? kAnyProject : make_project(db, key.project);
    std::vector<int64_t> containers;
    for (const auto& name : key.containers) {
      ASSAY_TRY(const auto container, find_container(db, Access{project, {}}, name));
      containers.push_back(container.row);
    }
    db.run("INSERT INTO keys(sha256, project, name, scopes, containers, created_at) VALUES(?, ?, ?, ?, ?, ?)",
           key.sha256, project, key.name, key.scopes, comma_list(containers), now_ms());
    return {};
  });
}

Task<Answer<std::vector<KeyInfo>>> SqlStore::keys() {
  return read([](Database& db) -> Answer<std::vector<KeyInfo>> {
    std::vector<KeyInfo> keys;
    auto row = db.query(
        "SELECT k.sha256, coalesce(p.name, '*'), k.name, k.scopes, k.containers, k.created_at, k.revoked_at "
        "FROM keys k LEFT JOIN projects p ON p.id = k.project ORDER BY k.created_at, k.sha256");
    while (row.step()) {
      KeyInfo key;
      key.id = key_id_of(row.view(0));
      key.project = row.text(1);
      key.name = row.text(2);
      key.scopes = static_cast<unsigned>(row.integer(3));
      if (const auto list = row.text(4); !list.empty()) key.containers = labels_of(db, list);
      if (row.view(4).size() > 0 && key.containers.empty()) key.containers.emplace_back("(deleted)");
      key.created_at = row.integer(5);
      key.revoked_at = row.integer(6);
      keys.push_back(std::move(key));
    }
    return keys;
  });
}

Task<Answer<>> SqlStore::revoke_key(std::string id) {
  return write([=](Database& db) -> Answer<> {
    const auto revoked = db.run(
        "UPDATE keys SET revoked_at = ?1 WHERE 'key_' || substr(sha256, 1, 12) = ?2 AND revoked_at IS NULL",
        now_ms(), id);
    if (revoked == 0) return not_found("key", id);
    return {};
  });
}

Task<Answer<std::optional<Principal>>> SqlStore::principal(std::string key_sha256) {
  return read([=](Database& db) -> Answer<std::optional<Principal>> {
    auto row = db.query(
        "SELECT project, scopes, containers FROM keys WHERE sha256 = ? AND revoked_at IS NULL", key_sha256);
    if (!row.step()) return std::nullopt;
    return Principal{{row.integer(0), numbers_of(row.view(2))},
                     static_cast<unsigned>(row.integer(1)),
                     key_id_of(key_sha256)};
  });
}

Task<Answer<>> SqlStore::audit(int64_t project, AuditEntry entry) {
  return write([=](Database& db) -> Answer<> {
    db.run("INSERT INTO audit(project, at, key, action, object, request, status) VALUES(?, ?, ?, ?, ?, ?, ?)",
           project, entry.at, entry.key_id, entry.action, entry.object, entry.request_id, entry.status);
    return {};
  });
}

Task<Answer<Listing<AuditEntry>>> SqlStore::audit_log(int64_t project, Page page) {
  return read([=](Database& db) -> Answer<Listing<AuditEntry>> {
    Listing<AuditEntry> list;
    list.total = db.integer("SELECT count(*) FROM audit WHERE project = ?", project).value_or(0);
    auto row = db.query(
        "SELECT at, key, action, object, request, status FROM audit WHERE project = ? ORDER BY id DESC "
        "LIMIT ? OFFSET ?",
        project, page.limit, page.offset);
    while (row.step())
      list.data.push_back(
          {row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4), row.number(5)});
    return list;
  });
}

Task<Answer<std::optional<Receipt>>> SqlStore::receipt(int64_t project, std::string key) {
  return read([=](Database& db) -> Answer<std::optional<Receipt>> {
    auto row = db.query(
        "SELECT request_sha256, response FROM receipts WHERE project = ? AND key = ? AND created_at >= ?",
        project, key, now_ms() - kReceiptLife);
    if (!row.step()) return std::nullopt;
    return Receipt{key, row.text(0), row.text(1)};
  });
}

Answer<> keep_receipt(Database& db, int64_t project, const std::optional<Receipt>& receipt) {
  if (!receipt) return {};
  db.run("DELETE FROM receipts WHERE project = ? AND key = ? AND created_at < ?", project, receipt->key,
         now_ms() - kReceiptLife);
  const auto kept = db.run(
      "INSERT INTO receipts(project, key, request_sha256, response, created_at) VALUES(?, ?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING",
      project, receipt->key, receipt->request_sha256, receipt->response, now_ms());
  if (kept == 1) return {};
  return refuse(409, "idempotency_key_in_use",
                "another request with this Idempotency-Key was done meanwhile");
}

}  // namespace assay::api
