#include "sandbox/runtime/packages/store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <vector>

#include "core/async/on_disk.hpp"
#include "core/id.hpp"
#include "core/log.hpp"
#include "sandbox/runtime/packages/tree.hpp"

namespace assay::sandbox {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto kPatience = 30min;  // of somebody else's installing
constexpr auto kLook = 50ms;
constexpr size_t kInstalls = 2;  // at once; more would only share the line and the disk
constexpr auto kRemembered = 30s;
constexpr const char *kLock = ".lock", *kNew = ".new", *kOld = ".old";

/// What tells one interpreter from another that takes its place: packages are compiled for it.
std::string interpreter_of(const Program& program) {
  const std::array<const char*, 2> paths = program.language == "node"
                                               ? std::array{"/usr/local/bin/node", "/usr/bin/node"}
                                               : std::array{"/usr/bin/python3", "/usr/bin/python3"};
  for (const char* path : paths) {
    std::error_code error;
    const auto real = fs::canonical(path, error);
    struct stat status{};
    if (error || stat(real.c_str(), &status) != 0) continue;
    return real.string() + ' ' + std::to_string(status.st_size) + ' ' + std::to_string(status.st_mtim.tv_sec);
  }
  return "none";
}

/// Without what comes before an @, which may change and is nobody's business.
std::string without_password(std::string url) {
  const size_t begin = url.find("://"), end = url.find('/', begin + 3), at = url.rfind('@', end);
  if (begin != std::string::npos && at != std::string::npos && at > begin)
    url.erase(begin + 3, at - begin - 2);
  return url;
}

std::string name_of(const Program& program, const PackageSources& sources) {
  std::vector<std::string> lines = program.requirements;
  std::ranges::sort(lines);
  const auto repeated = std::ranges::unique(lines);
  lines.erase(repeated.begin(), repeated.end());
  std::string text = program.language + '\n' + interpreter_of(program) + '\n';
  text += without_password(Installer::url_of(sources, program)) + '\n' + sources.wheelhouse + '\n';
  for (const std::string& line : lines) text += line + '\n';
  return sha256_hex(text);
}

bool lock(int fd, int how) {
  int result;
  do result = flock(fd, how | LOCK_NB);
  while (result != 0 && errno == EINTR);
  return result == 0;
}

bool is_there(const std::string& folder) {
  struct stat status{};
  return stat(folder.c_str(), &status) == 0;
}

Result<void> prepare_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(fs::path(folder).parent_path(), error);
  if (mkdir(folder.c_str(), 0700) == 0) return {};
  struct stat status{};
  if (errno != EEXIST || stat(folder.c_str(), &status) != 0)
    return fail_errno(ErrorKind::config, "packages.folder " + folder + " cannot be made", errno);
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 0022) != 0)
    return fail(ErrorKind::config, "packages.folder " + folder +
                                       " must be a folder of this user's that nobody else may write; leave "
                                       "it out or name one that is not there");
  return {};
}

/// False, and said, when it cannot be.
bool remove_folder(const std::string& folder) {
  const auto removed = remove_tree(folder);
  if (!removed) log::warn(removed.error().message);
  return static_cast<bool>(removed);
}

/// An empty folder that the jail's user, whoever that is out here, can fill.
Result<void> make_fresh(const std::string& folder) {
  ASSAY_OK(remove_tree(folder));
  if (mkdir(folder.c_str(), 0700) != 0 || chmod(folder.c_str(), 0777) != 0)
    return fail_errno(ErrorKind::internal, "cannot make " + folder, errno);
  return {};
}

