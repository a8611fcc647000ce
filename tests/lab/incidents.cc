// SPDX-License-Identifier: Apache-2.0
// What the programs of record_cases.py do where no real program does it: until somebody ends them.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kPageBytes = 4096;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

double seconds_since(steady_clock::time_point begin) {
  return duration<double>(steady_clock::now() - begin).count();
}

char* map_memory(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    fail("mmap");
  }
  return static_cast<char*>(memory);
}

void touch(char* memory, std::size_t bytes, char value) {
  for (std::size_t i = 0; i < bytes; i += kPageBytes) {
    memory[i] = value;
  }
}

[[noreturn]] void hold(std::size_t bytes) {
  touch(map_memory(bytes), bytes, 1);
  while (true) {
    ::pause();
  }
}

// Small pieces that nobody frees; a library's strings.
[[noreturn]] void leak(double bytes_per_second) {
  std::minstd_rand random(1);
  const auto begin = steady_clock::now();
  for (double lost = 0;; std::this_thread::sleep_for(milliseconds(20))) {
    while (lost < bytes_per_second * seconds_since(begin)) {
      const std::size_t bytes = 40 + random() % 3000;
      auto* piece = static_cast<char*>(std::malloc(bytes));
      if (piece == nullptr) {
        fail("malloc");
      }
      std::memset(piece, 'x', bytes);
      lost += static_cast<double>(bytes);
    }
  }
}

// Grows fast, then slower, and levels off: a cache that fills.
[[noreturn]] void warm_up(std::size_t bytes, double time_constant_seconds) {
  char* memory = map_memory(bytes);
  const auto begin = steady_clock::now();
  for (std::size_t done = 0;; std::this_thread::sleep_for(milliseconds(50))) {
    const double share = 1 - std::exp(-seconds_since(begin) / time_constant_seconds);
    const auto wanted = static_cast<std::size_t>(static_cast<double>(bytes) * share);
    for (; done < wanted; done += kPageBytes) {
      memory[done] = 1;
    }
  }
}

// Uses all of its memory again and again, at random.
[[noreturn]] void work_on(std::size_t bytes) {
  char* memory = map_memory(bytes);
  std::minstd_rand random(1);
  touch(memory, bytes, 1);
  while (true) {
    memory[random() % (bytes / kPageBytes) * kPageBytes] += 1;
  }
}

// Takes memory as fast as it can, gives it back, and again.
[[noreturn]] void allocate(std::size_t bytes) {
  while (true) {
    char* memory = map_memory(bytes);
    touch(memory, bytes, 1);
    ::munmap(memory, bytes);
    std::this_thread::sleep_for(milliseconds(300));
  }
}

[[noreturn]] void spin(int threads) {
  for (int i = 0; i < threads; ++i) {
    std::thread([i] {
      std::ofstream("/proc/thread-self/comm") << "spinner-" << i;
      while (true) {
        asm volatile("");
      }
    }).detach();
  }
  while (true) {
    ::pause();
  }
}

// Each block is looked at twice, as by who checks a block and then uses it: so its pages count as used.
[[noreturn]] void stream(char** files, int count) {
  std::string block(256 << 10, '\0');
  for (int i = 0;; i = (i + 1) % count) {
    const int fd = ::open(files[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      fail(files[i]);
    }
    for (off_t at = 0; ::pread(fd, block.data(), block.size(), at) > 0;
         at += static_cast<off_t>(block.size())) {
    }
    ::close(fd);
  }
}

// Runs through a mapped file as a program through its code: here and there, all the time.
[[noreturn]] void use_mapping(const char* file, int pages_per_second) {
  const int fd = ::open(file, O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    fail(file);
  }
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    fail("mmap");
  }
  ::madvise(memory, bytes, MADV_RANDOM);
  const auto* text = static_cast<const volatile char*>(memory);
  std::minstd_rand random(static_cast<unsigned>(::getpid()));
  int sum = 0;
  while (true) {
    const auto begin = steady_clock::now();
    for (int i = 0; i < pages_per_second / 20; ++i) {
      sum += text[random() % (bytes / kPageBytes) * kPageBytes];
    }
    std::this_thread::sleep_until(begin + milliseconds(50));
  }
}

// Direct writes, one after the other, for some ms in every so many.
[[noreturn]] void bursts(const char* file, int on_milliseconds, int every_milliseconds) {
  constexpr std::size_t kBlock = 16 << 10;
  constexpr int kBlocks = 1024;
  const int fd = ::open(file, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  void* block = std::aligned_alloc(kPageBytes, kBlock);
  if (fd < 0 || block == nullptr) {
    fail(file);
  }
  std::memset(block, 'm', kBlock);
  auto next = steady_clock::now();
  for (int at = 0;; next += milliseconds(every_milliseconds)) {
    std::this_thread::sleep_until(next);
    while (steady_clock::now() < next + milliseconds(on_milliseconds)) {
      if (::pwrite(fd, block, kBlock, static_cast<off_t>(at) * static_cast<off_t>(kBlock)) < 0) {
        fail("pwrite");
      }
      at = (at + 1) % kBlocks;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "";
  const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
  if (kind == "hold" && argc == 3) {
    hold(number(2) << 20);
  } else if (kind == "leak" && argc == 3) {
    leak(static_cast<double>(number(2)) * 1024);
  } else if (kind == "warmup" && argc == 4) {
    warm_up(number(2) << 20, static_cast<double>(number(3)));
  } else if (kind == "workingset" && argc == 3) {
    work_on(number(2) << 20);
  } else if (kind == "allocate" && argc == 3) {
    allocate(number(2) << 20);
  } else if (kind == "spin" && argc == 3) {
    spin(static_cast<int>(number(2)));
  } else if (kind == "stream" && argc > 2) {
    stream(argv + 2, argc - 2);
  } else if (kind == "mapping" && argc == 4) {
    use_mapping(argv[2], static_cast<int>(number(3)));
  } else if (kind == "bursts" && argc == 5) {
    bursts(argv[2], static_cast<int>(number(3)), static_cast<int>(number(4)));
  }
  std::fprintf(stderr, "%s: what shall it do?\n", argv[0]);
  return 2;
}
