// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/timed_reader.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace tidegauge {

namespace {

Result<std::string> read_some(const std::string& path, std::size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    return system_error(errno, path);
  }
  std::string text(max_bytes, '\0');
  std::size_t size = 0;
  while (size < max_bytes) {
    const ssize_t got = ::read(fd, text.data() + size, max_bytes - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      return system_error(error, path);
    }
    if (got == 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  ::close(fd);
  text.resize(size);
  return text;
}

}  // namespace

struct TimedReader::Shared {
  Read read;
  std::atomic<int> stuck = 0;
};

struct TimedReader::Worker {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<std::pair<std::string, std::size_t>> order;
  std::optional<Result<std::string>> answer;
  bool left = false;  // nobody waits any more

  void main(Shared& shared) {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return order.has_value() || left; });
      if (!order) {
        return;
      }
      const auto [path, max_bytes] = *std::exchange(order, std::nullopt);
      lock.unlock();
      auto text = shared.read(path, max_bytes);
      lock.lock();
      if (left) {
        --shared.stuck;
        return;
      }
      answer = std::move(text);
      changed.notify_all();
    }
  }
};

TimedReader::TimedReader() : TimedReader(read_some) {}

TimedReader::TimedReader(Read read) : shared_(std::make_shared<Shared>()) {
  shared_->read = std::move(read);
}

TimedReader::~TimedReader() {
  if (worker_ != nullptr) {
    const std::lock_guard lock(worker_->mutex);
    worker_->left = true;
    worker_->changed.notify_all();
  }
}

Result<std::string> TimedReader::read(const std::string& path, std::size_t max_bytes,
                                      std::int64_t limit_ns) {
  const auto timeout = [&] {
    return tl::make_unexpected(Error{ErrorKind::kTimeout, 0, path + " does not answer"});
  };
  if (worker_ == nullptr) {
    if (shared_->stuck >= kMaxStuck) {
      return timeout();
    }
    auto worker = std::make_shared<Worker>();
    try {
      std::thread([worker, shared = shared_] {
        ::pthread_setname_np(::pthread_self(), "reader");
        worker->main(*shared);
      }).detach();
    } catch (const std::system_error& e) {
      return tl::make_unexpected(Error{ErrorKind::kIo, e.code().value(), "a thread to read with"});
    }
    worker_ = std::move(worker);
  }
  std::unique_lock lock(worker_->mutex);
  worker_->order = {path, max_bytes};
  worker_->changed.notify_all();
  const bool answered = worker_->changed.wait_for(lock, std::chrono::nanoseconds(limit_ns),
                                                  [&] { return worker_->answer.has_value(); });
  if (answered) {
    return *std::exchange(worker_->answer, std::nullopt);
  }
  worker_->left = true;
  ++shared_->stuck;
  lock.unlock();
  worker_.reset();
  return timeout();
}

}  // namespace tidegauge
