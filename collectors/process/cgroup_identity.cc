// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/cgroup_identity.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "collectors/core/text.h"

namespace tidegauge {

namespace {

constexpr std::size_t kIdDigits = 64;         // SHA-256, as every OCI engine makes them
constexpr std::size_t kShortIdDigits = 12;    // what command lines show
constexpr std::size_t kTaskDigits = 32;       // an ECS task
constexpr std::size_t kPodUidLength = 36;     // RFC 4122
constexpr std::size_t kStaticPodDigits = 32;  // MD5 of a static pod's manifest

bool is_hex(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

bool is_id(std::string_view text) { return text.size() == kIdDigits && is_hex(text); }

bool strip_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

bool strip_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix) || text.size() == suffix.size()) {
    return false;
  }
  text.remove_suffix(suffix.size());
  return true;
}

// systemd's names escape as \xNN what a unit name cannot hold (unit_name_escape).
std::string unescape_unit(std::string_view name) {
  std::string out;
  out.reserve(name.size());
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name.substr(i).starts_with("\\x") && i + 3 < name.size()) {
      const auto byte = parse_hex(name.substr(i + 2, 2));
      if (byte && is_hex(name.substr(i + 2, 2)) && *byte != 0) {
        out.push_back(static_cast<char>(*byte));
        i += 3;
        continue;
      }
    }
    out.push_back(name[i]);
  }
  return out;
}

struct Runtime {
  std::string_view prefix;  // of the id in a scope's or directory's name
  std::string_view name;
};

constexpr std::array<Runtime, 6> kRuntimes{{
    {"docker-", "docker"},
    {"cri-containerd-", "containerd"},
    {"nerdctl-", "containerd"},
    {"crio-", "cri-o"},
    {"libpod-payload-", "podman"},
    {"libpod-", "podman"},
}};

std::string_view runtime_of(std::string_view prefix) {
  const auto* const at =
      std::find_if(kRuntimes.begin(), kRuntimes.end(), [&](const Runtime& runtime) {
        return runtime.prefix.substr(0, runtime.prefix.size() - 1) == prefix;
      });
  return at == kRuntimes.end() ? std::string_view{} : at->name;
}

// With '-' or, where '-' means a level of slices, '_'. Static pods have no dashes at all.
std::optional<std::string> pod_uid(std::string_view text) {
  if (text.size() == kStaticPodDigits && is_hex(text)) {
    return std::string(text);
  }
  if (text.size() != kPodUidLength) {
    return std::nullopt;
  }
  std::string uid(text);
  for (std::size_t i = 0; i < uid.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? uid[i] != '-' && uid[i] != '_' : !is_hex(text.substr(i, 1))) {
      return std::nullopt;
    }
    if (dash) {
      uid[i] = '-';
    }
  }
  return uid;
}

// Takes a path's components from the root down; what is further inside replaces what was outside.
class Identifier {
 public:
  void take(std::string_view component) {
    if (component.find("kubepods") != std::string_view::npos) {
      in_kubepods_ = true;
    }
    identity_.of_user = identity_.of_user || is_of_user(component);
    const bool known = take_slice(component) || take_pod(component) || take_prefixed(component) ||
                       take_cri(component) || take_bare_id(component) || take_lxc(component) ||
                       take_machine(component);
    if (!known) {
      take_unit(component);
    }
    in_ecs_ = in_ecs_ || previous_ == "ecs";
    previous_ = component;
  }
  CgroupIdentity finish() { return std::move(identity_); }

 private:
  // user.slice/user-1000.slice/user@1000.service; a namespace may show any of them as the first.
  static bool is_of_user(std::string_view component) {
    return component == "user.slice" ||
           (component.starts_with("user-") && component.ends_with(".slice")) ||
           (component.starts_with("user@") && component.ends_with(".service"));
  }

  void contain(std::string container, std::string_view runtime) {
    identity_.container = std::move(container);
    identity_.runtime = runtime;
  }

