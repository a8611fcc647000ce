// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/program_set.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/ebpf/kprobe_events.h"

namespace tidegauge {

namespace {

constexpr std::size_t kMaxReasonBytes = 200;

std::string short_reason(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() > kMaxReasonBytes) {
    text.resize(kMaxReasonBytes);
  }
  return text;
}

std::string error_reason(int negative_errno) {
  const std::string said = take_libbpf_complaint();
  return short_reason(std::string(std::strerror(-negative_errno)) +
                      (said.empty() ? "" : ": " + std::string(trim(said))));
}

// What tells alternatives of one program apart; a program without is its own.
std::string_view slot_of(const ProgramSpec& spec) {
  return spec.alternative.empty() ? spec.name : spec.alternative;
}

std::string missing_tracepoint(const ProgramSpec& spec, const KernelBtf& kernel) {
  const auto arguments = kernel.tracepoint(spec.tracepoint, spec.module);
  if (!spec.layout_struct.empty() && kernel.has_module(spec.module) &&
      !kernel.member_offset(spec.layout_struct, spec.layout_member, spec.module)) {
    return "this kernel does not tell the types of its module " + std::string(spec.module);
  }
  if (!arguments) {
    // A module that is to come, or one whose types are not to be had.
    return spec.module.empty() ? "this kernel has no tracepoint " + std::string(spec.tracepoint)
                               : "";
  }
  if (spec.arguments != 0 && arguments->size() != spec.arguments) {
    return std::string(spec.tracepoint) + " passes " + std::to_string(arguments->size()) +
           " arguments here";
  }
  if (!spec.argument_type.empty() && (spec.typed_argument >= arguments->size() ||
                                      (*arguments)[spec.typed_argument] != spec.argument_type)) {
    return std::string(spec.tracepoint) + " passes other arguments here";
  }
  return "";
}

}  // namespace

void open_kprobes(const KernelFiles& files, std::string_view object,
                  std::span<const ProgramSpec> specs) {
  std::vector<ProbedFunction> functions;
  for (const ProgramSpec& spec : specs) {
    if (spec.tier == Tier::kKprobe) {
      functions.push_back(
          {.program = spec.name, .function = spec.function, .at_return = spec.at_return});
    }
  }
  open_kprobes(files, object, functions);
}

ProgramSet::ProgramSet(std::string_view object, std::span<const ProgramSpec> specs,
                       std::function<bpf_object*()> open)
    : object_(object), specs_(specs), open_(std::move(open)) {
  for (const ProgramSpec& spec : specs_) {
    programs_.push_back({.spec = &spec});
  }
  ProgramSources::all().add(this);
}

ProgramSet::~ProgramSet() {
  ProgramSources::all().remove(this);
  for (Program& program : programs_) {
    detach(program);
  }
}

std::string ProgramSet::refusal(const ProgramSpec& spec, const KernelBtf& kernel,
                                const TierLimits& limits) {
  if (spec.tier < limits.best) {
    return "not wanted: " + std::string(tier_name(limits.best)) + " is configured";
  }
  if (spec.tier == Tier::kTracepoint) {
    return spec.tracepoint.empty() ? "" : missing_tracepoint(spec, kernel);
  }
  const std::string& refused =
      spec.tier == Tier::kTrampoline ? limits.trampoline_refused : limits.kprobe_refused;
  if (!refused.empty()) {
    return refused;
  }
  if (!spec.function.empty() && !kernel.has_function(spec.function)) {
    return "this kernel has no function " + std::string(spec.function);
  }
  return "";
}

// The best tier of which every slot but the optional ones has a program that is not out of the question.
Tier ProgramSet::choose_tier(std::string_view feature) const {
  const bool late_kprobes =
      std::any_of(programs_.begin(), programs_.end(), [&](const Program& program) {
        return program.spec->feature == feature && program.spec->last_resort;
      });
  for (const Tier tier : late_kprobes
                             ? std::array{Tier::kTrampoline, Tier::kTracepoint, Tier::kKprobe}
                             : std::array{Tier::kTrampoline, Tier::kKprobe, Tier::kTracepoint}) {
    std::map<std::string_view, bool> needed;  // slot: whether it can be had
    bool any = false;
    for (const Program& program : programs_) {
      if (program.spec->feature != feature || program.spec->tier != tier) {
        continue;
      }
      const bool possible = program.reason.empty();
      any = any || possible;
      if (!program.spec->optional) {
        bool& slot = needed[slot_of(*program.spec)];
        slot = slot || possible;
      }
    }
    if (any &&
        std::all_of(needed.begin(), needed.end(), [](const auto& slot) { return slot.second; })) {
      return tier;
    }
  }
  return Tier::kOff;
}

