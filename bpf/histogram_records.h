/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TIDEGAUGE_BPF_HISTOGRAM_RECORDS_H
#define TIDEGAUGE_BPF_HISTOGRAM_RECORDS_H

/* Slot 0: under 1 us, slot i: under 2^i us; the last one holds the rest, from 16.8 s on. */
#define TG_TIME_SLOTS 26

#endif
