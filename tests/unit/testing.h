// SPDX-License-Identifier: Apache-2.0
#pragma once

// What unit tests share: fixture roots, collectors run once, sections flattened to "series -> value".

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/collector.h"
#include "collectors/core/kernel_files.h"
#include "collectors/core/section.h"

namespace tidegauge::testing {

// Roots below tests/fixtures/<name>/{proc,sys,root,udev}; a missing one is simply an empty root.
KernelFiles fixture(std::string_view name);

// A fixture root of a test's own, in a temporary directory that goes away with it.
class FixtureTree {
 public:
  FixtureTree();
  // Starts as a copy of tests/fixtures/<name>.
  explicit FixtureTree(std::string_view name);
  ~FixtureTree();
  FixtureTree(const FixtureTree&) = delete;
  FixtureTree& operator=(const FixtureTree&) = delete;

  // `relative` begins with proc/, sys/, root/ or udev/. Directories are made as needed.
  void write(std::string_view relative, std::string_view content) const;
  void remove(std::string_view relative) const;
  void link(std::string_view relative, std::string_view target) const;
  [[nodiscard]] std::string path(std::string_view relative) const;
  [[nodiscard]] KernelFiles files() const;

 private:
  std::filesystem::path root_;
};

// Makes the collector and runs it once. `options` are "key=value" as on a command line, over the
// defaults.
Result<Section> run_once(const CollectorInfo& info, const KernelFiles& files,
                         const std::vector<std::string>& options = {});

// Makes a collector that a test runs several times.
Result<std::unique_ptr<Collector>> make(const CollectorInfo& info, const KernelFiles& files,
                                        const std::vector<std::string>& options = {});
Result<Section> run(Collector& collector, std::int64_t boottime_ns = 1'000'000'000,
                    std::int64_t realtime_ns = 1'700'000'000'000'000'000);

// Series in exposition form, `name{a="b",c="d"}` with labels in the table's order (row labels, then
// constant ones), to the value in base units. A duplicate series is reported by name with value NaN.
std::map<std::string, double> flatten(const Section& section);

// The text of `result`'s error, or "" when it succeeded.
template <class T>
std::string error_text(const Result<T>& result) {
  return result ? std::string() : result.error().message();
}

}  // namespace tidegauge::testing
