// SPDX-License-Identifier: Apache-2.0
#pragma once

// Short ways to the one series of a family in a prometheus-cpp registry.

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

namespace tidegauge {

inline prometheus::Gauge& make_gauge(prometheus::Registry& registry, const char* name,
                                     const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

inline prometheus::Counter& make_counter(prometheus::Registry& registry, const char* name,
                                         const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

// A counter somebody else counts: raised to the value it has reached. Where that begins at 0 again, nothing is
// added until it has caught up.
inline void raise_to(prometheus::Counter& counter, double value) {
  if (value > counter.Value()) {
    counter.Increment(value - counter.Value());
  }
}

}  // namespace tidegauge
