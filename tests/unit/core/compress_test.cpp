#include "core/http/compress.hpp"

#include <zstd.h>

#include <catch2/catch.hpp>

#include "core/http/client.hpp"
#include "core/id.hpp"

using namespace assay;

namespace {

/// The content of the one frame that `packed` is.
std::string unpack(const std::string& packed, size_t size) {
  std::string text(size + 1, '\0');
  const size_t made = ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
  REQUIRE(ZSTD_isError(made) == 0);
  text.resize(made);
  return text;
}

}  // namespace

TEST_CASE("compress: a source comes out whole, however it is asked", "[core][http]") {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{1'000'000}}) {
    const std::string text = random_hex(bytes / 2) + std::string(bytes, 'x');
    CHECK(unpack(http::zstd_compress(text), text.size()) == text);
    for (const size_t at_once : {size_t{1}, size_t{100}, size_t{1} << 20}) {
      size_t given = 0;
      const auto source = http::zstd_source([&](char* into, size_t size) {
        const size_t count = text.copy(into, std::min(size, size_t{777}), given);
        given += count;
        return count;
      });
      std::string packed;
      std::string piece(at_once, '\0');
      for (size_t count = source(piece.data(), at_once); count > 0; count = source(piece.data(), at_once)) {
        REQUIRE(count <= at_once);
        packed.append(piece, 0, count);
      }
      CHECK(source(piece.data(), at_once) == 0);  // and stays at its end
      CHECK(unpack(packed, text.size()) == text);
    }
  }
}

TEST_CASE("compress: a source that gives up is given up", "[core][http]") {
  int asked = 0;
  const auto source = http::zstd_source([&](char* into, size_t size) {
    std::fill_n(into, size, 'x');
    return ++asked > 3 ? http::kAbortBody : size;
  });
  std::string piece(size_t{1} << 20, '\0');
  size_t count = 0;
  do count = source(piece.data(), piece.size());
  while (count > 0 && count != http::kAbortBody);
  CHECK(count == http::kAbortBody);
}
