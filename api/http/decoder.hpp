// Content-Encoding of request bodies: gzip and zstd.
#pragma once

#include <memory>
#include <string_view>

#include "api/http/message.hpp"

namespace assay::api {

/// What is supported, as Accept-Encoding says it.
inline constexpr std::string_view kCodings = "gzip, zstd";

/// Takes a coded body apart as it arrives. Memory is that of one piece and the coding's window (32 KiB for
/// gzip, at most 8 MiB for zstd), whatever the data claims.
class Decoder {
 public:
  static constexpr size_t kPiece = size_t{64} << 10;

  virtual ~Decoder() = default;
  /// The next kPiece bytes at most, valid until the next call; takes what it has read from the front of
  /// `input`. Empty: all input was read, and more is needed. 400 for what is corrupt or follows the end.
  virtual Answer<std::string_view> next(std::string_view& input) = 0;
  /// The input has ended: 400 unless it may end here.
  virtual Answer<> end() = 0;
};

/// Null when nothing is to be decoded; 415 for a coding that is not supported.
Answer<std::unique_ptr<Decoder>> decoder_for(std::string_view content_encoding);

/// A body as its handler reads it: decoded, and ended by `too_large` when it has more than `limit` bytes
/// then.
class DecodedBody final : public BodyReader {
 public:
  DecodedBody(BodyReader& inner, std::unique_ptr<Decoder> decoder, size_t limit, Problem too_large)
      : inner_(inner), decoder_(std::move(decoder)), left_(limit), too_large_(std::move(too_large)) {}

  Task<Answer<std::string_view>> next() override;

 private:
  Task<Answer<std::string_view>> decode();

  BodyReader& inner_;
  std::unique_ptr<Decoder> decoder_;
  size_t left_;
  Problem too_large_;
  std::string_view rest_;  // of the inner body's piece
};

}  // namespace assay::api
