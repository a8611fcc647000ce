// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/netdev.h"

#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;
using Series = std::map<std::string, double>;

constexpr std::string_view kHead = "Inter-|   Receive  |  Transmit\n face |bytes  |bytes\n";
constexpr std::uint32_t kSequence = 7;

std::string refusal(const std::string& text) {
  std::vector<NetDevice> out;
  return error_text(parse_net_dev(text, out));
}

TEST(ParseNetDev, ReadsDevices) {
  std::vector<NetDevice> out(5);  // reused
  const auto done =
      parse_net_dev(std::string(kHead) +
                        "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                        "eth0:1:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
                    out);
  ASSERT_TRUE(done) << error_text(done);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].name, "lo");
  EXPECT_EQ(out[0].receive_bytes, 1U);
  EXPECT_EQ(out[0].receive_frame, 6U);
  EXPECT_EQ(out[0].receive_multicast, 8U);
  EXPECT_EQ(out[0].transmit_collisions, 14U);
  EXPECT_EQ(out[0].transmit_compressed, 16U);
  EXPECT_FALSE(out[0].receive_nohandler);
  EXPECT_EQ(out[1].name, "eth0:1");
  EXPECT_EQ(out[1].receive_bytes, 18446744073709551615U);
}

TEST(ParseNetDev, NamesTheLineItCannotRead) {
  EXPECT_EQ(refusal("").find("malformed: net/dev line 1"), 0U);
  EXPECT_EQ(refusal("garbage\n").find("malformed: net/dev line 1"), 0U);
  EXPECT_EQ(refusal("a|b\n").find("malformed: net/dev line 2"), 0U);
  for (const char* line : {"lo 1 2", "lo:", ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
                           "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
                           "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 -1", "\xff\x01"}) {
    EXPECT_EQ(refusal(std::string(kHead) + line).find("malformed: net/dev line 3"), 0U) << line;
  }
}

TEST(ParseNetDev, SurvivesTruncationAnywhere) {
  const std::string text = std::string(kHead) + "  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
  std::vector<NetDevice> out;
  for (std::size_t length = 0; length <= text.size(); ++length) {
    static_cast<void>(parse_net_dev(std::string_view(text).substr(0, length), out));
  }
}

std::string padded(std::string bytes) {
  bytes.resize((bytes.size() + 3) & ~std::size_t{3});
  return bytes;
}

std::string attribute(unsigned type, std::string_view payload) {
  rtattr header{};
  header.rta_len = static_cast<unsigned short>(sizeof(header) + payload.size());
  header.rta_type = static_cast<unsigned short>(type);
  std::string out(sizeof(header), '\0');
  std::memcpy(out.data(), &header, sizeof(header));
  return padded(out.append(payload));
}

template <class Word>
std::string counters(std::size_t count) {
  std::string out(count * sizeof(Word), '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const Word value = static_cast<Word>(Word{1} << i);
    std::memcpy(out.data() + i * sizeof(Word), &value, sizeof(Word));
  }
  return out;
}

std::string message(unsigned type, std::string_view payload, unsigned flags = 0,
                    std::uint32_t sequence = kSequence) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + payload.size());
  header.nlmsg_type = static_cast<std::uint16_t>(type);
  header.nlmsg_flags = static_cast<std::uint16_t>(flags);
  header.nlmsg_seq = sequence;
  std::string out(sizeof(header), '\0');
  std::memcpy(out.data(), &header, sizeof(header));
  return padded(out.append(payload));
}

std::string link(const std::string& attributes, unsigned flags = 0,
                 std::uint32_t sequence = kSequence) {
  return message(RTM_NEWLINK, std::string(sizeof(ifinfomsg), '\0') + attributes, flags, sequence);
}

std::string named(std::string_view name) {
  return attribute(IFLA_IFNAME, std::string(name) + '\0');
}

