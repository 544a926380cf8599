#include "core/http/compress.hpp"

#include <zstd.h>

#include <memory>

#include "core/check.hpp"
#include "core/http/client.hpp"

namespace assay::http {
namespace {

constexpr int kLevel = 1;  // a network of 100 MB/s is slower than this

class Source {
 public:
  explicit Source(std::function<size_t(char*, size_t)> source)
      : source_(std::move(source)), context_(ZSTD_createCCtx()), piece_(ZSTD_CStreamInSize(), '\0') {
    ASSAY_CHECK(context_ != nullptr, "zstd could not be started");
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kLevel);
  }

  size_t read(char* into, size_t size) {
    ZSTD_outBuffer out{into, size, 0};
    while (out.pos == 0 && !done_) {
      if (in_.pos == in_.size && !ended_) {
        const size_t count = source_(piece_.data(), piece_.size());
        if (count == kAbortBody) return kAbortBody;
        in_ = {piece_.data(), count, 0};
        ended_ = count == 0;
      }
      const size_t left =
          ZSTD_compressStream2(context_.get(), &out, &in_, ended_ ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left) != 0) return kAbortBody;
      done_ = ended_ && left == 0;
    }
    return out.pos;
  }

 private:
  struct Deleter {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  std::function<size_t(char*, size_t)> source_;
  std::unique_ptr<ZSTD_CCtx, Deleter> context_;
  std::string piece_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool ended_ = false;  // the source has
  bool done_ = false;   // and all of it is given out
};

}  // namespace

std::string zstd_compress(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), kLevel);
  ASSAY_CHECK(ZSTD_isError(size) == 0, "zstd could not compress");
  out.resize(size);
  return out;
}

std::function<size_t(char*, size_t)> zstd_source(std::function<size_t(char*, size_t)> source) {
  return [state = std::make_shared<Source>(std::move(source))](char* into, size_t size) {
    return state->read(into, size);
  };
}

}  // namespace assay::http
