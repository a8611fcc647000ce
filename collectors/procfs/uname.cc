// SPDX-License-Identifier: Apache-2.0
#include "collectors/procfs/uname.h"

#include <sys/utsname.h>

#include <cerrno>

namespace tidegauge {

namespace {

constexpr std::string_view kFamily = "node_uname_info";
constexpr std::string_view kHelp = "Kernel and host as uname(2) names them; always 1.";

std::vector<std::string> label_names() {
  return {"sysname", "release", "version", "machine", "nodename", "domainname"};
}

class UnameCollector final : public Collector {
 public:
  Result<void> collect(CollectContext&, Section& out) override {
    utsname names{};
    if (::uname(&names) != 0) {
      return system_error(errno, "uname");
    }
    info_.begin();
    info_.add({names.sysname, names.release, names.version, names.machine, names.nodename,
               names.domainname},
              1);
    out.tables.push_back(info_.take());
    return {};
  }

 private:
  ValueTable info_{std::string(kFamily), std::string(kHelp), MetricKind::kGauge, label_names()};
};

}  // namespace

const CollectorInfo kUnameCollector{
    .name = "uname",
    .help = "Kernel release, machine and host name (uname(2)).",
    .interval_ms = 15'000,
    .refresh = false,
    .make = [](const KernelFiles&, const Options&) -> Result<std::unique_ptr<Collector>> {
      return std::make_unique<UnameCollector>();
    },
    .metrics =
        [] {
          return std::vector<MetricDoc>{
              {std::string(kFamily), MetricKind::kGauge, label_names(), std::string(kHelp)}};
        },
};

}  // namespace tidegauge
