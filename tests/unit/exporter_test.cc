// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <libdeflate.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <limits>
#include <random>
#include <sstream>

#include "collectors/core/table_builder.h"
#include "collectors/core/text.h"
#include "collectors/registry.h"
#include "daemon/exporter/exposition.h"
#include "daemon/exporter/family_text.h"
#include "daemon/exporter/own_metrics.h"
#include "daemon/exporter/section_text.h"
#include "daemon/exporter/snapshot_collectable.h"
#include "daemon/exporter/text_format.h"
#include "tests/unit/exposition_parser.h"

namespace tidegauge {
namespace {

using testing::parse_exposition;

std::string value_text(std::uint64_t bits, NumberType type, Scale scale) {
  std::string out;
  append_value(out, bits, type, scale);
  return out;
}

TEST(TextFormat, ValuesAreExact) {
  const auto u = NumberType::kUnsigned;
  EXPECT_EQ(value_text(0, u, kUnit), "0");
  EXPECT_EQ(value_text(18446744073709551615U, u, kUnit), "18446744073709551615");
  EXPECT_EQ(value_text(7, u, kTicks), "0.07");
  EXPECT_EQ(value_text(1200, u, kTicks), "12");
  EXPECT_EQ(value_text(1234567, u, kTicks), "12345.67");
  EXPECT_EQ(value_text(1500, u, kMilliseconds), "1.5");
  EXPECT_EQ(value_text(20525, u, kMillisecondsByReciprocal), "20.525000000000002");
  EXPECT_EQ(value_text(1, u, kNanoseconds), "0.000000001");
  EXPECT_EQ(value_text(3, u, kSectors), "1536");
  EXPECT_EQ(value_text(1U << 20U, u, kKibibytes), "1073741824");
  EXPECT_EQ(value_text(static_cast<std::uint64_t>(-5), NumberType::kSigned, kUnit), "-5");
  EXPECT_EQ(value_text(static_cast<std::uint64_t>(-150), NumberType::kSigned, kHundredths), "-1.5");
  EXPECT_EQ(value_text(std::bit_cast<std::uint64_t>(0.1), NumberType::kReal, kUnit), "0.1");
}

TEST(TextFormat, ScalingThatOverflowsFallsBackToADouble) {
  const std::string text =
      value_text(std::numeric_limits<std::uint64_t>::max(), NumberType::kUnsigned, kKibibytes);
  EXPECT_DOUBLE_EQ(std::stod(text), 18446744073709551615.0 * 1024.0);
}

TEST(TextFormat, SpecialReals) {
  std::string out;
  append_real(out, std::numeric_limits<double>::quiet_NaN());
  append_real(out, std::numeric_limits<double>::infinity());
  append_real(out, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(out, "NaN+Inf-Inf");
}

TEST(TextFormat, EscapesLabelsAndHelp) {
  std::string out;
  append_header(out, "x", "back\\slash, \xFF and\nnewline", MetricKind::kGauge);
  SeriesName name(out, "x", "");
  name.label("l", "q\"b\\n\n");
  name.end();
  EXPECT_EQ(out,
            "# HELP x back\\\\slash, \xEF\xBF\xBD and\\nnewline\n# TYPE x "
            "gauge\nx{l=\"q\\\"b\\\\n\\n\"} ");
}

// ---- a Snapshot of random content, within what collectors can produce ----

std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> pieces = {
      "a", "Z", "_", "\"", "\\", "\n", " ", "{}", "\xC3\xA9", "\xFF", "=", ",", "\x01", "eth0"};
  std::string out;
  for (auto n = random() % 6; n > 0; --n) {
    out += pieces[random() % pieces.size()];
  }
  return out;
}

Table random_table(std::mt19937& random, int number) {
  static constexpr Scale kScales[] = {kUnit, kTicks, kMilliseconds, kNanoseconds, kSectors};
  std::vector<std::string> labels;
  for (std::size_t i = 0, n = random() % 3; i < n; ++i) {
    labels.push_back("label" + std::to_string(i));
  }
  std::vector<ColumnInfo> columns;
  for (std::size_t i = 0, n = 1 + random() % 4; i < n; ++i) {
    ColumnInfo info;
    info.family = "family_" + std::to_string(number) + "_" + std::to_string(i / 2);
    info.help = "Help " + random_text(random);
    info.kind = static_cast<MetricKind>(random() % 3);
    if (i % 2 == 1) {
      info.help = columns.back().help;
      info.kind = columns.back().kind;
    }
    info.type = static_cast<NumberType>(random() % 3);
    info.scale = info.type == NumberType::kReal ? kUnit : kScales[random() % 5];
    info.labels = {{"mode", "m" + std::to_string(i)}};
    columns.push_back(info);
  }
  RowTable table(labels, columns);
  table.begin();
  const std::size_t rows = labels.empty() ? 1 : random() % 5;
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      texts.push_back(random_text(random));
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    table.row(LabelValues(views));
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (random() % 4 == 0) {
        continue;
      }
      const std::uint64_t number_bits = random() >> (random() % 31);
      table.set(i, columns[i].type == NumberType::kReal
                       ? std::bit_cast<std::uint64_t>(static_cast<double>(number_bits) / 7.0)
                       : number_bits);
    }
  }
  return table.take();
}

