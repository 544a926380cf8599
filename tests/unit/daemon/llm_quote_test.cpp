#include "daemon/llm/quote.hpp"

#include <catch2/catch.hpp>

#include "core/json.hpp"
#include "daemon/llm/exchange.hpp"

namespace assay::llm {
namespace {

TEST_CASE("quote: one line, printable, cut", "[llm][quote]") {
  CHECK(quote("  a\r\n\tb\x01\x7f c  ", {}) == "a b c");
  CHECK(quote("\xff z", {}) == "\xEF\xBF\xBD z");
  CHECK(quote("", {}).empty());
  CHECK(quote("12345", {}, 5) == "12345");
  CHECK(quote("1234567", {}, 5) == "12…");
  for (size_t bytes = 0; bytes < 40; ++bytes) {
    const auto cut = quote("ääääääääääää bbbbbbbbbbb €€€€€€€", {}, bytes);
    CHECK(is_valid_utf8(cut));
    if (bytes >= 3) CHECK(cut.size() <= bytes);
  }
}

TEST_CASE("quote: no key, neither the one used nor what looks like one", "[llm][quote]") {
  CHECK(quote("bad key hunter2!", "hunter2!") == "bad key [key]");
  CHECK(quote("Incorrect API key provided: sk-proj-abc***************xyz.", {}) ==
        "Incorrect API key provided: [key]");
  CHECK(quote("Received=sk-ant-api03-AbCdEf123456, hm", {}) == "Received=[key], hm");
  CHECK(quote("{\"key\":\"gsk_1234567890abcd\"}", {}) == "{\"key\":\"[key]\"}");
  CHECK(quote("Authorization: Bearer abc123def456", {}) == "Authorization: Bearer [key]");
  CHECK(quote("Bearer authentication is missing", {}) == "Bearer authentication is missing");
  CHECK(quote("use sk-learn, or llama-3.1-70b-instruct", {}) == "use sk-learn, or llama-3.1-70b-instruct");
}

TEST_CASE("quote: a key does not slip through where a long text is cut", "[llm][quote]") {
  const std::string key = "a-key-with spaces-and-0123456789";
  for (size_t blanks = 1900; blanks < 2100; ++blanks) {
    const auto quoted = quote(std::string(blanks, ' ') + key + std::string(3000, ' ') + "x", key);
    CHECK(quoted.find("a-key") == std::string::npos);
    const auto looks =
        quote(std::string(blanks, ' ') + "sk-0123456789abcdef0123456789abcdef" + std::string(3000, ' '), {});
    CHECK(looks.find("sk-0") == std::string::npos);
  }
}

TEST_CASE("headers: whatever the case, without blanks", "[llm][exchange]") {
  const Headers headers = {{"X-Request-ID", " req_1 \r\n"}, {"Retry-After", "5"}, {"retry-after", "6"}};
  CHECK(header(headers, "retry-after") == "5");
  CHECK(header(headers, "retry").empty());
  CHECK(request_id(headers) == "req_1");
  CHECK(request_id({{"request-id", "req_2"}}) == "req_2");
  CHECK(request_id({{"request-id", std::string(1000, 'x')}}).size() <= 128);
}

}  // namespace
}  // namespace assay::llm
