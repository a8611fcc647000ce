// SPDX-License-Identifier: Apache-2.0
#pragma once

// A pass of `tidegauge top` as lines of text and as JSON. Pure.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/commands/terminal_text.h"
#include "daemon/commands/top_collect.h"
#include "daemon/commands/top_rates.h"

namespace tidegauge {

struct TopFrame {
  TopFacts facts;
  std::string host;
  double interval_s = 0;
  std::vector<TopRow> rows;  // of processes, in any order
};

struct TopView {
  TopSort sort = TopSort::kIo;
  bool groups = false;
  std::size_t rows = 20;
  std::size_t columns = 80;
  Charset charset = Charset::kAscii;
};

// No line is wider than `view.columns`; none ends in a newline.
struct TopText {
  std::vector<std::string> head;   // host, source, what is missing
  std::string titles;              // of the columns
  std::vector<std::string> lines;  // the sum, rows, what is left
};
TopText top_text(const TopFrame& frame, const TopView& view);

// One object on one line, with its newline. ASCII only: everything else is escaped.
std::string top_json(const TopFrame& frame, const TopView& view);

// The rows as they are shown: grouped where asked for, sorted.
std::vector<TopRow> rows_of(const TopFrame& frame, const TopView& view);

}  // namespace tidegauge
