// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/group_rules.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/process/shown_identity.h"

namespace tidegauge {

namespace {

constexpr std::size_t kShortContainerId = 12;  // as docker ps shows it
constexpr int kMaxCaptures = 8;                // of an expression, the whole match included

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

std::string short_container(const CgroupIdentity& owner) {
  const bool hex = owner.container.size() == 64 &&
                   owner.container.find_first_not_of("0123456789abcdef") == std::string::npos;
  return hex ? owner.container.substr(0, kShortContainerId) : owner.container;
}

// One thread per CPU and work item would each be a group of its own: "kworker/3:1H-kblockd",
// "ksoftirqd/0" and "irq/24-nvme0q1" are kworker, ksoftirqd and irq. A journal thread keeps its
// device: "jbd2/vda1-8" says whose disk it writes. One per memory node is of a kind, too ("kswapd0"),
// and so are the threads of RCU, whose names change from kernel to kernel.
std::string_view kernel_thread_kind(std::string_view comm) {
  if (comm.starts_with("jbd2/")) {
    return comm;
  }
  if (comm.starts_with("rcu_")) {
    return "rcu";
  }
  for (const std::string_view per_node : {"kswapd", "kcompactd"}) {
    if (comm.starts_with(per_node) &&
        comm.find_first_not_of("0123456789", per_node.size()) == std::string_view::npos) {
      return per_node;
    }
  }
  return comm.substr(0, comm.find_first_of("/:"));
}

using Captures = std::map<std::string, std::string, std::less<>>;

}  // namespace

struct GroupRules::Rule {
  GroupRuleSpec spec;
  std::unique_ptr<re2::RE2> comm;
  std::unique_ptr<re2::RE2> command_line;
  std::unique_ptr<re2::RE2> cgroup;
  bool chosen = false;  // see GroupName

  [[nodiscard]] bool matches(const ProcessIdentity& process, Captures& captures) const;
  [[nodiscard]] std::string expand(const ProcessIdentity& process, const Captures& captures) const;
};

namespace {

bool is_one_of(const std::vector<std::string>& wanted, std::string_view value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

bool is_executable(const std::vector<std::string>& wanted, std::string_view path) {
  return wanted.empty() ||
         (!path.empty() && std::any_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
           return name == (name.find('/') == std::string::npos ? file_name(path) : path);
         }));
}

bool is_container(const std::vector<std::string>& wanted, const CgroupIdentity* owner) {
  if (wanted.empty()) {
    return true;
  }
  return owner != nullptr && !owner->container.empty() &&
         std::any_of(wanted.begin(), wanted.end(), [&](const std::string& id) {
           return id == "*" || (!id.empty() && owner->container.starts_with(id));
         });
}

bool search(const std::unique_ptr<re2::RE2>& expression, std::string_view text,
            Captures& captures) {
  if (expression == nullptr) {
    return true;
  }
  std::array<re2::StringPiece, kMaxCaptures> found;
  const int wanted = expression->NumberOfCapturingGroups() + 1;
  if (!expression->Match(piece(text), 0, text.size(), re2::RE2::UNANCHORED, found.data(), wanted)) {
    return false;
  }
  for (const auto& [name, index] : expression->NamedCapturingGroups()) {
    captures.insert_or_assign(name, std::string(found[static_cast<std::size_t>(index)]));
  }
  return true;
}

CgroupIdentity shown_owner(const ProcessIdentity& process) {
  const CgroupIdentity owner = process.owner != nullptr ? *process.owner : CgroupIdentity();
  return process.privacy != nullptr ? shown_identity(*process.privacy, owner) : owner;
}

std::string shown_path(const ProcessIdentity& process, std::string_view path) {
  return process.privacy != nullptr ? process.privacy->path(path) : std::string(path);
}

std::optional<std::string> placeholder(std::string_view name, const ProcessIdentity& process) {
  if (name == "comm") {
    return std::string(process.comm);
  }
  if (name == "exe") {
    return shown_path(process, file_name(process.executable));
  }
  if (name == "user") {
    return process.privacy != nullptr ? process.privacy->user(process.user)
                                      : std::string(process.user);
  }
  if (name == "unit") {
    return shown_owner(process).unit;
  }
  if (name == "container") {
    return short_container(shown_owner(process));
  }
  if (name == "pod") {
    return shown_owner(process).pod;
  }
  if (name == "cgroup") {
    return shown_path(process, process.cgroup);
  }
  return std::nullopt;
}

// Calls text(part) and hole(name) in turn. False when a brace is left open.
template <class Text, class Hole>
bool walk_template(std::string_view form, Text text, Hole hole) {
  while (!form.empty()) {
    const auto open = form.find('{');
    text(form.substr(0, open));
    if (open == std::string_view::npos) {
      return true;
    }
    const auto close = form.find('}', open);
    if (close == std::string_view::npos) {
      return false;
    }
    hole(form.substr(open + 1, close - open - 1));
    form.remove_prefix(close + 1);
  }
  return true;
}

tl::unexpected<Error> invalid(std::size_t rule, std::string_view key, std::string_view what) {
  return invalid_option("groups[" + std::to_string(rule) + "]." + std::string(key), what);
}

}  // namespace

