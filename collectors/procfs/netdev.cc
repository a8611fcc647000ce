// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/netdev.h"

#include <algorithm>

#include "collectors/core/filter.h"
#include "collectors/core/text.h"
#include "collectors/procfs/netdev_columns.h"

namespace tidegauge {

namespace {

constexpr OptionSpec kOptions[] = {
    {"device_include", "device-include", OptionType::kRegex, "",
     "Network devices to show; without it all that are not excluded."},
    {"device_exclude", "device-exclude", OptionType::kRegex, "", "Network devices to leave out."},
    {"netlink", "netlink", OptionType::kBool, "true",
     "Ask rtnetlink instead of reading net/dev of procfs; shows receive_nohandler as well."},
    {"enable_detailed_metrics", "enable-detailed-metrics", OptionType::kBool, "false",
     "Show the kernel's own counters under their own names instead of the folded ones."},
};

// The filter's answers by position: expressions run only when devices come or go.
class DeviceDecisions {
 public:
  explicit DeviceDecisions(NameFilter filter) : filter_(std::move(filter)) {}
  bool ignores(std::size_t position, std::string_view name) {
    if (position >= known_.size()) {
      known_.resize(position + 1);
    }
    Decision& decision = known_[position];
    if (decision.name != name) {
      decision.name.assign(name);
      decision.ignored = filter_.ignores(name);
    }
    return decision.ignored;
  }
  void trim(std::size_t devices) { known_.resize(std::min(known_.size(), devices)); }

 private:
  struct Decision {
    std::string name;  // empty is no device's name
    bool ignored = false;
  };
  NameFilter filter_;
  std::vector<Decision> known_;
};

class NetdevCollector final : public Collector {
 public:
  NetdevCollector(const KernelFiles& files, NameFilter filter, bool netlink, bool detailed)
      : file_(files.proc_file("net/dev")),
        decisions_(std::move(filter)),
        netlink_(netlink),
        detailed_(detailed) {}

  Result<void> collect(CollectContext& context, Section& out) override {
    // A refused socket (RestrictAddressFamilies, a seccomp filter) is no reason to be blind.
    if (netlink_ && socket_.dump(*context.buffer, links_)) {
      out.tables.push_back(detailed_ ? detailed_links() : folded_links());
      return {};
    }
    const auto text = file_.read_lines(*context.buffer);
    if (!text) {
      return tl::make_unexpected(text.error());
    }
    if (auto parsed = parse_net_dev(*text, devices_); !parsed) {
      return parsed;
    }
    out.tables.push_back(fill(detailed_ ? detailed_proc_ : table_, devices_));
    return {};
  }

 private:
  template <class S>
  Table fill(StructTable<S>& table, const std::vector<S>& rows) {
    table.begin();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!decisions_.ignores(i, rows[i].name)) {
        table.add({rows[i].name}, rows[i]);
      }
    }
    decisions_.trim(rows.size());
    return table.take();
  }
  Table detailed_links() { return fill(link_table_, links_); }
  Table folded_links() {
    devices_.resize(links_.size());
    for (std::size_t i = 0; i < links_.size(); ++i) {
      fold_link_stats(links_[i], devices_[i]);
    }
    return fill(table_, devices_);
  }

  KernelFile file_;
  LinkSocket socket_;
  DeviceDecisions decisions_;
  bool netlink_;
  bool detailed_;
  std::vector<LinkStats> links_;
  std::vector<NetDevice> devices_;
  StructTable<NetDevice> table_{kNetDeviceColumns, {"device"}};
  StructTable<NetDevice> detailed_proc_{kNetDeviceDetailedColumns, {"device"}};
  StructTable<LinkStats> link_table_{kLinkNetDeviceColumns, {"device"}};
};

constexpr std::uint64_t NetDevice::*kFields[] = {
    &NetDevice::receive_bytes,       &NetDevice::receive_packets,     &NetDevice::receive_errors,
    &NetDevice::receive_dropped,     &NetDevice::receive_fifo,        &NetDevice::receive_frame,
    &NetDevice::receive_compressed,  &NetDevice::receive_multicast,   &NetDevice::transmit_bytes,
    &NetDevice::transmit_packets,    &NetDevice::transmit_errors,     &NetDevice::transmit_dropped,
    &NetDevice::transmit_fifo,       &NetDevice::transmit_collisions, &NetDevice::transmit_carrier,
    &NetDevice::transmit_compressed,
};

