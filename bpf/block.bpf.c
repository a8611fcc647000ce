// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Requests of block devices: how long they wait and how long they take, and whose they are.
//
//   block_bio_queue      in the context of who submits: whose the bio is. Of pages that are written back,
//                        who dirtied them (writeback_dirty_folio, dirty_pages.bpf.h).
//   block_rq_issue       the driver gets the request: its time on the device begins. In the queue it has
//                        been since it was allocated (rq->start_time_ns), inserted or not.
//   block_rq_requeue     the driver gives it back: the time on the device begins anew with the next issue.
//   block_rq_complete    counts it, and charges its share of the device's busy time and its bytes to the
//                        owners of its bios, which are still linked to it.
//
// A device is what has requests. Disks, loop devices and multipath have; dm, md, zram and the like pass
// bios on, and what they cause is counted on the disks below, where the owner of a bio is still known.
//
// All of a device is kept under one lock: this takes tp_btf programs (raw_tp may not lock), and gives sums
// that agree with each other to the nanosecond. Where the kernel lets no tracing program lock (5.10: "unknown
// func bpf_spin_lock") events of two CPUs in the same nanoseconds may count an interval twice.

// clang-format off: the helpers' headers use the types and do not include them.
#include "block_records.h"
#include "block_types.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "histogram.bpf.h"
#include "owner.bpf.h"
// clang-format on

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct tg_block_losses losses = {};

const volatile __u32 has_lock = 1;
const volatile __u32 has_windows = 1;
const volatile __u32 page_shift = 12;

#define LOCK(device)                  \
  do {                                \
    if (has_lock) {                   \
      bpf_spin_lock(&(device)->lock); \
    }                                 \
  } while (0)
#define UNLOCK(device)                  \
  do {                                  \
    if (has_lock) {                     \
      bpf_spin_unlock(&(device)->lock); \
    }                                   \
  } while (0)
/* Under the lock, if there is one. */
#define ADD(place, number)                      \
  do {                                          \
    if (has_lock) {                             \
      (place) += (number);                      \
    } else {                                    \
      __sync_fetch_and_add(&(place), (number)); \
    }                                           \
  } while (0)

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_BLOCK_DEVICES);
  __type(key, __u32);
  __type(value, struct tg_block_device);
} devices SEC(".maps");

static const struct tg_block_device new_device = {.flush_reason = TG_BLOCK_UNKNOWN};

/* Those that found no place with their device, and where there is no lock all: a hash costs three times as
 * much as all the rest. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_BLOCK_REQUESTS);
  __type(key, __u64);
  __type(value, struct tg_block_issued);
} requests SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct tg_block_forgotten);
} forgotten_request SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_JOURNAL_ACCOUNTS);
  __type(key, struct tg_journal_key);
  __type(value, struct tg_journal_account);
} journal SEC(".maps");

/* Of owners alone, when there is no room for processes. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_JOURNAL_OWNERS);
  __type(key, struct tg_journal_key);
  __type(value, struct tg_journal_account);
} journal_owners SEC(".maps");

#include "block_owners.bpf.h"
#include "block_windows.bpf.h"
#include "dirty_pages.bpf.h"

#define REQ_OP_MASK 0xFF /* include/linux/blk_types.h */
#define MAX_BIOS 256     /* of one request: more than most devices take segments */

static __always_inline __u32 operation_of(__u32 flags) {
  switch (flags & REQ_OP_MASK) {
    case 0:
      return TG_BLOCK_READ;
    case 1:
    case 7: /* zone append; on 5.10 write same */
    case 9: /* write zeroes */
      return TG_BLOCK_WRITE;
    case 2:
      return TG_BLOCK_FLUSH;
    case 3:
    case 5: /* secure erase */
      return TG_BLOCK_DISCARD;
    default:
      return TG_BLOCK_OTHER;
  }
}

