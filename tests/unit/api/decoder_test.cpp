// Compressed request bodies: what is taken, and what is refused before it costs anything.
#include "api/http/decoder.hpp"

#include <zlib.h>
#include <zstd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <catch2/catch.hpp>

#include "core/id.hpp"
#include "tests/unit/api/client.hpp"
#include "tests/unit/api/compress.hpp"

namespace assay::api::test {
namespace {

/// Gives `text` out in pieces of `size` bytes and notes how many were asked for.
class Pieces final : public BodyReader {
 public:
  Pieces(std::string text, size_t size) : text_(std::move(text)), size_(size) {}
  Task<Answer<std::string_view>> next() override {
    const auto piece = std::string_view(text_).substr(std::min(given_, text_.size()), size_);
    given_ += piece.size();
    co_return piece;
  }
  size_t given() const { return given_; }

 private:
  std::string text_;
  size_t size_;
  size_t given_ = 0;
};

Task<Answer<std::string>> read_all(BodyReader& reader, std::string_view coding, size_t limit) {
  auto decoder = decoder_for(coding);
  if (!decoder) co_return std::unexpected(decoder.error());
  DecodedBody body(reader, std::move(*decoder), limit, Problem(413, "too_large", "too large"));
  std::string all;
  for (;;) {
    const auto piece = co_await body.next();
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) co_return all;
    CHECK(piece->size() <= Decoder::kPiece);
    all += *piece;
  }
}

Answer<std::string> decode(std::string_view coding, const std::string& sent, size_t piece = size_t{64} << 10,
                           size_t limit = SIZE_MAX) {
  asio::io_context loop(1);
  Pieces pieces(sent, piece);
  auto answer = asio::co_spawn(loop, read_all(pieces, coding, limit), asio::use_future);
  loop.run();
  return answer.get();
}

std::string code_of(const Answer<std::string>& answer) {
  return answer ? "decoded" : answer.error().code;
}

}  // namespace

TEST_CASE("Decoder: what was compressed comes out again, however it was cut", "[api][decoder]") {
  std::string text = numbered_lines(20'000);
  text += random_hex(100'000);
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, size_t{1} << 20}) {
    CHECK(decode("gzip", gzip(text), piece).value() == text);
    CHECK(decode("zstd", zstd(text), piece).value() == text);
    CHECK(decode("GZIP", gzip(""), piece).value().empty());
    CHECK(decode("zstd", zstd(""), piece).value().empty());
    // Members and frames one after another are one body; empty ones count for nothing.
    CHECK(decode("x-gzip", gzip("") + gzip("one ") + gzip("") + gzip("two"), piece).value() == "one two");
    const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
    CHECK(decode("zstd", zstd("one ") + skippable + zstd("") + zstd("two"), piece).value() == "one two");
  }
  CHECK(decode("", text).value() == text);
  CHECK(decode("identity", text).value() == text);
  CHECK(decode("gzip", "").value().empty());
}

TEST_CASE("Decoder: what is cut off, corrupt or followed by something else is refused", "[api][decoder]") {
  const std::string text = numbered_lines(1000);
  const auto refused = [](std::string_view coding, const std::string& sent) {
    for (const size_t piece : {size_t{1}, size_t{1} << 20}) {
      const auto answer = decode(coding, sent, piece);
      if (answer || answer.error().status != 400 || answer.error().code != "invalid_encoding") return false;
    }
    return true;
  };
  for (const auto& [coding, packed] : {std::pair{"gzip", gzip(text)}, std::pair{"zstd", zstd(text)}}) {
    CAPTURE(coding);
    for (const size_t size : {size_t{1}, size_t{5}, packed.size() / 2, packed.size() - 1})
      CHECK(refused(coding, packed.substr(0, size)));
    CHECK(refused(coding, packed + "garbage"));
    CHECK(refused(coding, packed + packed.substr(0, 9)));
    CHECK(refused(coding, text));
    std::string damaged = packed;
    damaged[packed.size() - 3] = static_cast<char>(damaged[packed.size() - 3] ^ 0x10);  // of the checksum
    CHECK(refused(coding, damaged));
  }
  CHECK(refused("gzip", zstd(text)));
  // The formats from before zstd 1.0 have decoders of their own in the library.
  for (const char version : {'\x22', '\x23', '\x24', '\x25', '\x26', '\x27'}) {
    const std::string old = version + std::string("\xb5\x2f\xfd\x25\x00\x00\x00\x00\x00", 9);
    CHECK(refused("zstd", old));
    CHECK(refused("zstd", zstd(text) + old));
    CHECK(refused("zstd", std::string("\x28\xb5\x2f\xfd\x08", 5) + old));
  }
  for (const char* coding : {"br", "deflate", "gzip, zstd", "gzip,gzip", "compress"})
    CHECK(code_of(decode(coding, text)) == "unsupported_encoding");
}

