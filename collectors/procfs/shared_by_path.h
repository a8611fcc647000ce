// SPDX-License-Identifier: Apache-2.0
#pragma once

// Collectors that need the same kernel file meet here: whoever asks for a path while somebody still
// holds its T gets that T. Nothing is kept beyond its last holder. Thread-safe.

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace tidegauge {

template <class T>
class SharedByPath {
 public:
  // T is made from the path when nobody holds one.
  std::shared_ptr<T> get(const std::string& path) {
    const std::lock_guard lock(mutex_);
    std::erase_if(held_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<T>& slot = held_[path];
    std::shared_ptr<T> shared = slot.lock();
    if (!shared) {
      shared = std::make_shared<T>(path);
      slot = shared;
    }
    return shared;
  }

  // Null when nobody holds one.
  std::shared_ptr<T> find(const std::string& path) {
    const std::lock_guard lock(mutex_);
    const auto at = held_.find(path);
    return at == held_.end() ? nullptr : at->second.lock();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<T>> held_;
};

}  // namespace tidegauge
