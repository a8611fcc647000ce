// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/table_builder.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "collectors/core/section.h"
#include "collectors/core/text.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::flatten;
using Series = std::map<std::string, double>;

ColumnInfo column(std::string family, std::vector<Label> labels = {}) {
  ColumnInfo info;
  info.family = std::move(family);
  info.labels = std::move(labels);
  return info;
}

Series series_of(const Table& table) { return flatten(Section{.tables = {table}}); }

// RowTable

class RowTableTest : public ::testing::Test {
 protected:
  // A run with one row per label, each cell 10 * row + column.
  Table fill(std::initializer_list<std::string_view> devices) {
    table_.begin();
    std::uint64_t row = 0;
    for (const std::string_view device : devices) {
      table_.row({device});
      table_.set(0, row * 10);
      table_.set(1, row * 10 + 1);
      ++row;
    }
    return table_.take();
  }

  RowTable table_{{"device"}, {column("reads"), column("writes")}};
};

TEST_F(RowTableTest, ValuesAndLabels) {
  const Table table = fill({"sda", "sdb"});
  EXPECT_EQ(table.shape->label_names, std::vector<std::string>{"device"});
  EXPECT_EQ(table.values, (std::vector<std::uint64_t>{0, 1, 10, 11}));
  EXPECT_TRUE(table.absent.empty());
  EXPECT_EQ(series_of(table), (Series{{"reads{device=\"sda\"}", 0},
                                      {"writes{device=\"sda\"}", 1},
                                      {"reads{device=\"sdb\"}", 10},
                                      {"writes{device=\"sdb\"}", 11}}));
}

TEST_F(RowTableTest, ShapeIsSharedWhileLabelsStay) {
  const auto shape = fill({"sda", "sdb"}).shape;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(fill({"sda", "sdb"}).shape, shape);
  }
}

TEST_F(RowTableTest, ShapeIsNewWhenRowsChangeAndTheOldOneIsUntouched) {
  const auto first = fill({"sda", "sdb"}).shape;
  const auto more = fill({"sda", "sdb", "sdc"}).shape;
  const auto fewer = fill({"sda"}).shape;
  const auto again = fill({"sda", "sdb"}).shape;
  const auto renamed = fill({"sda", "sdX"}).shape;
  const auto swapped = fill({"sdX", "sda"}).shape;
  const auto none = fill({}).shape;
  const auto back = fill({"sdX", "sda"}).shape;
  const std::vector<std::shared_ptr<const Shape>> all = {first,   more,    fewer, again,
                                                         renamed, swapped, none,  back};
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    EXPECT_NE(all[i], all[i + 1]) << i;
  }
  using Rows = std::vector<std::vector<std::string>>;
  EXPECT_EQ(first->rows, (Rows{{"sda"}, {"sdb"}}));
  EXPECT_EQ(more->rows, (Rows{{"sda"}, {"sdb"}, {"sdc"}}));
  EXPECT_EQ(fewer->rows, (Rows{{"sda"}}));
  EXPECT_EQ(again->rows, (Rows{{"sda"}, {"sdb"}}));
  EXPECT_EQ(renamed->rows, (Rows{{"sda"}, {"sdX"}}));
  EXPECT_EQ(swapped->rows, (Rows{{"sdX"}, {"sda"}}));
  EXPECT_EQ(none->rows, Rows{});
  EXPECT_EQ(back->rows, (Rows{{"sdX"}, {"sda"}}));
}

TEST_F(RowTableTest, SanitisedLabelsDoNotCauseANewShapeEachTime) {
  const std::string longer(2 * kMaxLabelBytes, 'x');
  const auto shape = fill({"bad\xFF\xFE", longer}).shape;
  EXPECT_EQ(shape->rows[0][0], "bad\xEF\xBF\xBD");
  EXPECT_EQ(shape->rows[1][0], std::string(kMaxLabelBytes, 'x'));
  EXPECT_EQ(fill({"bad\xFF\xFE", longer}).shape, shape);
}

TEST_F(RowTableTest, CellsStartAbsent) {
  table_.begin();
  table_.row({"sda"});
  table_.set(1, 0);
  table_.row({"sdb"});
  const Table table = table_.take();
  EXPECT_FALSE(table.has(0, 0));
  EXPECT_TRUE(table.has(0, 1));
  EXPECT_FALSE(table.has(1, 0));
  EXPECT_FALSE(table.has(1, 1));
  EXPECT_EQ(series_of(table), (Series{{"writes{device=\"sda\"}", 0}})) << "0 is not absent";
}

