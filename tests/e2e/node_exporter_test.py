#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tidegauge in place of node_exporter: Debian's node_exporter and Tidegauge read the same host.

Every family, type and label set that node_exporter exports must be there, and the values must lie within what passed:
node_exporter is scraped before and after each collector of ours has run. $NODE_EXPORTER names another binary.
"""

import os
import re
import time

import expo_compare
import harness

TEXTFILE = """\
# HELP backup_last_success_timestamp_seconds When the last backup ended.
# TYPE backup_last_success_timestamp_seconds gauge
backup_last_success_timestamp_seconds{job="etc \\"and\\" home"} 1.7e+09
# TYPE backup_bytes_total counter
backup_bytes_total 12345678901
# HELP backup_duration_seconds How long backups take.
# TYPE backup_duration_seconds histogram
backup_duration_seconds_bucket{le="1"} 3
backup_duration_seconds_bucket{le="+Inf"} 5
backup_duration_seconds_sum 17.25
backup_duration_seconds_count 5
no_type_at_all 4
"""

# What a reference before some version does otherwise, as narrow as it can be said. (before version, what, reason)
COMPARED = "(?!promhttp_|go_|process_).*"  # not what client libraries say about themselves
NOT_OURS = "node_exporter_build_info"  # says which program it is


def readonly_differs():
    """Mount points that are read-only by their file system's options but not by their mount's. 1.5 looks only at the
    mount's, 1.12 and we at both (1.10 and 1.11 glue the options together and miss both)."""
    points = set()
    with open("/proc/1/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.split()
            if "ro" in fields[-1].split(",") and "ro" not in fields[5].split(","):
                points.add(fields[4].replace("\\040", " ").replace("\\011", "\t"))
    return points


def known_differences(version):
    """Regular expressions of series that a reference of this version exports otherwise."""
    ignored = [NOT_OURS]
    for point in sorted(readonly_differs()):
        shown = point.replace("\\", r"\\").replace('"', r"\"")
        ignored.append(r"node_filesystem_readonly\{.*mountpoint=\"" + re.escape(shown) + r"\".*\}")
    if (1, 10) <= version < (1, 12):
        ignored.append("node_filesystem_readonly")  # glued options, see above
        # It takes a disk for not rotational when any of some thirty queue files is missing; 1.12 and we read the one.
        ignored.append(r"node_disk_info\{.*rotational=\"0\".*\}")
    if version < (1, 6):
        # 1.5 takes the first of ID_SERIAL_SHORT, ID_SERIAL; 1.11 and we SCSI_IDENT_SERIAL before them. Only where udev
        # knows that one, i.e. SCSI disks.
        for device in scsi_identified_disks():
            ignored.append(r"node_disk_info\{device=\"" + re.escape(device) + r"\".*\}")
    return ignored


def scsi_identified_disks():
    found = []
    for device in os.listdir("/sys/block") if os.path.isdir("/sys/block") else ():
        try:
            with open(f"/sys/block/{device}/dev", encoding="utf-8") as file:
                numbers = file.read().strip()
            with open(f"/run/udev/data/b{numbers}", encoding="utf-8", errors="replace") as file:
                if "E:SCSI_IDENT_SERIAL=" in file.read():
                    found.append(device)
        except OSError:
            pass
    return found


def without_device_error(families):
    """1.5 has no device_error label on node_filesystem_*; 1.9 and we name the error in it. Mounts without an error
    have an empty one, which does not count."""
    for name, family in families.items():
        if name.startswith("node_filesystem_"):
            family.series = {(sample, tuple(pair for pair in labels if pair[0] != "device_error")): value
                             for (sample, labels), value in family.series.items()}
    return families


def series(line):
    """The series that a line of a report's wrong values is about."""
    return line.rsplit(": ", 1)[0]


class NodeExporterTest(harness.TestCase):
    def test_every_series_is_there(self):
        directory = self.directory / "textfile"
        self.write("textfile/backup.prom", TEXTFILE)
        self.write("textfile/second.prom", '# TYPE another gauge\nanother{b="2",a="1"} -0.5\n')
        textfile = f"--collector.textfile.directory={directory}"
        peer = self.start_node_exporter(textfile)
        # Every collector at every tick, so that all run between the two reference scrapes.
        known = [*harness.PEER_COLLECTORS, *harness.LATER_PEER_COLLECTORS]
        ours = self.start(textfile, "--collector.cpu.info", *harness.SYSCTL_FLAGS,
                          *(f"--collector.{name}" for name in known), *(f"--collector.{name}.interval=1s" for name in known))
        self.assertTrue(set(known) <= harness.label_values(ours.scrape(), "tidegauge_collector_success", "collector"))

        def runs():
            family = ours.scrape()["tidegauge_collector_runs_total"]
            return {dict(key[1])["collector"]: value for key, value in family.series.items()}

        def compare():
            before, start, lagging = peer.get().families(), runs(), []

            def all_ran():
                # The second run to end began after `before`, whatever was under way then.
                now = runs()
                lagging[:] = [name for name in known if now[name] < start[name] + 2]
                return not lagging
            harness.wait_until(all_ran, 10, lambda: f"two runs of each collector; missing: {lagging}\n{ours.tail()}", pause=0.1)
            middle = ours.scrape()
            time.sleep(0.01)  # node_time_seconds of `after` must be later
            after = peer.get().families()
            if self.peer_version < (1, 9):
                middle = without_device_error(middle)
            return expo_compare.compare(before, middle, after, COMPARED, known_differences(self.peer_version))

        peer.get()  # its first scrape loads lazily what later ones have
        report = compare()
        # Memory that others take and give back between the two scrapes of the reference is outside of both: what is
        # really wrong is so again.
        persistent = {series(line) for line in report.wrong_value}
        for _ in range(2):
            if not persistent:
                break
            again = compare()
            persistent &= {series(line) for line in again.wrong_value}
            report.missing += again.missing
            report.wrong_type += again.wrong_type
        report.wrong_value = [line for line in report.wrong_value if series(line) in persistent]
        for title, lines in (("missing", report.missing), ("wrong type", report.wrong_type), ("wrong value", report.wrong_value)):
            for line in lines:
                print(f"{title}: {line}")
        version = ".".join(map(str, self.peer_version))
        print(f"against node_exporter {version}: {report.summary()}")
        self.assertGreater(report.families, 150, "the reference exports suspiciously little")
        self.assertTrue(report.ok(), "see the lists above")

    def test_defaults(self):
        """With the defaults of both, as after `apt-get remove prometheus-node-exporter`: nothing is missing."""
        path = os.environ.get("NODE_EXPORTER") or harness.find_peer("prometheus-node-exporter")
        port = harness.free_port()
        on_by_default = [f"--collector.{name}" for name in ("cpu", "cpufreq", "loadavg", "meminfo", "vmstat", "stat", "schedstat",
                                                            "pressure", "diskstats", "filesystem", "netdev", "filefd", "uname",
                                                            "os", "time")]
        peer = self.spawn(harness.Program, [path, "--collector.disable-defaults", *on_by_default, "--web.disable-exporter-metrics",
                                            "--log.level=warn", f"--web.listen-address=127.0.0.1:{port}"],
                          "node_exporter", port=port).wait_ready("/", 10)
        ours = self.start()
        version = harness.node_exporter_version(path)
        before, middle, after = peer.get().families(), ours.scrape(), peer.get().families()
        if version < (1, 9):
            middle = without_device_error(middle)
        ignored = known_differences(version)
        if version < (1, 6):
            # Its default excludes ram disks only, since 1.6 and ours the compressed ones, too.
            ignored.append(r"node_disk_.*\{.*device=\"zram\d+\".*\}")
        report = expo_compare.compare(before, middle, after, COMPARED, ignored)
        self.assertEqual(report.missing + report.wrong_type, [])


if __name__ == "__main__":
    harness.main()
