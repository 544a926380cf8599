#include <catch2/catch.hpp>

#include "core/id.hpp"
#include "tests/unit/api/client.hpp"

namespace assay::api::test {

TEST_CASE("Datasets: the same rows have the same digest however they come", "[api][dataset]") {
  TestServer server;
  const auto& user = server.user();
  const auto lines = user.upload("lines", "{\"b\": 1.50, \"a\":[1, 2]}\r\n\n{\"b\":2}");
  INFO(lines.body);
  REQUIRE(lines.status == 200);
  const auto json =
      user.call("POST", "/datasets", "{\"name\":\"json\",\"rows\":[{\"b\":1.50,\"a\":[1,2]},\n{\"b\":2}]}",
                {{"Content-Type", "application/json"}});
  INFO(json.body);
  REQUIRE(json.status == 200);
  CHECK(lines.json()["sha256"] == json.json()["sha256"]);
  CHECK(lines.json()["sha256"] == sha256_hex("{\"b\":1.50,\"a\":[1,2]}\n{\"b\":2}\n"));
  CHECK(lines.json()["columns"] == Json({"b", "a"}));
  CHECK(user.get("/datasets/json/rows").body == "{\"b\":1.50,\"a\":[1,2]}\n{\"b\":2}\n");
  CHECK(user.get("/datasets").json()["total"] == 2);
}

TEST_CASE("Datasets: a bad row stores nothing and is named", "[api][dataset]") {
  TestServer server;
  const auto& user = server.user();
  const auto good = numbered_lines(17'203);
  const auto refused = user.upload("d", good + "{\"q\": oops}\n" + numbered_lines(3'000));
  CHECK(refused.status == 422);
  CHECK(refused.param() == "rows[17203]");
  CHECK(refused.body.find("line 17204") != std::string::npos);
  CHECK(user.get("/datasets/d").status == 404);
  CHECK(user.upload("d", "[1]\n").param() == "rows[0]");
  CHECK(user.upload("d", "").param() == "rows");
  CHECK(user.post("/datasets", {{"name", "d"}, {"rows", {{{"a", 1}}, 2}}}).param() == "rows[1]");
  CHECK(user.upload("d", good).json()["rows"] == 17'203);
  CHECK(user.upload("d", good).code() == "label_conflict");
}

TEST_CASE("Datasets: rows are read by range and by list", "[api][dataset]") {
  TestServer server;
  const auto& user = server.user();
  REQUIRE(user.upload("d", numbered_lines(1000)).status == 200);
  const auto row = [](int i) {
    return "{\"q\":" + std::to_string(i) + ",\"a\":\"" + std::to_string(i) + "\"}\n";
  };
  CHECK(user.get("/datasets/d/rows?offset=255&limit=3").body == row(255) + row(256) + row(257));
  CHECK(user.get("/datasets/d/rows?rows=999,0,511-513").body ==
        row(999) + row(0) + row(511) + row(512) + row(513));
  CHECK(user.get("/datasets/d/rows?limit=1000").body == numbered_lines(1000));
  CHECK(user.get("/datasets/d/rows?offset=1000").body.empty());
  CHECK(user.get("/datasets/d/rows?rows=1000").param() == "rows");
  CHECK(user.get("/datasets/d/rows?rows=5-3").status == 422);
  CHECK(user.get("/datasets/d/rows?limit=1001").status == 422);
  CHECK(user.remove("/datasets/d").status == 200);
  CHECK(user.get("/datasets/d/rows").status == 404);
}

TEST_CASE("Datasets: a body larger than the JSON limit streams in", "[api][dataset]") {
  Server::Options options;
  options.limits.json_body_bytes = 1 << 16;
  options.limits.line_bytes = 1 << 12;
  options.limits.dataset_bytes = 1 << 20;
  TestServer server(options);
  const auto& user = server.user();
  CHECK(user.upload("d", numbered_lines(20'000)).status == 200);
  CHECK(user.upload("long", "{\"a\":\"" + std::string(5'000, 'x') + "\"}\n").code() == "invalid_row");
  CHECK(user.upload("endless", std::string(1 << 18, 'x')).code() == "invalid_row");
  CHECK(user.upload("large", numbered_lines(60'000)).code() == "dataset_too_large");
  CHECK(user.get("/datasets").json()["total"] == 1);
}

}  // namespace assay::api::test
