# SPDX-License-Identifier: Apache-2.0
"""Memory pressure and page cache, by BPF, on a machine of little memory with a slow disk: against the kernel's own counts."""

from unittest import mock

import vm
from lab import Daemon, LabTest, value_of, within
from vm import Disk

FLAGS = ("--collector.disable-defaults", "--collector.ebpf", "--collector.ebpf.interval=1s", "--collector.ebpf.budget-ppm=0",
         "--collector.ebpf_memory", "--collector.ebpf_memory.interval=1s", "--collector.ebpf_memory.page-cache",
         "--collector.ebpf_memory.page-cache-reads", "--cpu-budget=off")
MEBIBYTE = 1 << 20
PAGE = 4096
FILE_MIB = 320
STALLS = "tidegauge_reclaim_stall_seconds"


def part_of(families, name, part, **labels):
    """A histogram's `_count` or `_sum` over all series with these labels; 0 if there is none."""
    series = families[name].series.items() if name in families else ()
    return sum(value for key, value in series if key[0] == f"{name}_{part}" and labels.items() <= dict(key[1]).items())


class EbpfMemory(LabTest):
    disks = (Disk(512, "throttling.bps-total=40000000"), Disk(128))
    modules = ("ext4",)  # where it is not built in

    @classmethod
    def setUpClass(cls):
        with mock.patch.object(vm, "MEMORY_MIB", 256):
            super().setUpClass()
        machine = cls.machine
        for number, disk in enumerate(("vda", "vdb")):
            machine.text(f"mke2fs -F /dev/{disk} >/dev/null 2>&1; mkdir -p /mnt/{number}; mount -t ext4 /dev/{disk} /mnt/{number}",
                         seconds=60)
        cls.daemon = Daemon(machine, "memory", 10070, *FLAGS)
        machine.run("until wget -q -O - http://127.0.0.1:10070/metrics | grep -q ^tidegauge_ebpf_memory_losses_total; "
                    "do usleep 100000; done")

    def vmstat(self):
        lines = self.machine.text("cat /proc/vmstat").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def cold_file(self, path, mebibytes):
        self.machine.text(f"dd if=/dev/urandom of={path} bs=1M count={mebibytes} 2>/dev/null; sync; "
                          "echo 3 >/proc/sys/vm/drop_caches", seconds=60)

    def test_a_tiers(self):
        self.expect(self.daemon, lambda: [("tidegauge_ebpf_feature_info", {"feature": "reclaim"}, 1)])  # the programs are listed
        tiers = {of["feature"]: of["tier"] for of in self.daemon.labels("tidegauge_ebpf_feature_info")}
        for feature in ("reclaim", "compaction", "kswapd", "dirty_throttle", "oom", "page_cache"):
            self.assertEqual(tiers.get(feature), "tracepoint", feature)
        for feature in ("page_cache_reads", "major_faults"):
            self.assertEqual(tiers.get(feature), "trampoline", feature)

    def test_global_pressure(self):
        """Writing more than there is memory, faster than the disk; then reading it back."""
        before, before_vm = self.daemon.families(), self.vmstat()
        took = float(self.machine.text(f"time -f %e dd if=/dev/zero of=/mnt/0/big bs=1M count={FILE_MIB} 2>&1 >/dev/null | tail -n 1",
                                       seconds=90))
        self.machine.text("for i in 1 2 3 4; do dd if=/mnt/0/big of=/dev/null bs=1M skip=$((i * 64)) count=64 2>/dev/null & done; "
                          "wait", seconds=90)
        after_vm = self.vmstat()
        grown = {name: after_vm[name] - before_vm.get(name, 0) for name in after_vm}
        stalled = sum(value for name, value in grown.items() if name.startswith("allocstall"))
        self.assertGreater(grown["pgscan_kswapd"], 0)

        # Counted when they end, and that was before the commands did; shown with the next pass.
        self.expect(self.daemon, lambda: [
            ("tidegauge_kswapd_runs_total", {"node": "0"}, (1, self.vmstat()["pageoutrun"])),
            ("tidegauge_kswapd_awake_seconds_total", {"node": "0"}, (0.001, 1000)),
            ("tidegauge_kswapd_wakeups_total", {"node": "0"}, (1, 1e9)),
            ("tidegauge_dirty_throttle_seconds_total", {"group": "dd"}, (0.001, took + 1)),
            ("tidegauge_ebpf_memory_losses_total", {"of": "stalls"}, 0)])
        self.machine.text("usleep 2200000")
        families = self.daemon.families()
        count, seconds = (part_of(families, STALLS, part, kind="direct") - part_of(before, STALLS, part, kind="direct")
                          for part in ("count", "sum"))
        runs, awake, paused = (value_of(families, f"tidegauge_{name}_total", labels) for name, labels in (
            ("kswapd_runs", {}), ("kswapd_awake_seconds", {}), ("dirty_throttle_seconds", {"group": "dd"})))
        print(f"[allocstall {stalled}, seen {count:.0f}, {seconds:.3f} s; kswapd: scanned {grown['pgscan_kswapd']}, "
              f"pageoutrun {self.vmstat()['pageoutrun']}, seen {runs:.0f}, awake {awake:.2f} s; dd {took:.1f} s, "
              f"paused {paused:.2f} s] ", end="", flush=True)
        # What asks for these numbers may stall too. A reclaim that starts over is one here, and more than one allocstall.
        later = sum(value - before_vm.get(name, 0) for name, value in self.vmstat().items() if name.startswith("allocstall"))
        self.assertLessEqual(count, later)
        self.assertGreaterEqual(count, stalled * 0.9)

    def test_compaction(self):
        self.machine.text("ln -sf /bin/busybox /tmp/tee; echo 1 | /tmp/tee /proc/sys/vm/compact_memory")
        present = [int(line.split()[1]) for line in self.machine.text("grep present /proc/zoneinfo").splitlines()]
        zones = sum(pages > 0 for pages in present)
        self.machine.text("usleep 2200000")
        families = self.daemon.families()
        self.assertEqual(part_of(families, "tidegauge_compaction_stall_seconds", "count", group="tee"), zones)
        self.assertGreater(part_of(families, "tidegauge_compaction_stall_seconds", "sum", group="tee"), 0)

    def test_cache_and_lookups(self):
        self.cold_file("/mnt/1/cold", 32)
        inserted = "tidegauge_page_cache_inserted_bytes_total"
        self.machine.text("ln -sf /bin/busybox /tmp/md5sum; "
                          "/tmp/md5sum /mnt/1/cold; /tmp/md5sum /mnt/1/cold", seconds=60)
        # 5.10 makes a page of what is behind the end before it looks where the end is.
        self.expect(self.daemon, lambda: [
            (inserted, {"group": "md5sum", "cause": "read"}, (32 * MEBIBYTE, 32 * MEBIBYTE + PAGE)),
            ("tidegauge_page_cache_lookup_bytes_total", {"group": "md5sum"}, within(64 * MEBIBYTE + 8 * PAGE, margin=8 * PAGE))])

    def test_major_faults(self):
        self.machine.text("cp /bin/lab_workload /mnt/1/labfault; sync; echo 3 >/proc/sys/vm/drop_caches")
        pid = self.machine.spawn("labfault", "/mnt/1/labfault", "memory", 1)
        self.kill_later("labfault")
        self.machine.text("until grep -q ready /tmp/labfault.out; do usleep 20000; done")
        major = int(self.stat(pid)[9])
        self.assertGreater(major, 0)
        # Those before exec is complete count for the shell that called it; since 6.4 the kernel calls a fault that waits
        # for what others read a minor one.
        self.expect(self.daemon, lambda: [
            ("tidegauge_major_faults_total", {"group": "labfault", "device": "vdb"}, (major - 2, 2 * major + 4)),
            ("tidegauge_major_fault_seconds_total", {"group": "labfault", "device": "vdb"}, (1e-6, 60))])

    def test_limit_of_a_cgroup(self):
        self.cold_file("/mnt/1/more", 48)
        group = "/sys/fs/cgroup/labmem"
        self.machine.text(f"echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir -p {group}; echo 16M >{group}/memory.max")
        self.machine.text(f"ln -sf /bin/busybox /tmp/sha1sum; echo $$ >{group}/cgroup.procs; exec /tmp/sha1sum /mnt/1/more", seconds=60)
        labels = {"group": "sha1sum", "kind": "memcg"}

        def wanted():
            stat = {name: int(value) for name, value in
                    (line.split() for line in self.machine.text(f"cat {group}/memory.stat").splitlines())}
            families = self.daemon.families()
            self.assertGreater(part_of(families, STALLS, "count", **labels), 0)
            self.assertGreater(part_of(families, STALLS, "sum", **labels), 0)
            return [("tidegauge_reclaim_stall_reclaimed_bytes_total", labels, within(stat["pgsteal"] * PAGE, share=0.05))]
        self.machine.text("usleep 2500000")
        self.expect(self.daemon, wanted)

    def test_out_of_memory(self):
        name = f"docker-{'0123456789abcdef' * 4}.scope"
        group = f"/sys/fs/cgroup/{name}"
        self.machine.text(f"echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir -p {group}; echo 16M >{group}/memory.max")
        self.machine.run(f"ln -sf /bin/lab_workload /tmp/labhungry; echo $$ >{group}/cgroup.procs; exec /tmp/labhungry memory 64")
        self.assertIn("oom_kill 1", self.machine.text(f"cat {group}/memory.events"))
        self.expect(self.daemon, lambda: [("tidegauge_oom_victims_total", {"group": "labhungry"}, 1)])
        victims = self.daemon.families()["tidegauge_oom_victims_total"].series.values()
        self.assertEqual(sum(victims), self.vmstat()["oom_kill"])
        victims = [of for of in self.daemon.labels("tidegauge_oom_victim_timestamp_seconds") if of["comm"] == "labhungry"]
        self.assertEqual([(of["group"], of["cgroup"]) for of in victims], [("labhungry", f"/{name}")])

    def test_zz_kernel_did_not_complain(self):
        log = self.machine.text("dmesg")
        for word in ("BUG:", "WARNING:", "Oops"):
            self.assertNotIn(word, log)
