#include "api/http/decoder.hpp"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/check.hpp"

namespace assay::api {
namespace {

std::unexpected<Problem> corrupt(std::string_view coding, std::string_view why) {
  return refuse(400, "invalid_encoding",
                "the " + std::string(coding) + " body is corrupt: " + std::string(why), "Content-Encoding");
}

std::unexpected<Problem> truncated(std::string_view coding) {
  return refuse(400, "invalid_encoding", "the " + std::string(coding) + " body ends too early",
                "Content-Encoding");
}

/// RFC 1952: any number of members, one after another.
class Gzip final : public Decoder {
 public:
  Gzip() : out_(kPiece, '\0') {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    ASSAY_CHECK(inflateInit2(&stream_, kGzipOnly) == Z_OK, "zlib could not be started");
  }
  ~Gzip() override { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Answer<std::string_view> next(std::string_view& input) override {
    for (;;) {
      if (!in_member_ && input.empty()) return std::string_view();
      if (!in_member_) inflateReset(&stream_);
      in_member_ = true;
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));  // NOLINT: zlib only reads
      stream_.avail_in = static_cast<uInt>(input.size());
      stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
      stream_.avail_out = static_cast<uInt>(out_.size());
      const int code = inflate(&stream_, Z_NO_FLUSH);
      input.remove_prefix(input.size() - stream_.avail_in);
      if (code == Z_STREAM_END)
        in_member_ = false;
      else if (code != Z_OK && code != Z_BUF_ERROR)
        return corrupt("gzip", stream_.msg != nullptr ? stream_.msg : "it is no gzip");
      const size_t made = out_.size() - stream_.avail_out;
      if (made > 0) return std::string_view(out_).substr(0, made);
      if (code == Z_BUF_ERROR || (code == Z_OK && input.empty())) return std::string_view();
    }
  }
  Answer<> end() override {
    if (in_member_) return truncated("gzip");
    return {};
  }

 private:
  z_stream stream_{};
  std::string out_;
  bool in_member_ = false;
};

/// RFC 8878: any number of frames, one after another.
class Zstd final : public Decoder {
 public:
  Zstd() : context_(ZSTD_createDCtx()), out_(kPiece, '\0') {
    constexpr int kLargestWindow = 23;  // 8 MiB, what the RFC asks every decoder to take
    ASSAY_CHECK(context_ != nullptr, "zstd could not be started");
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kLargestWindow);
  }

  Answer<std::string_view> next(std::string_view& input) override {
    for (;;) {
      if (input.empty() && !full_) return std::string_view();
      const auto piece = header_left_ > 0 ? input.substr(0, 1) : input;
      ZSTD_inBuffer in{piece.data(), piece.size(), 0};
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const size_t code = ZSTD_decompressStream(context_.get(), &out, &in);
      input.remove_prefix(in.pos);
      if (ZSTD_isError(code) != 0) return corrupt("zstd", ZSTD_getErrorName(code));
      in_frame_ = code != 0;
      header_left_ = in_frame_ ? header_left_ - std::min(header_left_, in.pos) : kLongestHeader;
      full_ = in_frame_ && out.pos == out.size;  // there may be more of what was read already
      if (out.pos > 0) return std::string_view(out_).substr(0, out.pos);
    }
  }
  Answer<> end() override {
    if (in_frame_) return truncated("zstd");
    return {};
  }

 private:
  struct Deleter {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Deleter> context_;
  // Distributions build zstd with the formats from before 1.0, which are taken wherever a call's input begins
  // with their magic: byte by byte it never does. Nobody sends them, and their old decoders are not for
  // strangers.
  static constexpr size_t kLongestHeader = 18;
  size_t header_left_ = kLongestHeader;
  std::string out_;
  bool in_frame_ = false;
  bool full_ = false;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

}  // namespace

Answer<std::unique_ptr<Decoder>> decoder_for(std::string_view content_encoding) {
  const std::string coding = lower(content_encoding);
  if (coding.empty() || coding == "identity") return nullptr;
  if (coding == "gzip" || coding == "x-gzip") return std::make_unique<Gzip>();
  if (coding == "zstd") return std::make_unique<Zstd>();
  return refuse(415, "unsupported_encoding", "a body may be compressed with gzip or zstd, once",
                "Content-Encoding");
}

Task<Answer<std::string_view>> DecodedBody::next() {
  Answer<std::string_view> piece;
  if (decoder_)
    piece = co_await decode();
  else
    piece = co_await inner_.next();
  if (!piece) co_return std::unexpected(piece.error());
  if (piece->size() > left_) co_return std::unexpected(too_large_);
  left_ -= piece->size();
  co_return *piece;
}

Task<Answer<std::string_view>> DecodedBody::decode() {
  // A little input may be very much output: others get their turn between two pieces.
  const auto executor = co_await asio::this_coro::executor;
  if (!rest_.empty()) co_await asio::post(executor, asio::use_awaitable);
  for (;;) {
    const auto piece = decoder_->next(rest_);
    if (!piece || !piece->empty()) co_return piece;
    const auto more = co_await inner_.next();
    if (!more) co_return std::unexpected(more.error());
    rest_ = *more;
    if (!rest_.empty()) continue;
    const auto ended = decoder_->end();
    if (!ended) co_return std::unexpected(ended.error());
    co_return std::string_view();
  }
}

}  // namespace assay::api
