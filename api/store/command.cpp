#include "api/store/command.hpp"

#include "core/log.hpp"

namespace assay::api {

Problem store_unavailable(const std::string& why) {
  return {503, "store_unavailable", "the store cannot do its work now: " + why};
}

Problem problem_from(const StoreError& error) {
  log::error("the store could not do its work", {{"error", error.what()}});
  if (error.kind() != StoreError::Kind::broken) return store_unavailable(error.what());
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

size_t CommandQueue::size() const {
  const std::lock_guard lock(mutex_);
  return commands_.size();
}

}  // namespace assay::api
