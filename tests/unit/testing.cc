// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/testing.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <stdexcept>

namespace tidegauge::testing {

namespace fs = std::filesystem;

namespace {

KernelFiles below(const fs::path& root) {
  return KernelFiles(KernelRoots{.procfs = (root / "proc").string(),
                                 .sysfs = (root / "sys").string(),
                                 .rootfs = (root / "root").string(),
                                 .udev_data = (root / "udev").string()});
}

// In memory where one can: a test of processes writes thousands of files.
fs::path directory_of_trees() {
  constexpr const char* kMemory = "/dev/shm";
  const bool usable = std::getenv("TMPDIR") == nullptr && ::access(kMemory, W_OK | X_OK) == 0;
  return usable ? fs::path(kMemory) : fs::temp_directory_path();
}

fs::path fixtures() { return fs::path(TIDEGAUGE_SOURCE_DIR) / "tests" / "fixtures"; }

}  // namespace

KernelFiles fixture(std::string_view name) { return below(fixtures() / name); }

FixtureTree::FixtureTree() {
  std::string pattern = (directory_of_trees() / "tidegauge-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("mkdtemp failed");
  }
  root_ = pattern;
}

FixtureTree::FixtureTree(std::string_view name) : FixtureTree() {
  fs::copy(fixtures() / name, root_, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
}

FixtureTree::~FixtureTree() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

void FixtureTree::write(std::string_view relative, std::string_view content) const {
  const fs::path path = root_ / relative;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

void FixtureTree::remove(std::string_view relative) const { fs::remove_all(root_ / relative); }

void FixtureTree::link(std::string_view relative, std::string_view target) const {
  const fs::path path = root_ / relative;
  fs::create_directories(path.parent_path());
  fs::create_symlink(target, path);
}

std::string FixtureTree::path(std::string_view relative) const {
  return (root_ / relative).string();
}

KernelFiles FixtureTree::files() const { return below(root_); }

Result<std::unique_ptr<Collector>> make(const CollectorInfo& info, const KernelFiles& files,
                                        const std::vector<std::string>& options) {
  Options values = default_options(info.options);
  for (const std::string& option : options) {
    const auto equals = option.find('=');
    const std::string key = option.substr(0, equals);
    bool known = false;
    for (const OptionSpec& spec : info.options) {
      if (spec.key == key) {
        auto value = parse_option(spec, option.substr(equals + 1));
        if (!value) {
          return tl::make_unexpected(value.error());
        }
        values.set(key, std::move(*value));
        known = true;
      }
    }
    if (!known) {
      throw std::invalid_argument("no option " + key);
    }
  }
  return info.make(files, values);
}

Result<Section> run(Collector& collector, std::int64_t boottime_ns, std::int64_t realtime_ns) {
  ReadBuffer buffer;
  CollectContext context{.realtime_ns = realtime_ns, .boottime_ns = boottime_ns, .buffer = &buffer};
  Section section;
  auto done = collector.collect(context, section);
  if (!done) {
    return tl::make_unexpected(done.error());
  }
  return section;
}

Result<Section> run_once(const CollectorInfo& info, const KernelFiles& files,
                         const std::vector<std::string>& options) {
  auto collector = make(info, files, options);
  if (!collector) {
    return tl::make_unexpected(collector.error());
  }
  return run(**collector);
}

std::map<std::string, double> flatten(const Section& section) {
  std::map<std::string, double> out;
  for (const Table& table : section.tables) {
    const Shape& shape = *table.shape;
    for (std::size_t row = 0; row < shape.rows.size(); ++row) {
      for (std::size_t column = 0; column < shape.columns.size(); ++column) {
        if (!table.has(row, column)) {
          continue;
        }
        const ColumnInfo& info = shape.columns[column];
        std::string labels;
        const auto add = [&](const std::string& name, const std::string& value) {
          labels += (labels.empty() ? "" : ",") + name + "=\"" + value + "\"";
        };
        for (std::size_t i = 0; i < shape.label_names.size(); ++i) {
          add(shape.label_names[i], shape.rows[row][i]);
        }
        for (const Label& label : info.labels) {
          add(label.name, label.value);
        }
        std::string key = info.family + info.suffix;
        if (!labels.empty()) {
          key += "{" + labels + "}";
        }
        const auto [at, is_new] = out.try_emplace(key, table.value(row, column));
        if (!is_new) {
          at->second = std::numeric_limits<double>::quiet_NaN();
        }
      }
    }
  }
  return out;
}

}  // namespace tidegauge::testing
