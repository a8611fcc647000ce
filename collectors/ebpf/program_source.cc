// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/program_source.h"

#include <bpf/libbpf.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

namespace tidegauge {

namespace {

std::atomic<Tier> highest{Tier::kTrampoline};

thread_local std::string complaint;

int remember_complaint(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_WARN && complaint.empty()) {
    std::array<char, 512> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    complaint = text.data();
  }
  return 0;
}

}  // namespace

std::unique_lock<std::timed_mutex> loading_turn() {
  // Never destroyed: a worker may still load while the process ends.
  static auto* const kMutex = new std::timed_mutex();
  return std::unique_lock(*kMutex, std::chrono::seconds(1));
}

void capture_libbpf_messages() { ::libbpf_set_print(remember_complaint); }

std::string take_libbpf_complaint() { return std::exchange(complaint, {}); }

std::string_view tier_name(Tier tier) {
  constexpr std::string_view kNames[] = {"trampoline", "kprobe", "tracepoint", "iterator", "off"};
  return kNames[static_cast<std::size_t>(tier)];
}

Tier highest_tier() { return highest.load(std::memory_order_relaxed); }

void set_highest_tier(Tier tier) { highest.store(tier, std::memory_order_relaxed); }

std::string_view state_name(ProgramState state) {
  constexpr std::string_view kNames[] = {"attached", "waiting", "missing", "shed"};
  return kNames[static_cast<std::size_t>(state)];
}

ProgramSources& ProgramSources::all() {
  // Never destroyed: a worker may let go of its programs while the process ends.
  static auto* const kSources = new ProgramSources();
  return *kSources;
}

void ProgramSources::add(ProgramSource* source) {
  const std::lock_guard lock(mutex_);
  sources_.insert(source);
}

void ProgramSources::remove(ProgramSource* source) {
  {
    const std::lock_guard lock(mutex_);
    sources_.erase(source);
  }
  changed();
}

void ProgramSources::refuse(std::string reason) {
  const std::lock_guard lock(mutex_);
  if (refusal_ != reason) {
    refusal_ = std::move(reason);
    changed();
  }
}

std::string ProgramSources::refusal() const {
  const std::lock_guard lock(mutex_);
  return refusal_;
}

void ProgramSources::for_each(const std::function<void(ProgramSource&)>& visit) {
  const std::lock_guard lock(mutex_);
  for (ProgramSource* source : sources_) {
    visit(*source);
  }
}

}  // namespace tidegauge