TEST_F(RowTableTest, SettingTwiceKeepsTheLastAndCountsOnce) {
  table_.begin();
  table_.row({"sda"});
  table_.set(0, 1);
  table_.set(0, 2);
  const Table table = table_.take();
  EXPECT_TRUE(table.has(0, 0));
  EXPECT_FALSE(table.has(0, 1));
  EXPECT_EQ(table.raw(0, 0), 2U);
}

TEST_F(RowTableTest, PresenceChangesWithoutANewShape) {
  const auto full = fill({"sda"});
  table_.begin();
  table_.row({"sda"});
  table_.set(0, 5);
  const auto partial = table_.take();
  const auto full_again = fill({"sda"});
  EXPECT_EQ(full.shape, partial.shape);
  EXPECT_EQ(full.shape, full_again.shape);
  EXPECT_FALSE(partial.has(0, 1));
  EXPECT_TRUE(full_again.absent.empty());
}

TEST_F(RowTableTest, PresenceOfMoreThan64Cells) {
  table_.begin();
  for (std::uint64_t row = 0; row < 100; ++row) {
    table_.row({std::to_string(row)});
    if (row % 3 == 0) {
      table_.set(0, row);
    }
    if (row % 5 == 0) {
      table_.set(1, row);
    }
  }
  const Table table = table_.take();
  for (std::size_t row = 0; row < 100; ++row) {
    EXPECT_EQ(table.has(row, 0), row % 3 == 0) << row;
    EXPECT_EQ(table.has(row, 1), row % 5 == 0) << row;
  }
}

TEST_F(RowTableTest, BeginForgetsARunThatFailed) {
  const auto before = fill({"sda", "sdb"});
  table_.begin();
  table_.row({"other"});
  table_.set(0, 99);
  const auto after = fill({"sda", "sdb"});
  EXPECT_EQ(after.values, before.values);
  EXPECT_EQ(after.shape->rows, before.shape->rows);

  table_.begin();
  table_.row({"sda"});
  table_.row({"sdb"});
  table_.row({"sdc"});
  EXPECT_EQ(fill({"sda", "sdb"}).shape->rows, before.shape->rows);
}

TEST_F(RowTableTest, TakenTablesAreNotTouchedByLaterRuns) {
  const Table first = fill({"sda"});
  const auto values = first.values;
  fill({"sda", "sdb"});
  fill({"sdz"});
  EXPECT_EQ(first.values, values);
  EXPECT_EQ(first.shape->rows[0][0], "sda");
}

TEST(RowTable, MissingLabelsAreEmptyAndSurplusOnesAreIgnored) {
  RowTable table({"a", "b"}, {column("x")});
  table.begin();
  table.row({"1"});
  table.set(0, 1);
  table.row({"1", "2", "3"});
  table.set(0, 2);
  EXPECT_EQ(series_of(table.take()), (Series{{"x{a=\"1\",b=\"\"}", 1}, {"x{a=\"1\",b=\"2\"}", 2}}));
}

// StructTable

struct Disk {
  std::uint64_t reads = 0;
  std::optional<std::uint64_t> discards;
  std::int64_t temperature_hundredths = 0;
  std::optional<std::int64_t> drift;
  double load = 0;
  std::optional<double> share;
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  friend bool operator==(const Disk&, const Disk&) = default;
};

constexpr Column<Disk> kDisk[] = {
    {"reads_total", "Reads.", MetricKind::kCounter, kUnit, &Disk::reads},
    {"discards_total", "Discards.", MetricKind::kCounter, kUnit, &Disk::discards},
    {"temperature", "Temperature.", MetricKind::kGauge, kHundredths, &Disk::temperature_hundredths},
    {"drift", "Drift.", MetricKind::kGauge, kUnit, &Disk::drift},
    {"load", "Load.", MetricKind::kGauge, kUnit, &Disk::load},
    {"share", "Share.", MetricKind::kGauge, kUnit, &Disk::share},
    {"cpu_seconds_total",
     "CPU.",
     MetricKind::kCounter,
     kTicks,
     &Disk::user_ticks,
     {"mode", "user"}},
    {"cpu_seconds_total",
     "CPU.",
     MetricKind::kCounter,
     kTicks,
     &Disk::system_ticks,
     {"mode", "system"}},
};

// All members set, with the numbers that a careless conversion would change.
Disk full_disk() {
  return {.reads = std::numeric_limits<std::uint64_t>::max(),
          .discards = 0,
          .temperature_hundredths = -1250,
          .drift = std::numeric_limits<std::int64_t>::min(),
          .load = -0.0,
          .share = 0.1,
          .user_ticks = 150,
          .system_ticks = 7};
}

