/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose a bio is, remembered from where it is submitted to where its request ends, and the accounts that
 * requests are charged to. */
#ifndef TIDEGAUGE_BPF_BLOCK_OWNERS_H
#define TIDEGAUGE_BPF_BLOCK_OWNERS_H

struct block_who {
  __u32 owner;
  __u32 tgid;
  __u32 reason;
};

/* Of a bio that was queued and has not ended. Bios of devices that make no requests (dm, md) end unseen,
 * so places are taken over by age: an array of sets costs a tenth of a hash, and nothing to forget. Two
 * CPUs that take one place in the same nanoseconds may spoil it; then a bio is charged to the wrong one.
 * As many as a queue of 256 requests of 256 single pages holds, but bios do not spread evenly: where more come to
 * a set than it has ways, a bio is nobody's before it has ended. Of 4096 at once, which is 16 MiB in pages, sets
 * of 4 ways lost one bio in 120 000; with sets of 8 it takes 16384 at once to lose one in 10 000. */
struct bio_tag {
  __u64 bio;
  struct block_who who;
  __u32 stamp; /* jiffies */
};
#define BIO_WAYS 8
#define BIO_SETS 8192
#define BIO_SETS_SHIFT 19 /* 32 less its logarithm */
struct bio_set {
  struct bio_tag way[BIO_WAYS];
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, BIO_SETS);
  __type(key, __u32);
  __type(value, struct bio_set);
} bio_sets SEC(".maps");

/* In who.reason: several share it. */
#define SHARED 0xFFFFFFFF

/* Pages of a file that several dirtied. The next bio with the same place takes it over. */
#define MAX_PARTS 4
struct bio_part {
  struct block_who who;
  __u32 weight;
};
struct bio_shares {
  __u64 bio;
  __u32 parts;
  __u32 zero;
  struct bio_part part[MAX_PARTS];
};
#define BIO_SHARES 4096
#define BIO_SHARES_SHIFT 20
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, BIO_SHARES);
  __type(key, __u32);
  __type(value, struct bio_shares);
} bio_shares SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_BLOCK_ACCOUNTS);
  __type(key, struct tg_block_account_key);
  __type(value, struct tg_block_account);
} accounts SEC(".maps");

/* Those of no process: a crowd of short processes leaves them their room. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TG_BLOCK_OWNER_ACCOUNTS);
  __type(key, struct tg_block_account_key);
  __type(value, struct tg_block_account);
} owner_accounts SEC(".maps");

static __always_inline struct bio_set* set_of(__u64 bio) {
  const __u32 set = (low_half((void*)bio) * 0x9E3779B1U) >> BIO_SETS_SHIFT;
  return bpf_map_lookup_elem(&bio_sets, &set);
}

static __always_inline struct bio_shares* shares_of(__u64 bio) {
  const __u32 place = (low_half((void*)bio) * 0x9E3779B1U) >> BIO_SHARES_SHIFT;
  return bpf_map_lookup_elem(&bio_shares, &place);
}

static __always_inline struct bio_tag* find_tag(__u64 bio) {
  struct bio_set* set = set_of(bio);
  if (!set) {
    return 0;
  }
#pragma unroll
  for (int i = 0; i < BIO_WAYS; i++) {
    if (set->way[i].bio == bio) {
      return &set->way[i];
    }
  }
  return 0;
}

/* Of this bio, else a free one, else the oldest. The caller fills it in and sets `bio` last. */
static __always_inline struct bio_tag* take_tag(__u64 bio) {
  struct bio_set* set = set_of(bio);
  if (!set) {
    return 0;
  }
  const __u32 now = (__u32)bpf_jiffies64();
  __u32 best = 0;
  __u32 best_age = 0;
#pragma unroll
  for (__u32 i = 0; i < BIO_WAYS; i++) {
    const __u64 held = set->way[i].bio;
    __u32 age = held ? (now - set->way[i].stamp) >> 2 : 0xFFFFFFFE;
    age = held == bio ? 0xFFFFFFFF : age;
    if (age > best_age) {
      best_age = age;
      best = i;
    }
  }
  asm volatile("%0 &= 7" : "+r"(best)); /* the bound, where the verifier sees it */
  struct bio_tag* tag = &set->way[best & (BIO_WAYS - 1)];
  tag->bio = 0;
  tag->stamp = now;
  return tag;
}

static __always_inline int is_kernel_thread(struct task_struct* task) {
  return (BPF_CORE_READ(task, flags) & PF_KTHREAD) != 0;
}

static __always_inline int is_journal_thread(struct task_struct* task) {
  char comm[8] = {};
  bpf_core_read(comm, 5, &task->comm);
  return *(__u64*)comm == 0x2F3264626AULL; /* "jbd2/" */
}

static __always_inline __u32 shown_tgid(struct task_struct* task) {
  return namespace_inode ? local_number(BPF_CORE_READ(task, group_leader, thread_pid))
                         : (__u32)(bpf_get_current_pid_tgid() >> 32);
}

