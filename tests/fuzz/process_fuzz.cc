// SPDX-License-Identifier: Apache-2.0
// What collectors/process makes of hostile bytes. The first byte chooses the parser or pure core, so that
// one corpus serves all; TIDEGAUGE_FUZZ_TARGET=name pins one of them. Beyond "no crash" each target
// checks what its header promises: valid UTF-8, bounds, counters that only grow.

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/text.h"
#include "collectors/process/cgroup_devices.h"
#include "collectors/process/cgroup_files_parse.h"
#include "collectors/process/cgroup_identity.h"
#include "collectors/process/cgroup_mounts.h"
#include "collectors/process/group_rules.h"
#include "collectors/process/hidden_processes.h"
#include "collectors/process/pid_io.h"
#include "collectors/process/pid_schedstat.h"
#include "collectors/process/pid_status.h"
#include "collectors/process/process_details.h"
#include "collectors/process/process_tracker.h"
#include "collectors/process/stuck_tasks.h"
#include "collectors/process/task_merge.h"
#include "collectors/process/users.h"
#include "collectors/procfs/pid_stat.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

void require(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
  }
}

// RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) -> unsigned {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
    };
    const unsigned first = byte(i);
    const std::size_t size = first < 0x80             ? 1
                             : (first & 0xE0) == 0xC0 ? 2
                             : (first & 0xF0) == 0xE0 ? 3
                             : (first & 0xF8) == 0xF0 ? 4
                                                      : 0;
    if (size == 0) {
      return false;
    }
    unsigned point = size == 1 ? first : first & (0xFFU >> (size + 1));
    for (std::size_t j = 1; j < size; ++j) {
      if ((byte(i + j) & 0xC0) != 0x80) {
        return false;
      }
      point = point << 6 | (byte(i + j) & 0x3F);
    }
    constexpr std::array<unsigned, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[size] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
      return false;
    }
    i += size;
  }
  return true;
}

bool is_within(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void fuzz_pid_stat(std::string_view text) {
  if (const auto stat = parse_pid_stat(text)) {
    require(stat->comm.bytes.back() == '\0', "a task name that ends");
    require(text.find(')') != std::string_view::npos, "a name in parentheses");
  }
}

void fuzz_pid_status(std::string_view text) { static_cast<void>(parse_pid_status(text)); }
void fuzz_pid_io(std::string_view text) { static_cast<void>(parse_pid_io(text)); }
void fuzz_pid_schedstat(std::string_view text) { static_cast<void>(parse_pid_schedstat(text)); }

void fuzz_cgroup_files(std::string_view text) {
  if (text.empty()) {
    return;
  }
  const auto which = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  const auto files = (which & 1U) != 0 ? cgroup_v2_files() : cgroup_v1_files();
  CgroupSample sample;
  static_cast<void>(files[(which >> 1) % files.size()].parse(text, sample));
  // Files of one cgroup fill one sample, also after another has failed.
  for (const CgroupFile& file : files) {
    static_cast<void>(file.parse(text, sample));
  }
  require(sample.io.size() <= kMaxCgroupDevices, "bounded devices of a cgroup");
  for (std::size_t i = 0; i < sample.io.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      require(!(sample.io[i].device == sample.io[j].device), "each device once");
    }
  }
}

const testing::FixtureTree& tree() {
  static const auto* made = new testing::FixtureTree();
  return *made;
}

void fuzz_cgroup_mounts(std::string_view text) {
  tree().write("proc/1/mountinfo", text);
  ReadBuffer buffer;
  if (const auto found = find_cgroup_hierarchies(tree().files(), buffer)) {
    require(found->size() <= kMaxCgroupHierarchies, "bounded hierarchies");
  }
}

void fuzz_cgroup_devices(std::string_view text) {
  tree().write("proc/diskstats", text);
  CgroupDeviceNames names(tree().files());
  std::set<std::string> seen;
  for (std::uint32_t minor = 0; minor < 4; ++minor) {
    require(seen.insert(std::string(names.name({8, minor}))).second, "devices of different names");
  }
}

void fuzz_cgroup_identity(std::string_view text) {
  const auto path = telling_cgroup_path(text);
  if (path) {
    require(is_within(*path, text), "a path out of the text");
  }
  for (const std::string_view one : {path.value_or(std::string_view()), text}) {
    const CgroupIdentity identity = identify_cgroup(one);
    require(identity == identify_cgroup(one), "an identity that stays");
    for (const std::string* part :
         {&identity.unit, &identity.slice, &identity.container, &identity.pod}) {
      require(part->size() <= one.size() + 16, "an identity no longer than its path");
    }
  }
}

