#include "core/id.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace assay;

TEST_CASE("id: identifiers have the prefix, 26 characters of Crockford base32 and do not repeat",
          "[core][id]") {
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) {
    const std::string id = make_id("run_");
    REQUIRE(id.size() == 30);
    REQUIRE(id.starts_with("run_"));
    REQUIRE(id.find_first_not_of("0123456789abcdefghjkmnpqrstvwxyz", 4) == std::string::npos);
    REQUIRE(seen.insert(id).second);
  }
  CHECK(random_hex(16).size() == 32);
  CHECK(random_hex(16) != random_hex(16));
}

TEST_CASE("id: SHA-256 gives the published digests", "[core][id]") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  CHECK(to_hex(std::string_view("\x00\x7f\xff", 3)) == "007fff");
}

TEST_CASE("id: CRC-32C gives the check values of RFC 3720", "[core][id]") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xE3069283U);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);
}

TEST_CASE("id: times are written in UTC with milliseconds", "[core][id]") {
  CHECK(iso8601(0) == "1970-01-01T00:00:00.000Z");
  CHECK(iso8601(1'795'255'500'123) == "2026-11-21T10:05:00.123Z");
  CHECK(iso8601(951'782'399'999) == "2000-02-28T23:59:59.999Z");
  CHECK(iso8601(951'782'400'000) == "2000-02-29T00:00:00.000Z");
  CHECK(iso8601(-1) == "1969-12-31T23:59:59.999Z");
}
