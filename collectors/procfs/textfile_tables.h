// SPDX-License-Identifier: Apache-2.0
#pragma once

// Families of several files as Tables, merged as node_exporter's registry merges them.

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "collectors/core/section.h"
#include "collectors/procfs/prom_text.h"

namespace tidegauge {

class TextfileTables {
 public:
  // Takes the families of one file, in file order. Returns whether all were consistent with earlier
  // files: a family whose HELP contradicts is dropped and makes it false; one whose type does is
  // dropped quietly, as node_exporter does.
  bool add(const std::string& file, std::vector<PromFamily> families);

  // One or two Tables per family and file, a family's next to each other. Equal series of later
  // files are left out.
  [[nodiscard]] std::vector<Table> build() const;

 private:
  struct Merged {
    std::vector<PromFamily> parts;  // one per file
    std::vector<std::string> files;
    std::string help;  // the first that a file gives
    bool has_help = false;
    bool collides = false;  // with the series names of another family
  };

  std::vector<Merged> families_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::unordered_set<std::string> series_names_;  // taken by families, with their suffixes
};

// A number as Go prints it shortest, for le and quantile labels: "0.5", "1e+06", "+Inf".
std::string go_number(double value);

}  // namespace tidegauge
