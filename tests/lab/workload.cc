// SPDX-License-Identifier: Apache-2.0
//
// What the processes do that the lab looks at. Started under the name that its task is to have; each
// kind says "ready" when it has done its work and then waits to be killed; SIGUSR1 makes it busy a while.
//
//   NAME write FILE COUNT BYTES   half of it by a thread that ends, as many reads beside it
//   NAME exec FILE COUNT BYTES    the same, then a second thread calls exec: write again
//   NAME disk FILE MEBIBYTES      written to the disk and read back from it
//   NAME storm FILE COUNT BYTES   so many children, eight at once, each writes so much and ends
//   NAME spin MILLISECONDS        CPU time, in the kernel and out of it
//   NAME memory MEBIBYTES         anonymous, touched
//   NAME switch THREADS COUNT     each sleeps so many times
//   NAME files DIRECTORY COUNT    so many of each file operation by a thread, and what its own clock says
//   NAME churn DIRECTORY COUNT    so many files of each way to end
//   NAME syncers DIRECTORY THREADS COUNT  so many synchronisations by each of so many threads at once
//   NAME stuck                    in vfork(), whose child sleeps
//   NAME as USER COMMAND...       runs it as another user
//   NAME with CAPABILITY,... COMMAND...     runs it with none but these
//   NAME without CAPABILITY,... COMMAND...  runs it without these

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <latch>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "file_work.h"

namespace {

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

long cpu_milliseconds() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return used.tv_sec * 1000 + used.tv_nsec / 1'000'000;
}

void spin(long milliseconds) {
  const long end = cpu_milliseconds() + milliseconds;
  while (cpu_milliseconds() < end) {
    for (int i = 0; i < 100000; ++i) {
      asm volatile("");
    }
    for (int i = 0; i < 100; ++i) {
      static_cast<void>(::getppid());
    }
  }
}

// The daemon shows the busiest processes alone: this makes it one of them.
void be_noticed() { spin(150); }

[[noreturn]] void wait_for_the_end() {
  struct sigaction wake {};
  wake.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &wake, nullptr);
  std::puts("ready");
  std::fflush(stdout);
  while (true) {
    ::pause();
    be_noticed();
  }
}

void write_blocks(const char* file, int count, std::size_t bytes) {
  const int fd = ::open(file, O_CREAT | O_RDWR | O_TRUNC, 0600);
  if (fd < 0) {
    fail(file);
  }
  std::string block(bytes, 'x');
  for (int i = 0; i < count; ++i) {
    if (::write(fd, block.data(), bytes) != static_cast<ssize_t>(bytes) ||
        ::pread(fd, block.data(), bytes / 2, 0) != static_cast<ssize_t>(bytes / 2)) {
      fail("write");
    }
  }
  ::close(fd);
}

void write_in_two(char** argv) {
  const int count = std::atoi(argv[3]);
  const auto bytes = static_cast<std::size_t>(std::atol(argv[4]));
  std::thread([&] { write_blocks(argv[2], count / 2, bytes); }).join();
  write_blocks(argv[2], count - count / 2, bytes);
  be_noticed();
}

void write_and_read_back(const char* file, int mebibytes) {
  const int fd = ::open(file, O_CREAT | O_RDWR | O_TRUNC, 0600);
  if (fd < 0) {
    fail(file);
  }
  std::string block(1 << 20, 'x');
  for (int i = 0; i < mebibytes; ++i) {
    if (::write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      fail("write");
    }
  }
  if (::fsync(fd) != 0 || ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) {
    fail("fsync");
  }
  for (int i = 0; i < mebibytes; ++i) {
    if (::pread(fd, block.data(), block.size(), static_cast<off_t>(i) << 20) <= 0) {
      fail("read");
    }
  }
}

// The calling thread takes over the leader's number and start, its own past and the leader's stay.
void exec_from_thread(char** argv) {
  write_in_two(argv);
  std::thread([&] {
    write_blocks(argv[2], 3, 5000);
    ::execl("/proc/self/exe", argv[0], "write", argv[2], argv[3], argv[4], nullptr);
    fail("exec");
  }).join();
}

