// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/shown_identity.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace tidegauge {

namespace {

constexpr std::size_t kLeastIdDigits = 12;  // shorter ones are names that happen to be hexadecimal

std::string shown_unit(const PrivacyFilter& privacy, std::string_view unit, bool of_user) {
  constexpr std::array<std::string_view, 3> kTypes{".service", ".scope", ".slice"};
  const auto* const type = std::find_if(
      kTypes.begin(), kTypes.end(), [&](std::string_view each) { return unit.ends_with(each); });
  // A user's manager is a unit of the system's, whose instance is the user.
  if (type == kTypes.end() || (of_user && !unit.starts_with("user@"))) {
    return privacy.user(unit);
  }
  const auto at = unit.find('@');
  if (at == std::string_view::npos) {
    return std::string(unit);
  }
  const std::string_view instance = unit.substr(at + 1, unit.size() - type->size() - at - 1);
  return std::string(unit.substr(0, at + 1)) + privacy.user(instance) + std::string(*type);
}

std::string shown_container(const PrivacyFilter& privacy, const CgroupIdentity& identity) {
  constexpr std::array<std::string_view, 4> kNaming{"lxc", "nspawn", "libvirt-lxc", "libvirt-qemu"};
  const std::string& container = identity.container;
  const bool is_id = container.size() >= kLeastIdDigits &&
                     container.find_first_not_of("0123456789abcdef-") == std::string::npos &&
                     std::find(kNaming.begin(), kNaming.end(), identity.runtime) == kNaming.end();
  return is_id ? container : privacy.user(container);
}

}  // namespace

CgroupIdentity shown_identity(const PrivacyFilter& privacy, const CgroupIdentity& identity) {
  if (privacy.privacy() == Privacy::kKeep) {
    return identity;
  }
  CgroupIdentity shown = identity;
  shown.unit = shown_unit(privacy, identity.unit, identity.of_user);
  shown.slice = shown_unit(privacy, identity.slice, identity.of_user);
  shown.container = shown_container(privacy, identity);
  return shown;
}

}  // namespace tidegauge
