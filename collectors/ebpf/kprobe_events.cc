// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/kprobe_events.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/ebpf/owner_maps.h"
#include "collectors/ebpf/program_source.h"

namespace tidegauge {

namespace {

constexpr std::string_view kKprobeFolder = "bus/event_source/devices/kprobe/";

struct Events {
  std::mutex mutex;
  std::map<std::string, int, std::less<>> fds;  // by object and program
  std::vector<std::pair<std::string, std::vector<ProbedFunction>>> refused;  // by object
};

// Never destroyed: a worker may let go of its programs while the process ends.
Events& events() {
  static auto* const kEvents = new Events();
  return *kEvents;
}

std::string key_of(std::string_view object, std::string_view program) {
  return std::string(object) + '/' + std::string(program);
}

// The bit of perf_event_attr.config that asks for the function's end, told as "config:0".
std::uint64_t return_bit(const KernelFiles& files) {
  const auto told = read_attribute(files.sys(std::string(kKprobeFolder) + "format/retprobe"));
  constexpr std::string_view kPrefix = "config:";
  if (!told || !told->starts_with(kPrefix)) {
    return 1;
  }
  const auto bit = parse_unsigned(std::string_view(*told).substr(kPrefix.size()));
  return bit && *bit < 64 ? std::uint64_t{1} << *bit : 1;
}

int open_kprobe(std::uint64_t type, std::uint64_t config, const std::string& function) {
  perf_event_attr attributes{};
  attributes.size = sizeof(attributes);
  attributes.type = static_cast<std::uint32_t>(type);
  attributes.config = config;
  attributes.kprobe_func = reinterpret_cast<std::uint64_t>(function.c_str());
  // Of one CPU; its program runs on all.
  return static_cast<int>(
      ::syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC));
}

}  // namespace

void open_kprobes(const KernelFiles& files, std::string_view object,
                  std::span<const ProbedFunction> functions) {
  const auto type = read_unsigned_attribute(files.sys(std::string(kKprobeFolder) + "type"));
  if (!type || highest_tier() > Tier::kKprobe) {
    return;
  }
  const bool is_needed =
      highest_tier() == Tier::kKprobe || !trampolines_refused(files.roots().btf).empty();
  const std::uint64_t at_return = return_bit(files);
  const std::lock_guard lock(events().mutex);
  if (!is_needed) {
    events().refused.emplace_back(object, std::vector(functions.begin(), functions.end()));
    return;
  }
  for (const ProbedFunction& probed : functions) {
    const auto [at, is_new] = events().fds.try_emplace(key_of(object, probed.program), -1);
    if (!is_new) {
      continue;
    }
    at->second = open_kprobe(*type, probed.at_return ? at_return : 0, std::string(probed.function));
    if (at->second < 0) {
      events().fds.erase(at);
    }
  }
}

void retry_kprobes(const KernelFiles& files) {
  decltype(Events::refused) again;
  {
    const std::lock_guard lock(events().mutex);
    again.swap(events().refused);
  }
  for (const auto& [object, functions] : again) {
    open_kprobes(files, object, functions);
  }
}

bpf_link* attach_program(std::string_view object, bpf_program* program) {
  const std::string key = key_of(object, ::bpf_program__name(program));
  int own = -1;
  {
    const std::lock_guard lock(events().mutex);
    const auto at = events().fds.find(key);
    own = at == events().fds.end() ? -1 : ::fcntl(at->second, F_DUPFD_CLOEXEC, 0);
  }
  if (own < 0) {
    return ::bpf_program__attach(program);
  }
  bpf_link* link = ::bpf_program__attach_perf_event(program, own);
  if (::libbpf_get_error(link) != 0) {
    ::close(own);
  }
  return link;
}

void close_kprobe(std::string_view object, std::string_view program) {
  const std::lock_guard lock(events().mutex);
  const auto at = events().fds.find(key_of(object, program));
  if (at != events().fds.end()) {
    ::close(at->second);
    events().fds.erase(at);
  }
}

}  // namespace tidegauge