TEST(StructTable, EncodesEveryTypeOfMember) {
  StructTable<Disk> table(kDisk, {"device"});
  table.begin();
  const Disk disk = full_disk();
  table.add({"sda"}, disk);
  const Table out = table.take();
  EXPECT_EQ(series_of(out), (Series{{"reads_total{device=\"sda\"}", 18446744073709551615.0},
                                    {"discards_total{device=\"sda\"}", 0},
                                    {"temperature{device=\"sda\"}", -12.5},
                                    {"drift{device=\"sda\"}", -9223372036854775808.0},
                                    {"load{device=\"sda\"}", -0.0},
                                    {"share{device=\"sda\"}", 0.1},
                                    {"cpu_seconds_total{device=\"sda\",mode=\"user\"}", 1.5},
                                    {"cpu_seconds_total{device=\"sda\",mode=\"system\"}", 0.07}}));
  const auto& columns = out.shape->columns;
  EXPECT_EQ(columns[0].type, NumberType::kUnsigned);
  EXPECT_EQ(columns[1].type, NumberType::kUnsigned);
  EXPECT_EQ(columns[2].type, NumberType::kSigned);
  EXPECT_EQ(columns[3].type, NumberType::kSigned);
  EXPECT_EQ(columns[4].type, NumberType::kReal);
  EXPECT_EQ(columns[5].type, NumberType::kReal);
  EXPECT_EQ(columns[6].kind, MetricKind::kCounter);
  EXPECT_EQ(columns[6].help, "CPU.");
}

TEST(StructTable, EmptyOptionalsAreAbsent) {
  StructTable<Disk> table(kDisk, {"device"});
  table.begin();
  const Disk disk;
  table.add({"sda"}, disk);
  const Series series = series_of(table.take());
  EXPECT_EQ(series.size(), 5U);
  EXPECT_FALSE(series.contains("discards_total{device=\"sda\"}"));
  EXPECT_FALSE(series.contains("drift{device=\"sda\"}"));
  EXPECT_FALSE(series.contains("share{device=\"sda\"}"));
}

TEST(Decode, RoundTrip) {
  StructTable<Disk> table(kDisk, {"device"});
  table.begin();
  const Disk full = full_disk();
  const Disk empty;
  table.add({"sda"}, full);
  table.add({"sdb"}, empty);
  const Table out = table.take();
  const std::span<const Column<Disk>> columns(kDisk);
  EXPECT_EQ(decode(columns, out, 0), full);
  EXPECT_EQ(decode(columns, out, 1), empty);
}

TEST(Decode, ColumnsOfAnotherBuild) {
  // Fewer columns, in another order, and one that this build does not know.
  static constexpr Column<Disk> kOlder[] = {
      {"cpu_seconds_total",
       "CPU.",
       MetricKind::kCounter,
       kTicks,
       &Disk::system_ticks,
       {"mode", "system"}},
      {"unknown_total", "?", MetricKind::kCounter, kUnit, &Disk::user_ticks},
      {"reads_total", "Reads.", MetricKind::kCounter, kUnit, &Disk::reads},
  };
  StructTable<Disk> table(kOlder);
  table.begin();
  const Disk full = full_disk();
  table.add({}, full);
  const Table out = table.take();
  Disk expected;
  expected.reads = full.reads;
  expected.system_ticks = full.system_ticks;
  EXPECT_EQ(decode(std::span<const Column<Disk>>(kDisk), out, 0), expected);
}

TEST(FindColumn, ByFamilyAndConstantLabel) {
  const Shape shape{
      .label_names = {},
      .columns = {column("a"), column("b", {{"mode", "x"}}), column("b", {{"mode", "y"}}),
                  column("c", {{"mode", "x"}, {"more", "z"}})},
      .rows = {}};
  EXPECT_EQ(find_column(shape, "a"), 0U);
  EXPECT_EQ(find_column(shape, "b", {"mode", "y"}), 2U);
  EXPECT_EQ(find_column(shape, "b"), std::nullopt);
  EXPECT_EQ(find_column(shape, "b", {"mode", "z"}), std::nullopt);
  EXPECT_EQ(find_column(shape, "a", {"mode", "x"}), std::nullopt);
  EXPECT_EQ(find_column(shape, "c", {"mode", "x"}), std::nullopt);
  EXPECT_EQ(find_column(shape, "d"), std::nullopt);
}

// ValueTable

