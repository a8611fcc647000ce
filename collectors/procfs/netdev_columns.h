// SPDX-License-Identifier: Apache-2.0
#pragma once

// Metrics of network devices: folded as /proc/net/dev has them (the default), or detailed.

#include <string_view>

#include "collectors/core/column.h"
#include "collectors/procfs/netdev.h"

namespace tidegauge {

template <class S>
constexpr Column<S> network_counter(std::string_view name, std::string_view help,
                                    std::uint64_t S::*member) {
  return {name, help, MetricKind::kCounter, kUnit, member};
}

inline constexpr Column<NetDevice> kNetDeviceColumns[] = {
    network_counter("node_network_receive_bytes_total", "Bytes received.",
                    &NetDevice::receive_bytes),
    network_counter("node_network_receive_packets_total", "Packets received.",
                    &NetDevice::receive_packets),
    network_counter("node_network_receive_errs_total", "Packets received with an error.",
                    &NetDevice::receive_errors),
    network_counter("node_network_receive_drop_total", "Received packets dropped or missed.",
                    &NetDevice::receive_dropped),
    network_counter("node_network_receive_fifo_total", "Received packets lost to a full FIFO.",
                    &NetDevice::receive_fifo),
    network_counter("node_network_receive_frame_total",
                    "Received packets with a length, overrun, CRC or frame error.",
                    &NetDevice::receive_frame),
    network_counter("node_network_receive_compressed_total", "Compressed packets received.",
                    &NetDevice::receive_compressed),
    network_counter("node_network_receive_multicast_total", "Multicast packets received.",
                    &NetDevice::receive_multicast),
    {"node_network_receive_nohandler_total", "Received packets that no protocol wanted.",
     MetricKind::kCounter, kUnit, &NetDevice::receive_nohandler},
    network_counter("node_network_transmit_bytes_total", "Bytes sent.", &NetDevice::transmit_bytes),
    network_counter("node_network_transmit_packets_total", "Packets sent.",
                    &NetDevice::transmit_packets),
    network_counter("node_network_transmit_errs_total", "Packets not sent because of an error.",
                    &NetDevice::transmit_errors),
    network_counter("node_network_transmit_drop_total", "Packets dropped instead of being sent.",
                    &NetDevice::transmit_dropped),
    network_counter("node_network_transmit_fifo_total", "Packets not sent because of a FIFO error.",
                    &NetDevice::transmit_fifo),
    network_counter("node_network_transmit_colls_total", "Collisions while sending.",
                    &NetDevice::transmit_collisions),
    network_counter("node_network_transmit_carrier_total",
                    "Packets not sent because of a carrier, abort, window or heartbeat error.",
                    &NetDevice::transmit_carrier),
    network_counter("node_network_transmit_compressed_total", "Compressed packets sent.",
                    &NetDevice::transmit_compressed),
};

// Detailed names, from rtnetlink.
inline constexpr Column<LinkStats> kLinkNetDeviceColumns[] = {
    network_counter("node_network_receive_packets_total", "Packets received.",
                    &LinkStats::receive_packets),
    network_counter("node_network_transmit_packets_total", "Packets sent.",
                    &LinkStats::transmit_packets),
    network_counter("node_network_receive_bytes_total", "Bytes received.",
                    &LinkStats::receive_bytes),
    network_counter("node_network_transmit_bytes_total", "Bytes sent.", &LinkStats::transmit_bytes),
    network_counter("node_network_receive_errors_total", "Packets received with an error.",
                    &LinkStats::receive_errors),
    network_counter("node_network_transmit_errors_total", "Packets not sent because of an error.",
                    &LinkStats::transmit_errors),
    network_counter("node_network_receive_dropped_total", "Received packets dropped.",
                    &LinkStats::receive_dropped),
    network_counter("node_network_transmit_dropped_total", "Packets dropped instead of being sent.",
                    &LinkStats::transmit_dropped),
    network_counter("node_network_multicast_total", "Multicast packets received.",
                    &LinkStats::multicast),
    network_counter("node_network_collisions_total", "Collisions while sending.",
                    &LinkStats::collisions),
    network_counter("node_network_receive_length_errors_total",
                    "Received packets of a wrong length.", &LinkStats::receive_length_errors),
    network_counter("node_network_receive_over_errors_total",
                    "Received packets that overran the ring.", &LinkStats::receive_over_errors),
    network_counter("node_network_receive_crc_errors_total", "Received packets with a CRC error.",
                    &LinkStats::receive_crc_errors),
    network_counter("node_network_receive_frame_errors_total",
                    "Received packets with a frame error.", &LinkStats::receive_frame_errors),
    network_counter("node_network_receive_fifo_errors_total",
                    "Received packets lost to a full FIFO.", &LinkStats::receive_fifo_errors),
    network_counter("node_network_receive_missed_errors_total", "Packets the receiver missed.",
                    &LinkStats::receive_missed_errors),
    network_counter("node_network_transmit_aborted_errors_total", "Sends aborted.",
                    &LinkStats::transmit_aborted_errors),
    network_counter("node_network_transmit_carrier_errors_total",
                    "Sends lost to a missing carrier.", &LinkStats::transmit_carrier_errors),
    network_counter("node_network_transmit_fifo_errors_total",
                    "Packets not sent because of a FIFO error.", &LinkStats::transmit_fifo_errors),
    network_counter("node_network_transmit_heartbeat_errors_total", "Sends with a heartbeat error.",
                    &LinkStats::transmit_heartbeat_errors),
    network_counter("node_network_transmit_window_errors_total", "Sends with a late collision.",
                    &LinkStats::transmit_window_errors),
    network_counter("node_network_receive_compressed_total", "Compressed packets received.",
                    &LinkStats::receive_compressed),
    network_counter("node_network_transmit_compressed_total", "Compressed packets sent.",
                    &LinkStats::transmit_compressed),
    {"node_network_receive_nohandler_total", "Received packets that no protocol wanted.",
     MetricKind::kCounter, kUnit, &LinkStats::receive_nohandler},
};

// Detailed names, as far as /proc/net/dev goes.
inline constexpr Column<NetDevice> kNetDeviceDetailedColumns[] = {
    network_counter("node_network_receive_bytes_total", "Bytes received.",
                    &NetDevice::receive_bytes),
    network_counter("node_network_receive_packets_total", "Packets received.",
                    &NetDevice::receive_packets),
    network_counter("node_network_receive_errors_total", "Packets received with an error.",
                    &NetDevice::receive_errors),
    network_counter("node_network_receive_dropped_total", "Received packets dropped.",
                    &NetDevice::receive_dropped),
    network_counter("node_network_receive_fifo_total", "Received packets lost to a full FIFO.",
                    &NetDevice::receive_fifo),
    network_counter("node_network_receive_frame_total",
                    "Received packets with a length, overrun, CRC or frame error.",
                    &NetDevice::receive_frame),
    network_counter("node_network_receive_compressed_total", "Compressed packets received.",
                    &NetDevice::receive_compressed),
    network_counter("node_network_receive_multicast_total", "Multicast packets received.",
                    &NetDevice::receive_multicast),
    network_counter("node_network_transmit_bytes_total", "Bytes sent.", &NetDevice::transmit_bytes),
    network_counter("node_network_transmit_packets_total", "Packets sent.",
                    &NetDevice::transmit_packets),
    network_counter("node_network_transmit_errors_total", "Packets not sent because of an error.",
                    &NetDevice::transmit_errors),
    network_counter("node_network_transmit_dropped_total", "Packets dropped instead of being sent.",
                    &NetDevice::transmit_dropped),
    network_counter("node_network_transmit_fifo_total", "Packets not sent because of a FIFO error.",
                    &NetDevice::transmit_fifo),
    network_counter("node_network_transmit_colls_total", "Collisions while sending.",
                    &NetDevice::transmit_collisions),
    network_counter("node_network_transmit_carrier_total",
                    "Packets not sent because of a carrier, abort, window or heartbeat error.",
                    &NetDevice::transmit_carrier),
    network_counter("node_network_transmit_compressed_total", "Compressed packets sent.",
                    &NetDevice::transmit_compressed),
};

}  // namespace tidegauge
