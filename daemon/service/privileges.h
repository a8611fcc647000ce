// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the process may do and keeps being able to do.

#include <string>
#include <vector>

namespace tidegauge {

// Capabilities that would let collectors see more than this process may, each with what is missing
// without it. Empty when nothing is.
std::vector<std::string> missing_privileges();

// Gives up every capability that no collector uses, for the calling thread and those it starts from
// then on: capabilities belong to threads. Returns what went wrong, or "".
std::string drop_capabilities();

// Keeps the daemon's pages in memory once they were touched, so that it answers while the host
// swaps; only where the limit on locked memory is not in the way. Returns whether it did.
bool lock_memory();

// Lets go of the pages of programs' text and constants that only the start needed: what is needed again comes back from
// the page cache. Once, when everything has been loaded.
void release_startup_pages();

// Makes sure that descriptors 0 to 2 exist, so that no socket becomes standard error.
void open_standard_streams();

// One heap, returned to the kernel early: the resident size stays flat whatever scrapes do.
void tame_allocator();

}  // namespace tidegauge