TEST(ValueTable, InfoAndRealValues) {
  ValueTable info("os_info", "Help.", MetricKind::kGauge, {"id"});
  info.begin();
  info.add({"debian"}, 1);
  EXPECT_EQ(series_of(info.take()), (Series{{"os_info{id=\"debian\"}", 1}}));

  ValueTable real("load", "Help.", MetricKind::kGauge, {}, kHundredths, NumberType::kReal);
  real.begin();
  real.add_real({}, 12.5);
  const Table first = real.take();
  EXPECT_EQ(series_of(first), (Series{{"load", 0.125}}));
  real.begin();
  real.add_real({}, 13.5);
  EXPECT_EQ(real.take().shape, first.shape);
}

TEST(ValueTable, EmptyHasNoRows) {
  ValueTable info("os_info", "Help.", MetricKind::kGauge, {"id"});
  info.begin();
  const Table table = info.take();
  EXPECT_TRUE(table.shape->rows.empty());
  EXPECT_TRUE(table.values.empty());
}

// NamedTable

class NamedTableTest : public ::testing::Test {
 protected:
  using Values = std::vector<std::pair<std::string_view, std::uint64_t>>;

  Table fill(const Values& values) {
    table_.begin();
    for (const auto& [name, value] : values) {
      table_.add(name, value);
    }
    return table_.take();
  }

  // family:label gives node_family{kind="label"}; names that begin with '-' are not wanted.
  std::optional<ColumnInfo> rule(std::string_view name) {
    ++asked_;
    if (name.starts_with('-')) {
      return std::nullopt;
    }
    const auto colon = name.find(':');
    ColumnInfo info = column("node_" + sanitize_metric_name(name.substr(0, colon)));
    if (colon != std::string_view::npos) {
      info.labels.push_back({"kind", std::string(name.substr(colon + 1))});
    }
    return info;
  }

  int asked_ = 0;
  NamedTable table_{{}, [this](std::string_view name) { return rule(name); }};
};

TEST_F(NamedTableTest, ValuesByName) {
  EXPECT_EQ(series_of(fill({{"a", 1}, {"b", 2}, {"-c", 3}})),
            (Series{{"node_a", 1}, {"node_b", 2}}));
}

TEST_F(NamedTableTest, ShapeIsSharedAndTheRuleNotAskedWhileNamesStay) {
  const Table first = fill({{"a", 1}, {"-c", 3}, {"b", 2}});
  const int asked = asked_;
  const Table second = fill({{"a", 4}, {"-c", 6}, {"b", 5}});
  EXPECT_EQ(second.shape, first.shape);
  EXPECT_EQ(asked_, asked);
  EXPECT_EQ(series_of(second), (Series{{"node_a", 4}, {"node_b", 5}}));
  EXPECT_EQ(series_of(first), (Series{{"node_a", 1}, {"node_b", 2}}));
}

TEST_F(NamedTableTest, NamesComeGoAndMove) {
  const Values kRuns[] = {
      {{"a", 1}, {"b", 2}, {"c", 3}},
      {{"a", 1}, {"x", 9}, {"b", 2}, {"c", 3}},
      {{"a", 1}, {"b", 2}},
      {{"b", 2}, {"a", 1}},
      {{"b", 2}},
      {},
      {{"c", 3}, {"a", 1}},
      {{"c", 3}, {"-a", 1}},
  };
  std::shared_ptr<const Shape> before;
  for (const Values& run : kRuns) {
    Series expected;
    for (const auto& [name, value] : run) {
      if (!name.starts_with('-')) {
        expected["node_" + std::string(name)] = static_cast<double>(value);
      }
    }
    const Table table = fill(run);
    EXPECT_EQ(series_of(table), expected);
    EXPECT_NE(table.shape, before);
    EXPECT_EQ(fill(run).shape, table.shape) << "and is stable from then on";
    before = table.shape;
  }
}

TEST_F(NamedTableTest, ANewNameInPlaceOfAnUnwantedOne) {
  fill({{"-a", 1}, {"b", 2}});
  EXPECT_EQ(series_of(fill({{"a", 1}, {"b", 2}})), (Series{{"node_a", 1}, {"node_b", 2}}));
}