static __always_inline __u32 device_number(struct gendisk* disk) {
  const __u32 number = (__u32)disk->major << 20 | disk->first_minor;
  return number ? number : low_half(disk) >> 6 | TG_HIDDEN_DEVICE;
}

static __always_inline struct gendisk* disk_of_request(struct request* request) {
  struct request___disk* before = (void*)request;
  if (bpf_core_field_exists(before->rq_disk)) {
    return before->rq_disk;
  }
  return request->q->disk;
}

static __always_inline struct gendisk* disk_of_bio(struct bio* bio) {
  struct bio___disk* before = (void*)bio;
  if (bpf_core_field_exists(before->bi_disk)) {
    return before->bi_disk;
  }
  return bio->bi_bdev->bd_disk;
}

static __always_inline struct tg_block_device* device_of(struct gendisk* disk, __u32 number) {
  struct tg_block_device* device = bpf_map_lookup_elem(&devices, &number);
  if (device) {
    return device;
  }
  bpf_map_update_elem(&devices, &number, &new_device, BPF_NOEXIST);
  device = bpf_map_lookup_elem(&devices, &number);
  if (device) {
    bpf_core_read(device->name, sizeof(device->name), &disk->disk_name);
  }
  return device;
}

/* Under the device's lock, if there is one. */
static __always_inline void advance(struct tg_block_device* device, __u64 now) {
  if (now <= device->last_ns) { /* read before another CPU had the lock */
    return;
  }
  const __u64 passed = now - device->last_ns;
  device->last_ns = now;
  const __u32 in_flight = device->in_flight;
  if (in_flight) {
    ADD(device->busy_ns, passed);
    ADD(device->virtual_time, (passed << TG_VIRTUAL_SHIFT) / in_flight);
  }
  pass_windows(device, now, in_flight ? passed : 0, in_flight);
}

/* The verifier of 5.10 knows the bounds of the register that was compared and of no copy of it, and forgets
 * them when it is spilled; of a pointer it does not. */
#define KEEP(value) asm volatile("" : "+r"(value))

static __always_inline __u64 rounded_ns(__u64 virtual) {
  return (virtual + (1 << (TG_VIRTUAL_SHIFT - 1))) >> TG_VIRTUAL_SHIFT;
}

static __always_inline __u32 first_place(const struct request* request) {
  return (low_half(request) * 0x9E3779B1U >> 27) * TG_ISSUED_WAYS;
}

static __always_inline struct tg_block_issued* own_place(struct tg_block_device* device,
                                                         __u32 first, __u64 request) {
#pragma unroll
  for (int i = 0; i < TG_ISSUED_WAYS; i++) {
    if (device->issued[first + i].request == request) {
      return &device->issued[first + i];
    }
  }
  return 0;
}

/* Into the hash. What it found there of this request. */
static __always_inline int keep_elsewhere(struct tg_block_device* device,
                                          struct tg_block_issued* now,
                                          struct tg_block_issued* before) {
  const __u64 key = now->request;
  struct tg_block_issued* found = bpf_map_lookup_elem(&requests, &key);
  if (found) {
    *before = *found;
    *found = *now;
    if (!before->request) { /* see delete_elsewhere() */
      __sync_fetch_and_add(&device->elsewhere, 1);
    }
    return 0;
  }
  if (!bpf_map_update_elem(&requests, &key, now, BPF_NOEXIST)) {
    __sync_fetch_and_add(&device->elsewhere, 1);
    return 0;
  }
  __sync_fetch_and_add(&losses.requests, 1);
  return -1;
}

/* Who counts as having caused it in the window in which it ends: of one with several bios the owner of the first,
 * of pages that several dirtied the one who dirtied most. */
