#include "cli/file_watch.hpp"

#include <sys/inotify.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/async/scope.hpp"
#include "core/fd.hpp"

namespace assay::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::chrono::milliseconds kQuiet(50);
constexpr std::chrono::seconds kLongest(1);
constexpr uint32_t kSaved = IN_CLOSE_WRITE | IN_MOVED_TO;
constexpr uint32_t kGone = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;

}  // namespace

Result<FileWatch> FileWatch::open(asio::any_io_executor executor, const std::vector<std::string>& files) {
  UniqueFd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!events) return fail_errno(ErrorKind::internal, "cannot watch files", errno);
  FileWatch watch(asio::posix::stream_descriptor(executor, events.release()));
  for (const auto& file : files) {
    ASSAY_OK(watch.watch_folder_of(file));
    // Behind a symbolic link the file that is saved is another.
    std::error_code error;
    const auto real = fs::canonical(file, error);
    if (!error && fs::is_symlink(file, error)) {
      ASSAY_OK(watch.watch_folder_of(real.string()));
    }
  }
  return watch;
}

Result<> FileWatch::watch_folder_of(const std::string& file) {
  const fs::path path(file);
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  const int watch = ::inotify_add_watch(events_.native_handle(), folder.c_str(), kSaved | kGone | IN_ONLYDIR);
  if (watch < 0) return fail_errno(ErrorKind::config, "cannot watch the folder " + folder, errno);
  names_[watch].insert(path.filename().string());
  return {};
}

Task<Result<>> FileWatch::changed() {
  auto first = co_await next_event();
  if (!first) co_return std::move(first);
  const Deadline latest = Clock::now() + kLongest;
  while (Clock::now() < latest) {
    auto more = co_await with_deadline(next_event(), Clock::now() + kQuiet);
    if (!more) break;
    if (!*more) co_return std::move(*more);
  }
  const bool cancelled = co_await is_cancelled();
  if (cancelled) co_return fail(ErrorKind::cancelled, "no longer watching");
  co_return Result<>();
}

Task<Result<>> FileWatch::next_event() {
  alignas(inotify_event) std::array<char, 8192> buffer{};
  for (;;) {
    const auto [error, size] =
        co_await events_.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    if (error) co_return fail(ErrorKind::cancelled, "no longer watching");
    const auto ours = is_ours(buffer.data(), buffer.data() + size);
    if (!ours) co_return std::unexpected(ours.error());
    if (*ours) co_return Result<>();
  }
}

Result<bool> FileWatch::is_ours(const char* begin, const char* end) const {
  bool ours = false;
  while (begin < end) {
    inotify_event event{};
    std::memcpy(&event, begin, sizeof event);
    const char* name = begin + sizeof event;
    begin = name + event.len;
    if ((event.mask & kGone) != 0) return fail(ErrorKind::config, "the folder of what is watched is gone");
    const auto names = names_.find(event.wd);
    const bool named = event.len > 0 && names != names_.end() && names->second.contains(name);
    ours = ours || named || (event.mask & IN_Q_OVERFLOW) != 0;
  }
  return ours;
}

}  // namespace assay::cli
