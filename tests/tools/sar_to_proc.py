#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a directory that `tidegauge import` reads of text tables of sar.

  sar_to_proc.py --date=2016-09-10 --out=DIRECTORY sar-B.txt sar-d.txt sar-r.txt sar-u.txt
  tidegauge import DIRECTORY --out=case.rec --no-collector.stat

sar shows rates over an interval; the kernel counts. A rate times its interval is what a counter grew by, so counters
begin with 0 at the begin of a table's first interval, and the rate of two moments is the table's again.

  table   becomes        how
  sar -B  vmstat         pgpgin, pgpgout (kB, as the kernel prints them), pgfault, pgmajfault, pgfree;
                         pgscank is pgscan_kswapd, pgscand is pgscan_direct. pgsteal is all kswapd's where
                         nothing was scanned directly in the whole table, else it stays one counter, pgsteal.
  sar -d  diskstats      rd_sec and wr_sec (or rkB and wkB) are exact. tps is reads and writes together: they are
                         told apart by their sectors, as if both were of one size. await times requests is the
                         time of both, split the same way; %util is the time in use, avgqu-sz (aqu-sz) the
                         weighted time.
  sar -u  stat           percent of the interval in ticks of 1/100 s. %system is with interrupts. "all" becomes
                         one CPU, cpu0, that stands for the mean of all, unless there is a line per CPU.
  sar -r  meminfo        kbmemfree, kbbuffers, kbcached, kbcommit and what newer ones add, at that moment. MemTotal
                         is free plus used where %memused says that nothing else is in it.

What a table does not have is absent: fields of vmstat and meminfo, files of a moment, devices. Where a format has a
place for what sar does not tell, 0 stands there and means nothing: merged requests, requests in flight, device numbers
(made up but for sd and md), irq and softirq, and everything in stat behind the CPUs (interrupts, context switches,
forks, running and blocked tasks), which is why the collector `stat` is switched off above; `cpu` is not touched by that.

The interval of a row begins at the row before. Of the first one it begins at the time in the heading where that is
plausible, else the usual interval before. Over a gap, counters stand still: what happened then is not in the table.

