// SPDX-License-Identifier: Apache-2.0
#include "file_work.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
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

}  // namespace

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