  // kubepods-burstable-pod2c48913c_b29f_11e7_9350_020968147796.slice
  bool take_slice(std::string_view component) {
    std::string_view name = component;
    if (!strip_suffix(name, ".slice")) {
      return false;
    }
    identity_.slice = component;
    const auto at = name.rfind("-pod");
    if (in_kubepods_ && at != std::string_view::npos) {
      if (auto uid = pod_uid(name.substr(at + 4))) {
        identity_.pod = std::move(*uid);
      }
    }
    return true;
  }

  // kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796
  bool take_pod(std::string_view component) {
    if (!in_kubepods_ || !strip_prefix(component, "pod")) {
      return false;
    }
    auto uid = pod_uid(component);
    if (uid) {
      identity_.pod = std::move(*uid);
    }
    return uid.has_value();
  }

  // docker-<id>.scope of the systemd driver, crio-<id> of the cgroupfs driver
  bool take_prefixed(std::string_view component) {
    (void)strip_suffix(component, ".scope");
    for (const Runtime& runtime : kRuntimes) {
      std::string_view id = component;
      if (strip_prefix(id, runtime.prefix) && id.size() >= kShortIdDigits &&
          id.size() <= kIdDigits && is_hex(id)) {
        contain(std::string(id), runtime.name);
        return true;
      }
    }
    return false;
  }

  // kubepods-pod<uid>.slice:cri-containerd:<id>: a name for the systemd driver that the cgroupfs
  // driver was given
  bool take_cri(std::string_view component) {
    const auto last = component.rfind(':');
    const auto first = last == std::string_view::npos || last == 0 ? std::string_view::npos
                                                                   : component.rfind(':', last - 1);
    if (first == std::string_view::npos || !is_id(component.substr(last + 1))) {
      return false;
    }
    (void)take_slice(component.substr(0, first));
    contain(std::string(component.substr(last + 1)),
            runtime_of(component.substr(first + 1, last - first - 1)));
    return true;
  }

  // docker/<id>, ecs/<task>/<id>, kubepods/burstable/pod<uid>/<id>, any --cgroup-parent
  bool take_bare_id(std::string_view component) {
    if (is_id(component)) {
      contain(std::string(component), previous_ == "docker" ? "docker" : in_ecs_ ? "ecs" : "");
      return true;
    }
    // Fargate: <task>-<number>
    if (!in_ecs_ || component.size() <= kTaskDigits + 1 || component[kTaskDigits] != '-' ||
        !is_hex(component.substr(0, kTaskDigits)) ||
        !parse_unsigned(component.substr(kTaskDigits + 1))) {
      return false;
    }
    contain(std::string(component), "ecs");
    return true;
  }

  // lxc/NAME, lxc.payload.NAME, lxc.payload/NAME
  bool take_lxc(std::string_view component) {
    if (strip_prefix(component, "lxc.payload.") && !component.empty()) {
      contain(std::string(component), "lxc");
      return true;
    }
    if (previous_ != "lxc" && previous_ != "lxc.payload") {
      return false;
    }
    contain(std::string(component), "lxc");
    return true;
  }

  // machine-NAME.scope of systemd-machined, systemd-nspawn@NAME.service
  bool take_machine(std::string_view component) {
    std::string_view name = component;
    const bool service = strip_prefix(name, "systemd-nspawn@") && strip_suffix(name, ".service");
    if (!service && (identity_.slice != "machine.slice" || previous_ != "machine.slice" ||
                     !strip_prefix(name, "machine-") || !strip_suffix(name, ".scope"))) {
      return false;
    }
    std::string machine = unescape_unit(name);
    const std::string_view runtime = machine.starts_with("qemu-")  ? "libvirt-qemu"
                                     : machine.starts_with("lxc-") ? "libvirt-lxc"
                                                                   : "nspawn";
    contain(std::move(machine), service ? "nspawn" : runtime);
    return true;
  }

