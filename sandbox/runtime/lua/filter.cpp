// A host that has its socket needs memory, the clock and an exit; nothing else. The program is written out by
// hand: it is short, and what it allows can be read from it.
#include "sandbox/runtime/lua/filter.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace assay::sandbox::lua {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
constexpr uint32_t kForeignAbi = 0x40000000;  // x32: the same architecture with other call numbers
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
constexpr uint32_t kForeignAbi = 0x40000000;  // none; numbers that high do not exist
#else
#error "the Lua host has no seccomp filter for this architecture"
#endif

class Filter {
 public:
  void statement(uint16_t code, uint32_t value) { code_[size_++] = BPF_STMT(code, value); }
  void load(size_t offset) { statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
  void give(uint32_t action) { statement(BPF_RET | BPF_K, action); }
  /// Runs the next `count` statements only when the loaded word equals `value`, or else only when it does
  /// not.
  void if_equal(uint32_t value, uint8_t count) {
    code_[size_++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count);
  }
  void if_not_equal(uint32_t value, uint8_t count) {
    code_[size_++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0);
  }
  void if_bits(uint32_t bits, uint8_t count) {
    code_[size_++] = BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, count);
  }

  static size_t argument(int index) {  // the low word: all the arguments checked here are ints
    return offsetof(seccomp_data, args) + static_cast<size_t>(index) * sizeof(uint64_t);
  }

  sock_fprog program() { return {static_cast<unsigned short>(size_), code_.data()}; }

 private:
  std::array<sock_filter, 64> code_{};
  size_t size_ = 0;
};

// malloc does without these two: it then takes memory by mmap. A refused brk returns the old break, which is
// no errno: C libraries would take one for a very high new break.
constexpr uint32_t kRefusedBrk = SECCOMP_RET_ERRNO | 0;
constexpr uint32_t kNoMemory = SECCOMP_RET_ERRNO | ENOMEM;

void build(Filter& filter, int protocol_fd) {
  const auto fd = static_cast<uint32_t>(protocol_fd);
  filter.load(offsetof(seccomp_data, arch));
  filter.if_not_equal(kArchitecture, 1);
  filter.give(SECCOMP_RET_KILL_PROCESS);
  filter.load(offsetof(seccomp_data, nr));
  filter.if_bits(kForeignAbi, 1);
  filter.give(SECCOMP_RET_KILL_PROCESS);

  for (const uint32_t call :
       {SYS_clock_gettime, SYS_munmap, SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group}) {
    filter.if_equal(call, 1);
    filter.give(SECCOMP_RET_ALLOW);
  }
  filter.if_equal(SYS_brk, 1);
  filter.give(kRefusedBrk);
  filter.if_equal(SYS_mremap, 1);
  filter.give(kNoMemory);
  for (const uint32_t call : {SYS_read, SYS_write}) {
    filter.if_equal(call, 4);
    filter.load(Filter::argument(0));
    filter.if_equal(fd, 1);
    filter.give(SECCOMP_RET_ALLOW);
    filter.give(SECCOMP_RET_KILL_PROCESS);
  }
  filter.if_equal(SYS_madvise, 4);
  filter.load(Filter::argument(2));
  filter.if_equal(MADV_DONTNEED, 1);
  filter.give(SECCOMP_RET_ALLOW);
  filter.give(SECCOMP_RET_KILL_PROCESS);

  // Private memory that can never run, over nothing that is mapped already.
  filter.if_equal(SYS_mmap, 10);
  filter.load(Filter::argument(2));
  filter.if_bits(PROT_EXEC, 1);
  filter.give(SECCOMP_RET_KILL_PROCESS);
  filter.load(Filter::argument(3));
  filter.if_bits(MAP_FIXED, 1);
  filter.give(SECCOMP_RET_KILL_PROCESS);
  filter.statement(BPF_ALU | BPF_AND | BPF_K, MAP_ANONYMOUS | MAP_PRIVATE);
  filter.if_equal(MAP_ANONYMOUS | MAP_PRIVATE, 1);
  filter.give(SECCOMP_RET_ALLOW);
  filter.give(SECCOMP_RET_KILL_PROCESS);
  filter.give(SECCOMP_RET_KILL_PROCESS);
}

}  // namespace

int install_filter(int protocol_fd) noexcept {
  Filter filter;
  build(filter, protocol_fd);
  const sock_fprog program = filter.program();
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

}  // namespace assay::sandbox::lua
