// SPDX-License-Identifier: Apache-2.0

// Conditions as bytes. What is read may come from a damaged file or from somebody who means harm: every number is
// checked, and what does not fit in is refused as a whole.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

#include "daemon/heuristics/condition.h"
#include "daemon/heuristics/state_bytes.h"

namespace tidegauge::heuristics {

namespace {

// Of each list of a verdict, and of each text.
constexpr std::size_t kMaxItems = 64;
constexpr std::size_t kMaxTextBytes = 4096;
// Longer than any condition is looked at.
constexpr double kMaxHeldSeconds = 1e9;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <class T>
  requires std::is_arithmetic_v<T>
  void value(T number) { put_number(out_, number); }
  void value(bool flag) { put_number(out_, static_cast<std::uint8_t>(flag)); }
  void value(const std::string& text) {
    put_text(out_, std::string_view(text).substr(0, kMaxTextBytes));
  }
  template <class T>
  requires std::is_enum_v<T>
  void value(T number, T /*greatest*/) { put_number(out_, static_cast<std::uint8_t>(number)); }
  template <class T>
  void value(const std::optional<T>& maybe) {
    value(maybe.has_value());
    if (maybe) {
      value(*maybe);
    }
  }
  template <class T, class Item>
  void list(const std::vector<T>& items, std::size_t most, Item item) {
    const std::size_t count = std::min(items.size(), most);
    put_number(out_, static_cast<std::uint32_t>(count));
    for (std::size_t i = 0; i < count; ++i) {
      item(items[i]);
    }
  }

 private:
  std::string& out_;
};

// The same calls as Writer's, the other way. After something wrong it reads no more.
class Reader {
 public:
  explicit Reader(std::string_view& in) : in_(in) {}

  template <class T>
  requires std::is_arithmetic_v<T>
  void value(T& number) { is_good_ = is_good_ && take_number(in_, number); }
  void value(bool& flag) {
    std::uint8_t byte = 0;
    value(byte);
    is_good_ = is_good_ && byte <= 1;
    flag = byte == 1;
  }
  void value(std::string& text) { is_good_ = is_good_ && take_text(in_, text, kMaxTextBytes); }
  template <class T>
  requires std::is_enum_v<T>
  void value(T& number, T greatest) {
    std::uint8_t byte = 0;
    value(byte);
    is_good_ = is_good_ && byte <= static_cast<std::uint8_t>(greatest);
    if (is_good_) {
      number = static_cast<T>(byte);
    }
  }
  template <class T>
  void value(std::optional<T>& maybe) {
    bool is_there = false;
    value(is_there);
    if (is_there && is_good_) {
      value(maybe.emplace());
    }
  }
  template <class T, class Item>
  void list(std::vector<T>& items, std::size_t most, Item item) {
    std::uint32_t count = 0;
    value(count);
    is_good_ = is_good_ && count <= most && count <= in_.size();
    for (std::uint32_t i = 0; is_good_ && i < count; ++i) {
      item(items.emplace_back());
    }
  }
  void require(bool holds) { is_good_ = is_good_ && holds; }
  [[nodiscard]] bool is_good() const { return is_good_; }