Times are local ones as in the tables; `tidegauge import --utc-offset` says what they are ahead of UTC. A table without a
line "Linux ..." above it needs --date, of its first heading. Malformed lines are errors: FILE:LINE: what.
"""

import argparse
import datetime
import math
import re
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

TICKS = 100  # USER_HZ
TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:\s+(AM|PM))?(?:\s+(.*))?")
HEADING = re.compile(r"/s$|-sz$|^%|^kb[a-z]|^(DEV|CPU|IFACE|INTR|TTY)$")
NUMBER = re.compile(r"-?[\d.,]+")
HALF_A_DAY = datetime.timedelta(hours=12)
DAY = datetime.timedelta(days=1)
GAP = 1.5  # longer than so many usual intervals

# By a column that only this table has: what it becomes.
KINDS = {"pgpgin/s": "vmstat", "DEV": "diskstats", "%idle": "stat", "kbmemfree": "meminfo"}
KEYED = {"diskstats": "DEV", "stat": "CPU"}
NEEDED = {
    "vmstat": [["pgpgin/s"], ["pgpgout/s"]],
    "diskstats": [["tps"], ["rd_sec/s", "rkB/s"], ["wr_sec/s", "wkB/s"], ["avgqu-sz", "aqu-sz"], ["await"], ["%util"]],
    "stat": [["CPU"], ["%user", "%usr"], ["%system", "%sys"], ["%iowait"]],
    "meminfo": [["kbmemused"]],
}
VMSTAT = {"pgpgin/s": "pgpgin", "pgpgout/s": "pgpgout", "fault/s": "pgfault", "majflt/s": "pgmajfault",
          "pgfree/s": "pgfree", "pgscank/s": "pgscan_kswapd", "pgscand/s": "pgscan_direct"}
# The order of /proc/stat; several columns of sar can be in one.
CPU_TIMES = [("%user", "%usr", "%guest"), ("%nice", "%gnice"), ("%system", "%sys"), ("%idle",), ("%iowait",), ("%irq",),
             ("%soft",), ("%steal",)]
# The order of /proc/diskstats; sar does not tell what was merged and what is in flight.
DISKSTATS = ["reads", None, "read_sectors", "read_ms", "writes", None, "write_sectors", "write_ms", None, "io_ms",
             "weighted_ms"]
MEMINFO = {"kbmemfree": "MemFree", "kbavail": "MemAvailable", "kbbuffers": "Buffers", "kbcached": "Cached",
           "kbactive": "Active", "kbinact": "Inactive", "kbdirty": "Dirty", "kbanonpg": "AnonPages", "kbslab": "Slab",
           "kbkstack": "KernelStack", "kbpgtbl": "PageTables", "kbcommit": "Committed_AS", "kbvmused": "VmallocUsed"}


class SarError(Exception):
    def __init__(self, name, line, what):
        super().__init__(f"{name}:{line}: {what}" if line else f"{name}: {what}")


@dataclass
class Moment:
    """The rows of one table at one time."""
    time: datetime.datetime
    place: tuple  # file and line of the first row
    rows: dict = field(default_factory=dict)  # key ("sda", "all" or "") to {column: value}
    headings: list = field(default_factory=list)  # times of headings and restarts just above
    restarted: bool = False


def parse_date(text):
    for form in ("%Y-%m-%d", "%m/%d/%Y", "%m/%d/%y"):
        try:
            return datetime.datetime.strptime(text, form)
        except ValueError:
            pass
    return None


class Reader:
    """One file's tables: {kind: [Moment]}."""

    def __init__(self, name, date):
        self.name = name
        self.date = date
        self.number = 0
        self.kind = None
        self.columns = None
        self.tables = {}
        self.clocks = {}  # of each table, for its midnights
        self.headings = []
        self.restarted = False

    def fail(self, what):
        raise SarError(self.name, self.number, what)

    def read(self, text):
        for self.number, line in enumerate(text.splitlines(), 1):
            line = line.strip()
            if not line or line.startswith(("Average:", "Summary:")):
                continue
            if line.startswith("Linux "):
                dates = [date for date in map(parse_date, line.split()) if date]
                self.date = dates[0] if dates else self.date
                continue
            match = TIME.fullmatch(line)
            if not match:
                self.fail(f"expected a time first, got {line[:60]!r}")
            self.take(match)
        return self.tables

    def take(self, match):
        fields = (match[5] or "").split()
        if fields[1:2] == ["RESTART"]:
            self.headings.append(self.time(match))
            self.restarted = True
            return
        if any(HEADING.search(word) for word in fields) and not any(NUMBER.fullmatch(word) for word in fields):
            self.head(fields)
            if self.kind:
                self.headings = [self.time(match)]
            return
        if self.columns is None:
            self.fail("expected a heading of a table above the first row")
        if self.kind is None:
            return
        if len(fields) != len(self.columns):
            self.fail(f"expected {len(self.columns)} columns as in the heading, got {len(fields)}")
        key, values = "", {}
        for column, word in zip(self.columns, fields):
            if column == KEYED.get(self.kind):
                key = word
            else:
                values[column] = self.number_of(column, word)
        moments = self.tables.setdefault(self.kind, [])
        time = self.time(match)
        if not moments or moments[-1].time != time:
            moments.append(Moment(time, (self.name, self.number), {}, self.headings, self.restarted))
            self.headings, self.restarted = [], False
        if key in moments[-1].rows:
            self.fail(f"a second row of {key or 'this moment'}")
        moments[-1].rows[key] = values

    def head(self, columns):
        self.kind = next((kind for mark, kind in KINDS.items() if mark in columns), None)
        self.columns = columns
        if self.kind is None:
            print(f"{self.name}:{self.number}: no table that is understood, passed over", file=sys.stderr)
            return
        for names in NEEDED[self.kind]:
            if not any(name in columns for name in names):
                self.fail(f"expected a column {' or '.join(names)}")

    def number_of(self, column, word):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not re.fullmatch(r"\d+(\.\d+)?", word) or not math.isfinite(value):
            self.fail(f"{column}: expected a number, got {word[:30]!r}")
        return value

    def time(self, match):
        hour, minute, second, half = int(match[1]), int(match[2]), int(match[3]), match[4]
        if half and not 1 <= hour <= 12 or hour > 23 or minute > 59 or second > 59:
            self.fail(f"expected a time, got {match[0][:11]!r}")
        if half:
            hour = hour % 12 + (12 if half == "PM" else 0)
        last = self.clocks.get(self.kind)
        if last is None and self.date is None:
            self.fail("expected a line \"Linux ...\" with the date above, or --date")
        day = (last or self.date).replace(hour=0, minute=0, second=0)
        time = day + datetime.timedelta(hours=hour, minutes=minute, seconds=second)
        if last and time < last:
            if last - time < HALF_A_DAY:
                self.fail("the time is before that of the line above")
            time += DAY
        self.clocks[self.kind] = time
        return time