TEST(ParseLinkMessages, ReadsBothSizesOfCounters) {
  std::vector<LinkStats> out;
  const auto dump = parse_link_messages(
      link(named("eth0") + attribute(IFLA_STATS, counters<std::uint32_t>(24)) +
           attribute(IFLA_STATS64, counters<std::uint64_t>(25))) +
          link(named("old") + attribute(IFLA_STATS64, counters<std::uint64_t>(23))) +
          link(named("small") + attribute(IFLA_STATS, counters<std::uint32_t>(24))) +
          message(NLMSG_DONE, "\0\0\0\0"),
      kSequence, out);
  ASSERT_TRUE(dump) << error_text(dump);
  EXPECT_TRUE(dump->done);
  EXPECT_FALSE(dump->interrupted);
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0].name, "eth0");
  EXPECT_EQ(out[0].receive_packets, 1U);
  EXPECT_EQ(out[0].transmit_compressed, 1U << 22);
  EXPECT_EQ(out[0].receive_nohandler, 1U << 23);
  EXPECT_FALSE(out[1].receive_nohandler);  // before 4.6
  EXPECT_EQ(out[2].receive_bytes, 4U);
  NetDevice folded;
  fold_link_stats(out[0], folded);
  EXPECT_EQ(folded.name, "eth0");
  EXPECT_EQ(folded.receive_dropped, (1U << 6) + (1U << 15));
  EXPECT_EQ(folded.receive_frame, (1U << 10) + (1U << 11) + (1U << 12) + (1U << 13));
  EXPECT_EQ(folded.receive_fifo, 1U << 14);
  EXPECT_EQ(folded.transmit_carrier, (1U << 16) + (1U << 17) + (1U << 19) + (1U << 20));
  EXPECT_EQ(folded.transmit_fifo, 1U << 18);
  EXPECT_EQ(folded.receive_multicast, 1U << 8);
  EXPECT_EQ(folded.transmit_collisions, 1U << 9);
}

TEST(ParseLinkMessages, LeavesOutWhatIsNotALinkOfOurs) {
  std::vector<LinkStats> out;
  const std::string stats = attribute(IFLA_STATS64, counters<std::uint64_t>(24));
  const auto dump = parse_link_messages(
      link(named("nostats")) + link(stats) + link(named("other") + stats, 0, kSequence + 1) +
          message(RTM_NEWADDR, "abcd") + link(named("mine") + stats, NLM_F_DUMP_INTR),
      kSequence, out);
  ASSERT_TRUE(dump) << error_text(dump);
  EXPECT_FALSE(dump->done);
  EXPECT_TRUE(dump->interrupted);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].name, "mine");
}

TEST(ParseLinkMessages, SaysWhatTheKernelRefuses) {
  std::vector<LinkStats> out;
  nlmsgerr refused{};
  refused.error = -EPERM;
  std::string payload(sizeof(refused), '\0');
  std::memcpy(payload.data(), &refused, sizeof(refused));
  EXPECT_EQ(parse_link_messages(message(NLMSG_ERROR, payload), kSequence, out).error().kind,
            ErrorKind::kDenied);
  EXPECT_EQ(parse_link_messages(message(NLMSG_ERROR, "x"), kSequence, out).error().kind,
            ErrorKind::kMalformed);
}

TEST(ParseLinkMessages, SurvivesTruncationAnywhere) {
  const std::string text =
      link(named("eth0") + attribute(IFLA_STATS64, counters<std::uint64_t>(24))) +
      message(NLMSG_DONE, "\0\0\0\0");
  for (std::size_t length = 0; length < text.size(); ++length) {
    // A copy of that very length, for the address sanitizer.
    const std::vector<char> part(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
    std::vector<LinkStats> out;
    const auto dump = parse_link_messages({part.data(), part.size()}, kSequence, out);
    EXPECT_FALSE(dump && dump->done) << length;
  }
  std::string wrong = text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    wrong[i] = '\xff';
    std::vector<LinkStats> out;
    static_cast<void>(parse_link_messages(wrong, kSequence, out));
    wrong[i] = text[i];
  }
}

Series run_fixture(const char* name, std::vector<std::string> options = {}) {
  options.emplace_back("netlink=false");
  const auto section = testing::run_once(kNetdevCollector, testing::fixture(name), options);
  EXPECT_TRUE(section) << name << error_text(section);
  return section ? testing::flatten(*section) : Series{};
}

