// SPDX-License-Identifier: Apache-2.0
//
// Nanoseconds per system call: getppid(), and read() of one byte from a file in the page cache. Prints
// "getppid NS read NS": of several rounds the fastest, which is the one that was disturbed least.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kRounds = 12, kCalls = 200 * 1000 };

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char** argv) {
  const int fd = open(argc > 1 ? argv[1] : argv[0], O_RDONLY);
  if (fd < 0) {
    perror("open");
    return 1;
  }
  double best_getppid = 1e9;
  double best_read = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    double begin = now_ns();
    for (int i = 0; i < kCalls; ++i) {
      syscall(SYS_getppid);
    }
    const double getppid_ns = (now_ns() - begin) / kCalls;
    char byte;
    begin = now_ns();
    for (int i = 0; i < kCalls; ++i) {
      if (pread(fd, &byte, 1, 0) != 1) {
        perror("pread");
        return 1;
      }
    }
    const double read_ns = (now_ns() - begin) / kCalls;
    best_getppid = getppid_ns < best_getppid ? getppid_ns : best_getppid;
    best_read = read_ns < best_read ? read_ns : best_read;
  }
  printf("getppid %.1f read %.1f\n", best_getppid, best_read);
  return 0;
}
