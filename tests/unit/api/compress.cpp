#include "tests/unit/api/compress.hpp"

#include <zlib.h>
#include <zstd.h>

#include <catch2/catch.hpp>

namespace assay::api::test {

std::string gzip(std::string_view text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view text, int window_log) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  if (window_log > 0) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  // Streamed, so that the frame has a window and not the size of its content.
  std::string out(ZSTD_compressBound(text.size()) + 64, '\0');
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  size_t left = 0;
  while (in.pos < in.size) left = ZSTD_compressStream2(context, &to, &in, ZSTD_e_continue);
  do left = ZSTD_compressStream2(context, &to, &in, ZSTD_e_end);
  while (left > 0 && ZSTD_isError(left) == 0);
  ZSTD_freeCCtx(context);
  REQUIRE(left == 0);
  out.resize(to.pos);
  return out;
}

}  // namespace assay::api::test
