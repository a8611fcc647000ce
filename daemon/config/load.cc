// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/load.h"

#include <system_error>

#include "collectors/core/kernel_files.h"
#include "daemon/config/yaml.h"
#include "daemon/config/yaml_tree.h"

namespace tidegauge {

namespace {

std::string explain(const Error& error) {
  if (error.kind == ErrorKind::kTooLarge) {
    return "larger than " + std::to_string(kMaxConfigBytes) + " bytes";
  }
  return "cannot be read: " + std::generic_category().message(error.errno_value);
}

// A file that was named must be there, the default one need not.
ConfigResult<void> apply_file(const std::string& path, bool named, CollectorRegistry registry,
                              ConfigBuilder& builder) {
  ReadBuffer buffer;
  const auto text = read_file(path, buffer, kMaxConfigBytes);
  if (!text) {
    if (!named && text.error().kind == ErrorKind::kMissing) {
      return {};
    }
    return tl::make_unexpected(ConfigError{path + ": " + explain(text.error())});
  }
  return apply_yaml(*text, path, registry, builder);
}

}  // namespace

ConfigResult<Config> load_config(const CommandLine& command_line, CollectorRegistry registry,
                                 const std::string& default_file) {
  ConfigBuilder builder(registry);
  const bool named = command_line.config_file.has_value();
  const std::string path = command_line.config_file.value_or(default_file);
  if (!path.empty()) {
    if (auto done = apply_file(path, named, registry, builder); !done) {
      return tl::make_unexpected(done.error());
    }
  }
  if (auto done = apply_flags(command_line, registry, builder); !done) {
    return tl::make_unexpected(done.error());
  }
  return std::move(builder).finish();
}

Config default_config(CollectorRegistry registry) {
  // Defaults fit each other; a test says so for every build.
  return *ConfigBuilder(registry).finish();
}

}  // namespace tidegauge
