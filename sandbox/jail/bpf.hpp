// A seccomp filter, put together by hand: a filter that is short, and whose allowances can be read from the
// code that writes it, needs no compiler. Allocates nothing.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace assay::sandbox {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
constexpr uint32_t kForeignAbi = 0x40000000;  // x32: the same architecture with other call numbers
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
constexpr uint32_t kForeignAbi = 0x40000000;  // none; numbers that high do not exist
#else
#error "no seccomp filter is written for this architecture"
#endif

class BpfProgram {
 public:
  void statement(uint16_t code, uint32_t value) { code_[next()] = BPF_STMT(code, value); }
  void load(size_t offset) { statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  void give(uint32_t action) { statement(BPF_RET | BPF_K, action); }
  /// Runs the next `count` statements only when the loaded word equals `value`, or else only when it does
  /// not.
  void if_equal(uint32_t value, uint8_t count) {
    code_[next()] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count);
  }
  void if_not_equal(uint32_t value, uint8_t count) {
    code_[next()] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0);
  }
  void if_bits(uint32_t bits, uint8_t count) {
    code_[next()] = BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, count);
  }

  /// Passes over `upper` statements when the loaded word is `value` or more, else over `lower`.
  void choose(uint32_t value, size_t upper, size_t lower) {
    if (upper > UINT8_MAX || lower > UINT8_MAX) __builtin_trap();
    code_[next()] =
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, value, static_cast<uint8_t>(upper), static_cast<uint8_t>(lower));
  }

  /// `action` when the loaded word is one of `values`, of which there are at most 250.
  void give_for(std::initializer_list<uint32_t> values, uint32_t action) {
    auto left = static_cast<uint8_t>(values.size());
    for (const uint32_t value : values) code_[next()] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, left--, 0);
    statement(BPF_JMP | BPF_JA, 1);
    give(action);
  }

  static size_t argument(int index) {  // the low word: all the arguments checked here are ints
    return offsetof(seccomp_data, args) + static_cast<size_t>(index) * sizeof(uint64_t);
  }

  /// Every filter's first statements: another architecture's calls end the process; then the number is
  /// loaded.
  void begin() {
    load(offsetof(seccomp_data, arch));
    if_not_equal(kArchitecture, 1);
    give(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
    if_bits(kForeignAbi, 1);
    give(SECCOMP_RET_KILL_PROCESS);
  }

  void append(const BpfProgram& other) {
    for (size_t i = 0; i < other.size_; i++) code_[next()] = other.code_[i];
  }
  size_t size() const { return size_; }

  sock_fprog program() { return {static_cast<unsigned short>(size_), code_}; }

 private:
  // A filter that does not fit is a mistake of whoever wrote it, met by the first test.
  size_t next() {
    if (size_ == kLimit) __builtin_trap();
    return size_++;
  }

  static constexpr size_t kLimit = 512;
  sock_filter code_[kLimit] = {};
  size_t size_ = 0;
};

}  // namespace assay::sandbox
