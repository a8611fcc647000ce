// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/dense_map.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace tidegauge {
namespace {

// Many keys of one hash, so that chains are long.
struct PoorHash {
  std::size_t operator()(std::uint64_t key) const { return key % 13; }
};
template <class Hash = std::hash<std::uint64_t>>
using Map = DenseMap<std::uint64_t, std::string, Hash, std::equal_to<>>;

template <class Hash>
std::map<std::uint64_t, std::string> content(const Map<Hash>& map) {
  std::map<std::uint64_t, std::string> out;
  for (const auto& [key, value] : map) {
    EXPECT_TRUE(out.emplace(key, value).second) << key << " is there twice";
  }
  return out;
}

template <class Hash>
void do_anything(std::uint64_t keys, std::uint32_t seed) {
  Map<Hash> map;
  std::map<std::uint64_t, std::string> expected;
  std::mt19937 random(seed);
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t key = random() % keys;
    // Times of growth and times of decay.
    const bool add = random() % 4 < (step / 2'000 % 2 == 0 ? 3U : 1U);
    if (add) {
      map.find_or_add(key) = std::to_string(step);
      expected[key] = std::to_string(step);
    } else if (step % 2 == 0) {
      EXPECT_EQ(map.erase(key), expected.erase(key) == 1);
    } else if (!map.empty()) {
      const std::size_t place = random() % map.size();
      expected.erase(map[place].key);
      map.erase_at(place);
    }
    if (random() % 64 == 0) {
      map.begin_pass();
    }
    const std::uint64_t asked = random() % keys;
    const auto at = expected.find(asked);
    const std::string* found = map.find(asked);
    ASSERT_EQ(found != nullptr, at != expected.end()) << asked;
    if (found != nullptr) {
      ASSERT_EQ(*found, at->second);
    }
  }
  EXPECT_EQ(content(map), expected);
}

TEST(DenseMap, HoldsWhatAMapHolds) {
  do_anything<std::hash<std::uint64_t>>(50, 1);
  do_anything<std::hash<std::uint64_t>>(2'000, 2);
  do_anything<PoorHash>(300, 3);
}

TEST(DenseMap, IsEmptyAtFirst) {
  Map<> map;
  EXPECT_EQ(map.find(1), nullptr);
  EXPECT_FALSE(map.erase(1));
  EXPECT_EQ(map.size(), 0U);
  EXPECT_EQ(map.place_of(0), PlaceIndex::kNone);
}

TEST(DenseMap, FindsTheSameOnesInAnyOrder) {
  Map<> map;
  for (std::uint64_t key = 0; key < 100; ++key) {
    map.find_or_add(key) = std::to_string(key);
  }
  for (int pass = 0; pass < 2; ++pass) {
    map.begin_pass();
    for (std::uint64_t key = 0; key < 100; ++key) {
      EXPECT_EQ(map.find_or_add(key), std::to_string(key));
    }
  }
  for (std::uint64_t key = 100; key-- != 0;) {
    EXPECT_EQ(map.find_or_add(key), std::to_string(key));
  }
  EXPECT_EQ(map.size(), 100U);
}

TEST(DenseMap, GivesBackWhatACrowdTook) {
  Map<> map;
  for (std::uint64_t key = 0; key < 100'000; ++key) {
    map.find_or_add(key);
  }
  for (std::uint64_t key = 100; key < 100'000; ++key) {
    map.erase(key);
  }
  map.begin_pass();
  EXPECT_LE(map.capacity(), 200U);
  for (std::uint64_t key = 0; key < 100; ++key) {
    EXPECT_NE(map.find(key), nullptr);
  }
}

TEST(PlaceIndex, TakesLittle) {
  PlaceIndex index;
  EXPECT_EQ(index.slots(), 0U);
  for (std::uint32_t place = 0; place < 12'000; ++place) {
    index.insert(place, place);
  }
  EXPECT_EQ(index.slots(), 16'384U);
  for (std::uint32_t place = 10; place < 12'000; ++place) {
    index.erase(place, place);
  }
  index.trim();
  EXPECT_LE(index.slots(), 128U);
  for (std::uint32_t place = 0; place < 10; ++place) {
    EXPECT_EQ(index.find(place, [&](std::uint32_t at) { return at == place; }), place);
  }
}

}  // namespace
}  // namespace tidegauge