  void take_unit(std::string_view component) {
    constexpr std::array<std::string_view, 5> kTypes{".service", ".scope", ".socket", ".mount",
                                                     ".swap"};
    // Names that would look like a controller's file are led by an underscore (cg_escape).
    (void)strip_prefix(component, "_");
    if (std::any_of(kTypes.begin(), kTypes.end(), [&](std::string_view type) {
          return component.size() > type.size() && component.ends_with(type);
        })) {
      identity_.unit = component;
    }
  }

  CgroupIdentity identity_;
  std::string_view previous_;
  bool in_kubepods_ = false;
  bool in_ecs_ = false;
};

// Calls visit(component) for what lies between slashes. A namespace shows what is above it as "..".
template <class Visit>
void for_each_component(std::string_view path, Visit visit) {
  (void)strip_suffix(path, " (deleted)");
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    if (!component.empty() && component != "." && component != "..") {
      visit(component);
    }
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
}

// The lower, the better.
int rank_of(std::string_view hierarchy, std::string_view controllers) {
  if (hierarchy == "0" && controllers.empty()) {
    return 0;
  }
  constexpr std::array<std::string_view, 4> kPreferred{"name=systemd", "memory", "cpu", "pids"};
  int best = static_cast<int>(kPreferred.size()) + 1;
  while (!controllers.empty()) {
    const auto comma = controllers.find(',');
    const auto* const at =
        std::find(kPreferred.begin(), kPreferred.end(), controllers.substr(0, comma));
    best = std::min(best, static_cast<int>(at - kPreferred.begin()) + 1);
    controllers.remove_prefix(comma == std::string_view::npos ? controllers.size() : comma + 1);
  }
  return best;
}

struct Membership {
  std::string_view path;
  int rank = 0;
};

std::optional<Membership> parse_membership(std::string_view line) {
  const auto first = line.find(':');
  const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
  if (second == std::string_view::npos || !parse_unsigned(line.substr(0, first)) ||
      !line.substr(second + 1).starts_with('/')) {
    return std::nullopt;
  }
  return Membership{line.substr(second + 1),
                    rank_of(line.substr(0, first), line.substr(first + 1, second - first - 1))};
}

struct Telling {
  bool container = false;
  bool unit = false;
  std::size_t depth = 0;
  int preference = 0;
  friend bool operator<(const Telling& a, const Telling& b) {
    return std::tie(a.container, a.unit, a.depth, a.preference) <
           std::tie(b.container, b.unit, b.depth, b.preference);
  }
};

Telling telling_of(const Membership& membership) {
  Telling telling{.preference = -membership.rank};
  for_each_component(membership.path, [&](std::string_view) { ++telling.depth; });
  if (telling.depth != 0) {
    const CgroupIdentity identity = identify_cgroup(membership.path);
    telling.container = !identity.container.empty();
    telling.unit = !identity.unit.empty();
  }
  return telling;
}

}  // namespace

CgroupIdentity identify_cgroup(std::string_view path) {
  Identifier identifier;
  for_each_component(path, [&](std::string_view component) { identifier.take(component); });
  return identifier.finish();
}

// 4:memory:/docker/0e1d2c...
// 1:name=systemd:/docker/0e1d2c...
// 0::/system.slice/containerd.service
Result<std::string_view> telling_cgroup_path(std::string_view proc_pid_cgroup) {
  std::optional<Membership> best;
  Telling best_telling;
  LineReader lines(proc_pid_cgroup);
  for (std::string_view line; lines.next(line);) {
    const auto membership = parse_membership(line);
    if (!membership) {
      continue;
    }
    const Telling telling = telling_of(*membership);
    if (!best || best_telling < telling) {
      best = membership;
      best_telling = telling;
    }
  }
  if (!best) {
    return malformed("cgroup", 0, "a line id:controllers:/path");
  }
  return best->path;
}

}  // namespace tidegauge
