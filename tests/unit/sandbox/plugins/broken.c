/* Libraries that are no good plugins; which way is chosen by BROKEN. */
#include <assay/plugin.h>
#include <unistd.h>

#define WRONG_MAJOR 1
#define NO_SYMBOL 2
#define NO_JSON 3
#define TOO_SMALL 4
#define CRASHES 5
#define HANGS 6
#define FORBIDDEN 7

#if BROKEN == CRASHES
__attribute__((constructor)) static void crash(void) {
  *(volatile int*)8 = 0;
}
#elif BROKEN == HANGS
__attribute__((constructor)) static void hang(void) {
  for (;;) sleep(1);
}
#elif BROKEN == FORBIDDEN
#include <sys/ptrace.h>
__attribute__((constructor)) static void trace(void) {
  ptrace(PTRACE_TRACEME, 0, 0, 0);
}
#endif

static assay_evaluator* create(const assay_host* host, const char* name, assay_text params, char* message,
                               size_t message_size) {
  (void)host, (void)name, (void)params, (void)message, (void)message_size;
  return 0;
}

ASSAY_PLUGIN_EXPORT const assay_plugin_entry
#if BROKEN == NO_SYMBOL
    another_plugin =
#else
    assay_plugin =
#endif
        {BROKEN == TOO_SMALL ? 16 : sizeof(assay_plugin_entry), BROKEN == WRONG_MAJOR ? 9 : ASSAY_ABI_MAJOR,
         ASSAY_ABI_MINOR,
         BROKEN == NO_JSON ? "no JSON" : "{\"name\":\"broken\",\"evaluators\":[{\"name\":\"b\"}]}", create};
