#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What sar_to_proc.py makes of tables: the rates of its counters are the tables' again."""

import datetime
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import sar_to_proc

HERE = Path(__file__).resolve().parent
TABLES = HERE.parent / "fixtures" / "page-cache"
DAY = datetime.datetime(2016, 9, 10)


def at(clock, day=DAY):
    return day + (datetime.datetime.strptime(clock, "%H:%M:%S") - datetime.datetime(1900, 1, 1))


def convert(*texts, date=DAY):
    return sar_to_proc.convert([(f"t{i}", text) for i, text in enumerate(texts)], date)


def table(name):
    return convert((TABLES / name).read_text())


def series(files, name, parse):
    return [(time, parse(texts[name])) for time, texts in sorted(files.items()) if name in texts]


def vmstat(text):
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()}


def diskstats(text):
    return {line.split()[2]: [int(word) for word in line.split()[3:]] for line in text.splitlines()}


def cpus(text):
    return {line.split()[0]: [int(word) for word in line.split()[1:]] for line in text.splitlines()
            if line.startswith("cpu")}


def meminfo(text):
    return {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()}


def rows(name):
    """Of a table of the case, by hand: (time, words)."""
    for line in (TABLES / name).read_text().splitlines():
        words = line.split()
        if len(words) > 3 and words[-1][0].isdigit():
            yield datetime.datetime.strptime(f"2016-09-10 {words[0]} {words[1]}", "%Y-%m-%d %I:%M:%S %p"), words[2:]


class CaseTest(unittest.TestCase):
    """The tables of the page-cache case."""

    def rate(self, before, after, seconds, expected, units=1.0):
        # Both counters are rounded, and so is the table.
        self.assertAlmostEqual((after - before) / seconds, expected, delta=units / seconds + 0.005)

    def test_paging(self):
        moments = series(table("sar-B.txt"), "vmstat", vmstat)
        wanted = list(rows("sar-B.txt"))
        self.assertEqual([time for time, _ in moments[1:]], [time for time, _ in wanted])
        names = ["pgpgin", "pgpgout", "pgfault", "pgmajfault", "pgfree", "pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd"]
        for (begin, before), (end, after), (_, words) in zip(moments, moments[1:], wanted):
            for name, word in zip(names, words):
                self.rate(before[name], after[name], (end - begin).total_seconds(), float(word))
            scanned = after["pgscan_kswapd"] - before["pgscan_kswapd"]
            if scanned:
                stolen = after["pgsteal_kswapd"] - before["pgsteal_kswapd"]
                self.assertAlmostEqual(100 * stolen / scanned, float(words[-1]), delta=0.01)
        # Nothing was scanned directly, so all that was stolen was kswapd's.
        self.assertEqual(moments[-1][1]["pgsteal_direct"], 0)
        self.assertNotIn("pgsteal", moments[-1][1])
        self.assertEqual(moments[0], (at("02:20:01"), dict.fromkeys(moments[0][1], 0)))

    def check_disks(self, name):
        moments = dict(series(table(name), "diskstats", diskstats))
        times = sorted(moments)
        devices = 0
        for end, (device, tps, read, written, _, queue, wait, _, used) in rows(name):
            begin = times[times.index(end) - 1]
            before, after, seconds = moments[begin][device], moments[end][device], (end - begin).total_seconds()
            tps, read, written, queue, wait, used = map(float, (tps, read, written, queue, wait, used))
            self.rate(before[0] + before[4], after[0] + after[4], seconds, tps, 2)
            self.rate(before[2], after[2], seconds, read)
            self.rate(before[6], after[6], seconds, written)
            requests = sum(after[i] - before[i] for i in (0, 4))
            if requests:
                waited = sum(after[i] - before[i] for i in (3, 7))
                self.assertAlmostEqual(waited / requests, wait, delta=0.005 + 2 * (wait + 1) / requests)
            self.rate(before[9] / 10, after[9] / 10, seconds, used)
            self.rate(before[10] / 1000, after[10] / 1000, seconds, queue)
            devices += 1
        return moments, devices

    def test_disks_at_the_onset(self):
        moments, devices = self.check_disks("sar-d-onset.txt")
        self.assertEqual(devices, 20)
        self.assertEqual(set(moments[at("03:40:02")]), {"sda", "sdb", "vgca0"})
        # Cut from the table: absent, not still.
        self.assertEqual(set(moments[at("03:50:01")]), {"sda", "sdb"})

    def test_disks_at_the_recovery(self):
        self.assertEqual(self.check_disks("sar-d-recovery.txt")[1], 77)

    def test_cpus(self):
        moments = series(table("sar-u.txt"), "stat", cpus)
        wanted = list(rows("sar-u.txt"))
        self.assertEqual([time for time, _ in moments], [at("11:30:01")] + [time for time, _ in wanted])
        for (begin, before), (end, after), (_, (name, *words)) in zip(moments, moments[1:], wanted):
            self.assertEqual(name, "all")
            user, nice, system, iowait, steal, idle = map(float, words)
            self.assertEqual(list(after), ["cpu0"])
            ticks = (end - begin).total_seconds() * sar_to_proc.TICKS
            for place, percent in enumerate([user, nice, system, idle, iowait, 0, 0, steal]):
                grown = after["cpu0"][place] - before["cpu0"][place]
                self.assertAlmostEqual(100 * grown / ticks, percent, delta=0.01)

    def test_memory(self):
        moments = dict(series(table("sar-r.txt"), "meminfo", meminfo))
        self.assertEqual(len(moments), 6)
        self.assertEqual(moments[at("20:30:06")], {"MemTotal": 65837824, "MemFree": 21518484, "Buffers": 4836,
                                                   "Cached": 53060, "Committed_AS": 51215004})

    def test_gap_between_two_tables(self):
        files = convert((TABLES / "sar-d-onset.txt").read_text(), (TABLES / "sar-d-recovery.txt").read_text())
        moments = series(files, "diskstats", diskstats)
        times = [time for time, _ in moments]
        gap = times.index(at("03:50:01"))
        self.assertGreater(times[gap + 1], at("20:30:00"))
        self.assertEqual(moments[gap][1]["sda"], moments[gap + 1][1]["sda"])