def merge(tables):
    """Of several files: {kind: [Moment] by time}."""
    out = {}
    for table in tables:
        for kind, moments in table.items():
            out.setdefault(kind, []).extend(moments)
    for kind, moments in out.items():
        moments.sort(key=lambda moment: moment.time)
        for before, after in zip(moments, moments[1:]):
            if before.time == after.time:
                raise SarError(*after.place, f"{kind} of this moment is also in {before.place[0]}:{before.place[1]}")
    return out


def intervals(moments):
    """For each moment where its interval begins, and whether that is a moment of its own."""
    lengths = [after.time - before.time for before, after in zip(moments, moments[1:])]
    usual = statistics.median_low(lengths) if lengths else None
    for before, moment in zip([None] + moments, moments):
        longest = usual * GAP if usual else None
        if before and not moment.restarted and moment.time - before.time <= longest:
            yield moment, before.time, False
            continue
        # The last heading above that lies in front of it.
        begins = [time for time in moment.headings if time < moment.time]
        begin = begins[-1] if begins else None
        if usual and (begin is None or moment.time - begin > longest):
            begin = moment.time - usual
        if begin is None:
            raise SarError(*moment.place, "one row alone, and no time in its heading: its interval is not known")
        yield moment, max(begin, before.time) if before else begin, True


class Counters:
    """Rates added up: {key: {name: value}}."""

    def __init__(self):
        self.values = {}

    def begin(self, keys, names):
        for key in keys:
            counters = self.values.setdefault(key, {})
            for name in names(key):
                counters.setdefault(name, 0.0)

    def add(self, key, name, amount):
        self.values[key][name] += amount

    def text(self, key, name):
        return str(round(self.values[key][name]))


def vmstat(moments, add_file):
    is_all_kswapd = all(row.get("pgscand/s", 1) == 0 for moment in moments for row in moment.rows.values())
    names = dict(VMSTAT)
    names["pgsteal/s"] = "pgsteal_kswapd" if is_all_kswapd else "pgsteal"
    counters = Counters()

    def write(time, rows):
        lines = [f"{name} {counters.text('', name)}\n" for column, name in names.items() if column in rows[""]]
        if is_all_kswapd and "pgsteal/s" in rows[""]:
            lines.append("pgsteal_direct 0\n")
        add_file(time, "vmstat", "".join(lines))

    for moment, begin, is_new in intervals(moments):
        if moment.restarted:
            counters = Counters()
        counters.begin(moment.rows, lambda key: [name for column, name in names.items() if column in moment.rows[key]])
        if is_new:
            write(begin, moment.rows)
        seconds = (moment.time - begin).total_seconds()
        for column, name in names.items():
            if column in moment.rows[""]:
                counters.add("", name, moment.rows[""][column] * seconds)
        write(moment.time, moment.rows)


def first_of(row, *columns):
    return next(row[column] for column in columns if column in row)


def sectors(row):
    return [row[f"{way}_sec/s"] if f"{way}_sec/s" in row else 2 * row[f"{letter}kB/s"]
            for way, letter in (("rd", "r"), ("wr", "w"))]


def device_numbers(name, made_up):
    match = re.fullmatch(r"dev(\d+)-(\d+)", name)
    if match:
        return match[1], match[2]
    match = re.fullmatch(r"sd([a-p])", name)
    if match:
        return "8", str((ord(match[1]) - ord("a")) * 16)
    match = re.fullmatch(r"md(\d+)", name)
    if match:
        return "9", match[1]
    # Majors from 240 on are for local use: no driver of the kernel has them.
    return "240", str(made_up.setdefault(name, len(made_up)))


