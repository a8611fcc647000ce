/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Short windows of what devices do: bursts that the second in which they are read does not show. All of it under
 * the device's lock, if there is one, and so without calls. */
#ifndef TIDEGAUGE_BPF_BLOCK_WINDOWS_H
#define TIDEGAUGE_BPF_BLOCK_WINDOWS_H

static __always_inline __u64 window_user(__u32 owner, __u32 tgid, __u32 reason) {
  return reason ? TG_WINDOW_NOBODY | reason : (__u64)owner << 32 | tgid;
}

static __always_inline void name_user(const struct tg_block_users* users,
                                      struct tg_block_window* window) {
  __u64 who = 0;
  __u64 ns = 0;
#pragma unroll
  for (int i = 0; i < TG_WINDOW_USERS; i++) {
    if (users->ns[i] > ns) {
      ns = users->ns[i];
      who = users->who[i];
    }
  }
  window->owner = who >> 32;
  window->tgid = (__u32)who;
  window->user_thousandths = window->busy_ns ? (__u32)(ns * 1000 / window->busy_ns) : 0;
}

static __always_inline struct tg_block_window* window_place(struct tg_block_device* device,
                                                            __u64 number) {
  asm volatile("%0 &= 127" : "+r"(number)); /* the bound, where the verifier sees it */
  return &device->windows[number & (TG_WINDOWS - 1)];
}

/* Keeps the present window and begins that of `now`. The device has been busy for the last `busy_ns`. */
static __always_inline void begin_window(struct tg_block_device* device, __u64 now, __u64 busy_ns,
                                         __u64 in_flight) {
  const __u64 number = now / TG_WINDOW_NS;
  const __u64 begin_ns = number * TG_WINDOW_NS;
  const __u64 since_end_ns = now - device->window_end_ns;
  const __u64 old_ns = busy_ns > since_end_ns ? busy_ns - since_end_ns : 0;
  const __u64 new_ns = busy_ns < now - begin_ns ? busy_ns : now - begin_ns;
  const __u64 requests = in_flight ? in_flight : 1;
  struct tg_block_window* before = window_place(device, device->users_before.number);
  if (before->number == device->users_before.number) {
    name_user(&device->users_before, before);
  }
  device->window.busy_ns += (__u32)old_ns;
  *window_place(device, device->window.number) = device->window;
  device->users.number = device->window.number;
  device->users.virtual_end =
      device->virtual_time - ((busy_ns - old_ns) << TG_VIRTUAL_SHIFT) / requests;
  device->users_before = device->users;
#pragma unroll
  for (int i = 0; i < TG_WINDOW_USERS; i++) {
    device->users.ns[i] = 0;
  }
  device->users.virtual_begin = device->virtual_time - (new_ns << TG_VIRTUAL_SHIFT) / requests;
  device->window.number = number;
  device->window.busy_before = (__u32)((busy_ns - old_ns - new_ns) / TG_WINDOW_NS);
  device->window.busy_ns = (__u32)new_ns;
  device->window.requests = 0;
  device->window_end_ns = begin_ns + TG_WINDOW_NS;
}

/* After virtual_time went on. */
static __always_inline void pass_windows(struct tg_block_device* device, __u64 now, __u64 busy_ns,
                                         __u64 in_flight) {
  if (!has_windows) {
    return;
  }
  if (now < device->window_end_ns) {
    ADD(device->window.busy_ns, (__u32)busy_ns);
  } else {
    begin_window(device, now, busy_ns, in_flight);
  }
}

static __always_inline void add_user(struct tg_block_users* users, __u64 who, __u64 ns) {
  __u64 least = ~0ULL;
#pragma unroll
  for (int i = 0; i < TG_WINDOW_USERS; i++) {
    if (users->who[i] == who && users->ns[i]) {
      ADD(users->ns[i], ns);
      return;
    }
    least = users->ns[i] < least ? users->ns[i] : least;
  }
  /* Each loses as much as the least has, so one place at least is free then; or all lose what this one has. */
  const __u64 lost = least < ns ? least : ns;
  ns -= lost;
#pragma unroll
  for (int i = 0; i < TG_WINDOW_USERS; i++) {
    users->ns[i] -= lost < users->ns[i] ? lost : users->ns[i];
    if (ns && !users->ns[i]) {
      users->who[i] = who;
      users->ns[i] = ns;
      ns = 0;
    }
  }
}

static __always_inline __u64 later(__u64 a, __u64 b) { return a > b ? a : b; }

/* A request that ends or goes back: its share of the present window's busy time, and of the one's before. What it had
 * of others stays nobody's. */
static __always_inline void count_user(struct tg_block_device* device, __u64 who,
                                       __u64 virtual_start) {
  if (!has_windows) {
    return;
  }
  const __u64 begin = device->users.virtual_begin;
  const __u64 end = device->virtual_time;
  add_user(&device->users, who, (end - later(virtual_start, begin)) >> TG_VIRTUAL_SHIFT);
  const __u64 before_begin = later(virtual_start, device->users_before.virtual_begin);
  const __u64 before_end = device->users_before.virtual_end;
  if (before_begin < before_end) {
    add_user(&device->users_before, who, (before_end - before_begin) >> TG_VIRTUAL_SHIFT);
  }
}

#endif