 private:
  std::string_view& in_;
  bool is_good_ = true;
};

// What a share can be.
double shown_share(double value) { return std::isnan(value) ? 0 : std::clamp(value, 0.0, 1.0); }

// One description of the bytes for both directions; T is const when it writes.

constexpr auto kLastVerdict = static_cast<VerdictId>(kVerdicts - 1);

template <class Stream, class T>
void pass_party(Stream& stream, T& party) {
  stream.value(party.pid);
  stream.value(party.comm);
  stream.value(party.thread);
  stream.value(party.group);
  stream.value(party.unit);
  stream.value(party.container);
  stream.value(party.file);
  stream.value(party.directory);
  stream.value(party.device);
  stream.value(party.zone);
  stream.value(party.cpu);
  stream.value(party.cgroup);
  stream.value(party.share);
  stream.value(party.doing);
}

template <class Stream, class T>
void pass_evidence(Stream& stream, T& evidence) {
  stream.value(evidence.what);
  stream.value(evidence.value);
  stream.value(evidence.unit, Unit::kCores);
  stream.value(evidence.threshold);
  stream.value(evidence.source);
}

// `lists`: how many of each list at most; of causes at least the first is told.
template <class Stream, class T>
void pass_finding(Stream& stream, T& finding, std::size_t lists) {
  stream.value(finding.id, kLastVerdict);
  stream.value(finding.instance);
  double confidence = shown_share(finding.confidence);
  stream.value(confidence);
  bool has_severity = finding.severity.has_value();
  Severity severity = finding.severity.value_or(Severity::kInfo);
  stream.value(has_severity);
  stream.value(severity, Severity::kCritical);
  if constexpr (!std::is_const_v<T>) {
    finding.severity = has_severity ? std::optional(severity) : std::nullopt;
    finding.confidence = confidence;
  }
  stream.value(finding.onset_ns);
  stream.value(finding.onset_resolution_seconds);
  const auto party = [&](auto& one) { pass_party(stream, one); };
  const auto text = [&](auto& one) { stream.value(one); };
  stream.list(finding.causes, std::max<std::size_t>(lists, 1), party);
  stream.list(finding.victims, lists, party);
  stream.list(finding.evidence, lists, [&](auto& one) { pass_evidence(stream, one); });
  stream.list(finding.ruled_out, lists, [&](auto& one) {
    stream.value(one.alternative);
    stream.value(one.because);
  });
  stream.list(finding.unchecked, lists, text);
  stream.list(finding.timeline, lists, [&](auto& one) {
    stream.value(one.boottime_ns);
    stream.value(one.what);
  });
  stream.value(finding.sentence);
  stream.list(finding.next_steps, lists, text);
}

template <class Stream, class T>
void pass_verdict(Stream& stream, T& verdict, std::size_t lists) {
  pass_finding(stream, verdict.finding, lists);
  stream.value(verdict.severity, Severity::kCritical);
  stream.value(verdict.number);
  stream.value(verdict.onset_realtime_ns);
  stream.value(verdict.detected_boottime_ns);
  stream.value(verdict.detected_realtime_ns);
  stream.value(verdict.ended_boottime_ns);
  stream.value(verdict.ended_realtime_ns);
}

bool is_length(double value) { return value >= 0 && value <= kMaxHeldSeconds; }

// Differences of two of them can be told.
bool is_time(std::int64_t ns) {
  constexpr std::int64_t kMost = std::int64_t{1} << 61U;
  return ns >= -kMost && ns <= kMost;
}

bool is_possible(const Verdict& verdict) {
  const Finding& finding = verdict.finding;
  const std::int64_t times[] = {finding.onset_ns,
                                verdict.onset_realtime_ns,
                                verdict.detected_boottime_ns,
                                verdict.detected_realtime_ns,
                                verdict.ended_boottime_ns,
                                verdict.ended_realtime_ns};
  return finding.confidence == shown_share(finding.confidence) &&
         is_length(finding.onset_resolution_seconds) && std::ranges::all_of(times, is_time) &&
         std::ranges::all_of(finding.timeline,
                             [](const Moment& moment) { return is_time(moment.boottime_ns); });
}

}  // namespace

void Conditions::save(std::string& out) const {
  Writer writer(out);
  const std::size_t begin = out.size();
  writer.value(number_);
  writer.list(onsets_, kVerdicts, [&](std::uint64_t count) { writer.value(count); });
  writer.list(states_, kVerdicts * kMaxOfVerdict, [&](const State& state) {
    writer.value(state.is_active);
    writer.value(std::min(state.held_seconds, kMaxHeldSeconds));
    writer.value(std::min(state.gone_seconds, kMaxHeldSeconds));
    pass_verdict(writer, state.verdict, out.size() - begin < kMaxStateBytes ? kMaxItems : 0);
  });
  writer.list(recent_, kMaxRecent, [&](const std::shared_ptr<const Verdict>& verdict) {
    pass_verdict(writer, *verdict, 0);
  });
}

bool Conditions::load(std::string_view& in) {
  std::string_view rest = in;
  Reader reader(rest);
  Conditions loaded;
  reader.value(loaded.number_);
  loaded.onsets_.clear();
  reader.list(loaded.onsets_, kVerdicts, [&](std::uint64_t& count) { reader.value(count); });
  reader.require(loaded.onsets_.size() == kVerdicts);
  std::vector<State> states;
  reader.list(states, kVerdicts * kMaxOfVerdict, [&](State& state) {
    reader.value(state.is_active);
    reader.value(state.held_seconds);
    reader.value(state.gone_seconds);
    pass_verdict(reader, state.verdict, kMaxItems);
    const Finding& finding = state.verdict.finding;
    const auto same =
        std::count_if(loaded.states_.begin(), loaded.states_.end(),
                      [&](const State& one) { return one.verdict.finding.id == finding.id; });
    reader.require(is_possible(state.verdict) && is_length(state.held_seconds) &&
                   is_length(state.gone_seconds) && state.verdict.is_active() &&
                   state.verdict.number <= loaded.number_ && loaded.find(finding) == nullptr &&
                   static_cast<std::size_t>(same) < kMaxOfVerdict);
    if (reader.is_good()) {
      loaded.states_.push_back(state);
    }
  });
  std::vector<Verdict> recent;
  reader.list(recent, kMaxRecent, [&](Verdict& verdict) {
    pass_verdict(reader, verdict, kMaxItems);
    reader.require(is_possible(verdict) && !verdict.is_active() &&
                   verdict.number <= loaded.number_);
  });
  if (!reader.is_good()) {
    return false;
  }
  for (Verdict& verdict : recent) {
    loaded.recent_.push_back(std::make_shared<const Verdict>(std::move(verdict)));
  }
  *this = std::move(loaded);
  in = rest;
  return true;
}

}  // namespace tidegauge::heuristics
