#include "sandbox/runtime/packages/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/fd.hpp"

namespace assay::sandbox {
namespace {

constexpr size_t kDepth = 64;  // each level holds a descriptor while it is counted
constexpr uint64_t kBlock = 4'096;
constexpr int kOpenFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

using Folder = std::unique_ptr<DIR, decltype([](DIR* folder) { closedir(folder); })>;

Folder open_folder(int at, const char* name) {
  UniqueFd fd(openat(at, name, kOpenFolder));
  if (!fd) return {};
  Folder folder(fdopendir(fd.get()));
  if (folder) (void)fd.release();
  return folder;
}

/// The next entry that is neither . nor ..; null at the end, with errno 0.
const dirent* next(DIR* folder) {
  while (true) {
    errno = 0;
    const dirent* const entry = readdir(folder);
    if (entry == nullptr || (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0))
      return entry;
  }
}

/// Empties `name` in `top`, a folder; the folders in it go up into `top`, under `prefix` and a number.
Result<void> flatten(int top, const char* name, const std::string& prefix, uint64_t& number) {
  (void)!fchmodat(top, name, 0700, AT_SYMLINK_NOFOLLOW);  // its owner, who may be us, may have closed it
  const Folder folder = open_folder(top, name);
  if (!folder) return fail_errno(ErrorKind::internal, "cannot open a folder to remove it", errno);
  while (const dirent* const entry = next(folder.get())) {
    const int at = dirfd(folder.get());
    if (unlinkat(at, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno == EISDIR) {
      (void)!fchmodat(at, entry->d_name, 0700, AT_SYMLINK_NOFOLLOW);
      if (unlinkat(at, entry->d_name, AT_REMOVEDIR) == 0) continue;
      const std::string up = prefix + std::to_string(number++);
      if (renameat(at, entry->d_name, top, up.c_str()) == 0) continue;
    }
    return fail_errno(ErrorKind::internal,
                      "cannot remove " + std::string(static_cast<const char*>(entry->d_name)), errno);
  }
  return {};
}

}  // namespace

Result<uint64_t> tree_bytes(const std::string& folder, uint64_t limit_bytes) {
  const auto unreadable = [&] {
    return fail_errno(ErrorKind::config, "what its requirements have installed cannot be read", errno);
  };
  std::vector<Folder> levels;
  levels.push_back(open_folder(AT_FDCWD, folder.c_str()));
  if (!levels.back()) return unreadable();
  uint64_t bytes = 0;
  while (!levels.empty() && bytes <= limit_bytes) {
    const dirent* const entry = next(levels.back().get());
    if (entry == nullptr && errno != 0) return unreadable();
    if (entry == nullptr) {
      levels.pop_back();
      continue;
    }
    struct stat status{};
    const int at = dirfd(levels.back().get());
    if (fstatat(at, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // removed meanwhile
      return unreadable();
    }
    bytes += std::max<uint64_t>(kBlock, static_cast<uint64_t>(status.st_blocks) * 512);
    if (!S_ISDIR(status.st_mode)) continue;
    if (levels.size() == kDepth)
      return fail(ErrorKind::config,
                  "its requirements install folders more than " + std::to_string(kDepth) + " deep");
    Folder inner = open_folder(at, entry->d_name);
    if (!inner && errno != ENOENT) return unreadable();
    if (inner) levels.push_back(std::move(inner));
  }
  return bytes;
}

Result<void> remove_tree(const std::string& folder) {
  if (chmod(folder.c_str(), 0700) != 0 && errno == ENOENT) return {};
  const std::string prefix =
      ".removed-" + std::to_string(std::random_device()()) + "-";  // that nobody took before
  uint64_t number = 0;
  while (rmdir(folder.c_str()) != 0) {
    if (errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST)
      return fail_errno(ErrorKind::internal, "cannot remove " + folder, errno);
    const Folder top = open_folder(AT_FDCWD, folder.c_str());
    if (!top) return fail_errno(ErrorKind::internal, "cannot open " + folder, errno);
    bool any = false;
    while (const dirent* const entry = next(top.get())) {
      const int at = dirfd(top.get());
      any = true;
      if (unlinkat(at, entry->d_name, 0) == 0) continue;
      if (errno != EISDIR)
        return fail_errno(ErrorKind::internal, "cannot remove what is in " + folder, errno);
      if (unlinkat(at, entry->d_name, AT_REMOVEDIR) == 0) continue;
      ASSAY_OK(flatten(at, entry->d_name, prefix, number));
    }
    if (!any) return fail(ErrorKind::internal, "cannot read " + folder);
  }
  return {};
}

uint64_t free_bytes(const std::string& folder) {
  struct statvfs status{};
  if (statvfs(folder.c_str(), &status) != 0) return 0;
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace assay::sandbox
