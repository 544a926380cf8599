#include "api/store/sqlite_command.hpp"

#include "core/log.hpp"

namespace assay::api {

Problem problem_from(const SqliteError& error) {
  log::error("the store could not do its work", {{"error", error.what()}});
  const int code = error.code() & 0xff;
  const bool passing =
      code == SQLITE_FULL || code == SQLITE_BUSY || code == SQLITE_IOERR || code == SQLITE_NOMEM;
  if (passing)
    return {503, "store_unavailable", std::string("the store cannot be written now: ") + error.what()};
  return {500, "internal", "the store failed; its log says how"};
}

bool CommandQueue::push(std::unique_ptr<Command>& command) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || commands_.size() >= capacity_) return false;
    commands_.push_back(std::move(command));
  }
  filled_.notify_one();
  return true;
}

std::vector<std::unique_ptr<Command>> CommandQueue::pop(size_t most) {
  std::unique_lock lock(mutex_);
  filled_.wait(lock, [this] { return closed_ || !commands_.empty(); });
  std::vector<std::unique_ptr<Command>> taken;
  while (!commands_.empty() && taken.size() < most) {
    taken.push_back(std::move(commands_.front()));
    commands_.pop_front();
  }
  return taken;
}

void CommandQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  filled_.notify_all();
}

}  // namespace assay::api
