// SPDX-License-Identifier: Apache-2.0
#pragma once

// Exactly `count` of each file operation in `directory`, by a thread that is not the main one, with a clock
// of its own around each; prints {"OPERATION": {"count": N, "ns": N}, ...} as one line.
void work_on_files(const char* directory, int count);
