#include "sandbox/jail/root.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <deque>
#include <string>

#include "sandbox/jail/helper.hpp"

namespace assay::sandbox {
namespace {

using Kind = RootEntry::Kind;

constexpr const char* kPasswd = "nobody:x:65534:65534:nobody:/tmp:/bin/sh\n";
constexpr const char* kGroup = "nogroup:x:65534:\n";

const char* keep(std::string text) {
  static std::deque<std::string> kept;
  return kept.emplace_back(std::move(text)).c_str();
}

/// A directory or link of the host's root, as it is there: a merged /usr has links, an older system
/// directories.
void add_top(std::vector<RootEntry>& tree, const char* path) {
  struct stat status{};
  if (lstat(path, &status) != 0) return;
  const char* const relative = path + 1;
  if (S_ISLNK(status.st_mode)) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = readlink(path, target.data(), target.size() - 1);
    if (size > 0) tree.push_back({.kind = Kind::link, .path = relative, .source = keep(target.data())});
  } else if (S_ISDIR(status.st_mode)) {
    tree.push_back({.path = relative});
    tree.push_back({.kind = Kind::mirror, .path = relative, .source = path});
  }
}

void add_mirror(std::vector<RootEntry>& tree, const char* path) {
  struct stat status{};
  if (stat(path, &status) != 0) return;
  const bool is_file = !S_ISDIR(status.st_mode);
  tree.push_back({.kind = is_file ? Kind::file : Kind::directory, .path = path + 1, .source = ""});
  tree.push_back({.kind = Kind::mirror, .path = path + 1, .source = path});
}

std::vector<RootEntry> build() {
  std::vector<RootEntry> tree;
  for (const char* path : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"})
    add_top(tree, path);
  tree.push_back({.path = "etc"});
  // Debian's way to choose between programs; the loader's cache, without which libraries in /usr/local are
  // not found.
  add_mirror(tree, "/etc/alternatives");
  add_mirror(tree, "/etc/ld.so.cache");
  tree.push_back({.kind = Kind::file, .path = "etc/passwd", .source = kPasswd});
  tree.push_back({.kind = Kind::file, .path = "etc/group", .source = kGroup});
  tree.push_back({.path = "dev"});
  const auto device = [&](const char* path, unsigned minor) {
    tree.push_back({.kind = Kind::device,
                    .path = path + 1,
                    .source = path,
                    .device = static_cast<unsigned>(makedev(1, minor))});
  };
  device("/dev/null", 3);
  device("/dev/zero", 5);
  device("/dev/full", 7);
  device("/dev/random", 8);
  device("/dev/urandom", 9);
  tree.push_back({.kind = Kind::link, .path = "dev/fd", .source = "/proc/self/fd"});
  tree.push_back({.kind = Kind::link, .path = "dev/stdin", .source = "/proc/self/fd/0"});
  tree.push_back({.kind = Kind::link, .path = "dev/stdout", .source = "/proc/self/fd/1"});
  tree.push_back({.kind = Kind::link, .path = "dev/stderr", .source = "/proc/self/fd/2"});
  tree.push_back({.path = "assay"});
  for (const char* place : kJailFolders) tree.push_back({.path = place});
  // What interpreters of ours load (sandbox/runtime/process/lock.cpp).
  if (const auto library = helper_path("libassay-lock.so")) {
    tree.push_back({.kind = Kind::file, .path = "assay/libassay-lock.so", .source = ""});
    tree.push_back({.kind = Kind::own, .path = "assay/libassay-lock.so", .source = keep(*library)});
  }
  tree.push_back({.path = "proc"});
  tree.push_back({.path = "tmp"});
  return tree;
}

}  // namespace

const std::vector<RootEntry>& system_root() {
  static const std::vector<RootEntry> tree = build();
  return tree;
}

}  // namespace assay::sandbox
