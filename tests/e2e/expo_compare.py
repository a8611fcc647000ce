#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that one Prometheus text exposition can replace another.

"Reference" is node_exporter, "ours" is tidegauge. Every family and every series of the reference must exist in
ours with the same type and the same value; ours may have more. Labels with an empty value do not count, because
Prometheus treats them as absent, and the families named *_info may carry additional labels in ours.

Two modes:
  fixtures   --reference ref.txt --ours ours.txt
             Both read the same files, so values must be equal as floating point numbers.
  live host  --reference before.txt --ours ours.txt --reference-after after.txt
             Ours was collected between the two reference scrapes. A value must lie between them, give or take the
             tolerance of its family (LIVE_RULES). A series that only one of the two scrapes has is not required.
             If ours is collected on a tick, let at least one tick pass before and after taking it.

Run with --self-test to test this tool itself.
"""

import argparse
import math
import re
import sys
import unittest
from dataclasses import dataclass, field

TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped"})
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
VALUE = re.compile(r"NaN|[+-]?Inf|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
TIMESTAMP = re.compile(r"-?\d+")
ESCAPE = re.compile(r'\\([\\"n])')


class ExpositionError(ValueError):
    """The text is not a valid exposition; the message names the line."""


@dataclass
class Family:
    """One metric family: its type, its help and its series.

    The key of a series is (sample name, sorted labels); the sample name differs from the family's for the parts of
    histograms and summaries.
    """

    name: str
    type: str = "untyped"
    help: str = ""
    typed: bool = False
    series: dict = field(default_factory=dict)


def unescape(text):
    return ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def parse_labels(text, position, where):
    """Parses `a="b",c="d"}` from position; returns the labels and the position behind the brace."""
    labels = {}
    while not text.startswith("}", position):
        match = LABEL.match(text, position)
        if not match:
            raise ExpositionError(f"{where}: bad label at column {position + 1}")
        if match[1] in labels:
            raise ExpositionError(f"{where}: label {match[1]} twice")
        labels[match[1]] = unescape(match[2])
        position = match.end()
        if text.startswith(",", position):
            position += 1
        elif not text.startswith("}", position):
            raise ExpositionError(f"{where}: expected , or }} at column {position + 1}")
    return labels, position + 1


def parse_sample(line, where):
    """Returns (sample name, labels, value). The optional timestamp is checked and dropped."""
    match = NAME.match(line)
    if not match:
        raise ExpositionError(f"{where}: bad metric name")
    labels, position = {}, match.end()
    if line.startswith("{", position):
        labels, position = parse_labels(line, position + 1, where)
    fields = line[position:].split()
    if len(fields) not in (1, 2) or not line[position:].startswith(" "):
        raise ExpositionError(f"{where}: expected a value after the name")
    if not VALUE.fullmatch(fields[0]):
        raise ExpositionError(f"{where}: bad value {fields[0]!r}")
    if len(fields) == 2 and not TIMESTAMP.fullmatch(fields[1]):
        raise ExpositionError(f"{where}: bad timestamp {fields[1]!r}")
    return match[0], labels, float(fields[0])


def belongs_to(sample_name, current):
    """Whether a sample belongs to the family whose header came last."""
    return current is not None and (
        sample_name == current.name or sample_name in (current.name + suffix for suffix in SUFFIXES.get(current.type, ())))


def parse(text):
    """Parses an exposition into {family name: Family}, strictly: a family's lines stand together, HELP and TYPE come
    at most once and before the samples, no series comes twice, and the last line is complete."""
    families, current = {}, None
    if text and not text.endswith("\n"):
        raise ExpositionError("the last line has no newline")

    def enter(name, where):
        nonlocal current
        if current is None or current.name != name:
            if name in families:
                raise ExpositionError(f"{where}: family {name} appears twice")
            current = families[name] = Family(name)

    for number, line in enumerate(text.split("\n"), 1):
        where = f"line {number}"
        if line.startswith(("# HELP ", "# TYPE ")):
            keyword, name, rest = (line[2:].split(" ", 2) + [""])[:3]
            if not NAME.fullmatch(name):
                raise ExpositionError(f"{where}: bad metric name {name!r}")
            enter(name, where)
            if current.series:
                raise ExpositionError(f"{where}: {keyword} of {name} after its samples")
            if keyword == "HELP":
                current.help = rest.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
            elif rest not in TYPES or current.typed:
                raise ExpositionError(f"{where}: bad or second TYPE of {name}: {rest!r}")
            else:
                current.type, current.typed = rest, True
        elif line and not line.startswith("#"):
            name, labels, value = parse_sample(line, where)
            if not belongs_to(name, current):
                enter(name, where)
            key = (name, tuple(sorted(pair for pair in labels.items() if pair[1] != "")))
            if key in current.series:
                raise ExpositionError(f"{where}: series {render(key)} appears twice")
            current.series[key] = value
    return families


def render(key):
    name, labels = key
    escaped = (f'{label}="' + text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"' for label, text in labels)
    return f"{name}{{{','.join(escaped)}}}" if labels else name


@dataclass(frozen=True)
class Rule:
    """How far a live value may lie outside the two reference values, as absolute plus relative distance."""

    pattern: str
    absolute: float = 0.0
    relative: float = 0.0
    transient: bool = False  # the series itself comes and goes within a scrape interval: it may be absent

    def matches(self, name):
        return re.fullmatch(self.pattern, name) is not None


ANY = math.inf
MIB = float(1 << 20)

# Differs between any two runs, fixtures or not: only the existence of the series is checked.
ALWAYS_VOLATILE = Rule(r"node_scrape_collector_duration_seconds|node_time_seconds", ANY)

# The first matching rule counts; a family without a rule gets no tolerance.
LIVE_RULES = (
    Rule(r"node_time_seconds"),  # a clock: must lie between the two scrapes
    Rule(r"node_scrape_collector_duration_seconds", ANY),  # each program times itself
    # The kernel computes idle and iowait of tickless CPUs when they are read; they may step back by a few ticks.
    Rule(r"node_cpu_seconds_total", absolute=0.05),
    # Sizes fixed at boot (or by the administrator): no tolerance although the other memory fields get one.
    Rule(r"node_memory_(numa_)?(MemTotal|SwapTotal|CommitLimit|Hugepagesize|HugePages_\w+|VmallocTotal|VmallocChunk|HardwareCorrupted"
         r"|CmaTotal|DirectMap\w+)(_bytes)?"),
    # Every allocation moves these, in both directions, between the two reference scrapes.
    Rule(r"node_memory_.*_total"),
    Rule(r"node_memory_.*", absolute=64 * MIB),
    Rule(r"node_zoneinfo_(min|low|high)_pages|node_zoneinfo_(spanned|present|managed)_pages|node_zoneinfo_protection_\d+"),
    Rule(r"node_zoneinfo_nr_(dirtied|written)_total|node_zoneinfo_numa_.*_total", absolute=512),  # per-CPU batches are folded late
    Rule(r"node_zoneinfo_.*", absolute=64 * MIB / 4096),
    Rule(r"node_buddyinfo_blocks", ANY),  # split and merged by every allocation; no bound is meaningful
    Rule(r"node_load(1|5|15)", absolute=0.5),  # recomputed every 5 s
    Rule(r"node_procs_(running|blocked)|node_disk_io_now", ANY),  # the instant decides
    Rule(r"node_processes_(state|threads_state)", absolute=64, transient=True),  # a state exists only while a task is in it
    Rule(r"node_processes_(pids|threads)", absolute=64),  # the test's own processes start and end
    Rule(r"node_filefd_allocated|node_sysctl_fs_file_nr.*", absolute=1024),  # every process moves it
    Rule(r"node_filesystem_(free|avail)_bytes", absolute=64 * MIB),  # logs and caches are written meanwhile
    Rule(r"node_filesystem_files_free", absolute=2000),
    Rule(r"node_slabinfo_(active_)?objects", absolute=4096, relative=0.25),  # caches fill and shrink
    Rule(r"node_cpu_(frequency|frequency_avg|scaling_frequency)_hertz", ANY),  # follows the load within milliseconds
    Rule(r"node_ksmd_pages_.*|node_ksmd_general_profit_bytes", ANY),  # ksmd works in the background
    Rule(r"node_cgroups_cgroups", absolute=16),  # services start and stop
)


def rule_for(name, live):
    if not live:
        return ALWAYS_VOLATILE if ALWAYS_VOLATILE.matches(name) else Rule("")
    return next((rule for rule in LIVE_RULES if rule.matches(name)), Rule(""))


def within(value, before, after, rule):
    """Whether value lies between the reference values, give or take the rule's tolerance. NaN equals only NaN."""
    if rule.absolute == ANY:
        return True
    if math.isnan(value) or math.isnan(before) or math.isnan(after):
        return math.isnan(value) and (math.isnan(before) or math.isnan(after))
    low, high = min(before, after), max(before, after)
    if math.isinf(low) or math.isinf(high):
        return low <= value <= high
    slack = rule.absolute + rule.relative * max(abs(low), abs(high))
    return low - slack <= value <= high + slack