TEST_CASE("Decoder: a bomb is given up at the limit, with little of it read", "[api][decoder]") {
  const std::string zeros(size_t{64} << 20, '\0');
  for (const auto& [coding, packed] : {std::pair{"gzip", gzip(zeros)}, std::pair{"zstd", zstd(zeros)}}) {
    CAPTURE(coding);
    asio::io_context loop(1);
    Pieces pieces(packed, 512);
    auto answer = asio::co_spawn(loop, read_all(pieces, coding, size_t{1} << 20), asio::use_future);
    loop.run();
    CHECK(code_of(answer.get()) == "too_large");
    CHECK(pieces.given() <= packed.size() / 8 + 1024);
  }
  // A window that would take more memory than the RFC asks for: refused by what its header says.
  const std::string wide = zstd(std::string(size_t{20} << 20, 'x') + random_hex(1000), 24);
  CHECK(code_of(decode("zstd", wide)) == "invalid_encoding");
}

TEST_CASE("HTTP: bodies may come compressed, under the limits of what they hold", "[api][http][decoder]") {
  Server::Options options;
  options.limits.json_body_bytes = 64 << 10;
  options.limits.dataset_bytes = 1 << 20;
  TestServer server(options);
  const auto& user = server.user();
  const auto post = [&](const std::string& label, const std::string& coding, const std::string& body) {
    return user.call(
        "POST", "/containers", body,
        {{"Content-Type", "application/json"}, {"Content-Encoding", coding}, {"X-Label", label}});
  };
  CHECK(post("a", "gzip", gzip(R"({"label":"a"})")).status == 200);
  CHECK(post("b", "zstd", zstd(R"({"label":"b"})")).status == 200);
  const auto unknown = post("c", "br", "x");
  CHECK(unknown.status == 415);
  CHECK(unknown.headers.at("accept-encoding") == "gzip, zstd");
  CHECK(post("c", "gzip", R"({"label":"c"})").code() == "invalid_encoding");
  CHECK(post("c", "zstd", zstd(R"({"label":"c"})").substr(0, 12)).code() == "invalid_encoding");
  const std::string large = R"({"label":"c","metadata":{"x":")" + std::string(size_t{64} << 20, 'x') + "\"}}";
  CHECK(post("c", "gzip", gzip(large)).code() == "body_too_large");
  CHECK(post("c", "zstd", zstd(large)).code() == "body_too_large");

  const std::string lines = numbered_lines(5000);
  const auto plain = user.upload("plain", lines);
  REQUIRE(plain.status == 200);
  for (const auto& [coding, packed] : {std::pair{"gzip", gzip(lines)}, std::pair{"zstd", zstd(lines)}}) {
    const auto uploaded = user.upload(coding, packed, {{"Content-Encoding", coding}});
    REQUIRE(uploaded.status == 200);
    CHECK(uploaded.json()["sha256"] == plain.json()["sha256"]);
    const auto bomb = coding == std::string("gzip") ? gzip(std::string(size_t{64} << 20, '\n'))
                                                    : zstd(std::string(size_t{64} << 20, '\n'));
    CHECK(user.upload("bomb", bomb, {{"Content-Encoding", coding}}).code() == "dataset_too_large");
    const auto cut = user.upload("cut", packed.substr(0, packed.size() - 5), {{"Content-Encoding", coding}});
    CHECK(cut.code() == "invalid_encoding");
    CHECK(user.get("/datasets/cut").status == 404);
  }
}

}  // namespace assay::api::test
