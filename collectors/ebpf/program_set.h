// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loads the programs of one BPF object, feature by feature, each in the best form this kernel and
// these privileges allow. Nothing a kernel refuses is fatal: a program that does not load or attach
// costs its feature one tier, and the reason stays on record.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/core/kernel_files.h"
#include "collectors/core/result.h"
#include "collectors/ebpf/kernel_btf.h"
#include "collectors/ebpf/program_source.h"

struct bpf_link;
struct bpf_object;
struct bpf_program;

namespace tidegauge {

// One program: a constexpr row.
struct ProgramSpec {
  std::string_view name;     // of the function in the object
  std::string_view feature;  // what it serves: programs of one feature and tier go together
  Tier tier;
  // Of kTrampoline and kKprobe: the kernel function, looked up in BTF.
  std::string_view function{};
  // Of kTracepoint; attached as raw_tp/NAME. "": always there.
  std::string_view tracepoint{};
  // Where that lives unless it is built in: attached when the module comes.
  std::string_view module{};
  // Which variant of the tracepoint it is written for: number of arguments (0: any), and the type of
  // one of them ("": any). Of a module whose BTF is missing no variant can be told: taken as it is.
  unsigned arguments = 0;
  unsigned typed_argument = 0;
  std::string_view argument_type{};
  // A feature is served by a tier when every program of it can be had, but for those that are
  // optional. Of programs with the same `alternative` one suffices.
  bool optional = false;
  std::string_view alternative{};
  bool can_be_shed = true;  // false: others would be wrong without it
  bool at_return = false;   // of kKprobe: a kretprobe
  // Of kKprobe: dearer than the tracepoints of its feature, and taken when there are none.
  bool last_resort = false;
  // A type of the module that its user needs to know the layout of: struct and member.
  std::string_view layout_struct{};
  std::string_view layout_member{};
};

// What a collector's factory has to ask for, see kprobe_events.h.
void open_kprobes(const KernelFiles& files, std::string_view object,
                  std::span<const ProgramSpec> specs);

// What this machine allows at all, found out once.
struct TierLimits {
  std::string trampoline_refused;  // why, or "" when they work
  std::string kprobe_refused;
  Tier best = Tier::kTrampoline;  // as configured
};

class ProgramSet final : public ProgramSource {
 public:
  // `open` opens the object anew, with its constants and shared maps set, and owns it until it is called
  // again; null with errno when it cannot. All of `specs` outlives the set.
  ProgramSet(std::string_view object, std::span<const ProgramSpec> specs,
             std::function<bpf_object*()> open);
  ~ProgramSet() override;  // detaches
  ProgramSet(const ProgramSet&) = delete;
  ProgramSet& operator=(const ProgramSet&) = delete;

  // Once. An error only when nothing at all could be had.
  Result<void> load(const KernelBtf& kernel, const TierLimits& limits);

  // Attaches what has waited for its module. Cheap; once in a while.
  void attach_waiting(const KernelBtf& kernel);

  // kOff also when it was shed, which happens here: only the set's own thread detaches.
  [[nodiscard]] Tier tier(std::string_view feature) const;
  [[nodiscard]] bool active(std::string_view feature) const { return tier(feature) != Tier::kOff; }
  [[nodiscard]] std::string_view object() const override { return object_; }
  [[nodiscard]] std::vector<ProgramStatus> statuses() const override;
  // Carried out by the next tier() or active().
  void shed(std::string_view feature, const std::string& reason) override;

 private:
  struct Program {
    const ProgramSpec* spec;
    bpf_program* program = nullptr;
    bpf_link* link = nullptr;
    ProgramState state = ProgramState::kMissing;
    std::string reason{};
    bool chosen = false;
  };

  // Why this program cannot be had here, or "".
  static std::string refusal(const ProgramSpec& spec, const KernelBtf& kernel,
                             const TierLimits& limits);
  void choose(const KernelBtf& kernel, const TierLimits& limits);
  Tier choose_tier(std::string_view feature) const;
  // kMalformed: one program less, try again.
  Result<void> load_chosen();
  Result<void> attach_chosen(const KernelBtf& kernel);
  void close_unused();
  Program* blame(std::string_view said);
  static void detach(Program& program);
  void carry_out_sheds() const;
  void publish() const;

  std::string_view object_;
  std::span<const ProgramSpec> specs_;
  std::function<bpf_object*()> open_;
  mutable std::mutex mutex_;
  mutable std::vector<Program>
      programs_;  // a shed changes them: its own thread sees to it when it asks
  mutable std::map<std::string_view, Tier> tiers_;  // by feature
  mutable std::mutex published_mutex_;
  mutable std::vector<std::pair<std::string, std::string>> sheds_;  // asked for: feature, reason
  mutable std::vector<ProgramStatus> published_;
};

}  // namespace tidegauge