SnapshotPtr random_snapshot(std::uint32_t seed) {
  std::mt19937 random(seed);
  auto snapshot = std::make_shared<Snapshot>();
  for (int i = 0; i < 3; ++i) {
    auto section = std::make_shared<Section>();
    for (std::size_t t = 0, n = random() % 4; t < n; ++t) {
      section->tables.push_back(random_table(random, i * 10 + static_cast<int>(t)));
    }
    snapshot->entries.push_back({"c", section, {}});
  }
  return snapshot;
}

// prometheus-cpp is the oracle: both writers must mean the same families. What it writes wrongly
// (HELP with a newline, "Nan") is excluded here and tested above.
TEST(SectionText, MeansWhatPrometheusCppMeans) {
  std::size_t series = 0;
  for (std::uint32_t seed = 0; seed < 400; ++seed) {
    const SnapshotPtr snapshot = random_snapshot(seed);
    std::string ours;
    for (const SnapshotEntry& entry : snapshot->entries) {
      SectionText text(nullptr);
      ours += text.render(entry.section);
    }
    auto families = to_families(*snapshot);
    for (auto& family : families) {
      family.help = sanitize_label(family.help);  // a hole of its own: bytes that are not UTF-8
      std::erase(family.help, '\n');
      std::erase(family.help, '\\');
    }
    const auto theirs_parsed = parse_exposition(prometheus::TextSerializer().Serialize(families));
    auto ours_parsed = parse_exposition(ours);
    for (auto& [name, family] : ours_parsed.families) {
      std::erase(family.help, '\n');
      std::erase(family.help, '\\');
    }
    ASSERT_EQ(ours_parsed.error, "") << "seed " << seed;
    ASSERT_EQ(theirs_parsed.error, "") << "seed " << seed;
    ASSERT_EQ(ours_parsed.families.size(), theirs_parsed.families.size()) << "seed " << seed;
    for (const auto& [name, family] : theirs_parsed.families) {
      const auto& mine = ours_parsed.families[name];
      EXPECT_EQ(mine.type, family.type) << name;
      EXPECT_EQ(mine.help, family.help) << name;
      ASSERT_EQ(mine.series.size(), family.series.size()) << name << " seed " << seed;
      for (const auto& [labels, value] : family.series) {
        ASSERT_TRUE(mine.series.contains(labels)) << name << " seed " << seed;
        EXPECT_NEAR(mine.series.at(labels), value, std::abs(value) * 1e-15) << name;
        ++series;
      }
    }
    // And the safe writer over the same families.
    std::string safe;
    append_families(safe, to_families(*snapshot));
    EXPECT_EQ(parse_exposition(safe).error, "") << "seed " << seed;
  }
  EXPECT_GT(series, 1000U);
}

TEST(SectionText, RowsThatSanitiseToTheSameLabelAreWrittenOnce) {
  ValueTable table("x", "help", MetricKind::kGauge, {"comm"});
  table.begin();
  table.add({"\xFF"}, 1);
  table.add({"\xFE"}, 2);
  auto section = std::make_shared<Section>();
  section->tables.push_back(table.take());
  SectionText text(nullptr);
  const auto parsed = parse_exposition(text.render(section));
  EXPECT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.families.at("x").series.size(), 1U);
  EXPECT_EQ(text.suppressed(), 1U);
}

