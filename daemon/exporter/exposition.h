// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bodies of /metrics. Each Section is rendered once, each Snapshot's body is joined once per
// selection of collectors and compressed at most once, however many clients ask. Used on the web
// thread only.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/core/metric_doc.h"
#include "collectors/core/section.h"
#include "daemon/exporter/collector_status_text.h"
#include "daemon/exporter/section_text.h"
#include "daemon/exporter/snapshot_source.h"

struct libdeflate_compressor;

namespace tidegauge {

// One gzip member per text. Not thread-safe.
class GzipCompressor {
 public:
  GzipCompressor();
  std::string compress(std::string_view text);

 private:
  std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor_;
};

struct ExpositionOptions {
  bool node_families = true;  // node_* names, for hosts without node_exporter
  bool own_metrics = true;    // process-wide metrics; --web.disable-exporter-metrics
};

class Exposition {
 public:
  // `collectors` in the order of Snapshot::entries. `own` appends the daemon's own families.
  Exposition(ExpositionOptions options, const std::vector<ExportedCollector>& collectors,
             std::function<void(std::string&)> own);

  // The body for the collectors chosen (empty: all).
  std::shared_ptr<const std::string> body(const SnapshotPtr& snapshot,
                                          const std::vector<bool>& selected, bool gzip);

  // Series left out of the last rendering because they collide. Good for `own`.
  [[nodiscard]] std::size_t suppressed_series() const;
  // Size of the last complete body but for what `own` appends. Good for `own`.
  [[nodiscard]] std::size_t body_bytes() const { return body_bytes_; }

 private:
  struct Cached {
    std::vector<bool> selected;
    std::shared_ptr<const std::string> plain;
    std::shared_ptr<const std::string> gzip;
  };

  std::shared_ptr<const std::string> render(const Snapshot& snapshot,
                                            const std::vector<bool>& selected);

  ExpositionOptions options_;
  std::vector<SectionText> sections_;
  CollectorStatusText status_;
  std::function<void(std::string&)> own_;
  std::optional<GzipCompressor> compressor_;  // made when the first client asks for gzip
  SnapshotPtr snapshot_;
  std::vector<Cached> cache_;
  std::size_t body_bytes_ = 0;
};

// Which collector a family belongs to, from the registry's documentation; placeholders
// (node_vmstat_<name>) claim the prefix. Null when nobody claims it.
class FamilyOwners {
 public:
  explicit FamilyOwners(const std::vector<ExportedCollector>& collectors);
  [[nodiscard]] const std::string* owner(std::string_view family) const;

 private:
  struct Claim {
    std::string family;  // or what stands before the placeholder
    std::string suffix;  // what stands behind it
    std::string owner;
  };
  std::vector<Claim> exact_;  // sorted by family
  std::vector<Claim>
      patterns_;  // longest first: node_memory_numa_<field> before node_memory_<field>
};

// What this collector may write: nothing that belongs to another one, and node_* only where it is wanted.
// `collector` must outlive it.
FamilyFilter family_filter(std::shared_ptr<const FamilyOwners> owners, std::string_view collector,
                           bool node_families);

}  // namespace tidegauge
