// SPDX-License-Identifier: Apache-2.0
#include "daemon/heuristics/kswapd.h"

namespace tidegauge::heuristics {

KswapdReasons explain_awake(const KswapdEvidence& evidence) {
  const NodeState& now = evidence.now;
  const NodeState& before = evidence.before;
  KswapdReasons out;
  out.boost = now.is_boosted.value_or(false) || before.is_boosted.value_or(false);
  out.high_order = evidence.wanted_high_order.value_or(false);
  out.order0_watermark = !now.is_balanced.value_or(true) || !before.is_balanced.value_or(true);
  if (out.is_explained()) {
    return out;
  }
  if (!now.is_far_above_high || !before.is_far_above_high) {
    out.unknown = true;
  } else if (*now.is_far_above_high && *before.is_far_above_high) {
    out.other = true;
  } else {
    // Just above high is where kswapd stops: it was below, and back, between two looks.
    out.order0_watermark = true;
  }
  return out;
}

}  // namespace tidegauge::heuristics