static __always_inline __u64 user_of(struct request* request,
                                     const struct tg_block_issued* issued) {
  const __u64 bio = (__u64)BPF_CORE_READ(request, bio);
  if (!bio && issued->operation == TG_BLOCK_FLUSH) {
    return window_user(issued->owner, issued->tgid, issued->reason);
  }
  struct bio_tag* tag = bio ? find_tag(bio) : 0;
  if (!tag) {
    return window_user(0, 0, TG_BLOCK_UNKNOWN);
  }
  if (tag->who.reason != SHARED) {
    return window_user(tag->who.owner, tag->who.tgid, tag->who.reason);
  }
  struct bio_shares* shares = shares_of(bio);
  if (!shares || shares->bio != bio) {
    return window_user(0, 0, TG_BLOCK_UNKNOWN);
  }
  __u64 who = window_user(0, 0, TG_BLOCK_UNKNOWN);
  __u32 most = 0;
#pragma unroll
  for (__u32 i = 0; i < MAX_PARTS; i++) {
    const struct bio_part* part = &shares->part[i];
    if (i < shares->parts && part->weight > most) {
      most = part->weight;
      who = window_user(part->who.owner, part->who.tgid, part->who.reason);
    }
  }
  return who;
}

/* A request that went back to the queue untold: it was counted as in flight all the time, and its new time has
 * been added to that. */
static __always_inline void end_returned(struct tg_block_device* device, struct request* request,
                                         __u32 number, const struct tg_block_issued* before,
                                         __u64 virtual_time) {
  const __u32 operation = before->operation;
  if (operation < TG_BLOCK_OPERATIONS) {
    LOCK(device);
    ADD(device->in_flight, -1);
    ADD(device->operation_in_flight[operation], -1);
    UNLOCK(device);
  }
  charge_bio((__u64)BPF_CORE_READ(request, bio), (__u64)number << 32 | operation,
             rounded_ns(virtual_time - before->virtual_start), 0);
}

/* Under the device's lock, if there is one: all that is known of a request that ended unseen. How long it took is
 * not, so it is in no histogram. */
static __always_inline void count_unseen(struct tg_block_times* times,
                                         const struct tg_block_issued* ended) {
  ADD(times->bytes, ended->bytes);
  ADD(times->sequential, ended->is_sequential);
  ADD(times->random, !ended->is_sequential);
}

/* Its bios are gone. It did not have the device all the time until this was noticed: that is nobody's. */
static __always_inline void charge_unseen(const struct tg_block_issued* ended, __u32 number,
                                          __u64 share) {
  const struct block_who nobody = {.reason = TG_BLOCK_UNKNOWN};
  const struct block_who who = {
      .owner = ended->owner, .tgid = ended->tgid, .reason = ended->reason};
  __sync_fetch_and_add(&losses.ends, 1);
  charge_to(&nobody, number, ended->operation, rounded_ns(share), 0);
  if (ended->bytes) {
    charge_to(&who, number, ended->operation, 0, ended->bytes);
  }
}

/* Its place is taken by its next use. */
static __always_inline void end_unseen(struct tg_block_device* device, __u32 number,
                                       const struct tg_block_issued* ended, __u64 virtual_time) {
  __u32 operation = ended->operation;
  KEEP(operation);
  if (operation >= TG_BLOCK_OPERATIONS) {
    return;
  }
  struct tg_block_times* times = &device->times[operation];
  __u64* in_flight = &device->operation_in_flight[operation];
  KEEP(times);
  KEEP(in_flight);
  LOCK(device);
  ADD(device->in_flight, -1);
  ADD(*in_flight, -1);
  count_unseen(times, ended);
  UNLOCK(device);
  charge_unseen(ended, number, virtual_time - ended->virtual_start);
}

/* Whose a request is, for when its bios are gone: of several, whose the first and the last are. */
static __always_inline void find_request_owner(const struct request* request,
                                               struct tg_block_issued* issued) {
  struct bio* first = request->bio;
  struct bio* last = request->biotail;
  struct bio_tag* tag = first ? find_tag((__u64)first) : 0;
  issued->reason = TG_BLOCK_UNKNOWN;
  if (!tag) {
    return;
  }
  const struct block_who who = tag->who;
  if (last != first) {
    tag = find_tag((__u64)last);
    if (!tag || tag->who.owner != who.owner || tag->who.tgid != who.tgid ||
        tag->who.reason != who.reason) {
      return;
    }
  }
  if (who.reason != SHARED) {
    issued->owner = who.owner;
    issued->tgid = who.tgid;
    issued->reason = who.reason;
  }
}

