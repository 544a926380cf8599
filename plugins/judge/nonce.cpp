#include "plugins/judge/nonce.hpp"

#include <sys/random.h>

#include <array>
#include <string_view>

#include <assay/evaluator.hpp>

namespace assay::judge {

std::string fresh_nonce() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<unsigned char, 16> random{};
  // So few bytes come at once or not at all (getrandom(2)).
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    throw Failure("the system gave no random numbers");
  std::string nonce;
  for (const unsigned char byte : random) nonce += kLetters[byte % kLetters.size()];
  return nonce;
}

}  // namespace assay::judge
