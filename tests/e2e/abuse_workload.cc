// SPDX-License-Identifier: Apache-2.0
//
// What tests/e2e/process_abuse_test.py lets loose on the host. Every mode says "ready" or "done", waits until
// its standard input ends, and leaves no child behind: the machine's init may reap late or never.
//
//   bomb NAME COUNT                 so many children, each gone at once; with NAME "*" each under a name of its
//                                   own
//   write NAME DIR COUNT BYTES      so many children, each writes so many bytes to a file and is gone;
//                                   "done SLOW": how many lived for more than 50 ms
//   names COUNT                     so many children that live, each under a name of hostile bytes
//   count NAME                      "ready", writes to /dev/null until a line comes, says how many bytes
//   leaderless NAME                 its main thread ends at once, another one does as "count" does
//   lock NAME FILE COUNT            so many children whose mmap lock somebody holds: "mapped", then a line on
//                                   standard input, then "ready". FILE's server must not answer reads from
//                                   that line on.

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kAtOnce = 8;

void say(const std::string& text) {
  std::puts(text.c_str());
  std::fflush(stdout);
}

void wait_for_end() {
  while (std::getchar() != EOF) {
  }
}

void set_name(const char* name) { ::prctl(PR_SET_NAME, name, 0, 0, 0); }

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void sleep_for_good() {
  while (true) {
    ::pause();
  }
}

// A child dies with its parent.
pid_t fork_one(pid_t parent) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
      ::_exit(1);
    }
  }
  if (pid < 0) {
    std::perror("fork");
    std::exit(1);
  }
  return pid;
}

void end_all(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) {
    ::kill(pid, SIGKILL);
  }
  while (::wait(nullptr) > 0) {
  }
}

int bomb(int count, bool own_names) {
  std::size_t live = 0;
  for (int i = 0; i < count; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (own_names) {
        set_name(("\xffn\n" + std::to_string(i)).c_str());
      }
      ::_exit(0);
    }
    if (pid < 0) {  // the pid namespace is full: what ends makes room
      --i;
    }
    live += pid > 0 ? 1 : 0;
    while (live >= kAtOnce || (pid < 0 && live > 0)) {
      ::wait(nullptr);
      --live;
      if (pid < 0) {
        break;
      }
    }
  }
  while (::wait(nullptr) > 0) {
  }
  say("done");
  wait_for_end();
  return 0;
}

