#include "core/id.hpp"

#include <openssl/evp.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "core/check.hpp"

namespace assay {
namespace {

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  size_t done = 0;
  while (done < count) {
    const ssize_t n = ::getrandom(bytes.data() + done, count - done, 0);
    ASSAY_CHECK(n > 0 || errno == EINTR, "the kernel gave no random bytes");
    if (n > 0) done += static_cast<size_t>(n);
  }
  return bytes;
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0);
    table[i] = value;
  }
  return table;
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

std::string make_id(std::string_view prefix) {
  static constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string id(prefix);
  for (const char c : random_bytes(26)) id += kAlphabet[static_cast<unsigned char>(c) & 31];
  return id;
}

std::string random_hex(size_t bytes) {
  return to_hex(random_bytes(bytes));
}

std::string sha256_hex(std::string_view data) {
  std::string digest(32, '\0');
  unsigned length = 0;
  const int ok = EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(digest.data()),
                            &length, EVP_sha256(), nullptr);
  ASSAY_CHECK(ok == 1 && length == 32, "SHA-256 is not available");
  return to_hex(digest);
}

uint32_t crc32c(std::string_view data) {
  static constexpr auto kTable = make_crc_table();
  uint32_t value = ~0U;
  for (const char c : data) value = (value >> 8) ^ kTable[(value ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~value;
}

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string iso8601(int64_t unix_ms) {
  const int64_t milliseconds = ((unix_ms % 1000) + 1000) % 1000;  // counts up before 1970 too
  const std::time_t seconds = (unix_ms - milliseconds) / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(milliseconds));
  return text.data();
}

}  // namespace assay
