/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What block.bpf.c counts and user space reads. */
#ifndef TIDEGAUGE_BPF_BLOCK_RECORDS_H
#define TIDEGAUGE_BPF_BLOCK_RECORDS_H

#include "histogram_records.h"

#ifdef __bpf__
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
struct bpf_spin_lock {
  __u32 val;
};
#else
#include <linux/bpf.h>
#include <linux/types.h>
#endif

#define TG_BLOCK_DEVICES 256
#define TG_BLOCK_REQUESTS 16384
#define TG_BLOCK_ACCOUNTS 8192
#define TG_BLOCK_OWNER_ACCOUNTS 4096
#define TG_JOURNAL_ACCOUNTS 4096
#define TG_JOURNAL_OWNERS 1024
#define TG_DIRTY_FILES 65536

enum tg_block_operation {
  TG_BLOCK_READ,
  TG_BLOCK_WRITE,
  TG_BLOCK_FLUSH,
  TG_BLOCK_DISCARD,
  TG_BLOCK_OTHER, /* passed through to the driver, zone management */
  TG_BLOCK_OPERATIONS,
};

/* Why something is nobody's. */
enum tg_block_reason {
  TG_BLOCK_OWNED,
  TG_BLOCK_KERNEL,    /* a kernel thread's own: resync, loop, log of a file system */
  TG_BLOCK_JOURNAL,   /* of jbd2: user space splits it by what the handles dirtied */
  TG_BLOCK_METADATA,  /* pages of the device itself, dirtied by the kernel */
  TG_BLOCK_SWAP,      /* swapped out */
  TG_BLOCK_OWNERLESS, /* pages dirtied before the programs came, or by whom was forgotten */
  TG_BLOCK_UNKNOWN, /* began before the programs came, was not followed, or its end was not seen */
  TG_BLOCK_REASONS,
};

struct tg_block_times {
  __u64 device_slots[TG_TIME_SLOTS];
  __u64 queue_slots[TG_TIME_SLOTS];
  __u64 device_ns;
  __u64 queue_ns;
  __u64 queued; /* requests whose time in the queue is known */
  __u64 bytes;
  __u64 sequential;
  __u64 random;
  __u64 errors;
  __u64 requeues;
  __u64 merged;     /* bios that had no request of their own */
  __u64 lost_ns;    /* of busy time, and */
  __u64 lost_bytes; /* for which there was no account */
};

/* A request that the driver has. */
struct tg_block_issued {
  __u64 request; /* its address; 0: a free place */
  __u64 issue_ns;
  __u64 queue_ns;
  __u64 virtual_start;
  __u32 device;
  __u32 zero;
  __u32 bytes;
  __u32 owner; /* of a flush, and of bytes whose end is not seen */
  __u32 tgid;
  __u8 operation;
  __u8 reason;
  __u8 is_sequential;
  __u8 is_queue_known;
};
#define TG_ISSUED_WAYS 4
#define TG_ISSUED_SETS 32

/* A request whose end was not seen, as user space found it. */
struct tg_block_forgotten {
  __u64 request;
  __u64 issue_ns;
  __u32 device;
  __u32 zero;
};

/* What a device did in TG_WINDOW_NS of CLOCK_MONOTONIC. There is one of each in which it had an event; what it did
 * in others follows from the next one. */
struct tg_block_window {
  __u64 number;      /* its time over TG_WINDOW_NS; 0: none yet */
  __u32 busy_before; /* windows right before it, without an event, that were busy throughout */
  __u32 busy_ns;
  __u32 requests;         /* that ended */
  __u32 user_thousandths; /* of its busy time, at least, were for this one */
  __u32 owner;
  __u32 tgid; /* TG_WINDOW_NOBODY | reason: of no process */
};
#define TG_WINDOW_NS 50000000
#define TG_WINDOWS 128 /* 6.4 s until they are read; a power of two */
#define TG_WINDOW_NOBODY 0x80000000U

/* Candidates for who was busiest in a window, with at least their time (Misra and Gries, 1982). Each of more than
 * a fifth of it all is among them. */
#define TG_WINDOW_USERS 4
struct tg_block_users {
  __u64 number;        /* of the window */
  __u64 virtual_begin; /* virtual_time then */
  __u64 virtual_end;
  __u64 who[TG_WINDOW_USERS]; /* owner << 32 | tgid, as in the window */
  __u64 ns[TG_WINDOW_USERS];  /* 0: a free place */
};

/* Under its number: major << 20 | minor as the kernel has it; of hidden disks, which have none, the
 * upper half of the numbers. */
struct tg_block_device {
  struct bpf_spin_lock lock;
  __u32 in_flight;
  /* Moves 1/in_flight ns per ns, in parts of 2^-TG_VIRTUAL_SHIFT ns. What it moves during a request's
   * time on the device is the request's share of the time the device was busy: the shares of all
   * requests add up to it. */
  __u64 virtual_time;
  __u64 busy_ns;
  __u64 last_ns;     /* CLOCK_MONOTONIC, up to which both are counted */
  __u32 flush_owner; /* of the last who asked for a flush */
  __u32 flush_tgid;
  __u32 flush_reason;
  __u32 elsewhere; /* requests that found no place in `issued` */
  __u64 next_sector[TG_BLOCK_OPERATIONS];
  __u64 operation_in_flight[TG_BLOCK_OPERATIONS];
  struct tg_block_times times[TG_BLOCK_OPERATIONS];
  char name[32];
  __u64 window_end_ns;
  struct tg_block_window window; /* the present one */
  /* Of it, and of the one before: what ends now was in both. */
  struct tg_block_users users;
  struct tg_block_users users_before;
  struct tg_block_window windows[TG_WINDOWS]; /* those before, by number */
  struct tg_block_issued issued[TG_ISSUED_SETS * TG_ISSUED_WAYS];
};
#define TG_VIRTUAL_SHIFT 12
#define TG_HIDDEN_DEVICE 0x80000000U

struct tg_block_account_key {
  __u32 device;
  __u32 owner;
  __u32 tgid; /* 0: none, or no room for single processes */
  __u16 operation;
  __u16 reason;
};

struct tg_block_account {
  __u64 busy_ns;
  __u64 bytes;
};

/* Metadata that handles of jbd2 dirtied, by who ran them. */
struct tg_journal_key {
  __u32 device; /* of the file system: may be a partition's */
  __u32 owner;
  __u32 tgid;
  __u32 zero;
};

struct tg_journal_account {
  __u64 blocks;
};

struct tg_block_losses {
  __u64 devices;       /* requests of devices for which there was no room */
  __u64 requests;      /* requests for which there was no room */
  __u64 ends;          /* requests that ended unseen */
  __u64 returns;       /* times one went back to the queue unseen */
  __u64 accounts;      /* times there was no account: see lost_ns */
  __u64 long_requests; /* requests of more bios than are looked at */
  __u64 shared_files;  /* pages of files with more dirtiers than are remembered */
  __u64 dirty_files;   /* files that began to be remembered */
  __u64 owned_pages;   /* pages written back whose dirtier was known */
  __u64 ownerless_pages;
};

#endif