int write_and_go(const std::string& directory, int count, std::size_t bytes) {
  const std::vector<char> block(bytes, 'x');
  std::map<pid_t, std::int64_t> born;
  int slow = 0;
  int failed = 0;
  const auto reap = [&] {
    int status = 0;
    const pid_t pid = ::wait(&status);
    slow += now_ns() - born[pid] > 50'000'000 ? 1 : 0;
    failed += status != 0 ? 1 : 0;
    born.erase(pid);
  };
  for (int i = 0; i < count; ++i) {
    const std::string file = directory + "/" + std::to_string(i % 64);
    const std::int64_t begin = now_ns();
    const pid_t pid = ::fork();
    if (pid == 0) {
      const int fd = ::open(file.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
      ::_exit(::write(fd, block.data(), bytes) == static_cast<ssize_t>(bytes) ? 0 : 1);
    }
    if (pid < 0) {
      std::perror("fork");
      return 1;
    }
    born[pid] = begin;
    while (born.size() >= 2) {
      reap();
    }
  }
  while (!born.empty()) {
    reap();
  }
  say((failed == 0 ? "done " : "failed ") + std::to_string(slow));
  wait_for_end();
  return failed != 0 ? 1 : 0;
}

std::string hostile_name(std::mt19937& random, int number) {
  constexpr std::string_view kFirst[] = {"a\nb", "q\"",       "\\",  "\xff\xfe", ") R 1 (",
                                         "",     "{x=\"1\"}", "\\n", "# HELP",   "other"};
  if (static_cast<std::size_t>(number) < std::size(kFirst)) {
    return std::string(kFirst[number]);
  }
  std::string name;
  for (int i = 0; i < 15; ++i) {
    name.push_back(static_cast<char>(1 + random() % 255));
  }
  return name;
}

int names(int count) {
  std::mt19937 random(7);
  const pid_t self = ::getpid();
  std::vector<pid_t> pids;
  int ready[2];
  if (::pipe(ready) != 0) {
    return 1;
  }
  for (int i = 0; i < count; ++i) {
    const std::string name = hostile_name(random, i);
    const pid_t pid = fork_one(self);
    if (pid == 0) {
      set_name(name.c_str());
      ::_exit(::write(ready[1], "x", 1) == 1 ? (sleep_for_good(), 0) : 1);
    }
    pids.push_back(pid);
  }
  for (int i = 0; i < count; ++i) {
    char one = 0;
    if (::read(ready[0], &one, 1) != 1) {
      return 1;
    }
  }
  say("ready");
  wait_for_end();
  end_all(pids);
  return 0;
}

int count() {
  const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  const std::vector<char> block(1024, 'x');
  say("ready");
  std::uint64_t written = 0;
  pollfd input{.fd = 0, .events = POLLIN, .revents = 0};
  while (::poll(&input, 1, 1) == 0) {
    written += ::write(fd, block.data(), block.size()) > 0 ? block.size() : 0;
  }
  say(std::to_string(written));
  wait_for_end();
  return 0;
}

[[noreturn]] void leaderless() {
  pthread_t thread{};
  ::pthread_create(
      &thread, nullptr, [](void*) -> void* { std::exit(count()); }, nullptr);
  ::pthread_exit(nullptr);
}

// A read of /proc/self/mem faults without FAULT_FLAG_ALLOW_RETRY and so keeps the mmap lock for reading
// while it waits for the page (mm/memory.c, __access_remote_vm).
void* hold_lock(void* page) {
  const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  char byte = 0;
  const ssize_t got =
      ::pread(memory, &byte, 1, static_cast<off_t>(reinterpret_cast<std::intptr_t>(page)));
  return reinterpret_cast<void*>(got);
}

// Who wants the lock for writing makes later readers wait.
[[noreturn]] void lock_oneself(void* page) {
  pthread_t thread{};
  ::pthread_create(&thread, nullptr, hold_lock, page);
  ::usleep(100'000);
  static_cast<void>(::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  sleep_for_good();
}

int lock(const char* file, int count) {
  const int fd = ::open(file, O_RDONLY | O_CLOEXEC);
  void* const page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) {
    std::perror(file);
    return 1;
  }
  say("mapped");
  if (std::getchar() == EOF) {
    return 1;
  }
  const pid_t self = ::getpid();
  std::vector<pid_t> pids;
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork_one(self);
    if (pid == 0) {
      lock_oneself(page);
    }
    pids.push_back(pid);
  }
  ::usleep(300'000);
  say("ready");
  wait_for_end();
  end_all(pids);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "names" && argc == 3) {
    return names(std::atoi(argv[2]));
  }
  if (argc > 2) {
    set_name(argv[2]);
  }
  if (mode == "bomb" && argc == 4) {
    return bomb(std::atoi(argv[3]), std::string_view(argv[2]) == "*");
  }
  if (mode == "write" && argc == 6) {
    return write_and_go(argv[3], std::atoi(argv[4]), std::strtoull(argv[5], nullptr, 10));
  }
  if (mode == "count" && argc == 3) {
    return count();
  }
  if (mode == "leaderless" && argc == 3) {
    leaderless();
  }
  if (mode == "lock" && argc == 5) {
    return lock(argv[3], std::atoi(argv[4]));
  }
  std::fputs("usage: see the top of abuse_workload.cc\n", stderr);
  return 2;
}
