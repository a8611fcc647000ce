// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_paths.h"

#include <gtest/gtest.h>

#include "bpf/file_records.h"

namespace tidegauge {
namespace {

using namespace std::string_view_literals;

TEST(FilePaths, NamesStandFromTheFileUpwards) {
  EXPECT_EQ(path_of_names("file\0dir\0var\0"sv, 0), "/var/dir/file");
  EXPECT_EQ(path_of_names("one\0"sv, 0), "/one");
  EXPECT_EQ(path_of_names("", 0), "/");
  EXPECT_EQ(path_of_names("without end"sv, 0), "/without end");
  EXPECT_EQ(path_of_names("f\0d\0"sv, TG_PATH_DELETED), "/d/f (deleted)");
  EXPECT_EQ(path_of_names("f\0d\0"sv, TG_PATH_CUT), ".../d/f");
  EXPECT_EQ(path_of_names("f\0d\0"sv, TG_PATH_NO_MOUNT), ".../d/f");
  EXPECT_EQ(path_of_names("f\xff\n\0d\0"sv, 0), "/d/f\xff\n");
}

TEST(FilePaths, DevicesAreTheKernelsNumbers) {
  EXPECT_EQ(device_number(0), "0:0");
  EXPECT_EQ(device_number(259U << 20U | 1'000'000U), "259:1000000");
}

TEST(FilePaths, LongOnesLoseTheirMiddle) {
  EXPECT_EQ(shorten_path("/short"), "/short");
  const std::string path = "/begin/" + std::string(5000, 'm') + "/end";
  const std::string shown = shorten_path(path);
  EXPECT_EQ(shown.size(), kMaxPathBytes);
  EXPECT_TRUE(shown.starts_with("/begin/m"));
  EXPECT_TRUE(shown.ends_with("m/end"));
  EXPECT_NE(shown.find("m...m"), std::string::npos);
}

TEST(FilePaths, DirectoriesThatDifferInIdsAreOne) {
  struct Case {
    std::string_view path;
    std::string_view pattern;
  };
  constexpr Case kCases[] = {
      {"/", "/"},
      {"", "/"},
      {"/var/tmp", "/var/tmp"},
      {"/tmp/job-4711/x", "/tmp/job-N/x"},
      {"/data/2024-11-25", "/data/N-N-N"},
      {"/run/550e8400-e29b-41d4-a716-446655440000/log", "/run/X/log"},
      {"/run/pod-550e8400-e29b-41d4-a716-446655440000", "/run/pod-X"},
      {"/docker/overlay2/3f2a9c0d11ee/diff/tmp", "/docker/overlayN/X/diff/tmp"},
      {"/repo/.git/objects/ab", "/repo/.git/objects/X"},
      {"/repo/.git/objects/7", "/repo/.git/objects/X"},
      {"/tmp/tmp.Xk29sAqZ1b", "/tmp/tmpX"},
      {"/tmp/tmpab12cd_e/sub", "/tmp/tmpX/sub"},
      {"/srv/deadbeef", "/srv/deadbeef"},
      {"/srv/facade1decade", "/srv/X"},
      {"/srv/feedback12345678", "/srv/feedbackN"},
      {"/pg/base/16384", "/pg/base/N"},
  };
  for (const Case& test : kCases) {
    EXPECT_EQ(directory_pattern(test.path), test.pattern) << test.path;
  }
}

TEST(FilePaths, PatternsAreShallow) {
  EXPECT_EQ(directory_pattern("/a1/b1/c1/d1", 2), "/X/X/...");
  EXPECT_EQ(directory_pattern("/aa/gg/cc", 3), "/X/gg/X");
}

}  // namespace
}  // namespace tidegauge
