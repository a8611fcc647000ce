/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TIDEGAUGE_BPF_FILE_RECORDS_H
#define TIDEGAUGE_BPF_FILE_RECORDS_H

/* What files.bpf.c tells user space. Plain data, shared by both sides; times in ns, sizes in bytes. */

#include "histogram_records.h"

#ifdef __bpf__
typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;
#else
#include <linux/types.h>
#endif

/* Synchronisations come first. */
enum tg_file_operation_kind {
  TG_FILE_NOTHING = 0,
  TG_FILE_FSYNC,
  TG_FILE_FDATASYNC,
  TG_FILE_MSYNC,
  TG_FILE_SYNC_FILE_RANGE,
  TG_FILE_SYNCFS,
  TG_FILE_SYNC,
  TG_FILE_SYNC_WRITE, /* what a write to a file opened with O_SYNC or O_DSYNC waited for */
  TG_FILE_READ,
  TG_FILE_WRITE,
  TG_FILE_OPEN,
  TG_FILE_CREATE,
  TG_FILE_UNLINK,
  TG_FILE_RENAME,
  TG_FILE_OPERATIONS,
};
#define TG_FILE_LAST_SYNC TG_FILE_SYNC_WRITE

/* What a call's first argument is, in call_actions: above the operation. */
#define TG_CALL_OPERATION 0x1f
#define TG_CALL_HAS_FD 0x20 /* a descriptor, which names the file */
#define TG_CALLS 512        /* highest number of a system call, and one */

struct tg_operation_key {
  __u32 owner;
  __u32 operation;
  char fstype[16]; /* cut; "" when there is none, or none was found */
};

struct tg_operation {
  __u64 ns;
  __u64 errors;
  __u64 bytes; /* of a synchronisation: written to the file since the one before */
  __u64 slow;  /* that took longer than slow_ns */
  __u64 slots[TG_TIME_SLOTS];
};

/* Numbers of inodes come again; of one generation they do not. */
struct tg_file_key {
  __u64 inode;
  __u32 device;
  __u32 generation;
};

struct tg_file_counts {
  __u64 syncs;
  __u64 sync_ns;
  __u64 written_bytes;
  __u64 read_bytes;
};

struct tg_file {
  struct tg_file_counts counts;
  __u64 synced_bytes; /* written_bytes when it was last synchronised */
  __u64 worst_ns;     /* the longest synchronisation of the pass `pass` */
  __u64 told_print;   /* of the path last told, 0: none */
  __u64 told_mount;   /* and the mount it was reached by */
  __u32 told_pass;    /* in which that was last compared */
  __u32 pass;
  __u32 owner; /* who used it last: */
  __u32 tgid;  /* in our pid namespace */
  __u32 tid;
  __u32 zero;
  char comm[16]; /* of the thread */
  char fstype[16];
};

struct tg_churn_key {
  __u32 owner; /* who created the file; of one that was there before us, who deleted it */
  __u32 zero;
  char fstype[16];
};

struct tg_churn {
  __u64 created;
  __u64 deleted;
  __u64 bytes;       /* in deleted files */
  __u64 unstored;    /* of them, in files of which is known that they had no block on a disk */
  __u64 lifetime_ns; /* of those deleted whose creation was seen */
  __u64 lifetimes[TG_TIME_SLOTS];
};

/* The same by directory, as long as there is room: the least recently used leave. */
struct tg_directory_key {
  struct tg_file_key directory; /* all 0: not known */
  __u32 owner;
  __u32 zero;
};

struct tg_directory {
  __u64 created;
  __u64 deleted;
  __u64 bytes;
  __u64 unstored;
  __u64 untold;     /* of deleted: their file system does not say whether they had a block */
  __u64 told_print; /* as in tg_file */
};

/* A file that is not deleted yet. */
struct tg_birth {
  __u64 ns; /* 0: before us, see tg_churn_key.owner */
  struct tg_file_key directory;
  __u32 owner;
  __u32 zero;
};

enum tg_file_event_kind { TG_EVENT_PATH = 1, TG_EVENT_SLOW = 2 };

enum tg_path_flags {
  TG_PATH_DELETED = 1,
  TG_PATH_CUT = 2,      /* there is more above */
  TG_PATH_NO_MOUNT = 4, /* from the root of its file system on, whose mount is not known */
  TG_PATH_DIRECTORY = 8,
  TG_PATH_FILE = 16 /* of an entry of `files`: `before` is set */
};

#define TG_PATH_DEPTH 128
#define TG_PATH_BYTES 4096
#define TG_PATH_NAME 256

struct tg_path_event {
  __u32 kind;
  __u32 flags;
  struct tg_file_key file;
  struct tg_file before; /* what was done under the path of before, and who did it last */
  __u32 root_device;     /* which the path begins on; 0: not known */
  __u32 zero;
  /* Names from the file up to the root, each ended by a NUL. The record ends with the last. */
  char names[2 * TG_PATH_BYTES];
};

struct tg_slow_event {
  __u32 kind;
  __u32 operation;
  struct tg_file_key file; /* all 0: none */
  __u64 end_ns;            /* CLOCK_MONOTONIC */
  __u64 ns;
  __u32 owner;
  __u32 tgid;
  __u32 tid;
  __u32 error; /* errno, 0: none */
  char comm[16];
  char fstype[16];
};

/* Set by user space at each pass. */
struct tg_file_control {
  __u32 pass;
  __u32 paths_left; /* that may be told until the next */
  __u32 slow_left;
  __u32 calls_shed; /* 1: the calls' own programs are not there, or no longer */
  __u32
      opens_tell_new_files; /* 1: the end of opening tells them, without which nothing is told of their ends */
  __u32 xfs_inode_offset; /* of the inode in what xfs has of it; 0: not known */
};

struct tg_file_losses {
  __u64 operations;  /* that are in no histogram: the map is full */
  __u64 unpaired;    /* whose begin was forgotten */
  __u64 paths;       /* not told: too many, or the ring was full. They are tried again */
  __u64 slow;        /* slow operations, as well */
  __u64 files_added; /* entries made, so that evictions can be told */
  __u64 churn;       /* files created or deleted that are in no sum */
};

#define TG_OPERATION_ENTRIES 4096
#define TG_START_ENTRIES 16384
#define TG_CURSOR_ENTRIES 16384
#define TG_BEGUN_ENTRIES 32768
#define TG_PENDING_ENTRIES 4096
#define TG_FILE_ENTRIES 8192
#define TG_BIRTH_ENTRIES 16384
#define TG_CHURN_ENTRIES 1024
#define TG_DIRECTORY_ENTRIES 4096
#define TG_FILE_RING_BYTES (512 * 1024)
/* Less is not worth a path. */
#define TG_NOTABLE_BYTES 65536

#endif