TEST(NetdevCollector, ShowsEachGeneration) {
  EXPECT_EQ(run_fixture("linux-3.10").at("node_network_receive_drop_total{device=\"eth0\"}"), 12);
  EXPECT_EQ(run_fixture("linux-4.19").size(), 2U * 16);
  const Series v5 = run_fixture("linux-5.10");
  EXPECT_EQ(v5.at("node_network_receive_bytes_total{device=\"enp1s0\"}"), 9120034120);
  EXPECT_EQ(v5.at("node_network_receive_errs_total{device=\"enp1s0\"}"), 1);
  EXPECT_EQ(v5.at("node_network_receive_fifo_total{device=\"enp1s0\"}"), 2);
  EXPECT_EQ(v5.at("node_network_receive_frame_total{device=\"enp1s0\"}"), 3);
  EXPECT_EQ(v5.at("node_network_transmit_errs_total{device=\"enp1s0\"}"), 4);
  EXPECT_EQ(v5.at("node_network_transmit_colls_total{device=\"enp1s0\"}"), 7);
  EXPECT_EQ(v5.at("node_network_transmit_carrier_total{device=\"enp1s0\"}"), 8);
  EXPECT_EQ(v5.at("node_network_transmit_compressed_total{device=\"enp1s0\"}"), 9);
  EXPECT_EQ(v5.size(), 3U * 16);
  EXPECT_EQ(run_fixture("linux-6.12").at("node_network_receive_multicast_total{device=\"enp5s0\"}"),
            412003);
}

TEST(NetdevCollector, FiltersAndDetails) {
  EXPECT_EQ(run_fixture("linux-5.10", {"device_exclude=^(lo|veth.*)$"}).size(), 16U);
  const Series only = run_fixture("linux-5.10", {"device_include=^lo$"});
  EXPECT_EQ(only.at("node_network_receive_bytes_total{device=\"lo\"}"), 612003);
  EXPECT_EQ(only.size(), 16U);
  const Series detailed = run_fixture("linux-5.10", {"enable_detailed_metrics=true"});
  EXPECT_EQ(detailed.at("node_network_receive_dropped_total{device=\"enp1s0\"}"), 44);
  EXPECT_EQ(detailed.count("node_network_receive_drop_total{device=\"enp1s0\"}"), 0U);
  EXPECT_EQ(testing::make(kNetdevCollector, testing::fixture("linux-5.10"),
                          {"device_include=a", "device_exclude=b"})
                .error()
                .kind,
            ErrorKind::kInvalid);
}

TEST(NetdevCollector, FollowsDevicesThatComeAndGo) {
  const testing::FixtureTree tree;
  const std::string values = ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
  tree.write("proc/net/dev", std::string(kHead) + "lo" + values + "veth1" + values);
  auto made = testing::make(kNetdevCollector, tree.files(), {"netlink=false", "device_exclude=^v"});
  ASSERT_TRUE(made);
  EXPECT_EQ(testing::flatten(*testing::run(**made)).size(), 16U);
  tree.write("proc/net/dev",
             std::string(kHead) + "veth2" + values + "lo" + values + "eth0" + values);
  const auto section = testing::run(**made);
  ASSERT_TRUE(section);
  EXPECT_EQ(testing::flatten(*section).size(), 32U);
  tree.remove("proc/net/dev");
  EXPECT_EQ(testing::run(**made).error().kind, ErrorKind::kMissing);
}

TEST(NetdevCollector, AsksThisMachineByBothWays) {
  LinkSocket socket;
  ReadBuffer buffer;
  std::vector<LinkStats> links;
  if (const auto dumped = socket.dump(buffer, links); !dumped) {
    GTEST_SKIP() << error_text(dumped);
  }
  const auto by_netlink = testing::run_once(kNetdevCollector, KernelFiles(KernelRoots{}));
  const auto by_file =
      testing::run_once(kNetdevCollector, KernelFiles(KernelRoots{}), {"netlink=false"});
  ASSERT_TRUE(by_netlink) << error_text(by_netlink);
  ASSERT_TRUE(by_file) << error_text(by_file);
  // Every series of the file is there, and rtnetlink has more.
  const Series links_series = testing::flatten(*by_netlink);
  for (const auto& [series, value] : testing::flatten(*by_file)) {
    EXPECT_EQ(links_series.count(series), 1U) << series;
  }
  EXPECT_FALSE(links.empty());
  // The kept socket answers again.
  ASSERT_TRUE(socket.dump(buffer, links));
  EXPECT_FALSE(links.empty());
}

}  // namespace
}  // namespace tidegauge