@dataclass
class Report:
    families: int = 0
    series: int = 0
    missing: list = field(default_factory=list)
    wrong_type: list = field(default_factory=list)
    wrong_value: list = field(default_factory=list)

    def ok(self):
        return not (self.missing or self.wrong_type or self.wrong_value)

    def summary(self):
        return (f"{self.families} families, {self.series} series: {len(self.missing)} missing, "
                f"{len(self.wrong_type)} wrong type, {len(self.wrong_value)} wrong value")


def find_series(key, family):
    """The key under which ours holds a reference series, or None."""
    if key in family.series:
        return key
    if family.name.endswith("_info"):
        name, labels = key[0], set(key[1])
        return next((ours for ours in family.series if ours[0] == name and labels <= set(ours[1])), None)
    return None


def compare(reference, ours, after=None, include=None, ignore=()):
    """Compares parsed expositions. `include` selects families by name; `ignore` drops families or single series.
    All are regular expressions that must match a whole family name or a whole series as printed."""
    report, ignored = Report(), [re.compile(pattern) for pattern in ignore]

    def skip(text):
        return any(pattern.fullmatch(text) for pattern in ignored)

    for name, family in sorted(reference.items()):
        if skip(name) or (include and not re.fullmatch(include, name)):
            continue
        later = family if after is None else after.get(name)
        wanted = [key for key in sorted(family.series) if later and key in later.series and not skip(render(key))]
        if not wanted:
            continue
        rule, candidate = rule_for(name, after is not None), ours.get(name)
        report.families += 1
        report.series += len(wanted)
        if candidate and candidate.type != family.type:
            report.wrong_type.append(f"{name}: {candidate.type}, reference {family.type}")
        for key in wanted:
            found = find_series(key, candidate) if candidate else None
            if found is None:
                if not rule.transient:
                    report.missing.append(render(key) + ("" if candidate else "  (no such family)"))
                continue
            value, low, high = candidate.series[found], family.series[key], later.series[key]
            if not within(value, low, high, rule):
                expected = f"{low!r}" if low == high else f"{low!r} .. {high!r}"
                report.wrong_value.append(f"{render(key)}: {value!r}, reference {expected}")
    return report


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", help="exposition of node_exporter")
    parser.add_argument("--reference-after", help="a second one, scraped after ours: live mode")
    parser.add_argument("--ours", help="exposition of tidegauge")
    parser.add_argument("--include", metavar="REGEX", help="only families whose whole name matches")
    parser.add_argument("--ignore", metavar="REGEX", action="append", default=[], help="skip matching families or series; repeatable")
    parser.add_argument("--limit", type=int, default=50, help="lines to print per list (default 50)")
    parser.add_argument("--self-test", action="store_true", help="test this tool")
    options = parser.parse_args(arguments)
    if options.self_test:
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(SelfTest)
        return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
    if not options.reference or not options.ours:
        parser.error("--reference and --ours are required")

    def load(path):
        try:
            with open(path, encoding="utf-8", newline="") as file:
                return parse(file.read())
        except (ExpositionError, UnicodeDecodeError, OSError) as error:
            raise SystemExit(f"{path}: {error}") from error

    after = load(options.reference_after) if options.reference_after else None
    report = compare(load(options.reference), load(options.ours), after, options.include, options.ignore)
    for title, lines in (("missing", report.missing), ("wrong type", report.wrong_type), ("wrong value", report.wrong_value)):
        for line in lines[:options.limit]:
            print(f"{title}: {line}")
        if len(lines) > options.limit:
            print(f"{title}: ... and {len(lines) - options.limit} more")
    print(report.summary())
    return 0 if report.ok() else 1


