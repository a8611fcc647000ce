# SPDX-License-Identifier: Apache-2.0
"""Processes: both sources of passes, on a kernel of a release that people run."""

import time

from lab import Daemon, LabTest, value_of, within
from vm import Disk

FLAGS = ("--config.file=/etc/lab.yaml", "--collector.disable-defaults", "--collector.process", "--collector.process.interval=1s",
         "--cpu-budget=off")
# CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_PERFMON, CAP_BPF: what systemd/tidegauge.service grants.
UNIT_CAPABILITIES = "2,19,38,39"
BPF_CAPABILITIES = "21,38,39"  # CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF
CONFIG = "collectors:\n  process:\n    groups:\n      - name: 'user {user}'\n        user: [lab]\n"
LAB_USER = 1234
MEBIBYTE = 1 << 20
HZ = 100  # USER_HZ, of /proc/PID/stat
# Series of /proc/PID/io's fields.
IO = {"rchar": "syscall_read_bytes", "wchar": "syscall_written_bytes", "syscr": "read_syscalls", "syscw": "write_syscalls",
      "read_bytes": "storage_read_bytes", "write_bytes": "storage_written_bytes"}


class Process(LabTest):
    disks = (Disk(64, "throttling.bps-total=16000000"),)  # slow enough to be waited for

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        machine = cls.machine
        machine.write("/etc/lab.yaml", CONFIG)
        cls.early = machine.spawn("labearly", "/tmp/labearly", "write", "/tmp/labearly.data", 64, 4096,
                                  before="ln -s /bin/lab_workload /tmp/labearly;")
        machine.text("until grep -q ready /tmp/labearly.out; do usleep 20000; done")
        machine.run("sysctl -w kernel.task_delayacct=1")  # since 5.14; before it was always on
        cls.daemons = [Daemon(machine, source, port, *FLAGS, f"--collector.process.source={source}")
                       for source, port in (("iterator", 10070), ("procfs", 10071))]
        for daemon in cls.daemons:
            machine.run(f"until wget -q -O - http://127.0.0.1:{daemon.port}/metrics | grep -q ^tidegauge_process_source_info; "
                        "do usleep 100000; done")

    @property
    def iterator(self):
        return self.daemons[0]

    def expect_both(self, wanted):
        for daemon in self.daemons:
            with self.subTest(daemon.name):
                self.expect(daemon, wanted)

    def collect(self, source, wrapper=()):
        """One pass without a daemon."""
        done = self.machine.run([*wrapper, "tidegauge", "collect", "process", f"--collector.process.source={source}"])
        lines = [line for line in done.stdout.splitlines() if line.startswith("tidegauge_process_source_info{")]
        return done, lines[0] if lines else done.stderr

    def io_of(self, pid):
        io = self.numbers(f"/proc/{pid}/io")
        return [(f"tidegauge_process_{name}_total", {"pid": pid}, io[field]) for field, name in IO.items()]

    # Which source it is.

    def test_collect_by_iterator(self):
        done, source = self.collect("iterator")
        self.assertEqual(done.status, 0, done.stderr)
        self.assertIn('source="iterator"', source)
        self.assertNotIn('tidegauge_process_missing{field="io"', done.stdout)

    def test_collect_by_procfs(self):
        done, source = self.collect("procfs")
        self.assertEqual(done.status, 0, done.stderr)
        self.assertIn('source="procfs"', source)

    def test_auto_is_the_iterator(self):
        self.assertIn('source="iterator"', self.collect("auto")[1])

    def test_unit_capabilities_suffice(self):
        # With its LimitMEMLOCK, too: maps count as locked memory before 5.11.
        unlimited = ("sh", "-c", 'ulimit -l unlimited; exec "$@"', "sh")
        done, source = self.collect("iterator", (*unlimited, "lab_workload", "with", UNIT_CAPABILITIES))
        self.assertEqual(done.status, 0, done.stderr)
        self.assertIn('source="iterator"', source)

    def test_refused_bpf_means_procfs(self):
        without = ("lab_workload", "without", BPF_CAPABILITIES)
        done, source = self.collect("auto", without)
        self.assertEqual(done.status, 0, done.stderr)
        self.assertIn('source="procfs"', source)
        self.assertIn("CAP_BPF", source)
        self.assertNotEqual(self.collect("iterator", without)[0].status, 0)

    # What it counts.

    def test_io(self):
        pid = self.workload("labwriter", "write", "/tmp/labwriter.data", 64, 4096)
        self.assertGreaterEqual(self.numbers(f"/proc/{pid}/io")["wchar"], 64 * 4096)
        self.expect_both(lambda: self.io_of(pid))

    def test_io_of_before_the_daemon(self):
        """Half of it by a thread that was gone by then."""
        self.machine.text(f"kill -USR1 {self.early}")
        self.expect_both(lambda: self.io_of(self.early))

    def test_io_after_exec_by_a_thread(self):
        pid = self.workload("labexec", "exec", "/tmp/labexec.data", 64, 4096)
        self.assertGreaterEqual(self.numbers(f"/proc/{pid}/io")["wchar"], 2 * 64 * 4096 + 15000)
        self.expect_both(lambda: self.io_of(pid))

    def test_disk_and_its_delay(self):
        self.machine.text("mke2fs /dev/vda && mkdir -p /mnt/disk && mount -t ext4 /dev/vda /mnt/disk", 60)
        pid = self.workload("labdisk", "disk", "/mnt/disk/data", 4)
        io = self.numbers(f"/proc/{pid}/io")
        self.assertGreaterEqual(min(io["write_bytes"], io["read_bytes"]), 4 * MEBIBYTE)
        delay = int(self.stat(pid)[39]) / HZ  # delayacct_blkio_ticks
        self.assertGreater(delay, 0)
        self.expect_both(lambda: [*self.io_of(pid), ("tidegauge_process_block_io_delay_seconds_total", {"pid": pid},
                                                     within(delay, margin=1.5 / HZ))])

    def test_short_lived_processes_are_complete(self):
        count, size, group = 500, 65536, {"group": "labstorm"}
        self.workload("labstorm", "storm", "/tmp/labstorm.data", count, size)

        def wanted():
            return [("tidegauge_group_syscall_written_bytes_total", group, within(count * size, share=0.01)),
                    ("tidegauge_group_write_syscalls_total", group, within(count, share=0.01)),
                    ("tidegauge_group_processes_started_total", group, within(count + 1, share=0.01)),
                    ("tidegauge_group_processes", group, 1),
                    # Programs that can be preempted may miss one (7.2).
                    ("tidegauge_process_lost_exits_total", {}, (0, count * 0.01))]
        self.expect(self.iterator, wanted)
        time.sleep(2.5)  # what is counted twice would come now
        self.expect(self.iterator, wanted, seconds=0)

    def test_cpu(self):
        pid = self.workload("labspin", "spin", 1500)

        def wanted():
            fields = self.stat(pid)
            user, system = int(fields[11]) / HZ, int(fields[12]) / HZ
            self.assertGreater(user + system, 1.3)
            return [("tidegauge_process_cpu_seconds_total", {"pid": pid}, within(user + system, share=0.1)),
                    ("tidegauge_process_cpu_seconds_total", {"pid": pid, "mode": "user"}, within(user, share=0.1, margin=0.1))]
        self.expect_both(wanted)

    def test_memory(self):
        pid = self.workload("labmemory", "memory", 32)

        def wanted():
            status = self.numbers(f"/proc/{pid}/status")
            self.assertGreaterEqual(status["RssAnon"], 31 * MEBIBYTE)
            resident = "tidegauge_group_resident_memory_bytes"
            # The kernel adds up in batches, per thread (64 pages) before 6.2, per CPU since.
            return [(resident, {"group": "labmemory", "kind": "anon"}, within(status["RssAnon"], margin=MEBIBYTE / 2)),
                    (resident, {"group": "labmemory", "kind": "file"}, within(status["RssFile"], margin=MEBIBYTE / 2))]
        self.expect_both(wanted)

    def test_switches_and_threads(self):
        pid = self.workload("labswitch", "switch", 6, 50)

        def wanted():
            threads = self.numbers(f"/proc/{pid}/task/*/status")
            self.assertGreater(threads["voluntary_ctxt_switches"], 6 * 50)
            switches = "tidegauge_process_context_switches_total"
            return [(switches, {"pid": pid, "kind": "voluntary"}, threads["voluntary_ctxt_switches"]),
                    (switches, {"pid": pid, "kind": "involuntary"}, threads["nonvoluntary_ctxt_switches"]),
                    ("tidegauge_process_threads", {"pid": pid}, self.numbers(f"/proc/{pid}/status")["Threads"])]
        self.expect_both(wanted)

    def test_crowd(self):
        self.machine.spawn("crowd", "idle_processes", 300, 3, before="mkfifo /tmp/crowd.in; exec 0<>/tmp/crowd.in;")
        self.kill_later("idle_processes")
        self.machine.text("until grep -q ready /tmp/crowd.out; do usleep 50000; done")

        def wanted():
            processes, threads = map(int, self.machine.text(
                "cat /proc/[0-9]*/status | awk '/^Name:/ { ours = $2 == \"idle_processes\"; n += ours } "
                "/^Threads:/ && ours { t += $2 } END { print n, t }'").split())
            self.assertEqual(processes, 301)
            return [("tidegauge_group_processes", {"group": "idle_processes"}, processes),
                    ("tidegauge_group_threads", {"group": "idle_processes"}, threads)]
        self.expect_both(wanted)

    # Whose it is.

    def test_cgroup(self):
        self.machine.text("mkdir -p /sys/fs/cgroup/test.service")
        pid = self.workload("labunit", "write", "/tmp/labunit.data", 16, 4096,
                            before="echo $$ >/sys/fs/cgroup/test.service/cgroup.procs;")
        self.assertEqual(self.machine.text(f"cat /proc/{pid}/cgroup"), "0::/test.service\n")
        labels = {"pid": pid, "group": "test.service", "unit": "test.service"}
        self.expect_both(lambda: [
            ("tidegauge_process_syscall_written_bytes_total", labels, self.numbers(f"/proc/{pid}/io")["wchar"]),
            ("tidegauge_group_processes", {"group": "test.service"}, 1)])

    def test_user(self):
        pid = self.workload("labuser", "as", LAB_USER, "/tmp/labuser", "memory", 1)
        self.assertEqual(self.numbers(f"/proc/{pid}/status")["Uid"], LAB_USER)
        self.expect_both(lambda: [("tidegauge_group_processes", {"group": "user lab"}, 1)])

    def test_stuck_task(self):
        pid = self.workload("labstuck", "stuck")

        def wanted():
            self.assertEqual(self.stat(pid)[0], "D")
            where = self.machine.text(f"cat /proc/{pid}/wchan").replace("0", "unknown")  # x86 before 5.16
            return [("tidegauge_stuck_threads", {"group": "labstuck", "wchan": where}, 1),
                    ("tidegauge_uninterruptible_threads", {}, (1, 100))]
        self.expect_both(wanted)

    def test_nested_pid_namespace(self):
        """A daemon in a pid namespace: numbers are those of the namespace, the rest of the host is not there."""
        script = ("ln -sf /bin/lab_workload /tmp/labinner; "
                  '/tmp/labinner write /tmp/labinner.data 32 4096 >/tmp/labinner.out & exec "$@"')
        daemon = Daemon(self.machine, "nested", 10072, *FLAGS, "--collector.process.source=iterator",
                        wrapper=("unshare", "--pid", "--mount-proc", "-f", "sh", "-c", script, "sh"))
        self.kill_later("labinner")
        self.machine.text("until pidof labinner && grep -q ready /tmp/labinner.out; do usleep 50000; done")
        outer = self.machine.text("pidof labinner").split()[0]
        inner = self.machine.text(f"grep NSpid /proc/{outer}/status").split()[-1]
        self.assertNotEqual(inner, outer)
        self.expect(daemon, lambda: [("tidegauge_processes", {}, 2)])
        self.machine.text(f"kill -USR1 {outer}")
        self.workload("labouter", "storm", "/tmp/labouter.data", 20, 4096)
        io = self.numbers(f"/proc/{outer}/io")
        labels = {"pid": inner, "comm": "labinner"}
        self.expect(daemon, lambda: [
            ("tidegauge_process_syscall_written_bytes_total", labels, io["wchar"]),
            ("tidegauge_process_write_syscalls_total", labels, io["syscw"]),
            ("tidegauge_process_source_info", {"source": "iterator"}, 1)])
        families = daemon.families()
        self.assertIsNone(value_of(families, "tidegauge_group_processes", {"group": "labouter"}))
        self.assertIsNone(value_of(families, "tidegauge_group_processes_started_total", {"group": "labouter"}))

    def test_zz_kernel_did_not_complain(self):
        """The last one: what all the others did to it."""
        log = self.machine.text("dmesg")
        self.assertNotRegex(log, r"WARNING: |BUG: |Oops|Call Trace")
