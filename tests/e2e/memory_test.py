#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory pressure and page cache, as the daemon's BPF programs count them, against what the workloads know they did.

All pressure is inside a memory cgroup of a test's own, or on a loop device: the host has other work.
"""

import os
import shutil
import subprocess
import unittest
from pathlib import Path

import harness
from harness import sample, scaled, wait_until
from memory_work import (ATTEMPTS, DROP, FLAGS, INSERTED, LOOKED_UP, MEBIBYTE, PAGE, READ, REMOVED, TOUCH, URING, WRITE,
                         WRITE_NOWAIT, Memory, histogram, oom_kills, resident, total)

LONG = os.environ.get("TIDEGAUGE_E2E_LONG")


class MemoryTest(Memory):
    # Reclaim.

    def test_reclaim_at_the_limit_of_a_cgroup(self):
        """All but what may stay must be reclaimed, by the reader itself unless the whole host wants memory."""
        cgroup = self.memory_cgroup(24 * MEBIBYTE)
        path = self.disk_file("cold", 96)
        reader = self.worker("tgreclaim", cgroup)
        labels = {"group": "tgreclaim", "kind": "memcg"}
        stalls = lambda part, families: histogram(families, "tidegauge_reclaim_stall_seconds", part, **labels)
        reclaimed = lambda families: sample(families, "tidegauge_reclaim_stall_reclaimed_bytes_total", **labels) or 0
        removed = lambda families, cause: sample(families, REMOVED, group="tgreclaim", cause=cause) or 0
        failures = cgroup / "memory.failcnt"  # v1: of charges; each is followed by a reclaim
        for _ in range(ATTEMPTS):
            self.settled(INSERTED)
            before = self.daemon.scrape()
            self.do(reader, READ.format(str(path)))
            truth = int(failures.read_text()) if failures.exists() else None
            self.settled(INSERTED)
            after = self.daemon.scrape()
            count, seconds = stalls("count", after), stalls("sum", after)
            self.assertGreater(seconds, 0)
            if truth is not None:
                self.assertLessEqual(count, truth)
                self.assertGreaterEqual(count, truth * 0.9)
            self.assertEqual(removed(after, "drop"), removed(before, "drop"))
            self.assertEqual(sample(after, "tidegauge_ebpf_memory_losses_total", of="stalls"), 0)
            print(f"[{count:.0f} stalls, {seconds:.4f} s] ", end="", flush=True)
            # The rest of what had to go is others' doing.
            own = removed(after, "reclaim") - removed(before, "reclaim")
            everybodys = total(after, REMOVED, cause="reclaim") - total(before, REMOVED, cause="reclaim")
            self.assertGreaterEqual(everybodys, (96 - 25) * MEBIBYTE)
            if own >= (96 - 25) * MEBIBYTE:
                self.assertGreater(reclaimed(after) - reclaimed(before), (96 - 25) * MEBIBYTE * 0.9)
                return
            self.cool(path)
        self.fail("others reclaimed what was the reader's, every time")

    def test_out_of_memory_in_a_cgroup(self):
        """A process of many threads is one victim; its cgroup's name is as long as a container's."""
        cgroup = self.memory_cgroup(32 * MEBIBYTE, f"docker-{'0123456789abcdef' * 4}.scope")
        self.settled("tidegauge_ebpf_memory_losses_total", of="victims")
        victims = "tidegauge_oom_victims_total"
        before, before_kills = total(self.daemon.scrape(), victims), oom_kills()
        hungry = self.worker("tghungry", cgroup)
        pid = hungry.pid
        hungry.stdin.write("import threading; [threading.Thread(target=lambda: bytearray(b'x') * (64 << 20)).start() for _ in range(8)]\n")
        hungry.stdin.flush()
        self.assertEqual(hungry.wait(scaled(20)), -9)
        self.settled("tidegauge_ebpf_memory_losses_total", of="victims")
        families = self.daemon.scrape()
        self.assertEqual(sample(families, victims, group="tghungry"), 1)
        # On the whole host; what the kernel counts it has not killed yet.
        wait_until(lambda: total(self.daemon.scrape(), victims) - before == oom_kills() - before_kills, 5,
                   lambda: f"{oom_kills() - before_kills} kills, {total(self.daemon.scrape(), victims) - before} seen")
        name = "tidegauge_oom_victim_timestamp_seconds"
        (key, when), *others = [(dict(key[1]), value) for key, value in families[name].series.items()
                                if dict(key[1])["comm"] == "tghungry"]
        self.assertEqual(others, [])
        self.assertEqual((key["pid"], key["group"], key["cgroup"]), (str(pid), "tghungry", f"/{cgroup.name}"))
        self.assertLess(abs(when - os.stat(self.daemon.stderr_path).st_mtime), scaled(120))

    # Page cache.

    def test_inserts_and_lookups_are_exact(self):
        self.need("page_cache")
        path = self.disk_file("cold", 64)
        reader = self.worker("tgreader")
        size = 64 * MEBIBYTE
        inserted = lambda: self.settled(INSERTED, group="tgreader", cause="read")
        looked_up = lambda: self.value(LOOKED_UP, group="tgreader")
        removed = lambda: total(self.daemon.scrape(), REMOVED)
        dropped = lambda: self.settled(REMOVED, group="tgreader", cause="drop")
        for _ in range(ATTEMPTS):
            self.cool(path)
            before, before_lookups, before_removed = inserted(), looked_up(), removed()
            self.do(reader, READ.format(str(path)))
            there = resident(path)
            grown, lookups = inserted() - before, looked_up() - before_lookups
            # What was inserted is there, or was removed.
            self.assertGreaterEqual(grown, there)
            self.assertLessEqual(grown - there, removed() - before_removed)
            if grown != size or there != size:
                print(f"[inserted {grown:.0f}, there {there}] ", end="", flush=True)
                continue
            self.do(reader, READ.format(str(path)))
            again, before_drop, there = inserted() - before, dropped(), resident(path)
            self.do(reader, DROP.format(str(path)))
            grown_drop = dropped() - before_drop
            self.assertLessEqual(grown_drop, there)
            if again != size or grown_drop != size:
                print(f"[then {again:.0f}, dropped {grown_drop:.0f} of {there}] ", end="", flush=True)
                continue
            if self.daemon.value(LOOKED_UP, group="tgreader") is not None:
                self.assertEqual(lookups, size)
                self.assertEqual(looked_up() - before_lookups, 2 * size)  # with the hits
            return
        self.fail("never undisturbed")

    def test_writes_are_told_from_reads(self):
        self.need("page_cache")
        path = self.disk_file("other", 1).with_name("new")
        writer = self.worker("tgwriter")
        before = self.settled(INSERTED, group="tgwriter", cause="write")
        before_reads = self.value(INSERTED, group="tgwriter", cause="read")
        self.do(writer, WRITE.format(str(path), 32))
        self.expect_growth(before, 32 * MEBIBYTE, INSERTED, group="tgwriter", cause="write")
        self.assertEqual(self.value(INSERTED, group="tgwriter", cause="read"), before_reads)

    def test_major_faults(self):
        self.need("major_faults")
        path = self.disk_file("mapped", 16)
        number = os.stat(path).st_dev
        link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        device = link.resolve().name if link.exists() else f"{os.major(number)}:{os.minor(number)}"
        faulter = self.worker("tgfaulter")
        wanted = 16 * MEBIBYTE // (16 * PAGE)
        seen = []
        for _ in range(ATTEMPTS):
            self.cool(path)
            faults = lambda: self.settled("tidegauge_major_faults_total", group="tgfaulter", device=device)
            inserted = lambda: self.value(INSERTED, group="tgfaulter", cause="fault")
            before, before_inserts = faults(), inserted()
            major = int(self.do(faulter, TOUCH.format(str(path), 16 * PAGE)))
            seen.append((major, faults() - before, (inserted() - before_inserts) / PAGE))
            # A page that is taken away before the fault is over is inserted and waited for again.
            self.assertGreaterEqual(min(seen[-1]), wanted)
            if seen[-1] == (wanted, wanted, wanted):
                return
        self.fail(f"never undisturbed: {wanted} faults wanted, (kernel's count, ours, inserted): {seen}")

    # Dirty throttling.

    def test_pauses_of_a_writer(self):
        self.need("dirty_throttle")
        writer, place = self.mount("tgthrottled", "ext4", 256)
        self.check_pauses(writer, "tgthrottled", WRITE.format(f"{place}/file", 96))


@unittest.skipUnless(LONG, "long: make ebpf-long")
class LongMemoryTest(Memory):
    def test_writes_that_do_not_wait_do_not_pause(self):
        self.need("dirty_throttle")
        writer, place = self.mount("tgnowait", "xfs", 400)  # ext4 takes no buffered write that must not wait
        opened = f"fd = os.open({str(place / 'file')!r}, os.O_CREAT | os.O_RDWR, 0o600)\n"
        # Blocks are there: what is refused is for its pages.
        self.do(writer, opened, "[os.pwrite(fd, bytes(1 << 20), at << 20) for at in range(64)]; os.fsync(fd)\n",
                f"exec({WRITE_NOWAIT!r}, globals())\n", f"exec({URING!r}, globals())\n")
        self.check_pauses(writer, "tgnowait", "write_nowait(fd, 200)\n")
        # What io_uring hands to its workers does, and is the caller's.
        self.check_pauses(writer, "tgnowait", "[write(fd, at << 18) for at in range(256)]\n")
        self.check_pauses(writer, "tgnowait", "[os.pwrite(fd, bytes(1 << 20), at << 20) for at in range(64)]\n")

    def test_promtool(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool")
        cgroup = self.memory_cgroup(24 * MEBIBYTE)
        reader = self.worker("tgprom", cgroup)
        self.do(reader, READ.format(str(self.disk_file("cold", 48))))
        wait_until(lambda: histogram(self.daemon.scrape(), "tidegauge_reclaim_stall_seconds", "count", group="tgprom"), 5, "stalls")
        checked = subprocess.run(["promtool", "check", "metrics"], input=self.daemon.get().text(), text=True,
                                 capture_output=True, timeout=scaled(20), check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


class UnprivilegedTest(harness.TestCase):
    def test_nothing_and_no_failure(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to drop it")
        program = harness.copy_for_everyone(harness.TIDEGAUGE, self.directory)
        daemon = self.start(*FLAGS, program=program, wrapper=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                                              "--bounding-set=-all", "--inh-caps=-all"))
        wait_until(lambda: daemon.value("tidegauge_collector_runs_total", collector="ebpf_memory"), 5, "a run")
        families = daemon.scrape()
        self.assertEqual(sample(families, "tidegauge_collector_success", collector="ebpf_memory"), 1)
        self.assertEqual([name for name in families if name.startswith(("tidegauge_reclaim", "tidegauge_kswapd"))], [])


if __name__ == "__main__":
    harness.main()
