#include "api/container/upload.hpp"

#include <openssl/evp.h>
#include <simdjson.h>

#include <array>

#include "core/check.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 10;
constexpr int64_t kChunkRows = 256;
constexpr size_t kMostColumns = 1000;

std::unexpected<Problem> bad_row(int64_t number, const std::string& why) {
  return refuse(422, "invalid_row", "line " + std::to_string(number) + ": " + why + "; nothing was stored",
                "rows[" + std::to_string(number - 1) + ']');
}

}  // namespace

void Upload::DigestDeleter::operator()(EVP_MD_CTX* digest) const {
  EVP_MD_CTX_free(digest);
}

Upload::Upload(Context& context, int64_t project, std::string name)
    : context_(context), project_(project), digest_(EVP_MD_CTX_new()) {
  dataset_.name = std::move(name);
  ASSAY_CHECK(digest_ != nullptr && EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr) == 1,
              "SHA-256 is not available");
}

Upload::~Upload() = default;

Task<Answer<>> Upload::begin() {
  const auto begun = co_await context_.store.begin_upload(project_, dataset_.name);
  if (!begun) co_return std::unexpected(begun.error());
  upload_ = *begun;
  co_return Answer<>{};
}

Answer<> Upload::add(std::string_view line, int64_t number) {
  const auto& limits = context_.options.limits;
  if (line.size() > limits.line_bytes)
    return bad_row(number, "the row is larger than " + std::to_string(limits.line_bytes) + " bytes");
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return {};
  if (const auto parsed = reader_.parse(line); !parsed) return bad_row(number, parsed.error().message);
  take_columns();
  const size_t begin = chunk_.size();
  chunk_.resize(begin + line.size());
  size_t size = 0;
  if (simdjson::minify(line.data(), line.size(), chunk_.data() + begin, size) != simdjson::SUCCESS)
    return bad_row(number, "the row is not JSON");
  chunk_.resize(begin + size);
  chunk_ += '\n';
  EVP_DigestUpdate(digest_.get(), chunk_.data() + begin, size + 1);
  ++dataset_.rows;
  dataset_.bytes += static_cast<int64_t>(size + 1);
  if (static_cast<size_t>(dataset_.bytes) > limits.dataset_bytes)
    return refuse(
        413, "dataset_too_large",
        "the dataset is larger than " + std::to_string(limits.dataset_bytes) + " bytes; nothing was stored");
  return {};
}

void Upload::take_columns() {
  if (known_columns_.size() >= kMostColumns) return;
  for (auto& column : reader_.columns())
    if (known_columns_.insert(column).second) dataset_.columns.push_back(std::move(column));
}

bool Upload::full() const {
  return chunk_.size() >= kChunkBytes || dataset_.rows - chunk_first_ >= kChunkRows;
}

Task<Answer<>> Upload::flush() {
  if (chunk_.empty()) co_return Answer<>{};
  const int64_t first = std::exchange(chunk_first_, dataset_.rows);
  auto stored =
      co_await context_.store.append_rows(upload_, first, dataset_.rows - first, std::exchange(chunk_, {}));
  co_return stored;
}

Dataset Upload::describe() {
  std::array<unsigned char, 32> digest{};
  EVP_DigestFinal_ex(digest_.get(), digest.data(), nullptr);
  dataset_.sha256 = to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return dataset_;
}

Task<> Upload::abort() {
  const auto aborted = co_await context_.store.abort_upload(upload_);
  // Not lost: what is not finished is cleared away when the store is opened the next time.
  if (!aborted) log::warn("an upload could not be removed yet", {{"error", aborted.error().message}});
}

}  // namespace assay::api
