// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_paths.h"

#include <algorithm>
#include <vector>

#include "bpf/file_records.h"

namespace tidegauge {

namespace {

constexpr std::string_view kElided = "...";
constexpr std::size_t kMinHexDigits = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// 8-4-4-4-12 hexadecimal digits
bool is_uuid(std::string_view text) {
  constexpr std::size_t kBytes = 36;
  if (text.size() < kBytes) {
    return false;
  }
  for (std::size_t i = 0; i < kBytes; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_hex(text[i])) {
      return false;
    }
  }
  return text.size() == kBytes || !is_hex(text[kBytes]);
}

// Length of the run of hexadecimal digits that `text` begins with when it is an id, else 0. One that goes on in other
// letters is a word.
std::size_t hex_id_bytes(std::string_view text) {
  const auto end =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_hex) - text.begin());
  const bool is_word = end < text.size() && is_letter(text[end]);
  const auto run = text.substr(0, end);
  return end >= kMinHexDigits && !is_word && std::any_of(run.begin(), run.end(), is_digit) &&
                 std::any_of(run.begin(), run.end(), is_letter)
             ? end
             : 0;
}

// mkdtemp() and kin: "tmp" or "tmp." and random characters.
bool is_temporary(std::string_view name) {
  constexpr std::size_t kMinRandom = 6;
  if (!name.starts_with("tmp")) {
    return false;
  }
  name.remove_prefix(3);
  name.remove_prefix(!name.empty() && (name.front() == '.' || name.front() == '-') ? 1 : 0);
  return name.size() >= kMinRandom && std::all_of(name.begin(), name.end(), [](char c) {
           return is_digit(c) || is_letter(c) || c == '_';
         });
}

std::string name_pattern(std::string_view name) {
  constexpr std::size_t kUuidBytes = 36;
  if (is_temporary(name)) {
    return "tmpX";
  }
  // The fan-out of stores of objects: "ab" in .git/objects/ab.
  if (name.size() <= 2 && std::all_of(name.begin(), name.end(), is_hex)) {
    return name.empty() ? "" : "X";
  }
  std::string out;
  while (!name.empty()) {
    const bool begins = out.empty() || !is_letter(out.back());
    std::size_t bytes = 1;
    if (begins && is_uuid(name)) {
      bytes = kUuidBytes;
      out += 'X';
    } else if (begins && hex_id_bytes(name) != 0) {
      bytes = hex_id_bytes(name);
      out += 'X';
    } else if (is_digit(name.front())) {
      bytes = static_cast<std::size_t>(std::find_if_not(name.begin(), name.end(), is_digit) -
                                       name.begin());
      out += 'N';
    } else {
      out += name.front();
    }
    name.remove_prefix(bytes);
  }
  return out;
}

}  // namespace

// include/linux/kdev_t.h, MKDEV()
std::string device_number(std::uint32_t device) {
  return std::to_string(device >> 20U) + ":" + std::to_string(device & 0xFFFFFU);
}

std::string path_of_names(std::string_view names, std::uint32_t flags) {
  std::vector<std::string_view> parts;
  while (!names.empty()) {
    const std::size_t end = std::min(names.find('\0'), names.size());
    parts.push_back(names.substr(0, end));
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  // What is above the root of a file system whose mount is not known is not known either.
  const bool has_more = (flags & (TG_PATH_CUT | TG_PATH_NO_MOUNT)) != 0;
  std::string out = has_more ? std::string(kElided) : std::string();
  std::reverse(parts.begin(), parts.end());
  for (const std::string_view part : parts) {
    out += '/';
    out += part;
  }
  if (parts.empty()) {
    out += '/';
  }
  if ((flags & TG_PATH_DELETED) != 0) {
    out += " (deleted)";
  }
  return out;
}

std::string shorten_path(std::string path, std::size_t max_bytes) {
  if (path.size() <= max_bytes) {
    return path;
  }
  const std::size_t tail = max_bytes * 3 / 4;
  const std::size_t head = max_bytes - tail - kElided.size();
  return path.substr(0, head) + std::string(kElided) + path.substr(path.size() - tail);
}

std::string directory_pattern(std::string_view path, std::size_t max_levels) {
  std::string out;
  std::size_t levels = 0;
  while (!path.empty()) {
    path.remove_prefix(path.front() == '/' ? 1 : 0);
    const std::size_t end = std::min(path.find('/'), path.size());
    if (levels++ == max_levels) {
      return out + "/" + std::string(kElided);
    }
    out += '/';
    out += name_pattern(path.substr(0, end));
    path.remove_prefix(end);
  }
  return out.empty() ? "/" : out;
}

}  // namespace tidegauge
