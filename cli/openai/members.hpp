// Reading JSON that OpenAI's API gave out: each member is asked for once, and what nobody asked for is an
// error, so that nothing of a grader is left out unseen. Members that are null count as absent.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace assay::cli::openai {

/// `config`: "testing_criteria[2].model: must be a string".
std::unexpected<Error> fault(const std::string& path, const std::string& what);

class Members {
 public:
  /// `path` is where the object stands in the file: "testing_criteria[2]". Borrows `json`.
  static Result<Members> of(const Json& json, std::string path);

  /// The path of a member.
  std::string at(std::string_view key) const;
  /// Null: absent.
  const Json* find(std::string_view key);
  Result<std::string> text(std::string_view key);  ///< required, not empty
  Result<std::string> text_or(std::string_view key, std::string otherwise);
  Result<std::optional<double>> number(std::string_view key);
  Result<const Json*> object(std::string_view key);  ///< required
  Result<const Json*> array(std::string_view key);   ///< required, not empty
  Result<std::vector<std::string>> texts(std::string_view key);
  /// Members that say nothing of what is computed.
  void ignore(std::initializer_list<std::string_view> keys);
  /// An error when there is one that was not asked for.
  Result<> done() const;

 private:
  Members(const Json& json, std::string path) : json_(&json), path_(std::move(path)) {}
  Result<const Json*> required(std::string_view key, bool right_type(const Json&), const char* type);

  const Json* json_;
  std::string path_;
  std::vector<std::string> known_;
};

}  // namespace assay::cli::openai
