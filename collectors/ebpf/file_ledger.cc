// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_ledger.h"

#include <algorithm>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/ebpf/file_paths.h"

namespace tidegauge {

namespace {

// What a synchronisation weighs that had nothing to do.
constexpr double kCallMs = 0.1;

template <std::size_t N>
std::string_view text_of(const char (&field)[N]) {
  const std::string_view whole(field, N);
  return whole.substr(0, std::min(whole.find('\0'), N));
}

// An entry that left the kernel's table and came again starts at 0.
std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now >= before ? now - before : now;
}

bool has_grown(const tg_file_counts& before, const tg_file_counts& now) {
  return now.syncs != before.syncs || now.written_bytes != before.written_bytes ||
         now.read_bytes != before.read_bytes;
}

}  // namespace

void FileLedger::set_path(const tg_file_key& key, const std::string& path, const tg_file& before,
                          const std::string& root) {
  Inode& inode = inodes_[key];
  if (const auto at = paths_.find(inode.path); at != paths_.end()) {
    grow(at.value(), inode, before);
  }
  FileTotals names;
  names.path = path;
  names.root = root;
  names.fstype = sanitize_label(text_of(before.fstype));
  names.device = device_number(key.device);
  inode.path = path_entry(std::move(names)).id;
  inode.seen_pass = pass_;
  inode.grown_ns = now_ns_;
}

std::string_view FileLedger::path_of(const tg_file_key& key) const {
  const auto at = inodes_.find(key);
  const auto path = at == inodes_.end() ? paths_.end() : paths_.find(at->second.path);
  return path == paths_.end() ? std::string_view() : std::string_view(path->second.totals.path);
}

std::string FileLedger::index_key(const FileTotals& totals) {
  return totals.device + '\0' + totals.fstype + '\0' + totals.root + '\0' + totals.path;
}

FileLedger::Path& FileLedger::path_entry(FileTotals names) {
  const auto [at, added] = index_.emplace(index_key(names), next_id_);
  if (!added) {
    return paths_.find(at->second).value();
  }
  Path fresh;
  fresh.id = next_id_++;
  fresh.totals = std::move(names);
  fresh.first_ns = now_ns_;
  fresh.grown_ns = now_ns_;
  fresh.window_ns = now_ns_;
  return paths_.insert_or_assign(fresh.id, std::move(fresh)).first.value();
}

void FileLedger::begin_pass(std::int64_t now_ns) {
  last_ns_ = std::exchange(now_ns_, now_ns);
  ++pass_;
  present_ = 0;
}

void FileLedger::add(const tg_file_key& key, const tg_file& now) {
  ++present_;
  Inode& inode = inodes_[key];
  const bool fresh = inode.seen_pass == 0;
  inode.seen_pass = pass_;
  if (!fresh && !has_grown(inode.noticed, now.counts)) {
    return;
  }
  inode.noticed = now.counts;
  inode.grown_ns = now_ns_;
  const auto at = paths_.find(inode.path);
  if (at == paths_.end()) {
    // What it has counted waits for its name. One that we have forgotten is told anew once the kernel has, too.
    inode.grown_ns = inode.path != 0 ? now_ns_ - 2 * kIdleNs : now_ns_;
    return;
  }
  grow(at.value(), inode, now);
}

