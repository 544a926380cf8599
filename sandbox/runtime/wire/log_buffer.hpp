// What an evaluator logs: the first half of the limit and the last, with what was between left out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace assay::sandbox::wire {

class LogBuffer {
 public:
  void start(size_t limit_bytes);
  void append(std::string_view text);
  bool empty() const { return head_.empty() && tail_.empty(); }
  std::string text() const;

 private:
  size_t half_ = 0;
  size_t left_out_ = 0;
  std::string head_, tail_;
};

}  // namespace assay::sandbox::wire