/* A request that is issued while it counts as in flight: since when it is this one tells whether it went back to
 * the queue, or ended and was made anew. A queue that keeps no time (iostats is off) does not tell. */
static __always_inline int is_made_anew(const struct tg_block_issued* before, __u64 since) {
  return since && before->is_queue_known && before->issue_ns - before->queue_ns != since;
}

static __always_inline int request_issued(struct request* request) {
  struct gendisk* disk = disk_of_request(request);
  if (!disk) {
    return 0; /* a command to a controller */
  }
  const __u32 number = device_number(disk);
  struct tg_block_device* device = device_of(disk, number);
  if (!device) {
    __sync_fetch_and_add(&losses.devices, 1);
    return 0;
  }
  const __u32 operation = operation_of(request->cmd_flags);
  const __u64 now = bpf_ktime_get_ns();
  const __u64 since = request->start_time_ns;
  const __u64 sector = request->__sector;
  const __u32 first = first_place(request);
  struct tg_block_issued before = {};
  struct tg_block_issued issued = {.request = (__u64)request,
                                   .issue_ns = now,
                                   .device = number,
                                   .bytes = request->__data_len,
                                   .operation = operation};
  find_request_owner(request, &issued);
  if (since) { /* 0: the queue keeps no time (iostats is off) */
    issued.is_queue_known = 1;
    issued.queue_ns = now > since ? now - since : 0;
  }
  LOCK(device);
  advance(device, now);
  issued.virtual_start = device->virtual_time;
  issued.is_sequential = device->next_sector[operation] == sector;
  device->next_sector[operation] = sector + (issued.bytes >> 9);
  if (operation == TG_BLOCK_FLUSH) {
    issued.owner = device->flush_owner;
    issued.tgid = device->flush_tgid;
    issued.reason = device->flush_reason;
  }
  ADD(device->in_flight, 1);
  ADD(device->operation_in_flight[operation], 1);
  struct tg_block_issued* place = 0;
  if (has_lock) {
    place = own_place(device, first, (__u64)request);
    if (!place && !device->elsewhere) {
      place = own_place(device, first, 0); /* a free one */
    }
    if (place) {
      before = *place;
      *place = issued;
    }
  }
  UNLOCK(device);
  if (!place && keep_elsewhere(device, &issued, &before)) {
    end_returned(device, request, number, &issued,
                 issued.virtual_start); /* as if it had not been */
  } else if (before.request && is_made_anew(&before, since)) {
    end_unseen(device, number, &before, issued.virtual_start);
  } else if (before.request) {
    __sync_fetch_and_add(&losses.returns, 1);
    end_returned(device, request, number, &before, issued.virtual_start);
  }
  return 0;
}

__noinline int count_merged(__u64 device_operation, __u64 bios) {
  const __u32 number = device_operation >> 32;
  const __u32 operation = (__u32)device_operation;
  struct tg_block_device* device = bpf_map_lookup_elem(&devices, &number);
  if (device && operation < TG_BLOCK_OPERATIONS && bios > 1) {
    __sync_fetch_and_add(&device->times[operation].merged, bios - 1);
  }
  return 0;
}

