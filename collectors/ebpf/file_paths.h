// SPDX-License-Identifier: Apache-2.0
#pragma once

// From what bpf/files.bpf.c tells of a file's path to what is shown. Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidegauge {

// "major:minor" of the kernel's own number.
std::string device_number(std::uint32_t device);

// `names` from the file upwards, each ended by a NUL; `flags`: enum tg_path_flags.
std::string path_of_names(std::string_view names, std::uint32_t flags);

// What does not fit a label loses its middle: directories above and the name itself stay.
inline constexpr std::size_t kMaxPathBytes = 512;
std::string shorten_path(std::string path, std::size_t max_bytes = kMaxPathBytes);

// The same for all directories that differ in ids only: of each name, runs of digits are "N", UUIDs and runs of eight
// hexadecimal digits and more that hold a digit are "X". "/tmp/job-4711/x" is "/tmp/job-N/x". At most `max_levels` names,
// then "...".
std::string directory_pattern(std::string_view path, std::size_t max_levels = 8);

}  // namespace tidegauge
