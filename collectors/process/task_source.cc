// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/task_source.h"

#include <utility>

#include "collectors/process/proc_tasks.h"
#include "collectors/process/task_iterator.h"

namespace tidegauge {

Result<ChosenSource> make_task_source(const KernelFiles& files, SourceChoice choice) {
  if (choice == SourceChoice::kProcfs) {
    return ChosenSource{make_proc_tasks(files), "chosen by the configuration"};
  }
  auto iterator = make_task_iterator(files);
  if (iterator) {
    return ChosenSource{std::move(*iterator), choice == SourceChoice::kAuto
                                                  ? "the kernel has it and lets us use it"
                                                  : "chosen by the configuration"};
  }
  if (choice == SourceChoice::kIterator) {
    return tl::make_unexpected(iterator.error());
  }
  return ChosenSource{make_proc_tasks(files), "no BPF iterator: " + iterator.error().where};
}

}  // namespace tidegauge
