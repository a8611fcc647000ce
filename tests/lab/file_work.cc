// SPDX-License-Identifier: Apache-2.0
#include "file_work.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kBlockBytes = 4096;

struct Total {
  int count = 0;
  std::int64_t ns = 0;
};
std::map<std::string, Total> totals;

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// Its outcome is what the call returns, below 0 when it failed.
template <class Call>
long timed(const char* operation, Call call) {
  const std::int64_t begin_ns = now_ns();
  const long outcome = static_cast<long>(call());
  Total& total = totals[operation];
  total.ns += now_ns() - begin_ns;
  ++total.count;
  if (outcome < 0) {
    std::perror(operation);
    std::exit(1);
  }
  return outcome;
}

void create_rename_unlink(const std::string& directory, int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    names.push_back(directory + "/tmp." + std::to_string(1000 + i));
    const auto fd = static_cast<int>(timed(
        "create", [&] { return ::open(names.back().c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600); }));
    const std::string block(kBlockBytes, 'x');
    timed("write", [&] { return ::write(fd, block.data(), block.size()); });
    ::close(fd);
  }
  for (std::string& name : names) {
    const std::string other = name + ".renamed";
    timed("rename", [&] { return ::rename(name.c_str(), other.c_str()); });
    name = other;
  }
  for (const std::string& name : names) {
    timed("unlink", [&] { return ::unlink(name.c_str()); });
  }
}

void sync_one_file(const std::string& directory, int count) {
  const std::string name = directory + "/journal";
  const int fd = ::open(name.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600);
  std::string block(kBlockBytes, 'x');
  if (fd < 0 || ::write(fd, block.data(), block.size()) < 0) {
    std::perror(name.c_str());
    std::exit(1);
  }
  void* mapped = ::mmap(nullptr, kBlockBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  for (int i = 0; i < count; ++i) {
    timed("write", [&] { return ::pwrite(fd, block.data(), block.size(), 0); });
    timed("fsync", [&] { return ::fsync(fd); });
    timed("write", [&] { return ::pwrite(fd, block.data(), block.size(), 0); });
    timed("fdatasync", [&] { return ::fdatasync(fd); });
    static_cast<char*>(mapped)[0] = static_cast<char>(i);
    timed("msync", [&] { return ::msync(mapped, kBlockBytes, MS_SYNC); });
  }
  for (int i = 0; i < count; ++i) {
    timed("read", [&] { return ::pread(fd, block.data(), block.size(), 0); });
  }
  ::munmap(mapped, kBlockBytes);
  ::close(fd);
}

int new_file(const std::string& path, std::size_t bytes, int flags = O_CREAT | O_EXCL) {
  const int fd = ::open(path.c_str(), flags | O_WRONLY, 0600);
  const std::string data(bytes, 'x');
  if (fd < 0 || ::write(fd, data.data(), bytes) != static_cast<ssize_t>(bytes)) {
    std::perror(path.c_str());
    std::exit(1);
  }
  return fd;
}

void expect_done(int result, const char* what) {
  if (result != 0) {
    std::perror(what);
    std::exit(1);
  }
}

}  // namespace

void churn_files(const char* directory, int count) {
  constexpr std::size_t kReplacedBytes = 1000;
  constexpr std::size_t kReplacingBytes = 2000;
  constexpr std::size_t kOpenBytes = 3000;
  constexpr std::size_t kLinkedBytes = 500;
  constexpr std::size_t kNamelessBytes = 700;
  for (int i = 0; i < count; ++i) {
    const std::string base = std::string(directory) + "/churn";
    ::mkdir(base.c_str(), 0700);
    const std::string path = base + "/f" + std::to_string(1000 + i);
    // Another takes its name.
    ::close(new_file(path, kReplacedBytes));
    ::close(new_file(path + ".new", kReplacingBytes));
    expect_done(::rename((path + ".new").c_str(), path.c_str()), "rename");
    expect_done(::unlink(path.c_str()), "unlink");
    // In use beyond its name.
    const int open_fd = new_file(path, kOpenBytes);
    expect_done(::unlink(path.c_str()), "unlink");
    ::close(open_fd);
    // Of two names.
    const std::string other = path + ".other";
    ::close(new_file(path, kLinkedBytes));
    expect_done(::link(path.c_str(), other.c_str()), "link");
    expect_done(::unlink(path.c_str()), "unlink");
    expect_done(::unlink(other.c_str()), "unlink");
    // Of none at all.
    ::close(new_file(base, kNamelessBytes, O_TMPFILE));
  }
  std::printf(R"({"created": %d, "deleted": %d, "bytes": %zu})"
              "\n",
              5 * count, 5 * count,
              static_cast<std::size_t>(count) *
                  (kReplacedBytes + kReplacingBytes + kOpenBytes + kLinkedBytes + kNamelessBytes));
}

void sync_at_once(const char* directory, int threads, int count) {
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([directory, i, count] {
      const int fd =
          new_file(std::string(directory) + "/sync" + std::to_string(i), kBlockBytes, O_CREAT);
      for (int done = 0; done < count; ++done) {
        const char byte = 'y';
        if (::pwrite(fd, &byte, 1, done) != 1 || ::fsync(fd) != 0) {
          std::perror("fsync");
          std::exit(1);
        }
      }
      ::close(fd);
    });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
}

void work_on_files(const char* directory, int count) {
  std::thread worker([&] {
    ::pthread_setname_np(::pthread_self(), "labthread");
    sync_one_file(directory, count);
    create_rename_unlink(directory, count);
  });
  worker.join();
  const char* separator = "{";
  for (const auto& [operation, total] : totals) {
    std::printf("%s\"%s\": {\"count\": %d, \"ns\": %lld}", separator, operation.c_str(),
                total.count, static_cast<long long>(total.ns));
    separator = ", ";
  }
  std::printf("}\n");
}