bool GroupRules::Rule::matches(const ProcessIdentity& process, Captures& captures) const {
  return is_one_of(spec.comm, process.comm) && is_executable(spec.executable, process.executable) &&
         is_one_of(spec.user, process.user) &&
         is_one_of(spec.unit, process.owner != nullptr ? std::string_view(process.owner->unit)
                                                       : std::string_view()) &&
         is_container(spec.container, process.owner) && search(comm, process.comm, captures) &&
         search(command_line, process.command_line, captures) &&
         search(cgroup, process.cgroup, captures);
}

std::string GroupRules::Rule::expand(const ProcessIdentity& process,
                                     const Captures& captures) const {
  std::string name;
  walk_template(
      spec.name, [&](std::string_view text) { name.append(text); },
      [&](std::string_view hole) {
        const auto captured = captures.find(hole);
        // What an expression cuts out of a command line or a path may be part of a name or a path.
        name.append(captured != captures.end() ? shown_path(process, captured->second)
                                               : placeholder(hole, process).value_or(""));
      });
  return name;
}

GroupRules::GroupRules() = default;
GroupRules::GroupRules(GroupRules&&) noexcept = default;
GroupRules& GroupRules::operator=(GroupRules&&) noexcept = default;
GroupRules::~GroupRules() = default;

Result<GroupRules> GroupRules::compile(std::vector<GroupRuleSpec> specs) {
  GroupRules rules;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    Rule rule;
    rule.spec = std::move(specs[i]);
    const GroupRuleSpec& spec = rule.spec;
    if (spec.name.empty()) {
      return invalid(i, "name", "a group needs a name");
    }
    struct Expression {
      std::string_view key;
      const std::string& text;
      std::unique_ptr<re2::RE2>& compiled;
    };
    for (auto& [key, text, compiled] :
         {Expression{"comm_regex", spec.comm_regex, rule.comm},
          Expression{"cmdline", spec.command_line_regex, rule.command_line},
          Expression{"cgroup", spec.cgroup_regex, rule.cgroup}}) {
      if (text.empty()) {
        continue;
      }
      re2::RE2::Options options;
      options.set_log_errors(false);
      options.set_encoding(re2::RE2::Options::EncodingLatin1);  // names are bytes
      compiled = std::make_unique<re2::RE2>(piece(text), options);
      if (!compiled->ok()) {
        return invalid(i, key, compiled->error());
      }
      if (compiled->NumberOfCapturingGroups() >= kMaxCaptures) {
        return invalid(i, key, "more than 7 capturing groups; (?:...) does not capture");
      }
    }
    bool unknown = false;
    const bool closed = walk_template(
        spec.name, [](std::string_view) {},
        [&](std::string_view hole) {
          const auto captures = [&](const std::unique_ptr<re2::RE2>& expression) {
            return expression != nullptr &&
                   expression->NamedCapturingGroups().count(std::string(hole)) != 0;
          };
          const bool captured = captures(rule.comm) || captures(rule.command_line);
          rule.chosen = rule.chosen || captured || hole == "comm" || hole == "exe";
          if (!captured && !captures(rule.cgroup) && !placeholder(hole, {})) {
            unknown = true;
          }
        });
    if (!closed || unknown) {
      return invalid(i, "name",
                     "expected text with {comm}, {exe}, {user}, {unit}, {container}, {pod}, "
                     "{cgroup} or a named group of this rule's expressions");
    }
    rules.needs_executable_ = rules.needs_executable_ || !spec.executable.empty() ||
                              spec.name.find("{exe}") != std::string::npos;
    rules.needs_command_line_ = rules.needs_command_line_ || rule.command_line != nullptr;
    rules.rules_.push_back(std::move(rule));
  }
  return rules;
}

GroupName GroupRules::group_of(const ProcessIdentity& process) const {
  GroupName group;
  for (const Rule& rule : rules_) {
    Captures captures;
    if (rule.matches(process, captures)) {
      group = {rule.expand(process, captures), rule.chosen};
      break;
    }
  }
  if (group.name.empty()) {
    group = default_group(process);
  }
  // Here and not where it is shown: two names that look alike there must be one group.
  group.name = sanitize_label(group.name, kMaxGroupNameBytes);
  return group;
}

namespace {

bool looks_like_another(std::string_view comm) {
  return comm.ends_with(".service") || comm.starts_with('[') || comm == "other" ||
         comm.find('/') != std::string_view::npos || comm.find(':') != std::string_view::npos;
}

}  // namespace

GroupName default_group(const ProcessIdentity& process) {
  if (process.kernel_thread) {
    const std::string_view kind = kernel_thread_kind(process.comm);
    return {"[" + std::string(kind.empty() ? "kernel" : kind) + "]", false};
  }
  const CgroupIdentity owner = shown_owner(process);
  if (!owner.container.empty()) {
    return {(owner.runtime.empty() ? "container" : owner.runtime) + ":" + short_container(owner),
            owner.of_user};
  }
  // A scope is a login session or an application somebody started: what runs in it tells more.
  if (process.owner != nullptr && process.owner->unit.ends_with(".service") &&
      !process.owner->unit.starts_with("user@") && owner.unit != kDroppedName) {
    // Users name their own services as they like, also like the system's.
    if (!owner.of_user) {
      return {owner.unit, false};
    }
    const std::string user = placeholder("user", process).value_or("");
    return {(user.empty() ? "user" : user) + "/" + owner.unit, true};
  }
  const std::string comm(process.comm);
  return {comm.empty() ? "unnamed" : looks_like_another(comm) ? "comm:" + comm : comm, true};
}

}  // namespace tidegauge