/* Splits a request of so many bytes among its bios. `counted`: all ones when it has ended, else 0. */
__noinline int charge_bios(__u64 first, __u64 device_operation, __u64 share_ns, __u64 bytes,
                           __u64 counted) {
  const __u64 sectors = bytes >> 9;
  struct bio* bio = (struct bio*)first;
  __u64 done = 0;
  __u64 given_ns = 0;
  __u64 bios = 0;
  for (int i = 0; i < MAX_BIOS; i++) {
    if (!bio) {
      break;
    }
    const __u64 size = BPF_CORE_READ(bio, bi_iter.bi_size);
    bios++;
    done += size >> 9;
    const __u64 until_ns = share_ns * done / sectors; /* by 0 it is 0 */
    charge_bio((__u64)bio, device_operation, until_ns - given_ns, size & counted);
    given_ns = until_ns;
    bio = BPF_CORE_READ(bio, bi_next);
  }
  if (bio) {
    __sync_fetch_and_add(&losses.long_requests, 1);
  }
  if (done < sectors) { /* the bios of a request are as long as it is */
    const struct block_who nobody = {.reason = TG_BLOCK_UNKNOWN};
    charge_to(&nobody, device_operation >> 32, (__u32)device_operation, share_ns - given_ns,
              (bytes - (done << 9)) & counted);
  }
  count_merged(device_operation, bios & counted);
  return 0;
}

/* The usual request, quickly: one bio of one owner. */
static __always_inline int charge_single(struct bio* bio, const struct tg_block_issued* issued,
                                         __u32 number, __u64 share_ns, __u64 bytes) {
  struct bio_tag* tag = bio && !bio->bi_next ? find_tag((__u64)bio) : 0;
  if (!tag || tag->who.reason == SHARED) {
    return 0;
  }
  const struct block_who who = tag->who;
  if (bytes) {
    tag->bio = 0;
  }
  charge_to(&who, number, issued->operation, share_ns, bytes);
  return 1;
}

/* Charges a share of the busy time, and of a request that has ended its bytes, to the owners of its bios. */
static __always_inline void charge_request(struct request* request,
                                           const struct tg_block_issued* issued, __u32 number,
                                           __u64 share_ns, __u64 bytes) {
  const __u32 operation = issued->operation;
  if (charge_single(request->bio, issued, number, share_ns, bytes)) {
    return;
  }
  const __u64 first = (__u64)BPF_CORE_READ(request, bio);
  if (first && issued->bytes >> 9) {
    charge_bios(first, (__u64)number << 32 | operation, share_ns, issued->bytes, bytes ? ~0ULL : 0);
    return;
  }
  struct block_who who = {.reason = TG_BLOCK_UNKNOWN};
  if (operation == TG_BLOCK_FLUSH) {
    who.owner = issued->owner;
    who.tgid = issued->tgid;
    who.reason = issued->reason;
  }
  charge_to(&who, number, operation, share_ns, bytes);
}

/* Inlined it would be hundreds of paths to the verifier. */
__noinline int opaque_time_slot(__u64 ns) { return (int)time_slot(ns); }

static __always_inline struct tg_block_issued* find_issued(struct tg_block_device* device,
                                                           __u64 request, int* is_elsewhere) {
  if (has_lock) {
    struct tg_block_issued* place = own_place(device, first_place((void*)request), request);
    if (place || !device->elsewhere) {
      return place;
    }
  }
  *is_elsewhere = 1;
  return bpf_map_lookup_elem(&requests, &request);
}

/* Of one that ended: its place says so already. Where this interrupted who has the bucket locked, the entry stays
 * until the request is issued again. */
static __always_inline void delete_elsewhere(struct tg_block_device* device, __u64 request) {
  bpf_map_delete_elem(&requests, &request);
  __sync_fetch_and_add(&device->elsewhere, -1);
}