Result<void> parse_device(std::string_view line, std::size_t number, NetDevice& out) {
  // Aliases ("eth0:1") have a colon in their name, numbers have none.
  const auto colon = line.rfind(':');
  const std::string_view name = trim(line.substr(0, colon == std::string_view::npos ? 0 : colon));
  if (name.empty()) {
    return malformed("net/dev", number, "a device name and a colon");
  }
  out.name.assign(name);
  line.remove_prefix(colon + 1);
  for (const auto field : kFields) {
    const auto value = next_unsigned(line);
    if (!value) {
      return malformed("net/dev", number, "16 counters");
    }
    out.*field = *value;
  }
  out.receive_nohandler.reset();
  return {};
}

std::vector<MetricDoc> documentation() {
  std::vector<MetricDoc> docs;
  document<NetDevice>(docs, kNetDeviceColumns, {"device"});
  std::vector<MetricDoc> detailed;
  document<LinkStats>(detailed, kLinkNetDeviceColumns, {"device"});
  for (MetricDoc& doc : detailed) {
    const bool known = std::any_of(docs.begin(), docs.end(),
                                   [&](const MetricDoc& other) { return other.name == doc.name; });
    if (!known) {
      doc.help.insert(0, "With enable_detailed_metrics: ");
      docs.push_back(std::move(doc));
    }
  }
  return docs;
}

}  // namespace

// Inter-|   Receive                                                |  Transmit
//  face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop ...
//     lo: 1664039    1566    0    0    0     0          0         0  1664039    1566    0    0 ...
Result<void> parse_net_dev(std::string_view text, std::vector<NetDevice>& out) {
  LineReader lines(text);
  std::size_t count = 0;
  for (std::string_view line; lines.next(line);) {
    if (lines.number() <= 2) {
      if (line.find('|') == std::string_view::npos) {
        return malformed("net/dev", lines.number(), "a heading with '|'");
      }
      continue;
    }
    if (count == out.size()) {
      out.emplace_back();
    }
    if (auto parsed = parse_device(line, lines.number(), out[count]); !parsed) {
      return parsed;
    }
    ++count;
  }
  if (lines.number() < 2) {
    return malformed("net/dev", lines.number() + 1, "two lines of heading");
  }
  out.resize(count);
  return {};
}

void fold_link_stats(const LinkStats& link, NetDevice& out) {
  out.name.assign(link.name);
  out.receive_bytes = link.receive_bytes;
  out.receive_packets = link.receive_packets;
  out.receive_errors = link.receive_errors;
  out.receive_dropped = link.receive_dropped + link.receive_missed_errors;
  out.receive_fifo = link.receive_fifo_errors;
  out.receive_frame = link.receive_length_errors + link.receive_over_errors +
                      link.receive_crc_errors + link.receive_frame_errors;
  out.receive_compressed = link.receive_compressed;
  out.receive_multicast = link.multicast;
  out.transmit_bytes = link.transmit_bytes;
  out.transmit_packets = link.transmit_packets;
  out.transmit_errors = link.transmit_errors;
  out.transmit_dropped = link.transmit_dropped;
  out.transmit_fifo = link.transmit_fifo_errors;
  out.transmit_collisions = link.collisions;
  out.transmit_carrier = link.transmit_carrier_errors + link.transmit_aborted_errors +
                         link.transmit_window_errors + link.transmit_heartbeat_errors;
  out.transmit_compressed = link.transmit_compressed;
  out.receive_nohandler = link.receive_nohandler;
}

const CollectorInfo kNetdevCollector{
    .name = "netdev",
    .help = "Traffic and errors of network devices (rtnetlink, /proc/net/dev).",
    .interval_ms = 1000,
    .options = kOptions,
    .make = [](const KernelFiles& files,
               const Options& options) -> Result<std::unique_ptr<Collector>> {
      auto filter = NameFilter::make(options.text("device_include"), options.text("device_exclude"),
                                     "device_");
      if (!filter) {
        return tl::make_unexpected(filter.error());
      }
      return std::make_unique<NetdevCollector>(files, std::move(*filter),
                                               options.boolean("netlink"),
                                               options.boolean("enable_detailed_metrics"));
    },
    .metrics = documentation,
};

}  // namespace tidegauge
