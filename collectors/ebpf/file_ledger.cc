// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_ledger.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "collectors/core/text.h"
#include "collectors/ebpf/file_paths.h"

namespace tidegauge {

namespace {

// What a synchronisation weighs that had nothing to do.
constexpr double kCallMs = 0.1;

template <std::size_t N>
std::string label_of(const std::array<char, N>& field) {
  const std::string_view whole(field.data(), N);
  return sanitize_label(whole.substr(0, std::min(whole.find('\0'), N)));
}

// An entry that left the kernel's table and came again starts at 0.
std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now >= before ? now - before : now;
}

bool has_grown(const tg_file_counts& before, const tg_file_counts& now) {
  return now.syncs != before.syncs || now.written_bytes != before.written_bytes ||
         now.read_bytes != before.read_bytes;
}

std::uint64_t sum_of(const tg_file_counts& counts) {
  return counts.syncs + counts.written_bytes + counts.read_bytes;
}

}  // namespace

void FileLedger::set_path(const tg_file_key& key, const std::string& path, const tg_file& before,
                          std::uint32_t root_device) {
  Inode& inode = inodes_.find_or_add(key);
  if (Path* old = paths_.find(inode.path); old != nullptr) {
    grow(*old, inode, before);
  }
  Names names{.path = path, .device = key.device, .root_device = root_device};
  std::memcpy(names.fstype.data(), before.fstype, sizeof(before.fstype));
  inode.path = id_of(std::move(names));
  inode.seen_pass = pass_;
  inode.grown_ns = now_ns_;
}

std::string_view FileLedger::path_of(const tg_file_key& key) const {
  const Inode* inode = inodes_.find(key);
  const Path* path = inode == nullptr ? nullptr : paths_.find(inode->path);
  return path == nullptr ? std::string_view() : std::string_view(path->names.path);
}

std::size_t FileLedger::hash_of(const Names& names) {
  const std::uint64_t where = std::uint64_t{names.device} << 32U | names.root_device;
  return std::hash<std::string_view>()(names.path) ^ where * 0x9E3779B97F4A7C15ULL;
}

std::uint64_t FileLedger::id_of(Names names) {
  const std::size_t hash = hash_of(names);
  const std::uint32_t at =
      by_names_.find(hash, [&](std::uint32_t place) { return paths_[place].value.names == names; });
  if (at != PlaceIndex::kNone) {
    return paths_[at].key;
  }
  by_names_.insert(hash, static_cast<std::uint32_t>(paths_.size()));
  Path& fresh = paths_.find_or_add(next_id_);
  fresh.names = std::move(names);
  fresh.first_ns = now_ns_;
  fresh.grown_ns = now_ns_;
  fresh.window_ns = now_ns_;
  return next_id_++;
}

void FileLedger::begin_pass(std::int64_t now_ns) {
  last_ns_ = std::exchange(now_ns_, now_ns);
  ++pass_;
  present_ = 0;
  inodes_.begin_pass();
}

void FileLedger::add(const tg_file_key& key, const tg_file& now) {
  ++present_;
  Inode& inode = inodes_.find_or_add(key);
  const bool fresh = inode.seen_pass == 0;
  inode.seen_pass = pass_;
  const std::uint64_t sum = sum_of(now.counts);
  if (!fresh && inode.noticed == sum) {
    return;
  }
  inode.noticed = sum;
  inode.grown_ns = now_ns_;
  Path* path = paths_.find(inode.path);
  if (path == nullptr) {
    // What it has counted waits for its name. One that we have forgotten is told anew once the kernel has, too.
    inode.grown_ns = inode.path != 0 ? now_ns_ - 2 * kIdleNs : now_ns_;
    return;
  }
  grow(*path, inode, now);
}