TEST(SectionText, AFamilyOfAnotherCollectorIsNotShadowed) {
  ValueTable table("node_load1", "mine", MetricKind::kGauge, {});
  table.begin();
  table.add({}, 1);
  auto section = std::make_shared<Section>();
  section->tables.push_back(table.take());
  SectionText text([](std::string_view family) {
    return family == "node_load1" ? FamilyVerdict::kCollides : FamilyVerdict::kWrite;
  });
  EXPECT_EQ(text.render(section), "");
  EXPECT_EQ(text.suppressed(), 1U);
}

TEST(SectionText, ConsecutiveTablesOfOneFamilyShareItsHeader) {
  ValueTable one("x", "h", MetricKind::kGauge, {"a"});
  ValueTable two("x", "h", MetricKind::kGauge, {"b"});
  one.begin();
  two.begin();
  one.add({"1"}, 1);
  two.add({"2"}, 2);
  auto section = std::make_shared<Section>();
  section->tables.push_back(one.take());
  section->tables.push_back(two.take());
  SectionText text(nullptr);
  EXPECT_EQ(text.render(section), "# HELP x h\n# TYPE x gauge\nx{a=\"1\"} 1\nx{b=\"2\"} 2\n");
}

TEST(SectionText, AFamilyWithNothingPresentHasNoHeader) {
  RowTable table({}, {ColumnInfo{"x", {}, "h", MetricKind::kGauge, NumberType::kUnsigned, {}, {}}});
  table.begin();
  table.row({});
  auto section = std::make_shared<Section>();
  section->tables.push_back(table.take());
  SectionText text(nullptr);
  EXPECT_EQ(text.render(section), "");
}

std::string gunzip(const std::string& data) {
  auto* decompressor = libdeflate_alloc_decompressor();
  std::string out(4U << 20U, '\0');
  std::size_t size = 0;
  const auto result = libdeflate_gzip_decompress(decompressor, data.data(), data.size(), out.data(),
                                                 out.size(), &size);
  libdeflate_free_decompressor(decompressor);
  EXPECT_EQ(result, LIBDEFLATE_SUCCESS);
  out.resize(size);
  return out;
}

class ExpositionTest : public ::testing::Test {
 protected:
  static SnapshotPtr snapshot(std::uint64_t a, std::uint64_t b) {
    auto snapshot = std::make_shared<Snapshot>();
    CollectorStatus status;
    status.ran = true;
    snapshot->entries.push_back({"a", section("a_value", a), status});
    snapshot->entries.push_back({"b", section("node_b_value", b), status});
    return snapshot;
  }
  static std::shared_ptr<const Section> section(const std::string& family, std::uint64_t value) {
    ValueTable table(family, "help", MetricKind::kGauge, {});
    table.begin();
    table.add({}, value);
    auto out = std::make_shared<Section>();
    out->tables.push_back(table.take());
    return out;
  }
  std::vector<ExportedCollector> collectors_ = {{"a", "", {}}, {"b", "", {}}};
  int own_calls_ = 0;
};

TEST_F(ExpositionTest, RendersAndCompressesOncePerSnapshot) {
  Exposition exposition({}, collectors_, [&](std::string&) { ++own_calls_; });
  const SnapshotPtr first = snapshot(1, 2);
  const auto plain = exposition.body(first, {}, false);
  const auto gzip = exposition.body(first, {}, true);
  EXPECT_EQ(exposition.body(first, {}, false), plain);
  EXPECT_EQ(exposition.body(first, {}, true), gzip);
  EXPECT_EQ(own_calls_, 1);
  EXPECT_EQ(gunzip(*gzip), *plain);
  EXPECT_NE(plain->find("\na_value 1\n"), std::string::npos);
  EXPECT_NE(exposition.body(snapshot(3, 2), {}, false), plain);
}

TEST_F(ExpositionTest, SelectionsJoinTheSameSections) {
  Exposition exposition({}, collectors_, nullptr);
  const SnapshotPtr now = snapshot(1, 2);
  const auto only_b = exposition.body(now, {false, true}, false);
  EXPECT_EQ(only_b->find("a_value"), std::string::npos);
  EXPECT_NE(only_b->find("node_b_value 2"), std::string::npos);
  EXPECT_NE(only_b->find("node_scrape_collector_success{collector=\"b\"}"), std::string::npos);
  EXPECT_EQ(only_b->find("node_scrape_collector_success{collector=\"a\"}"), std::string::npos);
}