std::vector<std::string> some_texts(FuzzedDataProvider& data) {
  std::vector<std::string> out(data.ConsumeIntegralInRange<std::size_t>(0, 2));
  for (std::string& text : out) {
    text = data.ConsumeRandomLengthString(24);
  }
  return out;
}

void fuzz_group_rules(std::string_view text) {
  FuzzedDataProvider data(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  std::vector<GroupRuleSpec> specs(data.ConsumeIntegralInRange<std::size_t>(0, 3));
  for (GroupRuleSpec& spec : specs) {
    spec.name = data.ConsumeRandomLengthString(200);
    spec.comm = some_texts(data);
    spec.executable = some_texts(data);
    spec.user = some_texts(data);
    spec.unit = some_texts(data);
    spec.container = some_texts(data);
    spec.comm_regex = data.ConsumeRandomLengthString(32);
    spec.command_line_regex = data.ConsumeRandomLengthString(32);
    spec.cgroup_regex = data.ConsumeRandomLengthString(32);
  }
  auto rules = GroupRules::compile(std::move(specs));
  if (!rules) {
    require(!rules.error().where.empty(), "an error that says where");
    rules = GroupRules::compile({});
  }
  const std::string comm = data.ConsumeRandomLengthString(16);
  const std::string executable = data.ConsumeRandomLengthString(300);
  const std::string command_line = data.ConsumeRandomLengthString(300);
  const std::string user = data.ConsumeRandomLengthString(64);
  const std::string cgroup = data.ConsumeRandomLengthString(300);
  const CgroupIdentity owner = identify_cgroup(cgroup);
  ProcessIdentity process;
  process.comm = comm;
  process.executable = executable;
  process.command_line = command_line;
  process.user = user;
  process.cgroup = cgroup;
  process.owner = data.ConsumeBool() ? &owner : nullptr;
  process.kernel_thread = data.ConsumeBool();
  const PrivacyFilter privacy(data.ConsumeBool() ? Privacy::kHash : Privacy::kDrop, "salt");
  process.privacy = data.ConsumeBool() ? &privacy : nullptr;
  const std::string group = rules->group_of(process).name;
  require(!group.empty(), "a group's name that is not empty");
  require(group.size() <= kMaxGroupNameBytes, "a group's name of bounded length");
  require(is_utf8(group), "a group's name in UTF-8");
}

void fuzz_users(std::string_view text) {
  const auto names = parse_passwd(text);
  require(names.size() <= 16384, "bounded users");
  for (const auto& [uid, name] : names) {
    require(!name.empty() && name.size() <= 64, "bounded names of users");
  }
}

void fuzz_label(std::string_view text) {
  if (text.empty()) {
    return;
  }
  const std::size_t most = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  for (const std::size_t limit : {most, kMaxLabelBytes}) {
    const std::string label = sanitize_label(text, limit);
    require(label.size() <= limit, "a label of bounded length");
    require(is_utf8(label), "a label in UTF-8");
    require(label.find('\0') == std::string::npos, "a label without NUL");
    require(sanitize_label(label, limit) == label, "a label that stays what it is");
  }
}

void fuzz_small(std::string_view text) {
  if (const auto count = count_cpus(text)) {
    require(*count > 0, "a count of CPUs");
  }
  static_cast<void>(threads_of_loadavg(text));
  require(is_within(hidepid_option(text, "/proc", 0, 22), text), "an option out of the text");
  require(is_within(hidepid_option(text, "/proc", 0, 0), text), "an option out of the text");
}

// Few identities, so that they meet again; each start of a key comes once, as on a real host.
struct Machine {
  struct Life {
    std::uint64_t start_ns = 1;
    std::array<std::uint64_t, sizeof(tg_task_counters) / sizeof(std::uint64_t)> counters{};
  };
  std::map<std::pair<std::uint64_t, std::uint32_t>, Life> lives;
  std::uint64_t now_ns = 1;
};

tg_process_key some_key(FuzzedDataProvider& data) {
  tg_process_key key{};
  key.signal = data.ConsumeIntegralInRange<std::uint64_t>(1, 3);
  key.tgid = data.ConsumeIntegralInRange<std::uint32_t>(0, 3);
  return key;
}

tg_task_counters some_counters(FuzzedDataProvider& data) {
  std::array<std::uint64_t, sizeof(tg_task_counters) / sizeof(std::uint64_t)> values{};
  for (std::uint64_t& value : values) {
    value = data.ConsumeIntegral<std::uint32_t>();
  }
  tg_task_counters out{};
  std::memcpy(&out, values.data(), sizeof(out));
  return out;
}

std::string some_record(FuzzedDataProvider& data, Machine& machine) {
  tg_leader_record record{};
  record.thread.process = some_key(data);
  Machine::Life& life = machine.lives[{record.thread.process.signal, record.thread.process.tgid}];
  if (data.ConsumeIntegralInRange<int>(0, 7) == 0) {
    life.start_ns = ++machine.now_ns;
  }
  const bool leads = data.ConsumeBool();
  const bool has_base = leads && data.ConsumeIntegralInRange<int>(0, 3) == 0;
  record.thread.flags = data.ConsumeIntegral<std::uint8_t>();
  record.thread.flags &= ~static_cast<unsigned>(TG_LEADER | TG_HAS_BASE | TG_SAME);
  record.thread.flags |= (leads ? TG_LEADER : 0U) | (has_base ? TG_HAS_BASE : 0U);
  record.thread.tid = record.thread.process.tgid * 16 +
                      static_cast<std::uint32_t>(record.thread.process.signal) + (leads ? 0 : 256);
  record.thread.state = data.ConsumeIntegral<std::uint32_t>();
  record.thread.own = some_counters(data);
  record.start_ns = life.start_ns;
  record.cgroup_key = data.ConsumeIntegralInRange<std::uint64_t>(0, 2);
  record.threads = data.ConsumeIntegralInRange<std::uint32_t>(0, 3);
  data.ConsumeData(record.comm, data.ConsumeIntegralInRange<std::size_t>(0, sizeof(record.comm)));
  record.anon_pages = data.ConsumeIntegral<std::uint64_t>();
  const std::size_t bytes = leads ? sizeof(record) : sizeof(record.thread);
  record.thread.bytes =
      static_cast<std::uint32_t>(bytes + (has_base ? sizeof(tg_task_counters) : 0));
  std::string out(reinterpret_cast<const char*>(&record), bytes);
  if (has_base) {
    const tg_task_counters base = some_counters(data);
    out.append(reinterpret_cast<const char*>(&base), sizeof(base));
  }
  return out;
}

tg_exit some_exit(FuzzedDataProvider& data) {
  tg_exit ended{};
  ended.sum = some_counters(data);
  ended.tasks = data.ConsumeIntegralInRange<std::uint64_t>(0, 3);
  ended.processes = data.ConsumeIntegralInRange<std::uint64_t>(0, 2);
  ended.delays = data.ConsumeIntegralInRange<std::uint64_t>(0, 1);
  ended.cgroup_key = data.ConsumeIntegralInRange<std::uint64_t>(0, 2);
  ended.uid = data.ConsumeIntegral<std::uint32_t>();
  ended.flags = data.ConsumeIntegralInRange<std::uint32_t>(0, 1);
  data.ConsumeData(ended.comm, data.ConsumeIntegralInRange<std::size_t>(0, sizeof(ended.comm)));
  return ended;
}

class Growing {
 public:
  void check(const ProcessSample& sample) {
    TaskCounters& before = before_[{sample.key.pid, sample.key.start_ns}];
    for (std::size_t i = 0; i < kTaskCounters; ++i) {
      if ((sample.counters.has >> i & 1U) != 0) {
        require(sample.counters.values[i] >= before.values[i], "counters that only grow");
        before.values[i] = sample.counters.values[i];
      }
    }
    require(sample.comm.bytes.back() == '\0', "a task name that ends");
  }
  // Its number and start may be told again of one that was given up.
  void forget(const ProcessSample& sample) { before_.erase({sample.key.pid, sample.key.start_ns}); }

 private:
  std::map<std::pair<std::uint32_t, std::uint64_t>, TaskCounters> before_;
};

// Passes of any records and ends.
void fuzz_task_merge(std::string_view text) {
  FuzzedDataProvider data(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  TaskMerge merge;
  Machine machine;
  Growing growing;
  ProcessTracker tracker(data.ConsumeIntegralInRange<std::size_t>(1, 4), 2);
  StuckTasks stuck;
  std::map<std::string, std::uint64_t> started;
  TaskPass pass;
  std::int64_t now_ns = 0;
  const auto finish = [&] {
    merge.finish(pass);
    require(pass.stuck.size() <= kMaxStuckThreads, "bounded stuck threads");
    require(merge.size() <= 12, "no more processes than keys");
    for (const ProcessSample& sample : pass.processes) {
      growing.check(sample);
      if (!sample.alive) {
        growing.forget(sample);
      }
    }
    now_ns += data.ConsumeIntegralInRange<std::int64_t>(0, 400'000'000'000);
    tracker.update(
        pass, now_ns,
        [](const ProcessSample& sample) {
          return Classified{{sanitize_label(sample.comm.view(), 4) + "x", true}, nullptr, true};
        },
        [](const ExitedSample& sample) {
          return GroupName{sanitize_label(sample.comm.view(), 4) + "x", true};
        });
    stuck.update(pass.stuck, now_ns, [](std::uint32_t, std::uint32_t) { return std::string(); });
    std::size_t groups = 0;
    tracker.groups().for_each([&](const ProcessGroup& group) {
      ++groups;
      require(group.holders < 4096, "holders that come and go in pairs");
    });
    require(groups <= 5, "bounded groups");
    require(tracker.top().size() <= 2 * 2 * kTopCriteria, "bounded processes with series");
    pass.clear();
  };
  merge.set_features(data.ConsumeIntegralInRange<std::uint32_t>(0, 15));
  std::uint32_t last_tid = 0;  // of this pass: numbers rise
  const auto next_pass = [&] {
    finish();
    merge.begin();
    last_tid = 0;
  };
  const auto add_record = [&] {
    const std::string record = some_record(data, machine);
    tg_thread_record thread{};
    std::memcpy(&thread, record.data(), sizeof(thread));
    if (thread.tid < last_tid) {
      next_pass();
    }
    last_tid = thread.tid;
    require(merge.add_records(record).has_value(), "whole records");
  };
  merge.begin();
  while (data.remaining_bytes() > 0) {
    switch (data.ConsumeIntegralInRange<int>(0, 5)) {
      case 0:
        next_pass();
        break;
      case 1:
        merge.add_exit(some_key(data), some_exit(data), pass);
        break;
      default:
        add_record();
    }
  }
  finish();
  // Whoever is not heard of again is given up.
  for (int i = 0; i < 16; ++i) {
    merge.begin();
    finish();
  }
  require(merge.size() == 0, "processes that end");
  require(tracker.size() == 0, "tracked processes that end");
}

// Records of no known shape: an error, or few enough processes for so many bytes. Their counters stay
// below 2^60, 36 years in nanoseconds: beyond 2^63 the split of CPU time leaves what a double can hold.
void fuzz_task_records(std::string_view bytes) {
  std::string text(bytes);
  for (std::size_t i = 7; i < text.size(); i += 8) {
    text[i] = static_cast<char>(text[i] & 0x0F);
  }
  TaskMerge merge;
  TaskPass pass;
  merge.set_features(15);
  for (int i = 0; i < 2; ++i) {
    merge.begin();
    static_cast<void>(merge.add_records({text.data(), text.size()}));
    if (text.size() >= sizeof(tg_process_key) + sizeof(tg_exit)) {
      tg_process_key key{};
      tg_exit ended{};
      std::memcpy(&key, text.data(), sizeof(key));
      std::memcpy(&ended, text.data() + sizeof(key), sizeof(ended));
      merge.add_exit(key, ended, pass);
    }
    merge.finish(pass);
    require(merge.size() <= text.size() / sizeof(tg_thread_record), "no more than told");
    pass.clear();
  }
}

struct Target {
  std::string_view name;
  void (*run)(std::string_view text);
};

constexpr Target kTargets[] = {
    {"pid_stat", fuzz_pid_stat},
    {"pid_status", fuzz_pid_status},
    {"pid_io", fuzz_pid_io},
    {"pid_schedstat", fuzz_pid_schedstat},
    {"cgroup_files", fuzz_cgroup_files},
    {"cgroup_mounts", fuzz_cgroup_mounts},
    {"cgroup_devices", fuzz_cgroup_devices},
    {"cgroup_identity", fuzz_cgroup_identity},
    {"group_rules", fuzz_group_rules},
    {"users", fuzz_users},
    {"label", fuzz_label},
    {"small", fuzz_small},
    {"task_merge", fuzz_task_merge},
    {"task_records", fuzz_task_records},
};

const Target* pinned() {
  const char* const name = std::getenv("TIDEGAUGE_FUZZ_TARGET");
  if (name == nullptr || *name == '\0') {
    return nullptr;
  }
  const auto* const at = std::find_if(std::begin(kTargets), std::end(kTargets),
                                      [&](const Target& target) { return target.name == name; });
  if (at == std::end(kTargets)) {
    std::fprintf(stderr, "TIDEGAUGE_FUZZ_TARGET=%s: no such target\n", name);
    std::exit(1);
  }
  return at;
}

}  // namespace
}  // namespace tidegauge

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tidegauge::Target* const only = tidegauge::pinned();
  if (size == 0) {
    return 0;
  }
  const auto& target =
      only != nullptr ? *only : tidegauge::kTargets[data[0] % std::size(tidegauge::kTargets)];
  // The byte stays in front when one target is pinned, so that a finding runs either way.
  target.run({reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
