// Compressed bodies: whatever bytes come, and however they are cut, the same text comes out or the same
// refusal.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <string_view>

#include "api/http/decoder.hpp"

using namespace assay;

namespace {

constexpr size_t kLimit = size_t{1} << 20;

class Pieces final : public api::BodyReader {
 public:
  Pieces(std::string_view text, size_t size) : text_(text), size_(size) {}
  Task<api::Answer<std::string_view>> next() override {
    const auto piece = text_.substr(0, size_);
    text_.remove_prefix(piece.size());
    co_return piece;
  }

 private:
  std::string_view text_;
  size_t size_;
};

struct Decoded {
  std::string text;
  int status = 0;
};

Task<> decode(std::string_view coding, std::string_view sent, size_t piece_size, Decoded& decoded) {
  Pieces pieces(sent, piece_size);
  auto decoder = api::decoder_for(coding);
  api::DecodedBody body(pieces, std::move(*decoder), kLimit, api::Problem(413, "too_large", "too large"));
  for (;;) {
    const auto piece = co_await body.next();
    if (!piece) decoded.status = piece.error().status;
    if (!piece || piece->empty()) co_return;
    if (piece->size() > api::Decoder::kPiece) __builtin_trap();
    decoded.text += *piece;
  }
}

Decoded run(std::string_view coding, std::string_view sent, size_t piece_size) {
  Decoded decoded;
  asio::io_context loop(1);
  asio::co_spawn(loop, decode(coding, sent, piece_size, decoded), asio::detached);
  loop.run();
  return decoded;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view coding = (data[0] & 1) != 0 ? "gzip" : "zstd";
  const size_t piece = 1 + data[1];
  const std::string_view sent(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto cut = run(coding, sent, piece);
  const auto whole = run(coding, sent, SIZE_MAX);
  if (cut.text.size() > kLimit || whole.text.size() > kLimit) __builtin_trap();
  if (cut.status != whole.status) __builtin_trap();
  if (cut.status == 0 && cut.text != whole.text) __builtin_trap();
  return 0;
}