TEST_F(NamedTableTest, FamiliesStandTogether) {
  const Table table = fill({{"x:1", 1}, {"y:1", 2}, {"x:2", 3}, {"z", 4}, {"y:2", 5}, {"x:3", 6}});
  std::vector<std::string> families;
  for (const ColumnInfo& info : table.shape->columns) {
    if (families.empty() || families.back() != info.family) {
      families.push_back(info.family);
    }
  }
  EXPECT_EQ(families, (std::vector<std::string>{"node_x", "node_y", "node_z"}));
  EXPECT_EQ(series_of(table), (Series{{"node_x{kind=\"1\"}", 1},
                                      {"node_x{kind=\"2\"}", 3},
                                      {"node_x{kind=\"3\"}", 6},
                                      {"node_y{kind=\"1\"}", 2},
                                      {"node_y{kind=\"2\"}", 5},
                                      {"node_z", 4}}));
}

TEST_F(NamedTableTest, ASeriesNeverAppearsTwice) {
  EXPECT_EQ(series_of(fill({{"a", 1}, {"b", 2}, {"a", 3}})), (Series{{"node_a", 3}, {"node_b", 2}}))
      << "the same name twice";
  EXPECT_EQ(series_of(fill({{"a-b", 1}, {"a_b", 2}})), (Series{{"node_a_b", 2}}))
      << "two names of one series";
}

TEST_F(NamedTableTest, ARunThatFailedLeavesNothingBehind) {
  const Table before = fill({{"a", 1}, {"b", 2}});
  table_.begin();
  table_.add("a", 7);
  const Table same = fill({{"a", 1}, {"b", 2}});
  EXPECT_EQ(same.shape, before.shape);
  EXPECT_EQ(series_of(same), series_of(before));
  table_.begin();
  table_.add("b", 7);
  table_.add("c", 7);
  table_.add("d", 7);
  EXPECT_EQ(series_of(fill({{"a", 1}, {"b", 2}})), series_of(before));
}

TEST(NamedTableRows, RowsWithNamesOfTheirOwn) {
  NamedTable table({"node"}, [](std::string_view name) {
    return std::optional(column("m_" + std::string(name)));
  });
  const auto fill = [&](bool boost) {
    table.begin();
    table.row({"0"});
    table.add("free", 1);
    if (boost) {
      table.add("boost", 2);
    }
    table.row({"1"});
    table.add("free", 3);
    table.add("spanned", 4);
    return table.take();
  };
  const Series with_boost = {{"m_free{node=\"0\"}", 1},
                             {"m_boost{node=\"0\"}", 2},
                             {"m_free{node=\"1\"}", 3},
                             {"m_spanned{node=\"1\"}", 4}};
  const Table first = fill(true);
  EXPECT_EQ(series_of(first), with_boost);
  EXPECT_EQ(fill(true).shape, first.shape);
  Series without = with_boost;
  without.erase("m_boost{node=\"0\"}");
  const Table second = fill(false);
  EXPECT_EQ(series_of(second), without);
  EXPECT_NE(second.shape, first.shape);
  EXPECT_EQ(series_of(fill(true)), with_boost);
}

TEST(NamedTableRows, ANameThatMovesToAnotherRowIsSeen) {
  NamedTable table({"node"}, [](std::string_view name) {
    return std::optional(column("m_" + std::string(name)));
  });
  table.begin();
  table.row({"0"});
  table.add("a", 1);
  table.add("b", 2);
  table.row({"1"});
  EXPECT_EQ(series_of(table.take()), (Series{{"m_a{node=\"0\"}", 1}, {"m_b{node=\"0\"}", 2}}));
  table.begin();
  table.row({"0"});
  table.add("a", 1);
  table.row({"1"});
  table.add("b", 2);
  EXPECT_EQ(series_of(table.take()), (Series{{"m_a{node=\"0\"}", 1}, {"m_b{node=\"1\"}", 2}}));
}

TEST(NamedTableRows, LabelsChange) {
  NamedTable table({"node"}, [](std::string_view name) {
    return std::optional(column("m_" + std::string(name)));
  });
  const auto fill = [&](std::initializer_list<std::string_view> nodes) {
    table.begin();
    for (const std::string_view node : nodes) {
      table.row({node});
      table.add("a", 1);
    }
    return table.take();
  };
  const Table first = fill({"0", "\xFF"});
  EXPECT_EQ(fill({"0", "\xFF"}).shape, first.shape);
  EXPECT_EQ(series_of(fill({"0", "2"})), (Series{{"m_a{node=\"0\"}", 1}, {"m_a{node=\"2\"}", 1}}));
  EXPECT_EQ(series_of(fill({"0"})), (Series{{"m_a{node=\"0\"}", 1}}));
  EXPECT_TRUE(series_of(fill({})).empty());
  EXPECT_EQ(series_of(fill({"0"})), (Series{{"m_a{node=\"0\"}", 1}}));
}

}  // namespace
}  // namespace tidegauge