void FileLedger::grow(Path& path, Inode& inode, const tg_file& now) {
  const tg_file_counts& before = inode.last;
  if (!has_grown(before, now.counts)) {
    return;
  }
  FileTotals& totals = path.totals;
  const std::uint64_t syncs = growth(before.syncs, now.counts.syncs);
  const std::uint64_t sync_ns = growth(before.sync_ns, now.counts.sync_ns);
  const std::uint64_t written = growth(before.written_bytes, now.counts.written_bytes);
  const std::uint64_t read = growth(before.read_bytes, now.counts.read_bytes);
  inode.last = now.counts;
  totals.syncs += syncs;
  totals.sync_ns += sync_ns;
  totals.written_bytes += written;
  totals.read_bytes += read;
  totals.owner = now.owner;
  totals.pid = now.tgid;
  totals.tid = now.tid;
  totals.thread = sanitize_label(text_of(now.comm));
  path.sync_ms += static_cast<double>(sync_ns) / 1e6 + static_cast<double>(syncs) * kCallMs;
  path.written += static_cast<double>(written);
  path.read += static_cast<double>(read);
  path.grown_ns = now_ns_;
  path.worst_ns = std::max<std::uint64_t>(path.worst_ns, syncs != 0 ? now.worst_ns : 0);
}

std::vector<tg_file_key> FileLedger::end_pass() {
  std::vector<tg_file_key> idle;
  for (auto at = inodes_.begin(); at != inodes_.end();) {
    const bool gone = at->second.seen_pass != pass_;
    const bool rests = now_ns_ - at->second.grown_ns > kIdleNs;
    if (!gone && rests) {
      idle.push_back(at->first);
    }
    at = gone || rests ? inodes_.erase(at) : std::next(at);
  }
  rank();
  forget_paths();
  return idle;
}

void FileLedger::rank() {
  // The first pass tells of all that happened before, in no known time.
  const double elapsed_s = last_ns_ == 0 ? 0 : static_cast<double>(now_ns_ - last_ns_) / 1e9;
  std::vector<TopProcesses::Candidate> candidates;
  for (auto at = paths_.begin(); at != paths_.end(); ++at) {
    Path& path = at.value();
    // Milliseconds a second: those of a tenth of one are below the floor.
    path.scores.update(TopCriterion::kSync, std::exchange(path.sync_ms, 0), elapsed_s);
    path.scores.update(TopCriterion::kWrite, std::exchange(path.written, 0), elapsed_s);
    path.scores.update(TopCriterion::kRead, std::exchange(path.read, 0), elapsed_s);
    if (now_ns_ - path.window_ns >= kWindowNs) {
      path.window_ns = now_ns_;
      path.worst_before_ns = std::exchange(path.worst_ns, 0);
    }
    path.totals.worst_sync_ns = std::max(path.worst_ns, path.worst_before_ns);
    if (!path.scores.are_zero()) {
      candidates.push_back(
          {.id = path.id, .scores = &path.scores, .age_ns = now_ns_ - path.first_ns});
    }
  }
  for (const std::uint64_t id : shown_) {  // members are asked for until they leave
    const auto at = paths_.find(id);
    if (at != paths_.end() && at->second.scores.are_zero()) {
      candidates.push_back({.id = id, .scores = &at->second.scores});
    }
  }
  shown_ = top_.update(candidates, now_ns_);
}

void FileLedger::forget_paths() {
  if (paths_.size() <= kMaxPaths) {
    return;
  }
  std::vector<std::pair<std::int64_t, std::uint64_t>> by_age;
  for (const auto& [id, path] : paths_) {
    if (!std::binary_search(shown_.begin(), shown_.end(), id)) {
      by_age.emplace_back(path.grown_ns, id);
    }
  }
  const std::size_t surplus = std::min(by_age.size(), paths_.size() - kMaxPaths * 3 / 4);
  std::partial_sort(by_age.begin(), by_age.begin() + static_cast<std::ptrdiff_t>(surplus),
                    by_age.end());
  for (std::size_t i = 0; i < surplus; ++i) {
    const auto at = paths_.find(by_age[i].second);
    index_.erase(index_key(at->second.totals));
    paths_.erase(at);
  }
}

void FileLedger::for_each_top(const std::function<void(const FileTotals&)>& visit) const {
  for (const std::uint64_t id : shown_) {
    if (const auto at = paths_.find(id); at != paths_.end()) {
      visit(at->second.totals);
    }
  }
}

}  // namespace tidegauge