TEST_F(ExpositionTest, ManySelectionsAreServedAndFewKept) {
  std::vector<ExportedCollector> many;
  auto wide = std::make_shared<Snapshot>();
  for (int i = 0; i < 10; ++i) {
    many.push_back({"c", "", {}});
    wide->entries.push_back({"c", nullptr, {}});
  }
  Exposition exposition({}, many, nullptr);
  const auto full = exposition.body(wide, {}, false);
  std::vector<std::weak_ptr<const std::string>> bodies;
  for (unsigned i = 1; i < 200; ++i) {
    std::vector<bool> selected(10);
    for (unsigned bit = 0; bit < 10; ++bit) {
      selected[bit] = ((i >> bit) & 1U) != 0;
    }
    const auto body = exposition.body(wide, selected, false);
    ASSERT_TRUE(body);
    bodies.push_back(body);
  }
  std::size_t kept = 0;
  for (const auto& body : bodies) {
    kept += body.expired() ? 0U : 1U;
  }
  EXPECT_LE(kept, 10U);
  EXPECT_EQ(exposition.body(wide, {}, false), full) << "the full body is not pushed out";
}

TEST(FamilyOwners, EveryDocumentedFamilyBelongsToItsCollector) {
  std::vector<ExportedCollector> collectors;
  for (const CollectorInfo* info : all_collectors()) {
    collectors.push_back({info->name, info->help, info->metrics()});
  }
  const FamilyOwners owners(collectors);
  for (const ExportedCollector& collector : collectors) {
    for (const MetricDoc& doc : collector.metrics) {
      std::string family = doc.name;
      const auto placeholder = family.find('<');
      if (placeholder == 0) {
        continue;  // a textfile's families can have any name
      }
      if (placeholder != std::string::npos) {
        family.replace(placeholder, family.find('>') + 1 - placeholder, "Something");
      }
      const std::string* owner = owners.owner(family);
      ASSERT_NE(owner, nullptr) << family;
      EXPECT_EQ(*owner, collector.name) << family;
    }
  }
}

TEST_F(ExpositionTest, NodeFamiliesCanBeSwitchedOff) {
  Exposition exposition({.node_families = false}, collectors_, nullptr);
  const auto body = exposition.body(snapshot(1, 2), {}, false);
  EXPECT_EQ(body->find("node_"), std::string::npos);
  EXPECT_NE(body->find("a_value 1"), std::string::npos);
  EXPECT_EQ(exposition.suppressed_series(), 0U) << "switched off is not a collision";
}

TEST(OwnMetrics, AreValidAndComplete) {
  OwnMetrics own;
  own.count_scrape(200);
  own.reload_finished(true, 1.5e9);
  std::string text;
  append_families(text, own.collect());
  const auto parsed = parse_exposition(text);
  EXPECT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.families.at("tidegauge_build_info").series.size(), 1U);
  EXPECT_EQ(parsed.families.at("tidegauge_config_last_reload_successful").series.at(""), 1);
}

TEST(OwnMetrics, TheCpuBudgetIsAbsentWhenThereIsNone) {
  OwnMetrics own;
  const auto text = [&] {
    std::string out;
    append_families(out, own.collect());
    return out;
  };
  EXPECT_EQ(text().find("tidegauge_cpu_budget_ratio"), std::string::npos);
  own.set_cpu_budget(5'000);
  EXPECT_NE(text().find("\ntidegauge_cpu_budget_ratio 0.005\n"), std::string::npos);
  own.set_cpu_budget(0);
  EXPECT_EQ(text().find("tidegauge_cpu_budget_ratio"), std::string::npos);
  own.set_cpu_budget(0);
  EXPECT_EQ(text().find("tidegauge_cpu_budget_ratio"), std::string::npos);
}

TEST(FamilyText, ClosesPrometheusCppsHoles) {
  prometheus::MetricFamily family;
  family.name = "x";
  family.help = "two\nlines \xFF";
  family.type = prometheus::MetricType::Gauge;
  family.metric.emplace_back();
  family.metric[0].label = {{"comm", "bad\xFF\"\n"}};
  family.metric[0].gauge.value = std::numeric_limits<double>::quiet_NaN();
  std::string text;
  append_families(text, {family});
  EXPECT_EQ(text,
            "# HELP x two\\nlines \xEF\xBF\xBD\n# TYPE x gauge\n"
            "x{comm=\"bad\xEF\xBF\xBD\\\"\\n\"} NaN\n");
}

}  // namespace
}  // namespace tidegauge
