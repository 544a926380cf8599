// Taking in the rows of a dataset, line by line, with memory for one chunk.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>
#include <unordered_set>

#include "api/context.hpp"
#include "core/row.hpp"

namespace assay::api {

/// Rows are kept as canonical lines: the client's own text without the whitespace between tokens. The digest
/// is of those, so the same rows have the same digest however they came.
class Upload {
 public:
  Upload(Context& context, int64_t project, std::string name);
  ~Upload();

  Task<Answer<>> begin();
  /// `number` counts from 1 and is for messages. Blank lines are passed over.
  Answer<> add(std::string_view line, int64_t number);
  /// To be awaited after every add(): writes a chunk when it is full.
  bool full() const;
  Task<Answer<>> flush();
  /// What was added, complete but for id and metadata. After the last flush().
  Dataset describe();
  int64_t id() const { return upload_; }
  /// Removes what was stored. An upload is ended by this or by Store::finish_upload().
  Task<> abort();

 private:
  void take_columns();

  struct DigestDeleter {
    void operator()(EVP_MD_CTX* digest) const;
  };
  Context& context_;
  int64_t project_;
  int64_t upload_ = 0;
  Dataset dataset_;
  std::string chunk_;
  int64_t chunk_first_ = 0;
  RowReader reader_;
  std::unordered_set<std::string> known_columns_;
  std::unique_ptr<EVP_MD_CTX, DigestDeleter> digest_;
};

}  // namespace assay::api
