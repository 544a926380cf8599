// What a plugin, which is in the host's own process, may try.
#include <sys/syscall.h>

#include "tests/attack/attack_table.hpp"

namespace assay::sandbox {

void add_plugin_attacks(Table& table) {
  table.plugin("reads files", "read files");
  table.plugin("changes files", "change files");
  table.plugin("starts processes", "start processes");
  table.plugin("speaks to others", "speak to others");
  table.plugin("changes its host", "change the host");
  table.plugin("starts threads", "start threads");
  table.plugin("answers for another item", "another's answer", {kBadResult});
  table.plugin("answers nonsense", "no answer", {kBadResult});
  table.plugin("answers initialize again", "another initialize", {kBadResult});
  table.plugin("wants a candidate", "a candidate", {kBadResult});
  table.plugin("asks a model for another item", "another's model", {kBadResult});
  table.plugin("announces a huge frame", "a huge frame", {kBadResult});
  table.plugin("closes the socket", "the socket's end", {kCrashed});
  table.plugin("sleeps", "sleep", {kTimeout}, Pace::hasty);
  table.plugin("spins", "spin", {kCpu}, Pace::lean);
  table.plugin("spins in threads", "spin in threads", {kCpu}, Pace::lean);
  table.plugin("eats memory", "eat", {kRaises, kMemory});
  table.plugin("crashes", "crash", {kCrashed});
  table.plugin("overflows its stack", "overflow", {kCrashed});
  table.plugin("aborts", "abort", {kCrashed});
  table.plugin("exits", "exit", {kCrashed});
  table.plugin("exits as if it had done all", "exit as a host that is spent", {kCrashed});
  const std::pair<const char*, long> deadly[] = {
      {"ptrace", SYS_ptrace},   {"process_vm_readv", SYS_process_vm_readv},
      {"bpf", SYS_bpf},         {"perf_event_open", SYS_perf_event_open},
      {"mount", SYS_mount},     {"unshare", SYS_unshare},
      {"setns", SYS_setns},     {"userfaultfd", SYS_userfaultfd},
      {"keyctl", SYS_keyctl},   {"pivot_root", SYS_pivot_root},
      {"seccomp", SYS_seccomp}, {"open_by_handle_at", SYS_open_by_handle_at},
      {"chroot", SYS_chroot},   {"finit_module", SYS_finit_module}};
  for (const auto& [name, number] : deadly)
    table.plugin(std::string("calls ") + name, "call " + std::to_string(number), {kForbidden});
}

}  // namespace assay::sandbox
