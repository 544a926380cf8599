// A map with a bound: what was not used for longest makes room.
#pragma once

#include <list>
#include <string>
#include <unordered_map>
#include <utility>

namespace assay::api {

/// Not thread-safe.
template <class Value>
class Lru {
 public:
  explicit Lru(size_t most) : most_(most) {}

  /// Counts as a use. Null: not there. Valid until the next put().
  Value* find(const std::string& key) {
    const auto it = places_.find(key);
    if (it == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, it->second);
    return &it->second->second;
  }
  Value& put(const std::string& key, Value value) {
    if (Value* const present = find(key)) return *present = std::move(value);
    if (entries_.size() >= most_) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, std::move(value));
    places_[key] = entries_.begin();
    return entries_.front().second;
  }
  void erase(const std::string& key) {
    const auto it = places_.find(key);
    if (it == places_.end()) return;
    entries_.erase(it->second);
    places_.erase(it);
  }
  size_t size() const { return entries_.size(); }

 private:
  size_t most_;
  std::list<std::pair<std::string, Value>> entries_;  // used last in front
  std::unordered_map<std::string, typename std::list<std::pair<std::string, Value>>::iterator> places_;
};

}  // namespace assay::api