static __always_inline int request_left(struct request* request, int is_complete, int error) {
  struct gendisk* disk = disk_of_request(request);
  const __u32 number = disk ? device_number(disk) : 0;
  struct tg_block_device* device = disk ? bpf_map_lookup_elem(&devices, &number) : 0;
  if (!device) {
    return 0;
  }
  int is_elsewhere = 0;
  struct tg_block_issued* place = find_issued(device, (__u64)request, &is_elsewhere);
  if (!place) {
    return 0; /* began before us */
  }
  const struct tg_block_issued issued = *place;
  const __u64 now = bpf_ktime_get_ns();
  const __u64 device_ns = now > issued.issue_ns ? now - issued.issue_ns : 0;
  __u32 device_slot = (__u32)opaque_time_slot(device_ns);
  __u32 queue_slot = (__u32)opaque_time_slot(issued.queue_ns);
  __u32 operation = issued.operation;
  KEEP(device_slot);
  KEEP(queue_slot);
  KEEP(operation);
  if (operation >= TG_BLOCK_OPERATIONS || device_slot >= TG_TIME_SLOTS ||
      queue_slot >= TG_TIME_SLOTS) {
    return 0;
  }
  struct tg_block_times* times = &device->times[operation];
  __u64* device_count = &times->device_slots[device_slot];
  __u64* queue_count = &times->queue_slots[queue_slot];
  __u64* in_flight = &device->operation_in_flight[operation];
  KEEP(times);
  KEEP(device_count);
  KEEP(queue_count);
  KEEP(in_flight);
  const __u64 user = has_windows ? user_of(request, &issued) : 0;
  LOCK(device);
  if (place->request != (__u64)request) { /* block_request_forgotten was faster */
    UNLOCK(device);
    return 0;
  }
  place->request = 0;
  advance(device, now);
  ADD(device->in_flight, -1);
  ADD(*in_flight, -1);
  const __u64 share = device->virtual_time - issued.virtual_start;
  count_user(device, user, issued.virtual_start);
  if (is_complete) {
    ADD(device->window.requests, 1);
    ADD(*device_count, 1);
    ADD(times->device_ns, device_ns);
    ADD(times->bytes, issued.bytes);
    ADD(times->sequential, issued.is_sequential);
    ADD(times->random, !issued.is_sequential);
    ADD(times->errors, error != 0);
    if (issued.is_queue_known) {
      ADD(*queue_count, 1);
      ADD(times->queue_ns, issued.queue_ns);
      ADD(times->queued, 1);
    }
  } else {
    ADD(times->requeues, 1);
  }
  UNLOCK(device);
  if (is_elsewhere) {
    delete_elsewhere(device, (__u64)request);
  }
  charge_request(request, &issued, number, rounded_ns(share), is_complete ? issued.bytes : 0);
  return 0;
}

/* A request may end in pieces: the last one counts. */
static __always_inline int request_ended(struct request* request, int error, __u32 bytes) {
  return bytes >= request->__data_len ? request_left(request, 1, error) : 0;
}

// A program is left out while it runs on that CPU already, and requests end in interrupts: then the second
// one finds it. Some kernels leave out all programs while certain tasks run, whatever interrupts these: such an end
// is noticed when the request is made anew, or by user space.

// Before 5.11, and what was not backported to, tracepoints pass the queue first (a54895fa057c "block: remove
// the request_queue to argument request based tracepoints").

SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_request_completed, struct request* request, int error, unsigned int bytes) {
  return request_ended(request, error, bytes);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_request_completed_q, void* queue, struct request* request, int error,
             unsigned int bytes) {
  return request_ended(request, error, bytes);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_request_completed_2, struct request* request, int error, unsigned int bytes) {
  return request_ended(request, error, bytes);
}

SEC("tp_btf/block_rq_requeue")
int BPF_PROG(block_request_requeued, struct request* request) {
  return request_left(request, 0, 0);
}

SEC("tp_btf/block_rq_requeue")
int BPF_PROG(block_request_requeued_q, void* queue, struct request* request) {
  return request_left(request, 0, 0);
}

/* A driver that takes requests in batches may give one back untold; in the queue it may become part of another. */
SEC("tp_btf/block_rq_merge")
int BPF_PROG(block_request_merged, struct request* request) { return request_left(request, 0, 0); }

SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_request_issued, struct request* request) { return request_issued(request); }

SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_request_issued_q, void* queue, struct request* request) {
  return request_issued(request);
}

/* Attached for a moment, by user space, which finds requests whose end was not seen: it writes which one, and
 * renames itself to what it is called. */
SEC("tp_btf/task_rename")
int BPF_PROG(block_request_forgotten) {
  const __u32 only = 0;
  struct tg_block_forgotten* forgotten = bpf_map_lookup_elem(&forgotten_request, &only);
  if (!forgotten || !forgotten->request) {
    return 0;
  }
  const __u64 request = forgotten->request;
  const __u64 issue_ns = forgotten->issue_ns;
  const __u32 number = forgotten->device;
  forgotten->request = 0;
  struct tg_block_device* device = bpf_map_lookup_elem(&devices, &number);
  int is_elsewhere = 0;
  struct tg_block_issued* place = device ? find_issued(device, request, &is_elsewhere) : 0;
  if (!place) {
    return 0;
  }
  const struct tg_block_issued issued = *place;
  __u32 operation = issued.operation;
  KEEP(operation);
  if (operation >= TG_BLOCK_OPERATIONS || issued.issue_ns != issue_ns) {
    return 0;
  }
  const __u64 now = bpf_ktime_get_ns();
  struct tg_block_times* times = &device->times[operation];
  __u64* in_flight = &device->operation_in_flight[operation];
  KEEP(times);
  KEEP(in_flight);
  LOCK(device);
  if (place->request != request) {
    UNLOCK(device);
    return 0;
  }
  place->request = 0;
  advance(device, now);
  ADD(device->in_flight, -1);
  ADD(*in_flight, -1);
  count_unseen(times, &issued);
  const __u64 share = device->virtual_time - issued.virtual_start;
  UNLOCK(device);
  if (is_elsewhere) { /* not deleted: it may have been issued anew by now */
    __sync_fetch_and_add(&device->elsewhere, -1);
  }
  charge_unseen(&issued, number, share);
  return 0;
}

/* The flush that comes of it is a request of the device's own, without bios. */
static __always_inline void remember_flusher(struct bio* bio, const struct block_who* who) {
  struct gendisk* disk = disk_of_bio(bio);
  const __u32 number = disk ? device_number(disk) : 0;
  struct tg_block_device* device = disk ? device_of(disk, number) : 0;
  if (device) {
    LOCK(device);
    device->flush_owner = who->owner;
    device->flush_tgid = who->tgid;
    device->flush_reason = who->reason;
    UNLOCK(device);
  }
}

/* `who` is the submitter at first. */
static __always_inline void find_writer(struct bio* bio, struct block_who* who, __u32 flags,
                                        __u32 bytes) {
  const struct written_page page = find_written(bio);
  const int is_owned = who->reason == TG_BLOCK_OWNED;
  if (!page.inode || (!page.is_writeback && !page.is_device)) {
    /* What is written directly from memory is the submitter's; anonymous pages of swap were anybody's. */
    if (flags & 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_SWAP)) {
      const struct block_who swap = {.reason = TG_BLOCK_SWAP};
      *who = swap;
    }
    return;
  }
  if (page.is_device && (who->reason == TG_BLOCK_JOURNAL || (!page.is_writeback && is_owned))) {
    return;
  }
  const __u32 pages = (bytes + (1U << page_shift) - 1) >> page_shift;
  const __u32 kernel_reason = page.is_device ? TG_BLOCK_METADATA : TG_BLOCK_KERNEL;
  if (find_dirtiers((__u64)bio, who, page.inode, pages, kernel_reason)) {
    __sync_fetch_and_add(&losses.owned_pages, pages);
    return;
  }
  const struct block_who nobody = {.reason =
                                       page.is_device ? TG_BLOCK_METADATA : TG_BLOCK_OWNERLESS};
  *who = nobody;
  __sync_fetch_and_add(&losses.ownerless_pages, pages);
}

