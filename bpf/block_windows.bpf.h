/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Short windows of what devices do: bursts that the second in which they are read does not show. All of it under
 * the device's lock, if there is one, and so without calls. */
#ifndef TIDEGAUGE_BPF_BLOCK_WINDOWS_H
#define TIDEGAUGE_BPF_BLOCK_WINDOWS_H

static __always_inline __u64 window_user(__u32 owner, __u32 tgid, __u32 reason) {
  return reason ? TG_WINDOW_NOBODY | reason : (__u64)owner << 32 | tgid;
}

static __always_inline void name_user(struct tg_block_device* device) {
  __u64 who = 0;
  __u64 ns = 0;
#pragma unroll
  for (int i = 0; i < TG_WINDOW_USERS; i++) {
    if (device->users[i].ns > ns) {
      ns = device->users[i].ns;
      who = device->users[i].who;
    }
    device->users[i].ns = 0;
  }
  const __u64 all_ns = device->users_ns;
  device->users_ns = 0;
  device->window.owner = who >> 32;
  device->window.tgid = (__u32)who;
  device->window.user_thousandths = all_ns ? (__u32)(ns * 1000 / all_ns) : 0;
}

/* Keeps the present window and begins that of `now`. The device has been busy for the last `busy_ns`. */
static __always_inline void begin_window(struct tg_block_device* device, __u64 now, __u64 busy_ns) {
  const __u64 number = now / TG_WINDOW_NS;
  const __u64 begin_ns = number * TG_WINDOW_NS;
  const __u64 since_end_ns = now - device->window_end_ns;
  const __u64 old_ns = busy_ns > since_end_ns ? busy_ns - since_end_ns : 0;
  const __u64 new_ns = busy_ns < now - begin_ns ? busy_ns : now - begin_ns;
  device->window.busy_ns += (__u32)old_ns;
  name_user(device);
  __u64 place = device->window.number;
  asm volatile("%0 &= 127" : "+r"(place)); /* the bound, where the verifier sees it */
  device->windows[place & (TG_WINDOWS - 1)] = device->window;
  device->window.number = number;
  device->window.busy_before = (__u32)((busy_ns - old_ns - new_ns) / TG_WINDOW_NS);
  device->window.busy_ns = (__u32)new_ns;
  device->window.requests = 0;
  device->window_end_ns = begin_ns + TG_WINDOW_NS;
}

static __always_inline void pass_windows(struct tg_block_device* device, __u64 now, __u64 busy_ns) {
  if (!has_windows) {
    return;
  }
  if (now < device->window_end_ns) {
    ADD(device->window.busy_ns, (__u32)busy_ns);
  } else {
    begin_window(device, now, busy_ns);
  }
}

/* One that ended or went back, and its share of the device's busy time. */
static __always_inline void count_user(struct tg_block_device* device, __u64 who, __u64 ns) {
  struct tg_block_user* users = device->users;
  if (!has_windows) {
    return;
  }
  ns += !ns;
  ADD(device->users_ns, ns);
  __u64 least = ~0ULL;
#pragma unroll
  for (int i = 0; i < TG_WINDOW_USERS; i++) {
    if (users[i].who == who && users[i].ns) {
      ADD(users[i].ns, ns);
      return;
    }
    least = users[i].ns < least ? users[i].ns : least;
  }
  /* Each loses as much as the least has, so one place at least is free then; or all lose what this one has. */
  const __u64 lost = least < ns ? least : ns;
  ns -= lost;
#pragma unroll
  for (int i = 0; i < TG_WINDOW_USERS; i++) {
    users[i].ns -= lost < users[i].ns ? lost : users[i].ns;
    if (ns && !users[i].ns) {
      users[i].who = who;
      users[i].ns = ns;
      ns = 0;
    }
  }
}

#endif
