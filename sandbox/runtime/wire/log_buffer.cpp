#include "sandbox/runtime/wire/log_buffer.hpp"

#include <algorithm>

namespace assay::sandbox::wire {

void LogBuffer::start(size_t limit_bytes) {
  half_ = limit_bytes / 2;
  left_out_ = 0;
  head_.clear();
  tail_.clear();
}

void LogBuffer::append(std::string_view text) {
  const size_t to_head = std::min(half_ - head_.size(), text.size());
  head_.append(text.substr(0, to_head));
  text.remove_prefix(to_head);
  if (text.size() > half_) {
    left_out_ += text.size() - half_;
    text.remove_prefix(text.size() - half_);
  }
  tail_.append(text);
  if (tail_.size() <= 2 * half_) return;  // trimmed rarely, so that a line costs no move of the whole tail
  left_out_ += tail_.size() - half_;
  tail_.erase(0, tail_.size() - half_);
}

std::string LogBuffer::text() const {
  std::string_view tail = tail_;
  size_t left_out = left_out_;
  if (tail.size() > half_) {
    left_out += tail.size() - half_;
    tail.remove_prefix(tail.size() - half_);
  }
  if (left_out == 0) return head_ + std::string(tail);
  return head_ + "\n[" + std::to_string(left_out) + " bytes left out]\n" + std::string(tail);
}

}  // namespace assay::sandbox::wire
