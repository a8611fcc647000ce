// SPDX-License-Identifier: Apache-2.0
#pragma once

// Recorded Snapshots as CSV rows and as lines of JSON. A Snapshot at a time.

#include <string>
#include <string_view>
#include <unordered_map>

#include "collectors/core/section.h"
#include "daemon/replay/open_metrics.h"
#include "daemon/replay/recorded_text.h"
#include "daemon/replay/recording_walk.h"
#include "daemon/replay/sample_lines.h"

namespace tidegauge::replay {

// `time,metric,labels,value` and a row per sample that was read anew: what dump as OpenMetrics has, in the order of
// the file. Labels as in an exposition, without their braces. False when the sink refused.
bool dump_csv(RecordingWalk& walk, RecordedText& text, FamilyMatcher& matcher,
              const TextSink& sink);

// An object per line and Snapshot with all that /metrics said then:
// {"time":"...","sequence":1,"metrics":[{"name":"...","labels":{},"value":1},...]}. What JSON has no number for is
// text: "NaN", "+Inf", "-Inf". ASCII. False when the sink refused.
bool dump_json(RecordingWalk& walk, RecordedText& text, FamilyMatcher& matcher,
               const TextSink& sink);

}  // namespace tidegauge::replay
