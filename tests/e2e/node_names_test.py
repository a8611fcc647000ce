#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What public dashboards and rules for node_exporter ask for, as far as collectors of ours are about it: names, and the labels
they select, join and group by.

Here the daemon reads a recorded machine, which has what a test host may lack (frequencies, run queue statistics, huge pages).
node_exporter_test.py compares everything with a real node_exporter on the host.
"""


import harness
import monitoring

MACHINE = harness.ROOT / "tests" / "fixtures" / "linux-6.12"

# {labels: names}; `*` stands for each of the words behind the name. Exactly these labels: what is divided by or joined with
# another must have the same.
ASKED_FOR = {
    (): """
        node_load1 node_load5 node_load15 node_time_seconds node_boot_time_seconds
        node_context_switches_total node_intr_total node_forks_total node_procs_running node_procs_blocked
        node_filefd_allocated node_filefd_maximum node_textfile_scrape_error
        node_processes_pids node_processes_max_processes node_processes_threads node_processes_max_threads
        node_pressure_cpu_waiting_seconds_total node_pressure_io_waiting_seconds_total node_pressure_io_stalled_seconds_total
        node_pressure_memory_waiting_seconds_total node_pressure_memory_stalled_seconds_total
        node_vmstat_* pgpgin pgpgout pswpin pswpout pgfault pgmajfault oom_kill
        node_memory_*_bytes MemTotal MemFree MemAvailable Buffers Cached SwapCached SwapTotal SwapFree Active Inactive Active_anon
          Inactive_anon Active_file Inactive_file Unevictable Mlocked Dirty Writeback WritebackTmp AnonPages Mapped Shmem Slab
          SReclaimable SUnreclaim KernelStack PageTables Bounce CommitLimit Committed_AS VmallocTotal VmallocUsed VmallocChunk Percpu
          HardwareCorrupted AnonHugePages ShmemHugePages ShmemPmdMapped Hugepagesize DirectMap4k DirectMap2M DirectMap1G NFS_Unstable
        node_memory_HugePages_* Total Free Rsvd Surp
        process_cpu_seconds_total process_open_fds process_max_fds process_virtual_memory_bytes process_virtual_memory_max_bytes
        process_resident_memory_bytes process_start_time_seconds
        """,
    ("cpu",): "node_schedstat_* running_seconds_total waiting_seconds_total timeslices_total\n"
              "node_cpu_scaling_frequency_* hertz min_hertz max_hertz",
    ("cpu", "mode"): "node_cpu_seconds_total node_cpu_guest_seconds_total",
    ("device",): """
        node_disk_* io_now io_time_seconds_total io_time_weighted_seconds_total reads_completed_total writes_completed_total
          read_bytes_total written_bytes_total read_time_seconds_total write_time_seconds_total reads_merged_total
          writes_merged_total discards_completed_total discards_merged_total discard_time_seconds_total
        node_network_receive_*_total bytes packets errs drop fifo frame compressed multicast
        node_network_transmit_*_total bytes packets errs drop fifo colls carrier compressed
        """,
    ("device", "fstype", "mountpoint"): """
        node_filesystem_* avail_bytes free_bytes size_bytes files files_free readonly device_error
        """,
    ("state",): "node_processes_state",
    ("collector",): "node_scrape_collector_success node_scrape_collector_duration_seconds",
    ("cpu", "devices", "info", "type"): "node_interrupts_total",
    ("domainname", "machine", "nodename", "release", "sysname", "version"): "node_uname_info",
    ("id", "name", "pretty_name", "version", "version_codename", "version_id"): "node_os_info",
}
CPU_MODES = {"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}


def names(text):
    """Those of a text as above."""
    pattern = None
    for word in text.split():
        if "*" in word:
            pattern = word
        elif word.startswith(("node_", "process_")):
            pattern = None
            yield word
        else:
            yield pattern.replace("*", word)


class NodeNamesTest(monitoring.TestCase):
    def start_on_the_machine(self):
        daemon = self.start(f"--path.procfs={MACHINE}/proc", f"--path.sysfs={MACHINE}/sys", f"--path.udev.data={MACHINE}/udev")

        def all_ran():
            done = harness.label_values(daemon.scrape(), "node_scrape_collector_success", "collector")
            return {"filesystem", "processes", "netdev", "cpufreq", "interrupts", "os"} <= done
        harness.wait_until(all_ran, 20, lambda: f"the slow collectors\n{daemon.tail()}", pause=0.2)
        return daemon

    def test_every_name_has_these_labels(self):
        families = self.start_on_the_machine().scrape()
        wrong, count = [], 0
        for labels, text in ASKED_FOR.items():
            for name in names(text):
                count += 1
                found = {tuple(label for label, _ in key[1]) for key in families[name].series} if name in families else set()
                if labels not in found:
                    wrong.append(f"{name}: {sorted(found) or 'no series'}, asked for {labels}")
        self.assertEqual(wrong, [])
        self.assertGreater(count, 110)
        self.assertEqual(harness.label_values(families, "node_cpu_seconds_total", "mode"), CPU_MODES)

    def test_usual_forms_have_a_result(self):
        """Divisions, joins and groups as people write them, by a Prometheus that calls the job what they call it."""
        daemon = self.start_on_the_machine()
        prometheus = self.start_prometheus(
            f"scrape_configs: [{{job_name: node, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{daemon.port}']}}]}}]\n")
        forms = [
            '1 - avg without (cpu, mode) (rate(node_cpu_seconds_total{job="node",mode="idle"}[10s]))',
            'sum by (instance) (irate(node_cpu_seconds_total[10s])) / on (instance) group_left count by (instance) (node_cpu_seconds_total{mode="idle"})',
            '(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) * on (instance) group_left (nodename) node_uname_info{nodename=~".+"}',
            'node_uname_info * on (instance, job) group_left (pretty_name) node_os_info',
            'node_filesystem_avail_bytes{fstype!=""} / node_filesystem_size_bytes{fstype!=""} and node_filesystem_readonly{fstype!=""} >= 0',
            'max by (device) (node_filesystem_files - node_filesystem_files_free and on (instance, device, mountpoint) node_filesystem_device_error == 0)',
            'rate(node_disk_read_time_seconds_total[10s]) / rate(node_disk_reads_completed_total[10s])',
            'sum without (device) (rate(node_network_receive_bytes_total{device!="lo"}[10s]))',
            'rate(node_network_receive_errs_total[10s]) / rate(node_network_receive_packets_total[10s])',
            'node_load1 / count without (cpu, mode) (node_cpu_seconds_total{mode="idle"})',
            'time() - node_boot_time_seconds',
            'increase(node_vmstat_oom_kill[10s])',
        ]
        for form in forms:
            harness.wait_until(lambda form=form: self.query(prometheus, form)["result"], 20, f"a result of {form}\n{daemon.tail()}", pause=0.5)


if __name__ == "__main__":
    harness.main()