static __always_inline void set_tag(__u64 bio, const struct block_who* who) {
  struct bio_tag* tag = take_tag(bio);
  if (tag) {
    tag->who = *who;
    asm volatile("" ::: "memory");
    tag->bio = bio;
  }
}

static __always_inline int bio_queued(struct bio* bio) {
  const __u32 flags = bio->bi_opf;
  const __u32 bytes = bio->bi_iter.bi_size;
  struct block_who who;
  find_current(&who);
  if (flags & (1U << __REQ_PREFLUSH | 1U << __REQ_FUA)) {
    remember_flusher(bio, &who);
  }
  if (!bytes) {
    return 0;
  }
  if (operation_of(flags) == TG_BLOCK_WRITE) {
    find_writer(bio, &who, flags, bytes);
  }
  set_tag((__u64)bio, &who);
  return 0;
}

SEC("tp_btf/block_bio_queue")
int BPF_PROG(block_bio_queued, struct bio* bio) { return bio_queued(bio); }

SEC("tp_btf/block_bio_queue")
int BPF_PROG(block_bio_queued_q, void* queue, struct bio* bio) { return bio_queued(bio); }

/* The front part of a bio that was too large is a bio of its own, chained to what is left of it. */
static __always_inline int bio_split(struct bio* front) {
  const __u64 bio = (__u64)front;
  const __u64 whole = (__u64)BPF_CORE_READ(front, bi_private);
  struct bio_tag* tag = find_tag(whole);
  if (!tag) {
    return 0;
  }
  const struct block_who who = tag->who;
  if (who.reason == SHARED) {
    struct bio_shares* from = shares_of(whole);
    struct bio_shares* to = shares_of(bio);
    if (!from || !to || from == to || from->bio != whole) {
      return 0;
    }
    to->bio = 0;
    to->parts = from->parts;
    __builtin_memcpy(to->part, from->part, sizeof(to->part));
    asm volatile("" ::: "memory");
    to->bio = bio;
  }
  set_tag(bio, &who);
  return 0;
}

SEC("tp_btf/block_split")
int BPF_PROG(block_bio_split, struct bio* front) { return bio_split(front); }

SEC("tp_btf/block_split")
int BPF_PROG(block_bio_split_q, void* queue, struct bio* front) { return bio_split(front); }

SEC("tp_btf/writeback_dirty_folio")
int BPF_PROG(block_folio_dirtied, void* folio, struct address_space___cache* mapping) {
  return page_dirtied(folio, mapping);
}

SEC("tp_btf/writeback_dirty_page")
int BPF_PROG(block_page_dirtied, void* page, struct address_space___cache* mapping) {
  return page_dirtied(page, mapping);
}

static __always_inline struct tg_journal_account* journal_account(
    void* map, const struct tg_journal_key* key) {
  struct tg_journal_account* account = bpf_map_lookup_elem(map, key);
  if (account) {
    return account;
  }
  const struct tg_journal_account none = {};
  bpf_map_update_elem(map, key, &none, BPF_NOEXIST);
  return bpf_map_lookup_elem(map, key);
}

SEC("raw_tp/jbd2_handle_stats")
int block_journal_handle(__u64* arguments) {
  const int blocks = (int)arguments[7];
  struct block_who who;
  if (blocks <= 0) {
    return 0;
  }
  find_current(&who);
  if (who.reason != TG_BLOCK_OWNED) { /* allocates what others dirtied */
    return 0;
  }
  struct tg_journal_key key = {.device = (__u32)arguments[0], .owner = who.owner, .tgid = who.tgid};
  struct tg_journal_account* account = journal_account(&journal, &key);
  if (!account) {
    key.tgid = 0;
    account = journal_account(&journal_owners, &key);
  }
  if (account) {
    __sync_fetch_and_add(&account->blocks, blocks);
  } else {
    __sync_fetch_and_add(&losses.accounts, 1);
  }
  return 0;
}
