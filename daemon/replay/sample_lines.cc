// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/sample_lines.h"

#include "collectors/core/text.h"

namespace tidegauge::replay {

namespace {

constexpr std::size_t kMaxKnown = 65'536;

}  // namespace

SeriesParts series_parts(std::string_view series) {
  const std::size_t brace = series.find('{');
  if (brace == std::string_view::npos) {
    return {series, {}};
  }
  return {series.substr(0, brace), series.substr(brace + 1, series.size() - brace - 2)};
}

Result<FamilyMatcher> FamilyMatcher::make(const std::string& expression) {
  FamilyMatcher out;
  if (expression.empty()) {
    return out;
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  out.expression_ = std::make_unique<const re2::RE2>(expression, options);
  if (!out.expression_->ok()) {
    // RE2 names the offending part. A missing parenthesis it blames on all of it: that is missed at the end.
    const std::string& part = out.expression_->error_arg();
    const bool is_end = out.expression_->error_code() == re2::RE2::ErrorMissingParen;
    const std::size_t at = part.empty() || is_end ? std::string::npos : expression.find(part);
    std::string where = "--family: at character ";
    where += std::to_string(at == std::string::npos ? expression.size() + 1 : at + 1);
    where += ": " + sanitize_label(out.expression_->error());
    return tl::make_unexpected(Error{ErrorKind::kInvalid, 0, std::move(where)});
  }
  return out;
}

bool FamilyMatcher::matches(std::string_view family) {
  if (!expression_) {
    return true;
  }
  std::string name(family);
  if (const auto at = known_.find(name); at != known_.end()) {
    return at->second;
  }
  if (known_.size() >= kMaxKnown) {
    known_.clear();
  }
  const bool matches = re2::RE2::FullMatch(name, *expression_);
  known_.emplace(std::move(name), matches);
  return matches;
}

}  // namespace tidegauge::replay