def diskstats(moments, add_file):
    names = [name for name in DISKSTATS if name]
    counters = Counters()
    made_up = {}

    def write(time, rows):
        lines = []
        for key in rows:
            major, minor = device_numbers(key, made_up)
            values = ["0" if name is None else counters.text(key, name) for name in DISKSTATS]
            lines.append(f"{major:>4} {minor:>7} {key} {' '.join(values)}\n")
        add_file(time, "diskstats", "".join(lines))

    for moment, begin, is_new in intervals(moments):
        if moment.restarted:
            counters = Counters()
        counters.begin(moment.rows, lambda key: names)
        if is_new:
            write(begin, moment.rows)
        seconds = (moment.time - begin).total_seconds()
        for key, row in moment.rows.items():
            read, written = sectors(row)
            share = read / (read + written) if read + written else 0
            for way, part in (("read", share), ("write", 1 - share)):
                requests = row["tps"] * part * seconds
                counters.add(key, way + "s", requests)
                counters.add(key, way + "_ms", requests * row["await"])
            counters.add(key, "read_sectors", read * seconds)
            counters.add(key, "write_sectors", written * seconds)
            counters.add(key, "io_ms", row["%util"] / 100 * seconds * 1000)
            counters.add(key, "weighted_ms", first_of(row, "avgqu-sz", "aqu-sz") * seconds * 1000)
        write(moment.time, moment.rows)


def stat(moments, add_file):
    counters = Counters()
    start = int(moments[0].time.replace(tzinfo=datetime.timezone.utc).timestamp())

    def write(time, cpus):
        lines = []
        for number, key in sorted((0 if key == "all" else int(key), key) for key in cpus):
            values = [counters.text(key, place) for place in range(len(CPU_TIMES))]
            lines.append(f"cpu{number} {' '.join(values)}\n")
        # What follows has no meaning; the format wants it.
        lines.append(f"intr 0\nctxt 0\nbtime {start}\nprocesses 0\nprocs_running 0\nprocs_blocked 0\n")
        add_file(time, "stat", "".join(lines))

    for moment, begin, is_new in intervals(moments):
        if moment.restarted:
            counters = Counters()
        cpus = [key for key in moment.rows if key != "all"] or ["all"]
        for key in cpus:
            if key != "all" and not key.isdecimal():
                raise SarError(*moment.place, f"CPU: expected all or a number, got {key[:30]!r}")
        counters.begin(cpus, lambda key: range(len(CPU_TIMES)))
        if is_new:
            write(begin, cpus)
        seconds = (moment.time - begin).total_seconds()
        for key in cpus:
            for place, columns in enumerate(CPU_TIMES):
                percent = sum(moment.rows[key].get(column, 0) for column in columns)
                counters.add(key, place, percent / 100 * seconds * TICKS)
        write(moment.time, cpus)


def meminfo(moments, add_file):
    for moment in moments:
        row = moment.rows[""]
        total = row["kbmemfree"] + row["kbmemused"]
        # Newer ones do not count caches as used.
        is_total = total and abs(100 * row["kbmemused"] / total - row.get("%memused", math.inf)) < 0.02
        lines = [("MemTotal", total)] if is_total else []
        lines += [(name, row[column]) for column, name in MEMINFO.items() if column in row]
        add_file(moment.time, "meminfo", "".join(f"{name + ':':<15} {round(value):>8} kB\n" for name, value in lines))


def convert(texts, date):
    """`texts`: [(name, text)]. Returns {time: {file of /proc: text}}."""
    files = {}

    def add_file(time, name, text):
        files.setdefault(time, {})[name] = text

    makers = {"vmstat": vmstat, "diskstats": diskstats, "stat": stat, "meminfo": meminfo}
    for kind, moments in merge(Reader(name, date).read(text) for name, text in texts).items():
        makers[kind](moments, add_file)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="the directory to make")
    parser.add_argument("--date", type=parse_date, help="of tables without a date, as 2016-09-10")
    parser.add_argument("files", nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    try:
        files = convert([(name, Path(name).read_text(encoding="utf-8", errors="replace")) for name in arguments.files],
                        arguments.date)
        if not files:
            raise SarError(arguments.files[0], 0, "no table in it")
        for time, texts in files.items():
            folder = arguments.out / time.strftime("%Y%m%dT%H%M%S") / "proc"
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="ascii", errors="replace")
    except (SarError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
