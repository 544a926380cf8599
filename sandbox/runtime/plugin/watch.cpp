#include "sandbox/runtime/plugin/watch.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <string>

#include "sandbox/runtime/wire/exit_code.hpp"

namespace assay::sandbox::plugin {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;

constexpr size_t kStack = 256U << 10;
constexpr auto kShortestSleep = 10ms;
constexpr auto kLoadingTick = 50ms;

void sleep_for(std::chrono::nanoseconds time) {
  timespec left{time.count() / 1'000'000'000, time.count() % 1'000'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

microseconds time_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + microseconds(time.tv_usec);
}

}  // namespace

Used used_so_far() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {time_of(usage.ru_utime) + time_of(usage.ru_stime), static_cast<uint64_t>(usage.ru_maxrss) * 1024};
}

Watch::Watch(const wire::EvaluatorLimits& limits, int64_t id, int fd) : limits_(limits), id_(id), fd_(fd) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  if (const int error = pthread_create(&thread, &attributes, &Watch::run, this)) _exit(error);
  pthread_attr_destroy(&attributes);
  pthread_detach(thread);
}

void Watch::loaded() {
  note(0, used_so_far().cpu);
  if (is_loading_.exchange(false)) return;
  for (;;) pause();  // the watch is ending the process
}

void Watch::note(size_t under_way, microseconds used) {
  used_us_.store(used.count(), std::memory_order_relaxed);
  under_way_.store(under_way, std::memory_order_relaxed);
}

void* Watch::run(void* self) {
  auto& watch = *static_cast<Watch*>(self);
  watch.watch_loading();
  watch.watch_evaluations();
}

void Watch::watch_loading() {
  const auto deadline = std::chrono::steady_clock::now() + limits_.load;
  while (is_loading_.load()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left > 0ns) {
      sleep_for(std::min<std::chrono::nanoseconds>(left, kLoadingTick));
      continue;
    }
    if (!is_loading_.exchange(false)) return;
    std::string out;
    wire::append_error(
        out, id_,
        {ErrorKind::config, "loading it took longer than " + std::to_string(limits_.load.count()) + " ms"});
    (void)!write(fd_, out.data(), out.size());
    _exit(0);
  }
}

void Watch::watch_evaluations() {
  const long processors = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  while (true) {
    const auto before = used_us_.load(std::memory_order_relaxed);
    const auto limit =
        microseconds(limits_.cpu) * static_cast<int64_t>(std::max<size_t>(1, under_way_.load()));
    const auto used = used_so_far().cpu - microseconds(before);
    // Both of the same moment, or another answer has come meanwhile.
    if (used > limit && under_way_.load() > 0 && used_us_.load() == before) _exit(wire::kExitCpuLimit);
    sleep_for(std::max<std::chrono::nanoseconds>((limit - used) / processors, kShortestSleep));
  }
}

}  // namespace assay::sandbox::plugin
