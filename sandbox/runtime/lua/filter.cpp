// A host that has its socket needs memory, the clock and an exit; nothing else. The program is written out by
// hand: it is short, and what it allows can be read from it.
#include "sandbox/runtime/lua/filter.hpp"

#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <initializer_list>

#include "sandbox/jail/bpf.hpp"

namespace assay::sandbox::lua {
namespace {

// malloc does without these two: it then takes memory by mmap. A refused brk returns the old break, which is
// no errno: C libraries would take one for a very high new break.
constexpr uint32_t kRefusedBrk = SECCOMP_RET_ERRNO | 0;
constexpr uint32_t kNoMemory = SECCOMP_RET_ERRNO | ENOMEM;

void build(BpfProgram& filter, int protocol_fd) {
  const auto fd = static_cast<uint32_t>(protocol_fd);
  filter.begin();
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
    filter.load(BpfProgram::argument(0));
    filter.if_equal(fd, 1);
    filter.give(SECCOMP_RET_ALLOW);
    filter.give(SECCOMP_RET_KILL_PROCESS);
  }
  filter.if_equal(SYS_madvise, 4);
  filter.load(BpfProgram::argument(2));
  filter.if_equal(MADV_DONTNEED, 1);
  filter.give(SECCOMP_RET_ALLOW);
  filter.give(SECCOMP_RET_KILL_PROCESS);

  // Private memory that can never run, over nothing that is mapped already.
  filter.if_equal(SYS_mmap, 10);
  filter.load(BpfProgram::argument(2));
  filter.if_bits(PROT_EXEC, 1);
  filter.give(SECCOMP_RET_KILL_PROCESS);
  filter.load(BpfProgram::argument(3));
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
  BpfProgram filter;
  build(filter, protocol_fd);
  const sock_fprog program = filter.program();
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

}  // namespace assay::sandbox::lua