HEADING = "12:00:01 AM  pgpgin/s pgpgout/s   fault/s  majflt/s\n"


class FormTest(unittest.TestCase):
    def check_error(self, text, expected, **arguments):
        with self.assertRaises(sar_to_proc.SarError) as caught:
            convert(text, **arguments)
        self.assertIn(expected, str(caught.exception))

    def test_noon_and_midnight(self):
        files = convert("11:30:00 AM pgpgin/s pgpgout/s\n" + "".join(
            f"{clock} 1.00 2.00\n" for clock in ("11:45:00 AM", "12:00:00 PM", "12:15:00 PM")))
        self.assertEqual(sorted(files), [at(clock) for clock in ("11:30:00", "11:45:00", "12:00:00", "12:15:00")])
        files = convert("11:40:00 PM pgpgin/s pgpgout/s\n11:50:00 PM 1.00 2.00\n12:00:00 AM 1.00 2.00\n12:10:00 AM 1.00 2.00\n")
        self.assertEqual(sorted(files), [at("23:40:00"), at("23:50:00"), at("00:00:00", DAY + sar_to_proc.DAY),
                                         at("00:10:00", DAY + sar_to_proc.DAY)])
        self.assertEqual(vmstat(files[max(files)]["vmstat"])["pgpgin"], 1800)
        files = convert("23:50:00 pgpgin/s pgpgout/s\n00:00:00 1.00 2.00\n")
        self.assertEqual(max(files), DAY + sar_to_proc.DAY)

    def test_two_midnights_of_two_tables(self):
        text = "".join(f"23:50:00 {heading}\n00:00:00 {row}\n00:10:00 {row}\n\n" for heading, row in (
            ("pgpgin/s pgpgout/s", "1.00 2.00"), ("kbmemfree kbmemused %memused", "25 75 75.00")))
        self.assertEqual({time.day for time in convert(text)}, {10, 11})

    def test_date_of_the_file(self):
        for date in ("09/10/2016", "2016-09-10", "09/10/16"):
            files = convert(f"Linux 2.6.32 (host) \t{date} \t_x86_64_\t(24 CPU)\n\n10:00:00 pgpgin/s pgpgout/s\n"
                            "10:10:00 1.00 2.00\nAverage: 1.00 2.00\n", date=None)
            self.assertEqual(max(files), at("10:10:00"))
        self.check_error(HEADING, "--date", date=None)

    def test_newer_columns(self):
        files = convert("10:00:00 DEV tps rkB/s wkB/s dkB/s areq-sz aqu-sz await %util\n"
                        "10:10:00 nvme0n1 10.00 100.00 300.00 0.00 40.00 0.02 2.00 1.50\n")
        self.assertEqual(diskstats(files[at("10:10:00")]["diskstats"]),
                         {"nvme0n1": [1500, 0, 120000, 3000, 4500, 0, 360000, 9000, 0, 9000, 12000]})
        # Caches are not part of what is used there, so the sum is not the whole.
        files = convert("10:00:00 kbmemfree kbavail kbmemused %memused\n10:10:00 20 70 30 30.00\n")
        self.assertEqual(meminfo(files[at("10:10:00")]["meminfo"]), {"MemFree": 20, "MemAvailable": 70})

    def test_each_cpu(self):
        files = convert("10:00:00 CPU %user %nice %system %iowait %steal %idle\n10:10:00 all 5.00 0 0 0 0 95.00\n"
                        "10:10:00 0 10.00 0 0 0 0 90.00\n10:10:00 1 0 0 0 0 0 100.00\n")
        self.assertEqual(cpus(files[at("10:10:00")]["stat"]), {"cpu0": [6000, 0, 0, 54000, 0, 0, 0, 0],
                                                               "cpu1": [0, 0, 0, 60000, 0, 0, 0, 0]})

    def test_direct_reclaim_leaves_one_counter_of_what_was_stolen(self):
        files = convert("10:00:00 pgpgin/s pgpgout/s pgscank/s pgscand/s pgsteal/s\n10:10:00 0 0 10.00 5.00 12.00\n")
        self.assertEqual(vmstat(files[at("10:10:00")]["vmstat"]),
                         {"pgpgin": 0, "pgpgout": 0, "pgscan_kswapd": 6000, "pgscan_direct": 3000, "pgsteal": 7200})

    def test_restart_begins_anew(self):
        files = convert("10:00:00 pgpgin/s pgpgout/s\n10:10:00 1.00 0\n10:20:00 1.00 0\n\n10:25:00  LINUX RESTART\n\n"
                        "10:30:00 pgpgin/s pgpgout/s\n10:40:00 2.00 0\n")
        self.assertEqual([counters["pgpgin"] for _, counters in series(files, "vmstat", vmstat)], [0, 600, 1200, 0, 1200])

    def test_unknown_tables_are_passed_over(self):
        self.assertEqual(len(convert("10:00:00 proc/s cswch/s\n10:10:00 1.00 2.00\n\n10:00:00 pgpgin/s pgpgout/s\n"
                                     "10:10:00 1.00 2.00\n")), 2)

    def test_malformed_lines(self):
        self.check_error("hello\n", "t0:1: expected a time")
        self.check_error("10:00:00 1.00 2.00\n", "t0:1: expected a heading")
        self.check_error(HEADING + "02:30:01 AM 1.00 2.00 3.00\n", "t0:2: expected 4 columns")
        self.check_error(HEADING + "02:30:01 AM 1.00 2.00 3.00 x\n", "t0:2: majflt/s: expected a number, got 'x'")
        self.check_error(HEADING + "02:30:01 AM 1.00 2.00 3.00 -4\n", "t0:2: majflt/s: expected a number")
        self.check_error(HEADING + "02:30:01 AM 1.00 2.00 3.00 nan\n", "t0:2: majflt/s: expected a number")
        self.check_error(HEADING + "02:30:01 AM one two three four\n", "t0:2: pgpgin/s: expected a number")
        self.check_error(HEADING + "13:30:01 AM 1.00 2.00 3.00 4.00\n", "t0:2: expected a time")
        self.check_error(HEADING + "02:60:01 AM 1.00 2.00 3.00 4.00\n", "t0:2: expected a time")
        row = "02:30:01 AM 1.00 2.00 3.00 4.00\n"
        self.check_error(HEADING + row + row, "t0:3: a second row")
        self.check_error(HEADING + row + row.replace("02:30", "02:20"), "t0:3: the time is before")
        self.check_error("10:00:00 DEV tps\n", "t0:1: expected a column rd_sec/s or rkB/s")
        self.check_error("10:00:00 kbmemfree\n", "t0:1: expected a column kbmemused")
        with self.assertRaises(sar_to_proc.SarError):
            convert(HEADING + row, HEADING + row)

    def test_command_line(self):
        with tempfile.TemporaryDirectory() as folder:
            def run(*arguments):
                return subprocess.run([sys.executable, HERE / "sar_to_proc.py", f"--out={folder}/out", *arguments],
                                      capture_output=True, text=True, check=False)

            done = run("--date=2016-09-10", TABLES / "sar-B.txt")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(Path(folder, "out", "20160910T030007", "proc", "vmstat").is_file())
            bad = Path(folder, "bad.txt")
            bad.write_text(HEADING + "nonsense\n")
            done = run("--date=2016-09-10", bad)
            self.assertEqual(done.returncode, 1)
            self.assertIn("bad.txt:2: ", done.stderr)
            self.assertEqual(run("/nonexistent").returncode, 1)


if __name__ == "__main__":
    unittest.main()
