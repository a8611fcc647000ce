// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegauge {

// The hidepid option of the procfs mounted at `procfs` ("hidepid=2", "hidepid=invisible"), empty when
// it hides nothing. `mountinfo` is that of this process. A mount is known by its device where that is
// known (0: not), else by where it is mounted.
std::string_view hidepid_option(std::string_view mountinfo, std::string_view procfs,
                                std::uint64_t major, std::uint64_t minor);

// All threads of the host: what stands behind the slash of /proc/loadavg's fourth field
// (fs/proc/loadavg.c, nr_threads).
std::optional<std::uint64_t> threads_of_loadavg(std::string_view loadavg);

}  // namespace tidegauge
