// SPDX-License-Identifier: Apache-2.0
//
// A crowd that does nothing: `idle_processes PROCESSES [THREADS]` forks so many processes with so many
// threads each, says "ready" and kills them all once its standard input ends.

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

void* sleep_for_good(void*) {
  while (true) {
    ::pause();
  }
}

[[noreturn]] void child(int threads, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) {
    ::_exit(0);
  }
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, 16384);
  for (int i = 1; i < threads; ++i) {
    pthread_t thread{};
    if (::pthread_create(&thread, &attributes, sleep_for_good, nullptr) != 0) {
      ::_exit(1);
    }
  }
  sleep_for_good(nullptr);
  ::_exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  const int processes = argc > 1 ? std::atoi(argv[1]) : 1000;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1;
  const pid_t self = ::getpid();
  std::vector<pid_t> pids;
  bool complete = true;
  for (int i = 0; i < processes; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      child(threads, self);
    }
    if (pid < 0) {
      std::perror("fork");
      complete = false;
      break;
    }
    pids.push_back(pid);
  }
  std::puts(complete ? "ready" : "incomplete");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  for (const pid_t pid : pids) {
    ::kill(pid, SIGKILL);
  }
  while (::wait(nullptr) > 0) {
  }
  return complete ? 0 : 1;
}
