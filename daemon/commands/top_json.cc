// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "collectors/core/text.h"
#include "daemon/commands/top_table.h"

namespace tidegauge {

namespace {

using Json = nlohmann::ordered_json;

// Of rates, in the order of TopRate.
constexpr const char* kRateNames[kTopRates] = {
    "read_bytes_per_second",
    "written_bytes_per_second",
    "cancelled_bytes_per_second",
    "io_delay_ratio",
    "cpu_ratio",
    "major_faults_per_second",
    "switches_per_second",
};

template <class T>
Json known(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json text_or_null(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(sanitize_label(text));
}

void add_numbers(Json& out, const TopRow& row) {
  for (std::size_t i = 0; i < kTopRates; ++i) {
    out[kRateNames[i]] = known(row.rates[i]);
  }
}

Json seconds_or_null(std::int64_t ns, std::int64_t since_ns = 0) {
  return ns != 0 ? Json(static_cast<double>(ns + since_ns) / 1e9) : Json(nullptr);
}

Json json_of(const TopRow& row, const TopFacts& facts, bool is_group) {
  Json out;
  if (!is_group) {
    out["pid"] = known(row.pid);
    out["start_seconds_since_boot"] =
        row.pid ? Json(static_cast<double>(row.start_ns) / 1e9) : Json(nullptr);
    out["comm"] = sanitize_label(row.comm);
    out["user"] = text_or_null(row.user);
    out["state"] = std::string(1, row.state);
    out["unit"] = row.owner ? text_or_null(row.owner->identity.unit) : Json(nullptr);
    out["container"] = row.owner ? text_or_null(row.owner->identity.container) : Json(nullptr);
    out["time"] = seconds_or_null(row.read_ns, facts.realtime_ns - facts.boottime_ns);
    out["interval_seconds"] = seconds_or_null(row.interval_ns);
  }
  out["group"] = sanitize_label(row.group);
  out["processes"] = row.processes;
  out["ended"] = row.ended;
  add_numbers(out, row);
  out["memory_bytes"] = known(row.memory_bytes);
  out["threads"] = known(row.threads);
  return out;
}

Json json_of(const std::vector<MissingField>& missing) {
  Json out = Json::array();
  for (const MissingField& field : missing) {
    out.push_back({{"field", field.field},
                   {"reason", sanitize_label(field.reason)},
                   {"processes", field.processes}});
  }
  return out;
}

}  // namespace

std::string top_json(const TopFrame& frame, const TopView& view) {
  const std::vector<TopRow> rows = rows_of(frame, view);
  const TopFacts& facts = frame.facts;
  Json out;
  out["time"] = static_cast<double>(facts.realtime_ns) / 1e9;
  out["host"] = sanitize_label(frame.host);
  out["interval_seconds"] = frame.interval_s;
  out["source"] = facts.source;
  out["source_reason"] = sanitize_label(facts.reason);
  out["processes"] = facts.processes;
  out["threads"] = facts.threads;
  out["uninterruptible_threads"] = facts.stuck_threads;
  out["missing"] = json_of(facts.missing);
  const TopRow total = sum_of(rows.begin(), rows.end());
  Json& sum = out["total"];
  sum["ended"] = total.ended;
  add_numbers(sum, total);
  out["sort"] = to_string(view.sort);
  out["all_rows"] = rows.size();
  Json& shown = out["rows"] = Json::array();
  for (std::size_t i = 0; i < std::min(view.rows, rows.size()); ++i) {
    shown.push_back(json_of(rows[i], facts, view.groups));
  }
  return out.dump(-1, ' ', true) + "\n";
}

}  // namespace tidegauge
