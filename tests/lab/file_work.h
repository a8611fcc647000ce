// SPDX-License-Identifier: Apache-2.0
#pragma once

// Exactly `count` of each file operation in `directory`, by a thread that is not the main one, with a clock
// of its own around each; prints {"OPERATION": {"count": N, "ns": N}, ...} as one line.
void work_on_files(const char* directory, int count);

// `count` times every way a file may end; prints {"created": N, "deleted": N, "bytes": N}: of the deleted ones.
void churn_files(const char* directory, int count);

// So many threads synchronise a file each so often, all at once.
void sync_at_once(const char* directory, int threads, int count);
