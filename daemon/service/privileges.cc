// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/privileges.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdint>
#include <span>

namespace tidegauge {

namespace {

struct UsedCapability {
  unsigned capability;
  const char* missing;
};

// Every capability that is kept, and why. The systemd unit grants the same ones, and CAP_SYS_ADMIN, which is
// used before (collectors/ebpf/run_time_counting.h).
constexpr UsedCapability kUsed[] = {
    {CAP_DAC_READ_SEARCH,
     "CAP_DAC_READ_SEARCH: /proc/slabinfo (0400) and unreadable files and mount points stay "
     "unseen"},
    {CAP_SYS_PTRACE,
     "CAP_SYS_PTRACE: I/O, executables and wait channels of other users' processes stay unseen"},
    {CAP_BPF,
     "CAP_BPF: processes are read from /proc, which costs more and misses short-lived ones"},
    {CAP_PERFMON,
     "CAP_PERFMON: processes are read from /proc, which costs more and misses short-lived ones"},
};

}  // namespace

std::vector<std::string> missing_privileges() {
  std::vector<std::string> missing;
  if (capng_get_caps_process() != 0) {
    return missing;
  }
  for (const UsedCapability& used : kUsed) {
    if (capng_have_capability(CAPNG_EFFECTIVE, used.capability) == 0) {
      missing.emplace_back(used.missing);
    }
  }
  return missing;
}

std::string drop_capabilities() {
  if (capng_get_caps_process() != 0) {
    return "cannot read the process's capabilities";
  }
  const auto permitted = [](unsigned capability) {
    return capng_have_capability(CAPNG_PERMITTED, capability) != 0;
  };
  bool keep[CAP_LAST_CAP + 1] = {};
  for (const UsedCapability& used : kUsed) {
    keep[used.capability] = permitted(used.capability);
  }
  bool surplus = false;
  for (unsigned capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    surplus = surplus || (permitted(capability) && !keep[capability]);
  }
  if (!surplus) {
    return "";
  }
  // The bounding set can only be lowered by who may set capabilities.
  const bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  const capng_select_t which = bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS;
  capng_clear(which);
  for (unsigned capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if (keep[capability]) {
      capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                   capability);
      if (bounds) {
        capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, capability);
      }
    }
  }
  return capng_apply(which) == 0 ? "" : "the kernel refused";
}

bool lock_memory() {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  // Needs CAP_SYS_RESOURCE unless the unit says LimitMEMLOCK=infinity.
  static_cast<void>(::setrlimit(RLIMIT_MEMLOCK, &limit));
  // With a finite limit a later thread's stack could not be mapped: rather not lock at all.
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) {
    return false;
  }
  // On fault: locking everything mapped would make 29 MB resident, two thirds of it never used.
  return ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

void release_startup_pages() {
  const auto release = [](dl_phdr_info* object, std::size_t, void*) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (const ElfW(Phdr) & segment : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
      // Nobody writes to these. What was relocated stands in a segment that can be written to, and would be lost.
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) {
        continue;
      }
      const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
      const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
      void* const address = std::bit_cast<void*>(begin);
      // Locked pages stay; where none may be locked that does nothing. The vdso refuses both.
      static_cast<void>(::munlock(address, end - begin));
      static_cast<void>(::madvise(address, end - begin, MADV_DONTNEED));
    }
    return 0;
  };
  ::dl_iterate_phdr(release, nullptr);
}

void open_standard_streams() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) {
    ::close(fd);
  }
}

void tame_allocator() {
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 256 * 1024);
  // Bodies come and go with each Snapshot; as mappings of their own they leave no holes.
  ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
}

}  // namespace tidegauge
