// SPDX-License-Identifier: Apache-2.0
// Every collector over hostile kernel files. The first two bytes choose the collector and one of the
// files it reads; the rest is that file's content, in an otherwise sound fixture. Whatever comes
// out must be an exposition that Prometheus can read.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "collectors/registry.h"
#include "daemon/exporter/section_text.h"
#include "tests/unit/exposition_parser.h"
#include "tests/unit/testing.h"

namespace {

using tidegauge::testing::FixtureTree;

std::vector<std::string> fixture_files() {
  std::vector<std::string> files;
  const auto root = std::filesystem::path(TIDEGAUGE_SOURCE_DIR) / "tests/fixtures/linux-6.12";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) {
      files.push_back(std::filesystem::relative(entry.path(), root).string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const FixtureTree* tree = new FixtureTree("linux-6.12");
  static const std::vector<std::string> files = fixture_files();
  if (size < 2 || files.empty()) {
    return 0;
  }
  const auto collectors = tidegauge::all_collectors();
  const tidegauge::CollectorInfo& info = *collectors[data[0] % collectors.size()];
  if (info.lane == tidegauge::Lane::kWorker && info.name == "filesystem") {
    return 0;  // its helper threads belong to no single input
  }
  const std::string& file = files[data[1] % files.size()];
  std::string saved;
  {
    std::ifstream in(tree->path(file), std::ios::binary);
    saved.assign(std::istreambuf_iterator<char>(in), {});
  }
  tree->write(file, {reinterpret_cast<const char*>(data) + 2, size - 2});
  const auto collector = tidegauge::testing::make(info, tree->files());
  if (collector) {
    for (int i = 0; i < 2; ++i) {
      auto section = tidegauge::testing::run(**collector, 1'000'000'000 * (i + 1));
      if (section) {
        tidegauge::SectionText text(nullptr);
        const auto& rendered =
            text.render(std::make_shared<const tidegauge::Section>(std::move(*section)));
        const auto parsed = tidegauge::testing::parse_exposition(rendered);
        if (!parsed.error.empty()) {
          std::fprintf(stderr, "%s: %s\n", std::string(info.name).c_str(), parsed.error.c_str());
          std::abort();
        }
      }
    }
  }
  tree->write(file, saved);
  return 0;
}
