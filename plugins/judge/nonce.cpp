#include "plugins/judge/nonce.hpp"

#include <openssl/evp.h>

#include <array>

#include <assay/evaluator.hpp>

namespace assay::judge {

std::string nonce_of(std::string_view question) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  constexpr size_t kSize = 26;
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  if (EVP_Digest(question.data(), question.size(), hash.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size < kSize)
    throw Failure("the SHA-256 of the question could not be computed");
  std::string nonce;
  for (size_t i = 0; i < kSize; ++i) nonce += kLetters[hash[i] % kLetters.size()];
  return nonce;
}

}  // namespace assay::judge
