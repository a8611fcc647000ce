// SPDX-License-Identifier: Apache-2.0
#include "daemon/service/privileges.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace tidegauge {
namespace {

// Resident of files, of this process.
std::uint64_t file_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "RssFile:") {
      std::uint64_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

TEST(Privileges, PagesOfTheStartAreLetGoAndComeBack) {
  const std::uint64_t before = file_kib();
  if (before == 0) {
    GTEST_SKIP() << "this kernel does not tell RssFile (before 4.5)";
  }
  release_startup_pages();
  const std::uint64_t after = file_kib();
  EXPECT_LT(after, before * 3 / 4);
  // Text, tables and what was relocated are all there.
  EXPECT_THROW(throw std::string("unwinding reads tables"), std::string);
}

}  // namespace
}  // namespace tidegauge
