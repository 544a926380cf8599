// Loaded into interpreters (LD_PRELOAD): makes the process that runs an item give up, before any of the
// evaluator's code runs there, what only the interpreter needs: starting processes and programs.
//
//   ASSAY_LOCK=self      this process runs items
//   ASSAY_LOCK=children  each process that it forks runs one
//
// The runners start nothing unless they find ASSAY_LOCK=locked.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sandbox/runtime/process/filter.hpp"

namespace {

using namespace assay::sandbox::process;

constexpr const char* kName = "ASSAY_LOCK";
constexpr int kExitNoFilter = 125;
constexpr const char* kByDescriptor = "/proc/self/fd/5";  // kLockLibraryByDescriptor (interpreter.hpp)
constexpr int kDescriptor = 5;

bool lock() {
  return install_filter(Policy::item, Signals::contained, Files::own) == 0;
}

void lock_child() {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || !lock()) _exit(kExitNoFilter);
}

[[gnu::constructor]] void prepare() {
  const char* const whom = getenv(kName);
  const char* const self = getenv("LD_PRELOAD");
  if (whom != nullptr && self != nullptr && strcmp(self, kByDescriptor) == 0) close(kDescriptor);
  // A child may not look into the memory of its parent, which has the same user.
  if (whom == nullptr || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return;
  const bool locked = strcmp(whom, "self") == 0 ? lock() : pthread_atfork(nullptr, nullptr, lock_child) == 0;
  if (locked) setenv(kName, "locked", 1);
}

}  // namespace