void FileLedger::grow(Path& path, Inode& inode, const tg_file& now) {
  const tg_file_counts& before = inode.last;
  if (!has_grown(before, now.counts)) {
    return;
  }
  tg_file_counts& totals = path.totals;
  const std::uint64_t syncs = growth(before.syncs, now.counts.syncs);
  const std::uint64_t sync_ns = growth(before.sync_ns, now.counts.sync_ns);
  const std::uint64_t written = growth(before.written_bytes, now.counts.written_bytes);
  const std::uint64_t read = growth(before.read_bytes, now.counts.read_bytes);
  inode.last = now.counts;
  totals.syncs += syncs;
  totals.sync_ns += sync_ns;
  totals.written_bytes += written;
  totals.read_bytes += read;
  path.owner = now.owner;
  path.pid = now.tgid;
  path.tid = now.tid;
  std::memcpy(path.thread.data(), now.comm, sizeof(now.comm));
  path.sync_ms += static_cast<double>(sync_ns) / 1e6 + static_cast<double>(syncs) * kCallMs;
  path.written += static_cast<double>(written);
  path.read += static_cast<double>(read);
  path.grown_ns = now_ns_;
  path.worst_ns = std::max<std::uint64_t>(path.worst_ns, syncs != 0 ? now.worst_ns : 0);
}

std::vector<tg_file_key> FileLedger::end_pass() {
  std::vector<tg_file_key> idle;
  for (std::size_t at = 0; at < inodes_.size();) {
    const auto& [key, inode] = inodes_[at];
    const bool gone = inode.seen_pass != pass_;
    const bool rests = now_ns_ - inode.grown_ns > kIdleNs;
    if (!gone && rests) {
      idle.push_back(key);
    }
    if (gone || rests) {
      inodes_.erase_at(at);
    } else {
      ++at;
    }
  }
  rank();
  forget_paths();
  return idle;
}

void FileLedger::rank() {
  // The first pass tells of all that happened before, in no known time.
  const double elapsed_s = last_ns_ == 0 ? 0 : static_cast<double>(now_ns_ - last_ns_) / 1e9;
  std::vector<TopProcesses::Candidate> candidates;
  for (auto& [id, path] : paths_) {
    // Milliseconds a second: those of a tenth of one are below the floor.
    path.scores.update(TopCriterion::kSync, std::exchange(path.sync_ms, 0), elapsed_s);
    path.scores.update(TopCriterion::kWrite, std::exchange(path.written, 0), elapsed_s);
    path.scores.update(TopCriterion::kRead, std::exchange(path.read, 0), elapsed_s);
    if (now_ns_ - path.window_ns >= kWindowNs) {
      path.window_ns = now_ns_;
      path.worst_before_ns = std::exchange(path.worst_ns, 0);
    }
    path.worst_sync_ns = std::max(path.worst_ns, path.worst_before_ns);
    if (!path.scores.are_zero()) {
      candidates.push_back({.id = id, .scores = &path.scores, .age_ns = now_ns_ - path.first_ns});
    }
  }
  for (const std::uint64_t id : shown_) {  // members are asked for until they leave
    const Path* path = paths_.find(id);
    if (path != nullptr && path->scores.are_zero()) {
      candidates.push_back({.id = id, .scores = &path->scores});
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
    forget_path(paths_.place_of(by_age[i].second));
  }
}

// The last one takes its place.
void FileLedger::forget_path(std::uint32_t place) {
  const auto last = static_cast<std::uint32_t>(paths_.size() - 1);
  by_names_.erase(hash_of(paths_[place].value.names), place);
  if (place != last) {
    by_names_.move(hash_of(paths_[last].value.names), last, place);
  }
  paths_.erase_at(place);
}

FileTotals FileLedger::shown(const Path& path) {
  const Names& names = path.names;
  return {.path = names.path,
          .root = names.root_device != 0 ? device_number(names.root_device) : std::string(),
          .fstype = label_of(names.fstype),
          .device = device_number(names.device),
          .syncs = path.totals.syncs,
          .sync_ns = path.totals.sync_ns,
          .written_bytes = path.totals.written_bytes,
          .read_bytes = path.totals.read_bytes,
          .worst_sync_ns = path.worst_sync_ns,
          .owner = path.owner,
          .pid = path.pid,
          .tid = path.tid,
          .thread = label_of(path.thread)};
}

void FileLedger::for_each_top(const std::function<void(const FileTotals&)>& visit) const {
  for (const std::uint64_t id : shown_) {
    if (const Path* path = paths_.find(id); path != nullptr) {
      visit(shown(*path));
    }
  }
}

}  // namespace tidegauge