class SelfTest(unittest.TestCase):
    def check(self, reference, ours, after=None, **options):
        return compare(parse(reference), parse(ours), parse(after) if after else None, **options)

    def test_parses_labels_with_escapes(self):
        families = parse('# HELP a one\\\\n\\ntwo\n# TYPE a gauge\na{x="q\\"b\\\\n\\n",y="",} +Inf\n')
        self.assertEqual(families["a"].help, "one\\n\ntwo")
        self.assertEqual(families["a"].series, {("a", (("x", 'q"b\\n\n'),)): math.inf})

    def test_parses_histograms_as_one_family(self):
        families = parse('# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 2\nh_count 1\nh_other 3\n')
        self.assertEqual({name: len(family.series) for name, family in families.items()}, {"h": 3, "h_other": 1})

    def test_rejects_what_prometheus_rejects(self):
        for text in ("a 1", "a{b=1} 1\n", 'a{b="\\t"} 1\n', 'a{b="1"c="2"} 1\n', "a 1 2 3\n", "a x\n", "a 1_0\n", "a{} \n", "1a 1\n",
                     "a 1\na 1\n", "a 1\nb 1\na{c=\"d\"} 1\n", "# TYPE a meter\na 1\n", "a 1\n# TYPE a gauge\n", 'a{b="1",b="2"} 1\n'):
            with self.subTest(text=text), self.assertRaises(ExpositionError):
                parse(text)

    def test_equal_except_for_order_and_empty_labels(self):
        report = self.check('# TYPE a gauge\na{x="1",y="",z="2"} 1e3\na NaN\n', '# TYPE a gauge\na NaN\na{z="2",x="1"} 1000\nb 1\n')
        self.assertTrue(report.ok())
        self.assertEqual(report.summary(), "1 families, 2 series: 0 missing, 0 wrong type, 0 wrong value")

    def test_reports_each_kind_of_difference(self):
        report = self.check('# TYPE a counter\na{x="1"} 1\na{x="2"} 2\nb 1\n', '# TYPE a gauge\na{x="1"} 1.0000001\n')
        self.assertEqual((report.missing, len(report.wrong_type), len(report.wrong_value)),
                         (['a{x="2"}', "b  (no such family)"], 1, 1))

    def test_extra_labels_only_on_info_families(self):
        self.assertTrue(self.check('x_info{a="1"} 1\n', 'x_info{a="1",b="2"} 1\n').ok())
        self.assertFalse(self.check('x_info{a="1",c="3"} 1\n', 'x_info{a="1",b="2"} 1\n').ok())
        self.assertFalse(self.check('x{a="1"} 1\n', 'x{a="1",b="2"} 1\n').ok())

    def test_live_values_lie_between_the_reference_scrapes(self):
        before, after = "# TYPE a counter\na 5\n", "# TYPE a counter\na 7\n"
        for value, good in ((5, True), (6, True), (7, True), (4, False), (8, False), ("NaN", False)):
            with self.subTest(value=value):
                self.assertEqual(self.check(before, f"# TYPE a counter\na {value}\n", after).ok(), good)

    def test_live_tolerances_and_transient_series(self):
        before, after = "node_load1 1\nnode_buddyinfo_blocks 1\n", "node_load1 1.1\nnode_buddyinfo_blocks 1\n"
        self.assertTrue(self.check(before, "node_load1 1.5\nnode_buddyinfo_blocks 99\n", after).ok())
        self.assertFalse(self.check(before, "node_load1 1.7\nnode_buddyinfo_blocks 99\n", after).ok())
        state = 'node_processes_state{state="D"} 1\nnode_processes_state{state="S"} 9\n'
        self.assertTrue(self.check(state, 'node_processes_state{state="S"} 9\n', state).ok())
        self.assertEqual(self.check("a 1\n", "b 1\n", "b 1\n").series, 0)

    def test_fixture_mode_has_no_tolerance_but_for_clocks(self):
        self.assertFalse(self.check("node_load1 1\n", "node_load1 1.1\n").ok())
        self.assertTrue(self.check("node_time_seconds 1\n", "node_time_seconds 2\n").ok())

    def test_include_and_ignore(self):
        reference = 'node_a{d="x"} 1\nnode_b 1\ngo_c 1\n'
        self.assertEqual(self.check(reference, "", include="node_.*", ignore=["node_b"]).missing, ['node_a{d="x"}  (no such family)'])
        self.assertTrue(self.check(reference, "", include="node_.*", ignore=["node_b", r'node_a\{d="x"\}']).ok())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
