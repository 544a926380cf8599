#include "api/store/database.hpp"

namespace assay::api {

std::string comma_list(std::span<const int64_t> numbers) {
  std::string list;
  for (const int64_t number : numbers) {
    if (!list.empty()) list += ',';
    list += std::to_string(number);
  }
  return list;
}

}  // namespace assay::api