void ProgramSet::choose(const KernelBtf& kernel, const TierLimits& limits) {
  for (Program& program : programs_) {
    // What failed before stays out.
    if (program.reason.empty()) {
      program.reason = refusal(*program.spec, kernel, limits);
    }
    tiers_.try_emplace(program.spec->feature, Tier::kOff);
  }
  for (auto& [feature, tier] : tiers_) {
    tier = choose_tier(feature);
  }
  for (Program& program : programs_) {
    program.chosen = program.reason.empty() && tiers_[program.spec->feature] == program.spec->tier;
  }
}

// libbpf's complaints begin "prog 'NAME': ".
ProgramSet::Program* ProgramSet::blame(std::string_view said) {
  const auto at = std::find_if(programs_.begin(), programs_.end(), [&](const Program& program) {
    return program.chosen &&
           said.find("'" + std::string(program.spec->name) + "'") != std::string_view::npos;
  });
  return at == programs_.end() ? nullptr : &*at;
}

Result<void> ProgramSet::load_chosen() {
  take_libbpf_complaint();
  bpf_object* object = open_();
  if (object == nullptr) {
    return tl::make_unexpected(
        Error{ErrorKind::kUnsupported, errno, "libbpf cannot open " + std::string(object_)});
  }
  bool any = false;
  for (Program& program : programs_) {
    program.program =
        ::bpf_object__find_program_by_name(object, std::string(program.spec->name).c_str());
    if (program.program == nullptr) {
      return tl::make_unexpected(
          Error{ErrorKind::kUnsupported, ENOENT, "no program " + std::string(program.spec->name)});
    }
    ::bpf_program__set_autoload(program.program, program.chosen);
    any = any || program.chosen;
  }
  if (!any) {
    return tl::make_unexpected(
        Error{ErrorKind::kUnsupported, 0, "no program of " + std::string(object_) + " can be had"});
  }
  const int failed = [object] {
    const auto turn = loading_turn();
    return ::bpf_object__load(object);
  }();
  if (failed == 0) {
    return {};
  }
  const std::string said = take_libbpf_complaint();
  if (Program* culprit = blame(said); culprit != nullptr) {
    culprit->reason = short_reason(std::string(trim(said)));
    return tl::make_unexpected(Error{ErrorKind::kMalformed, -failed, culprit->reason});
  }
  const ErrorKind kind =
      failed == -EPERM || failed == -EACCES ? ErrorKind::kDenied : ErrorKind::kUnsupported;
  return tl::make_unexpected(
      Error{kind, -failed, short_reason(std::string(object_) + ": " + std::string(trim(said)))});
}

Result<void> ProgramSet::attach_chosen(const KernelBtf& kernel) {
  for (Program& program : programs_) {
    if (!program.chosen) {
      continue;
    }
    program.link = attach_program(object_, program.program);
    const long failed = ::libbpf_get_error(program.link);
    if (failed == 0) {
      program.state = ProgramState::kAttached;
      take_libbpf_complaint();
      continue;
    }
    program.link = nullptr;
    if (failed == -ENOENT && !program.spec->module.empty() &&
        !kernel.has_module(program.spec->module)) {
      program.state = ProgramState::kWaiting;
      take_libbpf_complaint();
      continue;
    }
    program.reason = error_reason(static_cast<int>(failed));
    if (program.spec->tier == Tier::kKprobe && (failed == -EACCES || failed == -EPERM)) {
      // So for all of them, and each try costs the verifier's time.
      for (Program& other : programs_) {
        if (other.spec->tier == Tier::kKprobe && other.reason.empty()) {
          other.reason = program.reason;
        }
      }
    }
    return tl::make_unexpected(
        Error{ErrorKind::kMalformed, static_cast<int>(-failed), program.reason});
  }
  return {};
}

