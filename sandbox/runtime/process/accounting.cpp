#include "sandbox/runtime/process/accounting.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>

#include "sandbox/jail/cgroup.hpp"
#include "sandbox/jail/child.hpp"

namespace assay::sandbox::process {
namespace {

using std::chrono::microseconds;

constexpr std::string_view kV1 = "cgroup1", kV2 = "cgroup2";

int descriptor(GroupFile file) {
  return kGroupFd + static_cast<int>(file);
}

/// The number behind `key` at the start of a line; without a key, the number that is the whole file.
std::optional<uint64_t> number_in(GroupFile file, std::string_view key) {
  char buffer[4096];
  const ssize_t size = pread(descriptor(file), buffer, sizeof buffer, 0);
  std::string_view text(buffer, size > 0 ? static_cast<size_t>(size) : 0);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.starts_with(key)) continue;
    const std::string_view rest = line.substr(key.size());
    uint64_t number = 0;
    if (std::from_chars(rest.data(), rest.data() + rest.size(), number).ec == std::errc()) return number;
  }
  return std::nullopt;
}

uint64_t oom_kills() {
  return number_in(GroupFile::oom_kills, "oom_kill ").value_or(0);
}

uint64_t refusals() {
  return number_in(GroupFile::refused_processes, "max ").value_or(0);
}

}  // namespace

Accounting::Accounting(std::string_view kind) {
  if (kind == kV1) method_ = kV1;
  if (kind == kV2) method_ = kV2;
}

void Accounting::start() {
  if (!has_group()) return;
  oom_kills_ = oom_kills();
  refusals_ = refusals();
  cpu_ = microseconds(0);
  cpu_ = cpu().value_or(microseconds(0));
  (void)!pwrite(descriptor(GroupFile::peak_memory), "0", 1, 0);
}

bool Accounting::killed_for_memory() const {
  return has_group() && oom_kills() > oom_kills_;
}

bool Accounting::refused_processes() const {
  return has_group() && refusals() > refusals_;
}

std::optional<microseconds> Accounting::cpu() const {
  if (method_ == kV1) {
    const auto ns = number_in(GroupFile::cpu, "");
    if (ns) return std::chrono::duration_cast<microseconds>(std::chrono::nanoseconds(*ns)) - cpu_;
  } else if (method_ == kV2) {
    const auto us = number_in(GroupFile::cpu, "usage_usec ");
    if (us) return microseconds(*us) - cpu_;
  }
  return std::nullopt;
}

std::optional<uint64_t> Accounting::peak_memory() const {
  if (!has_group()) return std::nullopt;
  return number_in(GroupFile::peak_memory, "");
}

}  // namespace assay::sandbox::process