void write_size(int lock, uint64_t bytes) {
  const std::string text = std::to_string(bytes);
  if (ftruncate(lock, 0) != 0 ||
      pwrite(lock, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    log::warn("cannot write the size of an environment of packages");
}

/// On the disk, its size told, and under its name.
Result<void> conclude(const std::string& fresh, const std::string& folder, int lock_file,
                      size_t limit_bytes) {
  if (chmod(fresh.c_str(), 0755) != 0) return fail_errno(ErrorKind::internal, "cannot keep " + folder, errno);
  ASSAY_TRY(const uint64_t bytes, tree_bytes(fresh, limit_bytes));
  if (bytes > limit_bytes) return std::unexpected(too_large(limit_bytes));
  write_size(lock_file, bytes);
  const UniqueFd opened(open(fresh.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened || syncfs(opened.get()) != 0 || rename(fresh.c_str(), folder.c_str()) != 0)
    return fail_errno(ErrorKind::internal, "cannot keep " + folder, errno);
  return {};
}

uint64_t read_size(int lock) {
  std::array<char, 24> text{};
  const ssize_t size = pread(lock, text.data(), text.size(), 0);
  uint64_t bytes = 0;
  if (size > 0) std::from_chars(text.data(), text.data() + size, bytes);
  return bytes;
}

}  // namespace

Task<Result<std::shared_ptr<const Environment>>> PackageStore::provide(std::shared_ptr<const Program> program,
                                                                       SpawnerClient* spawner, int host_fd) {
  ASSAY_CO_OK(Installer::can_install(sources_, spawner->mode(), *program));
  ASSAY_CO_OK(prepare_folder(sources_.folder));
  const std::string name = name_of(*program, sources_), folder = sources_.folder + '/' + name;
  UniqueFd lock_file(open((folder + kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_file) co_return fail_errno(ErrorKind::internal, "cannot open " + folder + kLock, errno);
  const auto deadline = Clock::now() + kPatience;
  asio::steady_timer timer(executor_);
  while (!stopped_ && Clock::now() < deadline) {
    if (lock(lock_file.get(), LOCK_SH) && is_there(folder)) {
      futimens(lock_file.get(), nullptr);
      co_return std::make_shared<const Environment>(folder, std::move(lock_file));
    }
    const auto failed = failures_.find(name);
    if (failed != failures_.end() && Clock::now() < failed->second.when + kRemembered)
      co_return std::unexpected(failed->second.error);
    if (installing_.size() < kInstalls && lock(lock_file.get(), LOCK_EX)) {
      if (is_there(folder)) continue;  // somebody was faster
      auto made = co_await make(*program, spawner, host_fd, folder, lock_file.get());
      if (made) continue;
      std::erase_if(failures_, [](const auto& old) { return Clock::now() > old.second.when + kRemembered; });
      if (made.error().kind == ErrorKind::config) failures_[name] = {made.error(), Clock::now()};
      co_return std::unexpected(std::move(made).error());
    }
    timer.expires_after(kLook);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  if (stopped_) co_return fail(ErrorKind::cancelled, "the sandbox was closed");
  co_return fail(ErrorKind::internal, "another process has been installing its requirements for too long");
}

Task<Result<void>> PackageStore::make(const Program& program, SpawnerClient* spawner, int host_fd,
                                      std::string folder, int lock_file) {
  const std::string fresh = folder + kNew;
  Installer installer(executor_, disk_);
  installing_.insert(&installer);
  if (stopped_) installer.stop();
  log::info("installing the requirements of evaluator " + program.name);
  Result<void> made = co_await on_disk(disk_, [fresh] { return make_fresh(fresh); });
  if (made) made = co_await installer.install(spawner, host_fd, sources_, program, fresh);
  installing_.erase(&installer);
  const size_t limit_bytes = sources_.limit_bytes;
  if (made) made = co_await on_disk(disk_, [=] { return conclude(fresh, folder, lock_file, limit_bytes); });
  const bool is_made = made.has_value();
  co_await on_disk(disk_, [this, folder, fresh, is_made] {
    if (is_made) make_room(folder);
    return is_made || remove_folder(fresh);
  });
  co_return made;
}

/// Removes those that were used longest ago, and are not in use, until the rest fits; and what is left of
/// processes that died.
void PackageStore::make_room(const std::string& keep) const {
  struct Kept {
    std::string folder;
    uint64_t bytes;
    timespec used;
  };
  std::vector<Kept> all;
  uint64_t total = 0;
  std::error_code error;
  fs::directory_iterator entry(sources_.folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() != kLock) continue;
    const std::string folder = entry->path().parent_path() / entry->path().stem();
    const UniqueFd lock_file(open(entry->path().c_str(), O_RDWR | O_CLOEXEC));
    struct stat status{};
    if (!lock_file || fstat(lock_file.get(), &status) != 0) continue;
    if ((is_there(folder + kNew) || is_there(folder + kOld)) && lock(lock_file.get(), LOCK_EX)) {
      remove_folder(folder + kNew);
      remove_folder(folder + kOld);
    }
    if (!is_there(folder)) continue;
    const uint64_t bytes = read_size(lock_file.get());
    total += bytes;
    if (folder != keep) all.push_back({folder, bytes, status.st_mtim});
  }
  std::ranges::sort(all, [](const Kept& a, const Kept& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Kept& kept : all) {
    if (total <= sources_.limit_bytes) return;
    const UniqueFd lock_file(open((kept.folder + kLock).c_str(), O_RDWR | O_CLOEXEC));
    if (!lock_file || !lock(lock_file.get(), LOCK_EX)) continue;
    // First it has no such name any more: what is removed in part must not be taken for whole.
    if (rename(kept.folder.c_str(), (kept.folder + kOld).c_str()) != 0) continue;
    if (remove_folder(kept.folder + kOld)) total -= kept.bytes;
  }
}

void PackageStore::stop() {
  stopped_ = true;
  for (Installer* installer : installing_) installer->stop();
}

}  // namespace assay::sandbox
