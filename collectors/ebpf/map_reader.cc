// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/map_reader.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace tidegauge {

namespace {

constexpr std::uint32_t kBatch = 512;

// Kept for the thread's next read: what is hardly touched should not be mapped, cleared and unmapped each second.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : bytes_(std::exchange(spare().bytes, nullptr)) {
    size_ = std::exchange(spare().size, 0);
    if (size_ < bytes) {
      bytes_ = std::make_unique_for_overwrite<char[]>(bytes);
      size_ = bytes;
    }
  }
  ~Scratch() {
    spare().bytes = std::move(bytes_);
    spare().size = size_;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] char* bytes() const { return bytes_.get(); }

 private:
  struct Spare {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
  };
  static Spare& spare() {
    thread_local Spare mine;
    return mine;
  }
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

// The next entry that is still there when one is deleted under it begins the map anew: bounded by what a map holds.
constexpr std::size_t kMaxEntries = 1U << 20U;

Result<std::size_t> read_one_by_one(int fd, std::size_t key_bytes, std::size_t value_bytes,
                                    const std::function<void(const char*, const char*)>& visit) {
  std::vector<char> key(key_bytes);
  std::vector<char> next(key_bytes);
  std::vector<char> value(value_bytes);
  std::size_t seen = 0;
  const char* from = nullptr;
  while (seen < kMaxEntries && ::bpf_map_get_next_key(fd, from, next.data()) == 0) {
    if (::bpf_map_lookup_elem(fd, next.data(), value.data()) == 0) {
      visit(next.data(), value.data());
      ++seen;
    }
    key = next;
    from = key.data();
  }
  return seen;
}

}  // namespace

int possible_cpus() {
  static const int kCpus = std::max(1, ::libbpf_num_possible_cpus());
  return kCpus;
}

Result<std::size_t> read_map(int fd, std::size_t key_bytes, std::size_t value_bytes,
                             const std::function<void(const char*, const char*)>& visit) {
  const Scratch scratch((key_bytes + value_bytes) * kBatch);
  char* const values = scratch.bytes();  // first: they are aligned as the kernel has them
  char* const keys = values + value_bytes * kBatch;
  // The kernel's place in the map: as large as a key, 4 bytes at least.
  std::vector<char> place(std::max<std::size_t>(key_bytes, sizeof(std::uint32_t)));
  void* from = nullptr;
  std::size_t seen = 0;
  for (;;) {
    std::uint32_t count = kBatch;
    const int failed =
        ::bpf_map_lookup_batch(fd, from, place.data(), keys, values, &count, nullptr);
    const int error = failed == 0 ? 0 : errno;
    if (error == ENOSPC) {  // one bucket holds more than a batch: not with our hashes
      return system_error(error, "BPF map");
    }
    if (error != 0 && error != ENOENT) {
      if (from == nullptr) {  // before 5.6, or a kind of map that has no batches
        return read_one_by_one(fd, key_bytes, value_bytes, visit);
      }
      return system_error(error, "BPF map");
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      visit(keys + i * key_bytes, values + i * value_bytes);
    }
    seen += count;
    if (error == ENOENT) {
      return seen;
    }
    from = place.data();
  }
}

}  // namespace tidegauge
