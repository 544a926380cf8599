// Loaded into interpreters that fork a child for every item (LD_PRELOAD). The child gives up, before any of
// its own code runs, what only its parent needs: starting processes and programs. Nothing in the interpreter
// has to cooperate, or could prevent it.
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sandbox/runtime/process/filter.hpp"

namespace {

constexpr int kExitNoFilter = 125;

void lock_child() {
  using namespace assay::sandbox::process;
  if (install_filter(Policy::item, Signals::contained) != 0) _exit(kExitNoFilter);
}

[[gnu::constructor]] void prepare() {
  // A child may not look into the memory of its parent, which has the same user.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return;
  // The runner starts nothing without this.
  if (pthread_atfork(nullptr, nullptr, lock_child) == 0) setenv("ASSAY_FORK", "locked", 1);
}

}  // namespace
