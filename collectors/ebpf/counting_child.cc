// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/counting_child.h"

#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>

namespace tidegauge {

namespace {

// Not the library's functions: a sanitizer's versions of these do more than the filter allows.
[[noreturn]] void leave() {
  while (true) {
    ::syscall(SYS_exit_group, 0);
  }
}

void close_range_of(unsigned first, unsigned last) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, first, last, 0) == 0) {  // since 5.9
    return;
  }
#endif
  constexpr unsigned kMost = 65'536;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (unsigned fd = first; fd <= last && fd < limit.rlim_cur && fd < kMost; ++fd) {
    ::syscall(SYS_close, fd);
  }
}

// The parent's output, sockets and files are not held open.
void close_all_but(int line) {
  const auto kept = static_cast<unsigned>(line);
  if (kept > 0) {
    close_range_of(0, kept - 1);
  }
  close_range_of(kept + 1, ~0U);
}

void keep_one_capability() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  data[0].effective = data[0].permitted = 1U << CAP_SYS_ADMIN;
  if (::syscall(SYS_capset, &header, data) != 0) {
    leave();
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    leave();
  }
}

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

int enable_statistics() {
  // Larger than the kernel's own: what it does not know has to be zero, as this is.
  bpf_attr attributes{};
  attributes.enable_stats.type = BPF_STATS_RUN_TIME;
  return static_cast<int>(::syscall(SYS_bpf, BPF_ENABLE_STATS, &attributes, sizeof(attributes)));
}

}  // namespace

void keep_few_calls() {
#if defined(__x86_64__) || defined(__aarch64__)
  static_assert(BPF_ENABLE_STATS == 32);
  constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
  constexpr std::uint16_t kEqual = BPF_JMP | BPF_JEQ | BPF_K;
  constexpr std::uint16_t kReturn = BPF_RET | BPF_K;
  constexpr std::uint32_t kCalls[] = {SYS_read, SYS_write,      SYS_close,
                                      SYS_exit, SYS_exit_group, SYS_rt_sigreturn};
  constexpr std::size_t kCount = sizeof(kCalls) / sizeof(kCalls[0]);
  constexpr std::size_t kKill = 4 + kCount;
  constexpr std::size_t kCommand = kKill + 1;
  constexpr std::size_t kAllow = kCommand + 3;
  sock_filter code[kAllow + 1] = {};
  const auto to = [](std::size_t target, std::size_t from) {
    return static_cast<std::uint8_t>(target - from - 1);
  };
  code[0] = {kLoad, 0, 0, offsetof(seccomp_data, arch)};
  code[1] = {kEqual, 0, to(kKill, 1), kArchitecture};
  code[2] = {kLoad, 0, 0, offsetof(seccomp_data, nr)};
  code[3] = {kEqual, to(kCommand, 3), 0, SYS_bpf};
  for (std::size_t i = 0; i < kCount; ++i) {
    code[4 + i] = {kEqual, to(kAllow, 4 + i), 0, kCalls[i]};
  }
  code[kKill] = {kReturn, 0, 0, SECCOMP_RET_KILL_PROCESS};
  // An int: the kernel looks at its lower half, which little-endian machines have first.
  code[kCommand] = {kLoad, 0, 0, offsetof(seccomp_data, args)};
  code[kCommand + 1] = {kEqual, 1, 0, BPF_ENABLE_STATS};
  code[kCommand + 2] = {kReturn, 0, 0, SECCOMP_RET_KILL_PROCESS};
  code[kAllow] = {kReturn, 0, 0, SECCOMP_RET_ALLOW};
  const sock_fprog program{.len = kAllow + 1, .filter = code};
  // Not seccomp(2), which the systemd unit does not allow.
  static_cast<void>(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
#endif
}

void serve_counting(int line, pid_t parent) {
  ::prctl(PR_SET_NAME, "bpf-stats");
  close_all_but(line);
  keep_one_capability();
  // A change of capabilities could undo it, so after that.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) {
    leave();
  }
  keep_few_calls();
  int statistics = -1;
  while (true) {
    char wanted = 0;
    const long got = ::syscall(SYS_read, line, &wanted, 1);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got != 1) {
      leave();
    }
    unsigned char error = 0;
    if (wanted == kCountingOn && statistics < 0) {
      statistics = enable_statistics();
      error = statistics < 0 ? static_cast<unsigned char>(errno) : 0;
    } else if (wanted == kCountingOff && statistics >= 0) {
      ::syscall(SYS_close, statistics);
      statistics = -1;
    }
    if (::syscall(SYS_write, line, &error, 1) != 1) {
      leave();
    }
  }
}

}  // namespace tidegauge
