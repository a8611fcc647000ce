// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/verdict_watch.h"

#include <string>

#include "collectors/core/text.h"
#include "daemon/heuristics/unit.h"
#include "daemon/heuristics/utc_text.h"

namespace tidegauge {

namespace {

using heuristics::Severity;
using heuristics::Verdict;

constexpr std::int64_t kLeastBetweenTriggersNs = 600'000'000'000;
// A line of the log that is too long is none.
constexpr std::size_t kMaxSentenceBytes = 800;
constexpr std::size_t kMaxNameBytes = 200;

// Without what the log would need six characters each for.
std::string log_text(std::string_view raw, std::size_t max_bytes) {
  std::string out = sanitize_label(raw, max_bytes);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    c = byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  return out;
}

}  // namespace

void VerdictWatch::add(const Verdict& verdict) {
  const std::lock_guard lock(mutex_);
  changed_.push_back(verdict);
}

void VerdictWatch::tell() {
  std::vector<Verdict> changed;
  {
    const std::lock_guard lock(mutex_);
    changed.swap(changed_);
  }
  for (const Verdict& verdict : changed) {
    log(verdict);
    if (triggers(verdict)) {
      trigger_("verdict-" + std::string(info_of(verdict.finding.id).name));
    }
  }
}

void VerdictWatch::log(const Verdict& verdict) {
  const heuristics::Finding& finding = verdict.finding;
  const std::string sentence = log_text(finding.sentence, kMaxSentenceBytes);
  const std::string instance = log_text(finding.instance, kMaxNameBytes);
  const std::string subject = log_text(
      finding.causes.empty() ? std::string() : finding.causes.front().text(), kMaxNameBytes);
  const std::string confidence =
      heuristics::format_figure(finding.confidence, heuristics::Unit::kNumber);
  const std::string onset = utc_text(verdict.onset_realtime_ns);
  const LogFields fields = {{"event", verdict.is_active() ? "verdict_began" : "verdict_ended"},
                            {"verdict", info_of(finding.id).name},
                            {"instance", instance},
                            {"severity", severity_name(verdict.severity)},
                            {"confidence", confidence},
                            {"onset", onset},
                            {"subject", subject}};
  if (verdict.is_active() && verdict.severity >= Severity::kWarning) {
    log_.warn(sentence, fields);
  } else {
    log_.notice(sentence, fields);
  }
}

bool VerdictWatch::triggers(const Verdict& verdict) {
  if (!trigger_ || !verdict.is_active() || verdict.severity < Severity::kWarning) {
    return false;
  }
  std::int64_t& last_ns = triggered_ns_[static_cast<std::size_t>(verdict.finding.id)];
  const std::int64_t now_ns = verdict.detected_boottime_ns;
  if (last_ns != 0 && now_ns - last_ns < kLeastBetweenTriggersNs) {
    return false;
  }
  last_ns = now_ns;
  return true;
}

}  // namespace tidegauge
