// SPDX-License-Identifier: Apache-2.0
#include "daemon/exporter/exposition.h"

#include <libdeflate.h>

#include <algorithm>
#include <new>

#include "daemon/exporter/own_metrics.h"

namespace tidegauge {

namespace {

// Level 1: the exposition shrinks about tenfold and the scraper is next door. Higher levels cost
// more than the bytes they save.
constexpr int kGzipLevel = 1;
// Joined bodies kept per Snapshot beyond the full one.
constexpr std::size_t kCachedSelections = 8;

}  // namespace

GzipCompressor::GzipCompressor()
    : compressor_(libdeflate_alloc_compressor(kGzipLevel), libdeflate_free_compressor) {
  if (!compressor_) {
    throw std::bad_alloc();
  }
}

std::string GzipCompressor::compress(std::string_view text) {
  std::string out(libdeflate_gzip_compress_bound(compressor_.get(), text.size()), '\0');
  out.resize(libdeflate_gzip_compress(compressor_.get(), text.data(), text.size(), out.data(),
                                      out.size()));
  out.shrink_to_fit();
  return out;
}

FamilyOwners::FamilyOwners(const std::vector<ExportedCollector>& collectors) {
  const auto claim = [this](const std::vector<MetricDoc>& docs, std::string_view owner) {
    for (const MetricDoc& doc : docs) {
      const auto placeholder = doc.name.find('<');
      if (placeholder == std::string::npos) {
        exact_.push_back({doc.name, "", std::string(owner)});
      } else if (placeholder > 0) {
        const auto end = std::min(doc.name.find('>', placeholder), doc.name.size() - 1);
        patterns_.push_back(
            {doc.name.substr(0, placeholder), doc.name.substr(end + 1), std::string(owner)});
      }
    }
  };
  for (const ExportedCollector& info : collectors) {
    claim(info.metrics, info.name);
  }
  claim(own_metric_docs(), "");
  std::sort(exact_.begin(), exact_.end(),
            [](const Claim& a, const Claim& b) { return a.family < b.family; });
  std::stable_sort(patterns_.begin(), patterns_.end(), [](const Claim& a, const Claim& b) {
    return a.family.size() + a.suffix.size() > b.family.size() + b.suffix.size();
  });
}

const std::string* FamilyOwners::owner(std::string_view family) const {
  const auto at = std::lower_bound(
      exact_.begin(), exact_.end(), family,
      [](const Claim& claim, std::string_view name) { return claim.family < name; });
  if (at != exact_.end() && at->family == family) {
    return &at->owner;
  }
  for (const Claim& claim : patterns_) {
    if (family.size() > claim.family.size() + claim.suffix.size() &&
        family.starts_with(claim.family) && family.ends_with(claim.suffix)) {
      return &claim.owner;
    }
  }
  return nullptr;
}

FamilyFilter family_filter(std::shared_ptr<const FamilyOwners> owners, std::string_view collector,
                           bool node_families) {
  return [owners = std::move(owners), collector, node_families](std::string_view family) {
    if (!node_families && family.starts_with("node_")) {
      return FamilyVerdict::kSwitchedOff;
    }
    const std::string* owner = owners->owner(family);
    return owner == nullptr || *owner == collector ? FamilyVerdict::kWrite
                                                   : FamilyVerdict::kCollides;
  };
}

Exposition::Exposition(ExpositionOptions options, const std::vector<ExportedCollector>& collectors,
                       std::function<void(std::string&)> own)
    : options_(options), status_(options.node_families), own_(std::move(own)) {
  const auto owners = std::make_shared<const FamilyOwners>(collectors);
  sections_.reserve(collectors.size());
  for (const ExportedCollector& info : collectors) {
    sections_.emplace_back(family_filter(owners, info.name, options.node_families));
  }
}

std::shared_ptr<const std::string> Exposition::render(const Snapshot& snapshot,
                                                      const std::vector<bool>& selected) {
  auto body = std::make_shared<std::string>();
  body->reserve(body_bytes_ + body_bytes_ / 8 + 4096);
  for (std::size_t i = 0; i < snapshot.entries.size() && i < sections_.size(); ++i) {
    if (selected.empty() || selected[i]) {
      body->append(sections_[i].render(snapshot.entries[i].section));
    }
  }
  status_.append(*body, snapshot, selected);
  if (selected.empty()) {
    body_bytes_ = body->size();
  }
  if (options_.own_metrics && own_) {
    own_(*body);
  }
  return body;
}

std::shared_ptr<const std::string> Exposition::body(const SnapshotPtr& snapshot,
                                                    const std::vector<bool>& selected,
                                                    bool gzip_it) {
  if (snapshot_ != snapshot) {
    cache_.clear();
    snapshot_ = snapshot;
  }
  auto at = std::find_if(cache_.begin(), cache_.end(),
                         [&](const Cached& cached) { return cached.selected == selected; });
  if (at == cache_.end()) {
    if (cache_.size() > kCachedSelections) {
      cache_.erase(std::find_if(cache_.begin(), cache_.end(),
                                [](const Cached& cached) { return !cached.selected.empty(); }));
    }
    cache_.push_back({selected, render(*snapshot, selected), nullptr});
    at = std::prev(cache_.end());
  }
  if (!gzip_it) {
    return at->plain;
  }
  if (!at->gzip) {
    if (!compressor_) {
      compressor_.emplace();
    }
    at->gzip = std::make_shared<const std::string>(compressor_->compress(*at->plain));
  }
  return at->gzip;
}

std::size_t Exposition::suppressed_series() const {
  std::size_t total = 0;
  for (const SectionText& section : sections_) {
    total += section.suppressed();
  }
  return total;
}

}  // namespace tidegauge