void storm(const char* file, int count, std::size_t bytes) {
  int live = 0;
  for (int i = 0; i < count; ++i) {
    const pid_t pid = ::fork();
    if (pid < 0) {
      fail("fork");
    }
    if (pid == 0) {
      const int fd =
          ::open((file + std::to_string(i % 8)).c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
      const std::string block(bytes, 'x');
      ::_exit(::write(fd, block.data(), bytes) == static_cast<ssize_t>(bytes) ? 0 : 1);
    }
    for (++live; live >= 8 || (i + 1 == count && live > 0); --live) {
      int status = 0;
      if (::wait(&status) < 0 || status != 0) {
        fail("child");
      }
    }
  }
}

void touch_memory(std::size_t bytes) {
  auto* memory = static_cast<char*>(
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) {
    fail("mmap");
  }
  for (std::size_t i = 0; i < bytes; i += 4096) {
    memory[i] = 1;
  }
}

void switch_often(int threads, int count) {
  static std::latch done(threads);
  for (int i = 0; i < threads; ++i) {
    std::thread([=] {
      for (int n = 0; n < count; ++n) {
        ::usleep(1000);
      }
      done.count_down();
      while (true) {
        ::pause();
      }
    }).detach();
  }
  done.wait();
  be_noticed();
}

void limit_capabilities(std::string_view numbers, bool keep) {
  std::set<int> named;
  for (const char* at = numbers.data(); *at != '\0';) {
    char* end = nullptr;
    named.insert(static_cast<int>(std::strtol(at, &end, 10)));
    at = *end == ',' ? end + 1 : end;
  }
  for (int i = 0; ::prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; ++i) {
    if (named.contains(i) != keep && ::prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0) {
      fail("prctl");
    }
  }
}

[[noreturn]] void run(char** argv) {
  ::execvp(argv[0], argv);
  fail(argv[0]);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "";
  if (kind == "write" && argc == 5) {
    write_in_two(argv);
  } else if (kind == "exec" && argc == 5) {
    exec_from_thread(argv);
  } else if (kind == "disk" && argc == 4) {
    write_and_read_back(argv[2], std::atoi(argv[3]));
  } else if (kind == "storm" && argc == 5) {
    storm(argv[2], std::atoi(argv[3]), static_cast<std::size_t>(std::atol(argv[4])));
  } else if (kind == "spin" && argc == 3) {
    spin(std::atol(argv[2]));
  } else if (kind == "memory" && argc == 3) {
    touch_memory(static_cast<std::size_t>(std::atol(argv[2])) << 20);
  } else if (kind == "switch" && argc == 4) {
    switch_often(std::atoi(argv[2]), std::atoi(argv[3]));
  } else if (kind == "files" && argc == 4) {
    work_on_files(argv[2], std::atoi(argv[3]));
  } else if (kind == "churn" && argc == 4) {
    churn_files(argv[2], std::atoi(argv[3]));
  } else if (kind == "syncers" && argc == 5) {
    sync_at_once(argv[2], std::atoi(argv[3]), std::atoi(argv[4]));
  } else if (kind == "stuck") {
    std::puts("ready");
    std::fflush(stdout);
    if (::vfork() == 0) {
      ::sleep(120);
      ::_exit(0);
    }
  } else if (kind == "as" && argc > 3) {
    const auto user = static_cast<uid_t>(std::atoi(argv[2]));
    if (::setgid(user) != 0 || ::setuid(user) != 0) {
      fail("setuid");
    }
    run(argv + 3);
  } else if ((kind == "with" || kind == "without") && argc > 3) {
    limit_capabilities(argv[2], kind == "with");
    run(argv + 3);
  } else {
    std::fprintf(stderr, "%s: what shall it do?\n", argv[0]);
    return 2;
  }
  wait_for_the_end();
}