/* Functions of their own are verified once and not at every turn of a loop or a branch; their arguments are
 * numbers. */
__noinline int running_owner(void) { return (int)current_owner(); }

/* Who runs now. */
static __always_inline void find_current(struct block_who* who) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (!is_kernel_thread(task)) {
    who->owner = (__u32)running_owner();
    who->tgid = shown_tgid(task);
    who->reason = TG_BLOCK_OWNED;
    return;
  }
  who->owner = 0;
  who->tgid = 0;
  who->reason = is_journal_thread(task) ? TG_BLOCK_JOURNAL : TG_BLOCK_KERNEL;
}

static __always_inline int add_to_account(void* map, const struct tg_block_account_key* key,
                                          __u64 busy_ns, __u64 bytes) {
  struct tg_block_account* account = bpf_map_lookup_elem(map, key);
  if (!account) {
    const struct tg_block_account first = {.busy_ns = busy_ns, .bytes = bytes};
    if (!bpf_map_update_elem(map, key, &first, BPF_NOEXIST)) {
      return 0;
    }
    account = bpf_map_lookup_elem(map, key); /* another CPU was faster, or there is no room */
    if (!account) {
      return -1;
    }
  }
  __sync_fetch_and_add(&account->busy_ns, busy_ns);
  __sync_fetch_and_add(&account->bytes, bytes);
  return 0;
}

/* what: operation << 16 | reason. */
__noinline int charge(__u64 device_owner, __u64 tgid_what, __u64 busy_ns, __u64 bytes) {
  struct tg_block_account_key key = {.device = device_owner >> 32,
                                     .owner = (__u32)device_owner,
                                     .tgid = tgid_what >> 32,
                                     .operation = (__u16)(tgid_what >> 16),
                                     .reason = (__u16)tgid_what};
  if (key.tgid) {
    if (!add_to_account(&accounts, &key, busy_ns, bytes)) {
      return 0;
    }
    __sync_fetch_and_add(&losses.accounts, 1);
    key.tgid = 0; /* the sum of an owner matters more than who of it */
  }
  if (!add_to_account(&owner_accounts, &key, busy_ns, bytes)) {
    return 0;
  }
  const __u32 number = key.device;
  struct tg_block_device* device = bpf_map_lookup_elem(&devices, &number);
  const __u16 operation = key.operation;
  if (device && operation < TG_BLOCK_OPERATIONS) {
    __sync_fetch_and_add(&device->times[operation].lost_ns, busy_ns);
    __sync_fetch_and_add(&device->times[operation].lost_bytes, bytes);
  }
  return 0;
}

static __always_inline void charge_to(const struct block_who* who, __u32 device, __u32 operation,
                                      __u64 busy_ns, __u64 bytes) {
  charge((__u64)device << 32 | who->owner, (__u64)who->tgid << 32 | operation << 16 | who->reason,
         busy_ns, bytes);
}

/* A bio's share of its request. Of one that was put back into the queue no bytes: it stays known. */
__noinline int charge_bio(__u64 bio, __u64 device_operation, __u64 busy_ns, __u64 bytes) {
  const __u32 device = device_operation >> 32;
  const __u32 operation = (__u32)device_operation;
  struct bio_tag* tag = find_tag(bio);
  struct block_who who = {.reason = TG_BLOCK_UNKNOWN};
  if (tag) {
    who = tag->who;
    tag->bio = bytes ? 0 : bio;
  }
  if (who.reason != SHARED) {
    charge_to(&who, device, operation, busy_ns, bytes);
    return 0;
  }
  struct bio_shares* shares = shares_of(bio);
  if (!shares || shares->bio != bio) {
    who.reason = TG_BLOCK_UNKNOWN;
    charge_to(&who, device, operation, busy_ns, bytes);
    return 0;
  }
  const __u32 parts = shares->parts;
  __u64 whole = 0;
#pragma unroll
  for (__u32 i = 0; i < MAX_PARTS; i++) {
    whole += i < parts ? shares->part[i].weight : 0;
  }
  whole = whole ? whole : 1;
  __u64 weight = 0;
  __u64 given_ns = 0;
  __u64 given_bytes = 0;
  for (__u32 i = 0; i < MAX_PARTS; i++) {
    if (i >= parts) {
      break;
    }
    weight += shares->part[i].weight;
    const int is_last = i + 1 == parts;
    const __u64 until_ns = is_last ? busy_ns : busy_ns * weight / whole;
    const __u64 until_bytes = is_last ? bytes : bytes * weight / whole;
    if (until_ns != given_ns || until_bytes != given_bytes) {
      charge_to(&shares->part[i].who, device, operation, until_ns - given_ns,
                until_bytes - given_bytes);
    }
    given_ns = until_ns;
    given_bytes = until_bytes;
  }
  return 0;
}

#endif
