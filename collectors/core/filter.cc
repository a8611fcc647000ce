// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/filter.h"

namespace tidegauge {

namespace {

Result<std::unique_ptr<RE2>> compile(std::string_view expression, const std::string& option) {
  if (expression.empty()) {
    return std::unique_ptr<RE2>();
  }
  RE2::Options quiet;
  quiet.set_log_errors(false);
  auto regex = std::make_unique<RE2>(re2::StringPiece(expression.data(), expression.size()), quiet);
  if (!regex->ok()) {
    return invalid_option(option, regex->error());
  }
  return regex;
}

}  // namespace

Result<NameFilter> NameFilter::make(std::string_view include, std::string_view exclude,
                                    std::string_view stem) {
  const std::string include_key = std::string(stem) + "include";
  const std::string exclude_key = std::string(stem) + "exclude";
  if (!include.empty() && !exclude.empty()) {
    return invalid_option(exclude_key, "cannot be used together with " + include_key);
  }
  NameFilter filter;
  auto include_regex = compile(include, include_key);
  if (!include_regex) {
    return tl::make_unexpected(include_regex.error());
  }
  auto exclude_regex = compile(exclude, exclude_key);
  if (!exclude_regex) {
    return tl::make_unexpected(exclude_regex.error());
  }
  filter.include_ = std::move(*include_regex);
  filter.exclude_ = std::move(*exclude_regex);
  return filter;
}

}  // namespace tidegauge