Result<void> ProgramSet::load(const KernelBtf& kernel, const TierLimits& limits) {
  const std::lock_guard lock(mutex_);
  Result<void> outcome;
  // Each round takes a program out.
  for (std::size_t round = 0; round <= programs_.size(); ++round) {
    choose(kernel, limits);
    outcome = load_chosen();
    if (outcome) {
      outcome = attach_chosen(kernel);
    }
    if (outcome) {
      close_unused();
      publish();
      return outcome;
    }
    for (Program& program : programs_) {
      detach(program);
      program.program = nullptr;
    }
    if (outcome.error().kind != ErrorKind::kMalformed) {
      break;
    }
  }
  for (auto& [feature, tier] : tiers_) {
    tier = Tier::kOff;
  }
  for (Program& program : programs_) {
    if (std::exchange(program.chosen, false)) {
      program.reason = outcome.error().message();
    }
  }
  close_unused();
  publish();
  return outcome;
}

void ProgramSet::close_unused() {
  for (const Program& program : programs_) {
    if (program.spec->tier == Tier::kKprobe && !program.chosen) {
      close_kprobe(object_, program.spec->name);
    }
  }
}

void ProgramSet::attach_waiting(const KernelBtf& kernel) {
  const std::lock_guard lock(mutex_);
  bool any = false;
  for (Program& program : programs_) {
    if (program.state != ProgramState::kWaiting || !kernel.has_module(program.spec->module)) {
      continue;
    }
    program.link = attach_program(object_, program.program);
    any = true;
    const long failed = ::libbpf_get_error(program.link);
    if (failed == 0) {
      program.state = ProgramState::kAttached;
      continue;
    }
    program.link = nullptr;
    program.state = ProgramState::kMissing;
    program.reason = error_reason(static_cast<int>(failed));
  }
  if (any) {
    publish();
  }
}

Tier ProgramSet::tier(std::string_view feature) const {
  const std::lock_guard lock(mutex_);
  carry_out_sheds();
  const auto at = tiers_.find(feature);
  return at == tiers_.end() ? Tier::kOff : at->second;
}

// Whoever asks must not wait for a verifier at work.
std::vector<ProgramStatus> ProgramSet::statuses() const {
  const std::lock_guard lock(published_mutex_);
  return published_;
}

void ProgramSet::publish() const {
  std::vector<ProgramStatus> out;
  for (const Program& program : programs_) {
    const bool shed = program.state == ProgramState::kShed;
    out.push_back({.name = std::string(program.spec->name),
                   .feature = std::string(program.spec->feature),
                   .tier = program.spec->tier,
                   .state = program.state,
                   .reason = program.reason,
                   .can_be_shed = program.spec->can_be_shed,
                   .fd = program.chosen && program.program != nullptr && !shed
                             ? ::bpf_program__fd(program.program)
                             : -1});
  }
  {
    const std::lock_guard lock(published_mutex_);
    published_ = std::move(out);
  }
  ProgramSources::all().changed();
}

// Detaching takes milliseconds, and whoever asks may hold what the tick thread waits for.
void ProgramSet::shed(std::string_view feature, const std::string& reason) {
  const std::lock_guard lock(published_mutex_);
  sheds_.emplace_back(feature, reason);
}

void ProgramSet::carry_out_sheds() const {
  std::vector<std::pair<std::string, std::string>> sheds;
  {
    const std::lock_guard lock(published_mutex_);
    sheds.swap(sheds_);
  }
  for (const auto& [feature, reason] : sheds) {
    for (Program& program : programs_) {
      if (program.spec->feature == feature && program.chosen && program.spec->can_be_shed) {
        detach(program);
        program.state = ProgramState::kShed;
        program.reason = reason;
      }
    }
    if (const auto at = tiers_.find(feature); at != tiers_.end()) {
      at->second = Tier::kOff;
    }
  }
  if (!sheds.empty()) {
    publish();
  }
}

void ProgramSet::detach(Program& program) {
  ::bpf_link__destroy(std::exchange(program.link, nullptr));
  program.state = ProgramState::kMissing;
}

}  // namespace tidegauge
