// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/map_reader.h"

#include <bpf/libbpf.h>

#include <algorithm>

namespace tidegauge {

namespace {

constexpr std::uint32_t kBatch = 512;

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
  std::vector<char> keys(key_bytes * kBatch);
  std::vector<char> values(value_bytes * kBatch);
  // The kernel's place in the map: as large as a key, 4 bytes at least.
  std::vector<char> place(std::max<std::size_t>(key_bytes, sizeof(std::uint32_t)));
  void* from = nullptr;
  std::size_t seen = 0;
  for (;;) {
    std::uint32_t count = kBatch;
    const int failed =
        ::bpf_map_lookup_batch(fd, from, place.data(), keys.data(), values.data(), &count, nullptr);
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
      visit(keys.data() + i * key_bytes, values.data() + i * value_bytes);
    }
    seen += count;
    if (error == ENOENT) {
      return seen;
    }
    from = place.data();
  }
}

}  // namespace tidegauge
