// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is done to single files, by path: from the kernel's table by inode, which forgets, to sums that
// stay, and which of them are shown. Pure: time comes with each pass. Not thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/file_records.h"
#include "collectors/core/dense_map.h"
#include "collectors/core/place_index.h"
#include "collectors/process/top_processes.h"

namespace tidegauge {

struct FileKeyHash {
  std::size_t operator()(const tg_file_key& key) const {
    return std::hash<std::uint64_t>()(key.inode * 0x9E3779B97F4A7C15ULL ^
                                      (std::uint64_t{key.device} << 32 | key.generation));
  }
};
struct FileKeyEqual {
  bool operator()(const tg_file_key& a, const tg_file_key& b) const {
    return a.inode == b.inode && a.device == b.device && a.generation == b.generation;
  }
};
template <class Value>
using FileMap = DenseMap<tg_file_key, Value, FileKeyHash, FileKeyEqual>;

// Files of one file system that have had the same path one after another are one.
struct FileTotals {
  std::string path;
  std::string root;  // "major:minor", or "": as in set_path()
  std::string fstype;
  std::string device;  // of the file system, "major:minor"
  std::uint64_t syncs = 0;
  std::uint64_t sync_ns = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t worst_sync_ns = 0;  // of the last minute, about
  // Who used it last.
  std::uint32_t owner = 0;
  std::uint32_t pid = 0;
  std::uint32_t tid = 0;
  std::string thread;
};

class FileLedger {
 public:
  explicit FileLedger(std::size_t top) : top_(top) {}

  // From now on the file's path, as it is shown; what it has counted up to `before` was under the one before.
  // `root_device`: what tells apart equal paths of one file system, seen by containers from roots of their own; 0: the
  // host's. Within a pass, before add().
  void set_path(const tg_file_key& key, const std::string& path, const tg_file& before,
                std::uint32_t root_device = 0);
  // "" when it is not known.
  [[nodiscard]] std::string_view path_of(const tg_file_key& key) const;

  // A pass: everything that is in the kernel's table, in any order.
  void begin_pass(std::int64_t now_ns);
  void add(const tg_file_key& key, const tg_file& now);
  // Returns those that have been idle for minutes: the kernel's table may forget them.
  std::vector<tg_file_key> end_pass();

  // The busiest, by time in synchronisation, bytes written and bytes read, as of the last pass.
  void for_each_top(const std::function<void(const FileTotals&)>& visit) const;

  [[nodiscard]] std::size_t present() const { return present_; }  // in the last pass
  [[nodiscard]] std::size_t paths() const { return paths_.size(); }
  [[nodiscard]] std::size_t inodes() const { return inodes_.size(); }

 private:
  static constexpr std::int64_t kIdleNs = 120'000'000'000;
  static constexpr std::int64_t kWindowNs = 30'000'000'000;
  static constexpr std::size_t kMaxPaths = 4096;

  struct Inode {
    std::uint64_t path = 0;     // id of a Path, 0: not known
    tg_file_counts last{};      // up to which its path was credited
    std::uint64_t noticed = 0;  // sum of what it had in the last pass
    std::uint64_t seen_pass = 0;
    std::int64_t grown_ns = 0;
  };
  // There may be thousands: what only those that are shown need in words is kept in numbers.
  struct Names {
    std::string path;
    std::uint32_t device = 0;
    std::uint32_t root_device = 0;
    std::array<char, sizeof(tg_file::fstype)> fstype{};
    friend bool operator==(const Names&, const Names&) = default;
  };
  struct Path {
    Names names;
    tg_file_counts totals{};
    std::uint64_t worst_sync_ns = 0;
    std::uint32_t owner = 0;
    std::uint32_t pid = 0;
    std::uint32_t tid = 0;
    std::array<char, sizeof(tg_file::comm)> thread{};
    TopScores scores;
    // Growth of this pass.
    double sync_ms = 0;
    double written = 0;
    double read = 0;
    std::int64_t first_ns = 0;
    std::int64_t grown_ns = 0;
    std::int64_t window_ns = 0;  // when that of `worst_ns` began
    std::uint64_t worst_ns = 0;
    std::uint64_t worst_before_ns = 0;
  };
  struct IdHash {
    std::size_t operator()(std::uint64_t id) const { return id; }
  };
  std::uint64_t id_of(Names names);
  static std::size_t hash_of(const Names& names);
  static FileTotals shown(const Path& path);
  void grow(Path& path, Inode& inode, const tg_file& now);
  void rank();
  void forget_paths();
  void forget_path(std::uint32_t place);

  FileMap<Inode> inodes_;
  DenseMap<std::uint64_t, Path, IdHash, std::equal_to<>> paths_;  // by id
  PlaceIndex by_names_;                                           // into it
  std::uint64_t next_id_ = 1;
  std::uint64_t pass_ = 0;
  std::int64_t now_ns_ = 0;
  std::int64_t last_ns_ = 0;
  std::size_t present_ = 0;
  TopProcesses top_;
  std::vector<std::uint64_t> shown_;
};

}  // namespace tidegauge
