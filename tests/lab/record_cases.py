#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the recordings of tests/fixtures/recordings: incidents and quiet hosts, in a virtual machine each.

record_cases.py [-h] [--out DIRECTORY] NAME...

NAME is a case below, NAME-510, NAME-61, NAME-612 or NAME-72 the same on another kernel. For each NAME.tgrec there is a
NAME.yaml with the truth: what was run and when by the machine's own clock, which verdicts are expected of it and which
are not, and what the machine's classic tools and /proc said of the same seconds. What was measured is written by this
program, what is expected stands in the case.
"""

import argparse
import base64
import csv
import datetime
import inspect
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import kernels
import lab
import vm
from vm import Disk

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "fixtures" / "recordings"
SUITES = {"510": "bullseye", "61": "bookworm", "612": "trixie", "72": "sid"}
VERDICTS = ("disk_saturated", "disk_burst", "disk_hung", "page_cache_thrash", "temp_file_churn", "sync_bound_process",
            "writer_stalled_in_kernel", "dirty_throttling", "direct_reclaim_stall", "memory_watermark_pressure", "memory_leak_suspected",
            "oom_risk", "oom_kill", "swap_thrash", "cgroup_memory_limit", "cpu_single_saturated", "cpu_contention")
# The budgets are off because an emulated CPU is twenty times slower than one that people have: there nothing would be shed.
DAEMON = ("tidegauge", "serve", "--config.file=", "--cpu-budget=off", "--collector.ebpf.budget-ppm=0",
          "--collector.ebpf.statistics=always", "--recorder.after=2s")
PROGRAMS = {**lab.PROGRAMS, "lab_incidents": lab.ROOT / "build/lab_incidents", "now": Path("/usr/bin/date")}
# What the machine's /usr has, a disk of its own: a host's programs lie on a disk, and their pages come and go.
USR = ("bin/dd", "bin/cat", "bin/cp", "bin/rm", "bin/tar", "bin/gzip", "bin/sort", "bin/sync", "bin/ls", "bin/md5sum",
       "bin/python3.11", "bin/redis-server", "bin/redis-cli", "bin/fio", "bin/iostat", "bin/pidstat", "bin/mpstat", "bin/sar",
       "lib/sysstat/sadc", "bin/dpkg", "bin/dpkg-deb", "bin/dpkg-split", "bin/diff", "lib/x86_64-linux-gnu/libsqlite3.so.0")
COMPILER = ("bin/gcc", "bin/as", "bin/ld", "lib/gcc/x86_64-linux-gnu/12/cc1", "lib/gcc/x86_64-linux-gnu/12/collect2",
            "lib/gcc/x86_64-linux-gnu/12/liblto_plugin.so")
COMPILER_DATA = ("lib/gcc/x86_64-linux-gnu/12/include", "lib/gcc/x86_64-linux-gnu/12/crtbeginS.o",
                 "lib/gcc/x86_64-linux-gnu/12/crtendS.o", "lib/gcc/x86_64-linux-gnu/12/libgcc.a",
                 "lib/gcc/x86_64-linux-gnu/12/libgcc_s.so", "lib/x86_64-linux-gnu/Scrt1.o", "lib/x86_64-linux-gnu/crti.o",
                 "lib/x86_64-linux-gnu/crtn.o", "lib/x86_64-linux-gnu/libc.so", "lib/x86_64-linux-gnu/libc_nonshared.a",
                 "include/x86_64-linux-gnu", "include/asm-generic", "include/linux")
VMSTAT = ("pgpgin", "pgpgout", "pswpin", "pswpout", "pgmajfault", "pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd",
          "pgsteal_direct", "workingset_refault_file", "workingset_refault_anon", "workingset_activate_file", "oom_kill")


# ---- the disk with /usr

def make_ext4(image, mebibytes, contents=None):
    with open(image, "wb") as file:
        file.truncate(mebibytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", *(["-d", contents] if contents else []), image], check=True,
                   env={"PATH": "/usr/sbin:/usr/bin"})


def usr_tree(root, compiler=False):
    """The programs with the libraries they load, Python with what the programs here import."""
    files = {f"/usr/{name}" for name in USR + (COMPILER if compiler else ())}
    for program in sorted(files):
        if subprocess.run(["ldd", program], capture_output=True, check=False).returncode == 0:
            files |= {library.replace("/lib/", "/usr/lib/", 1) if library.startswith("/lib/") else library
                      for library in vm.shared_libraries(program) if not library.startswith("/lib64")}
    for source in sorted(files):
        target = root / Path(source).relative_to("/usr")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(source).resolve() if Path(source).exists() else source, target)
    shutil.copytree("/usr/lib/python3.11", root / "lib/python3.11", symlinks=True, ignore=shutil.ignore_patterns(
        "__pycache__", "test", "tests", "idlelib", "lib2to3", "tkinter", "pydoc_data", "ensurepip", "config-3.11*", "distutils"))
    (root / "bin/python3").symlink_to("python3.11")
    if compiler:
        for name in COMPILER_DATA:
            source, target = Path("/usr") / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)
        for header in Path("/usr/include").glob("*.h"):
            shutil.copy2(header, root / "include" / header.name)
    shutil.copytree(HERE / "programs", root / "share/lab")


def make_usr(image, compiler=False):
    with tempfile.TemporaryDirectory(dir=image.parent) as temporary:
        usr_tree(Path(temporary), compiler)
        make_ext4(image, 512 if compiler else 256, temporary)


def make_huge_files(image, count, mebibytes):
    """Files that are allocated and written as far as the file system knows, of an image that takes no space."""
    config = image.with_suffix(".conf")
    config.write_text("[defaults]\nbase_features = sparse_super,filetype,resize_inode,dir_index,ext_attr,large_file\n[fs_types]\n"
                      "ext4 = {\nfeatures = extent,huge_file,flex_bg,dir_nlink,extra_isize\n}\n"
                      f"data = {{\nmake_hugefiles = true\nhugefiles_dir = /\nhugefiles_name = data\nhugefiles_digits = 1\n"
                      f"hugefiles_size = {mebibytes}M\nnum_hugefiles = {count}\nzero_hugefiles = false\n}}\n")
    with open(image, "wb") as file:
        file.truncate((count * mebibytes + 256) << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-T", "data", image], check=True,
                   env={"PATH": "/usr/sbin:/usr/bin", "MKE2FS_CONFIG": config})


# ---- what the machine's files say

def parse_state(text):
    """What Case.state() printed."""
    state, part = {"disks": {}, "vmstat": {}, "io": {}, "cpu": {}}, ""
    for line in text.splitlines():
        if line.startswith("== "):
            part = line[3:]
            continue
        words = line.split()
        if part == "time":
            state["time"] = float(line)
        elif part == "diskstats" and len(words) > 13:
            state["disks"][words[2]] = [int(word) for word in words[3:14]]
        elif part == "vmstat" and len(words) == 2:
            state["vmstat"][words[0]] = int(words[1])
        elif part == "meminfo":
            state.setdefault("meminfo", {})[words[0].rstrip(":")] = int(words[1])
        elif part == "stat" and words and re.fullmatch(r"cpu\d*", words[0]):
            state["cpu"][words[0]] = [int(word) for word in words[1:9]]
        elif part == "loadavg":
            state["loadavg"] = line
        elif part.startswith("io ") and len(words) == 2:
            state["io"].setdefault(part[3:], {})[words[0].rstrip(":")] = int(words[1])
    return state


def figures(before, after):
    """The rates between two states, named as the classic tools name them."""
    seconds = after["time"] - before["time"]
    found = {"of": "files of /proc read at both ends, by the means over this span",
             "from": before["time"], "to": after["time"], "seconds": round(seconds, 2), "disks": {}}
    for disk, now in after["disks"].items():
        was = before["disks"].get(disk)
        if not was or disk.startswith(("loop", "ram")):
            continue
        grown = [a - b for a, b in zip(now, was)]
        reads, _, read_sectors, read_ms, writes, _, write_sectors, write_ms, _, busy_ms, queue_ms = grown
        found["disks"][disk] = {
            "r/s": round(reads / seconds, 1), "rkB/s": round(read_sectors / 2 / seconds, 1),
            "r_await": round(read_ms / reads, 2) if reads else 0, "w/s": round(writes / seconds, 1),
            "wkB/s": round(write_sectors / 2 / seconds, 1), "w_await": round(write_ms / writes, 2) if writes else 0,
            "aqu-sz": round(queue_ms / 1000 / seconds, 2), "%util": round(busy_ms / 10 / seconds, 1)}
    vmstat = {name: after["vmstat"][name] - before["vmstat"][name] for name in VMSTAT if name in before["vmstat"]}
    vmstat["allocstall"] = sum(value - before["vmstat"][name] for name, value in after["vmstat"].items()
                               if name.startswith("allocstall"))
    found["vmstat_per_second"] = {name: round(value / seconds, 2) for name, value in vmstat.items()}
    found["cpu_percent"] = {}
    for cpu, now in after["cpu"].items():
        grown = [a - b for a, b in zip(now, before["cpu"][cpu])]
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        found["cpu_percent"][cpu] = {name: round(100 * value / max(1, sum(grown)), 1) for name, value in zip(names, grown) if value}
    found["processes"] = {}
    for who, now in after["io"].items():
        was = before["io"].get(who)
        if was:
            found["processes"][who] = {f"{name}/s": round((now[name] - was.get(name, 0)) / seconds, 1)
                                       for name in now if name not in ("Pid",)}
    for name in ("MemTotal", "MemFree", "MemAvailable", "Cached", "AnonPages", "Shmem", "Dirty", "Writeback"):
        found.setdefault("meminfo_kb", {})[name] = [before["meminfo"][name], after["meminfo"][name]]
    found["loadavg"] = [before["loadavg"], after["loadavg"]]
    return found


PLAIN = re.compile(r"[A-Za-z_][\w./ -]*")


def to_yaml(value, indent=0):
    """Enough of YAML for what is written here."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(pad + (key if PLAIN.fullmatch(str(key)) else json.dumps(str(key))) + ":" + inline(item, indent)
                       for key, item in value.items())
    return "".join(f"{pad}-" + (" " + to_yaml(item, indent + 1).lstrip(" ") if isinstance(item, dict) and item
                                else inline(item, indent)) for item in value)


def inline(value, indent):
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, (str, int, float)) for item in value) and \
            len(str(value)) < 100:
        return f" {json.dumps(list(value), ensure_ascii=False)}\n"
    if isinstance(value, (dict, list, tuple)) and value:
        return "\n" + to_yaml(value, indent + 1)
    if isinstance(value, str) and "\n" in value.rstrip("\n"):
        pad = "  " * (indent + 1)
        return " |\n" + "".join(f"{pad}{line.rstrip()}\n" if line.strip() else "\n" for line in value.splitlines())
    return f" {json.dumps(value, ensure_ascii=False)}\n"


def dump(recording, family):
    """(time, name, labels, value) of what was read anew."""
    done = subprocess.run([lab.PROGRAMS["tidegauge"], "dump", recording, "--format", "csv", "--family", family],
                          capture_output=True, text=True, check=True)
    for when, name, labels, value in list(csv.reader(io.StringIO(done.stdout)))[1:]:
        yield datetime.datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp(), name, labels, float(value)


def settled(recording, begin):
    """The second from which on the CPUs idle, two thirds of their time over five seconds: the daemon, which loads its BPF
    programs, has started."""
    idle, whole = {}, {}
    for when, _, labels, value in dump(recording, "node_cpu_seconds_total"):
        whole[when] = whole.get(when, 0) + value
        if 'mode="idle"' in labels:
            idle[when] = idle.get(when, 0) + value
    times = sorted(whole)
    for i in range(len(times) - 5):
        was, now = times[i], times[i + 5]
        if whole[now] > whole[was] and (idle[now] - idle[was]) / (whole[now] - whole[was]) > 0.67:
            return round(was - begin, 1)
    return 0


def waited_for_cpu(recording, since):
    """The largest share of ten seconds in which some task waited for a CPU: much, where this machine had little CPU of its host."""
    samples = [(when, value) for when, _, _, value in dump(recording, "node_pressure_cpu_waiting_seconds_total") if when >= since]
    return max((round((b[1] - a[1]) / (b[0] - a[0]), 2) for a, b in zip(samples, samples[10:])), default=0)


# ---- a recording

class Case:
    """One machine and one recording. What is written in capitals in a case's documentation is the truth's own word."""

    suite = "bookworm"
    memory_mib = 384
    cpus = 2
    calm_before, seconds, calm_after = 50, 65, 20
    # /dev/vda is /usr. Those that follow are formatted and mounted at /mnt/vdb, /mnt/vdc ... if they name a file system.
    usr_options = ""
    disks = (Disk(1024, filesystem="ext4"),)
    modules = ()
    compiler = False
    held_out = False  # recorded after the heuristics had been written, and heard by them as they were
    settles = True  # what goes wrong waits until the daemon has started
    verdicts = ()  # dicts: verdict, and what it must name
    may = ()       # verdicts that may be as true, but are not what the case is about; no other may be active at any time
    notes = ""

    def __init__(self, name, suite, out):
        self.name, self.suite, self.out = name, suite or self.suite, out
        self.pids, self.measured, self.tools, self.facts = {}, {}, {}, {}
        self.machine = None

    # For the cases.

    def text(self, command, seconds=60):
        return self.machine.text(command, seconds)

    def now(self):
        return float(self.text("now +%s.%N"))

    def start(self, name, command, comm=None, before=""):
        """In the background, a group of its own, with its output in /run; its pid. The shell becomes the command."""
        if comm:
            before += f"mkdir -p /run/bin; ln -sf /bin/lab_incidents /run/bin/{comm}; "
            command = f"/run/bin/{comm} {command}"
        pid = int(self.text(f"({before} exec setsid {command}) </dev/null >/run/{name}.out 2>/run/{name}.err & echo $!"))
        self.pids[name] = pid
        return pid

    def end(self, *names):
        for name in names:
            self.machine.run(f"kill -9 -{self.pids.pop(name)}")

    def state(self):
        each = "".join(f"echo '== io {name}'; cat /proc/{pid}/io; "
                       f"grep ctxt /proc/{pid}/status; " for name, pid in self.pids.items())
        return parse_state(self.text("echo == time; now +%s.%N; echo == loadavg; cat /proc/loadavg; echo == stat; cat /proc/stat; "
                                     "echo == diskstats; cat /proc/diskstats; echo == vmstat; cat /proc/vmstat; "
                                     f"echo == meminfo; grep kB /proc/meminfo; {each} true", 120))

    def watch(self, seconds, *tools):
        """The classic tools over the next seconds, each a report of its mean."""
        commands = {"iostat -x": f"iostat -dxyk {seconds} 1", "pidstat -d": f"pidstat -d {seconds} 1",
                    "pidstat -u": f"pidstat -u {seconds} 1", "pidstat -w": f"pidstat -w {seconds} 1",
                    "sar -B": f"sar -B {seconds} 1", "mpstat -P ALL": f"mpstat -P ALL {seconds} 1"}
        for tool in tools:
            file = tool.replace(" ", "_")
            self.text(f"now +%s.%N >/run/{file}.time; /usr/bin/{commands[tool]} >/run/{file}.out 2>&1 & true")
            self.tools[tool] = {"file": file, "seconds": seconds}

    def tool_reports(self):
        for tool, of in self.tools.items():
            if "file" in of:
                lines = self.text(f"cat /run/{of['file']}.out").splitlines()
                begin = float(self.text(f"cat /run/{of['file']}.time"))
                lines = [re.sub(r"^(?:\d\d:\d\d:\d\d(?: [AP]M)?|Average:) +", "", line) for line in lines[1:] if line.strip()
                         and "Average" not in line]
                yield tool, {"from": begin, "to": begin + of["seconds"], "report": "\n".join(lines[:40]) + "\n"}

    # What a case says.

    def prepare(self):
        """Before the daemon starts."""

    def run(self):
        """Begins what goes wrong; the machine is calm before and after."""

    def during(self, seconds):
        """As long as it goes on."""
        time.sleep(seconds)

    def finish(self):
        """Ends it."""
        self.end(*list(self.pids))

    # The making.

    def record(self):
        kernel = kernels.kernel(self.suite)
        with tempfile.TemporaryDirectory(prefix="tidegauge-case-") as temporary:
            directory = Path(temporary)
            images = self.images(directory)
            with mock.patch.multiple(vm, MEMORY_MIB=self.memory_mib, CPUS=self.cpus, LIFETIME_SECONDS=1500,
                                     GRACE_SECONDS=90):
                self.machine = vm.Machine(kernel, PROGRAMS, directory, disks=images, modules=("ext4", *self.modules),
                                          options=("-qmp", f"unix:{directory / 'monitor'},server=on,wait=off"))
                try:
                    self.log(f"booted {kernel.release} in {self.machine.boot_seconds:.0f} s")
                    self.make(kernel)
                except AssertionError:
                    self.log(f"daemon: {self.machine.run('tail -n 20 /run/daemon.err').stdout}")
                    raise
                finally:
                    self.machine.stop()

    def images(self, directory):
        make_usr(directory / "usr.img", self.compiler)
        return (Disk(512 if self.compiler else 256, self.usr_options, image=directory / "usr.img"), *self.disks)

    def log(self, words):
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {words}", file=sys.stderr, flush=True)

    def mount(self):
        self.text("hostname web-1; mkdir -p /usr /var/log /var/lib; mount -t ext4 -o ro,noatime /dev/vda /usr; echo "
                  "'ID=debian' >/etc/os-release; ln -s /usr/share /share; ulimit -c 0; echo ok")
        for letter, disk in zip("bcdefg", self.disks):
            if disk.filesystem or disk.image:
                kind = disk.filesystem or "ext4"
                self.text(f"mkdir -p /mnt/vd{letter}; mount -t {kind} -o noatime /dev/vd{letter} /mnt/vd{letter}")

    def start_daemon(self):
        self.start("daemon", " ".join(DAEMON))
        self.daemon = self.pids.pop("daemon")
        self.text("until wget -q -O - http://127.0.0.1:10070/metrics | grep -q ebpf_program_info; do usleep 500000; done", 120)

    def settle(self, seconds=90):
        """Until the CPUs idle: to load its BPF programs takes the daemon long here."""
        deadline, idle, whole = time.monotonic() + seconds, 0, 0
        while self.settles and time.monotonic() < deadline:
            time.sleep(4)
            now = [int(word) for word in self.text("head -n 1 /proc/stat", 120).split()[1:]]
            idle, was_idle, whole, was_whole = now[3], idle, sum(now), whole
            if was_whole and idle - was_idle > 0.75 * (whole - was_whole):
                break

    def make(self, kernel):
        self.mount()
        self.prepare()
        self.text("sync; usleep 100000")
        self.start_daemon()
        self.settle()
        time.sleep(self.calm_before)
        started = self.now()
        self.run()
        before = self.state()
        self.during(self.seconds)
        after = self.state()
        self.finish()
        ended = self.now()
        measured = figures(before, after)
        time.sleep(self.calm_after)
        self.text(f"kill -USR2 {self.daemon}; until ls /var/lib/tidegauge/incidents/*-sigusr2*.tgrec; do usleep 300000; done", 200)
        reports = dict(self.tool_reports())
        content = base64.b64decode(self.text("base64 /var/lib/tidegauge/incidents/*-sigusr2*.tgrec", 200))
        complaints = self.machine.run("grep -v level=info /run/daemon.err | tail -n 5").stdout
        if complaints:
            self.log(f"the daemon said: {complaints}")
        self.out.mkdir(parents=True, exist_ok=True)
        target = self.out / f"{self.name}.tgrec"
        target.write_bytes(content)
        self.write_truth(kernel, target, started, ended, measured, reports)
        self.log(f"{len(content)} bytes")

    def write_truth(self, kernel, target, started, ended, measured, reports):
        times = [sample[0] for sample in dump(target, "node_load1")]
        begin, end = min(times), max(times)
        for of in (measured, *reports.values()):
            of["from_seconds"], of["to_seconds"] = round(of["from"] - begin, 1), round(of["to"] - begin, 1)
        settles = min(settled(target, begin), round(started - begin, 1))
        waited = waited_for_cpu(target, begin + settles)
        if waited > 0.4 and "cpu_contention" not in self.may:
            self.may = (*self.may, "cpu_contention")  # of the host's making
        filled = {"pid": self.facts.get("pid"), **self.facts}
        verdicts = [{key: self.fill(value, filled) for key, value in verdict.items()} for verdict in self.verdicts]
        truth = {
            "name": self.name, "case": inspect.getdoc(type(self)), "held_out": self.held_out, "kernel": kernel.release, "memory_mib": self.memory_mib,
            "cpus": self.cpus,
            "disks": {f"vd{letter}": (f"{'/usr, read-only' if letter == 'a' else disk.filesystem or ('ext4' if disk.image else 'raw')}"
                                      f", {disk.options or 'not throttled'}")
                      for letter, disk in zip("abcdefg", (Disk(256, self.usr_options), *self.disks))},
            "daemon_flags": " ".join(DAEMON[2:]),
            "recording": {"bytes": target.stat().st_size, "begin": begin, "end": end, "seconds": round(end - begin, 1),
                          "settled_seconds": settles, "cpu_waiting_10s_max": waited},
            "program": {"started": started, "ended": ended, "started_seconds": round(started - begin, 1),
                        "ended_seconds": round(ended - begin, 1), **self.facts},
            "verdicts": verdicts, "may": list(self.may),
            "absent": [name for name in VERDICTS if name not in (*self.may, *(of["verdict"] for of in verdicts))],
            **({"notes": self.notes} if self.notes else {}),
            "measured": measured, **({"tools": reports} if reports else {}),
        }
        (self.out / f"{self.name}.yaml").write_text(to_yaml(truth), encoding="utf-8")

    @staticmethod
    def fill(value, facts):
        """"{pid}" in what is expected is a fact of this run."""
        if isinstance(value, str):
            whole = re.fullmatch(r"\{(\w+)\}", value)
            return facts[whole[1]] if whole else re.sub(r"\{(\w+)\}", lambda found: str(facts[found[1]]), value)
        if isinstance(value, dict):
            return {key: Case.fill(item, facts) for key, item in value.items()}
        return [Case.fill(item, facts) for item in value] if isinstance(value, (list, tuple)) else value


SLOW = "throttling.bps-total={0},throttling.iops-total={1}"


# ---- incidents

class TempFileChurn(Case):
    """Case A. A web application's worker thread writes 60 files of 0.75 MB into /tmp/<uuid1>/, reads them back, removes them,
    again and again; the container's /tmp is on a disk that does 6 MB/s."""

    suite = "trixie"
    disks = (Disk(1024, SLOW.format(6_000_000, 600), "ext4"),)
    verdicts = ({"verdict": "temp_file_churn", "comm": "flask", "pid": "{pid}", "thread": "{thread}",
                 "thread_comm": "word-worker", "device": "vdb", "directory": "/mnt/vdb",
                 "directory_of_process": "/tmp",
                 "file_pattern": "<uuid1>/<number>.txt"},
                {"verdict": "disk_saturated", "device": "vdb", "operation": "write", "comm": "flask", "pid": "{pid}"})
    may = ("dirty_throttling", "writer_stalled_in_kernel", "memory_watermark_pressure")

    def run(self):
        group = f"/sys/fs/cgroup/docker-{'ab12' * 16}.scope"
        self.text(f"mkdir -p {group}")
        pid = self.start("app", "unshare -m sh -c 'mount --bind /mnt/vdb /tmp && exec /usr/bin/python3 /usr/share/lab/temp_files.py "
                         "/tmp 60 750000'", before=f"cat /proc/self/stat >/dev/null; sh -c 'echo $PPID' >{group}/cgroup.procs;")
        self.text("until [ -s /run/app.out ]; do usleep 100000; done")
        self.facts = {"pid": pid, "thread": int(self.text("cat /run/app.out").split()[0])}
        time.sleep(5)
        self.watch(self.seconds - 12, "iostat -x", "pidstat -d", "sar -B")


class TempFileChurnFast(TempFileChurn):
    """Case A on a disk that does 30 MB/s, which is enough: busy for two thirds of the time."""

    disks = (Disk(1024, SLOW.format(30_000_000, 600), "ext4"),)
    verdicts = TempFileChurn.verdicts[:1]
    may = (*TempFileChurn.may, "disk_saturated")


class SyncBound(Case):
    """Case B. redis-server with appendfsync always; an application adds keys to sets one after the other. The disk would do
    450 requests a second."""

    disks = (Disk(1024, "throttling.iops-total=450", "ext4"),)
    verdicts = ({"verdict": "sync_bound_process", "comm": "redis-server", "pid": "{pid}", "operation": "fdatasync", "device": "vdb",
                 "file": "appendonly.aof.1.incr.aof", "directory": "/mnt/vdb/appendonlydir"},)
    may = ()
    notes = ("redis waits in fdatasync for more than half of the time; the disk is busy for a quarter of it and its queue is below "
             "one: each request waits for the one before it, and the journal's thread and redis for each other. Not saturated.")

    def prepare(self):
        self.start("redis", "/usr/bin/redis-server --dir /mnt/vdb --appendonly yes --appendfsync always --save '' --daemonize no "
                   "--loglevel warning")
        self.text("until /usr/bin/redis-cli ping | grep PONG; do usleep 200000; done")

    def run(self):
        self.facts = {"pid": self.pids["redis"]}
        self.start("app", "/usr/bin/python3 /usr/share/lab/tags.py 6379")
        time.sleep(5)
        self.watch(self.seconds - 12, "iostat -x", "pidstat -d")

    def finish(self):
        self.end("app")


class PageCacheThrash(Case):
    """Case D. A program streams unique data from a fast disk; the pages of what other programs have mapped from the slow
    disk are evicted and read again, all the time."""

    memory_mib = 448
    usr_options = SLOW.format(6_000_000, 250)
    calm_before, seconds, calm_after = 55, 65, 30
    notes = ("What was evicted is read back at the slow disk's pace: the victims go on faulting and the slow disk stays busy after the "
             "importer has ended. Nothing is evicted then.")
    verdicts = ({"verdict": "page_cache_thrash", "device": "vdb", "comm": "importer", "pid": "{pid}", "victim_device": "vda",
                 "victims": ["service-a", "service-b", "service-c"], "direction": "read"},)
    may = ("disk_saturated", "memory_watermark_pressure", "direct_reclaim_stall")

    def images(self, directory):
        with tempfile.TemporaryDirectory(dir=directory) as temporary:
            usr_tree(Path(temporary))
            (Path(temporary) / "lib/services").mkdir()
            for name in "abc":
                with open(Path(temporary) / f"lib/services/{name}.so", "wb") as file:
                    file.write(b"tidegauge" * (40 << 20 >> 3))
            make_ext4(directory / "usr.img", 512, temporary)
        make_huge_files(directory / "data.img", 3, 4096)
        self.disks = (Disk(3 * 4096 + 256, "throttling.bps-total=90000000", image=directory / "data.img"),)
        return (Disk(512, self.usr_options, image=directory / "usr.img"), *self.disks)

    def prepare(self):
        for name in "abc":
            self.start(f"service-{name}", f"mapping /usr/lib/services/{name}.so 3000", comm=f"service-{name}")
        self.text("cat /usr/lib/services/*.so >/dev/null", 120)

    def run(self):
        self.facts = {"pid": self.start("importer", "stream /mnt/vdb/data0 /mnt/vdb/data1 /mnt/vdb/data2", comm="importer")}
        time.sleep(5)
        self.watch(self.seconds - 12, "iostat -x", "pidstat -d", "sar -B")

    def finish(self):
        self.end("importer")


class WriterSqueezed(Case):
    """Case C as far as these kernels go along with it. Nine tenths of the memory are a file in a tmpfs, then dd writes 512 bytes
    at a time: kswapd runs all the time, but dd's limit is its CPU, not the kernel."""

    disks = (Disk(3072, "throttling.bps-total=60000000", "ext4"),)
    may = ("memory_watermark_pressure", "direct_reclaim_stall", "dirty_throttling", "oom_risk", "cpu_single_saturated")
    leave_mib = 28

    def prepare(self):
        self.text("mkdir -p /mnt/ram; mount -t tmpfs -o size=95% ram /mnt/ram")

    def run(self):
        self.text(f"free=$(awk '/MemAvailable/ {{print int($2 / 1024)}}' /proc/meminfo); "
                  f"dd if=/dev/zero of=/mnt/ram/filled bs=1M count=$((free - {self.leave_mib})) 2>&1", 120)
        self.facts = {"filled": self.now()}
        self.facts["pid"] = self.start("dd", "/usr/bin/dd if=/dev/zero of=/mnt/vdb/snapshot bs=512")
        time.sleep(4)
        self.watch(self.seconds - 12, "iostat -x", "pidstat -d", "sar -B")

    def finish(self):
        super().finish()
        self.text("rm /mnt/ram/filled /mnt/vdb/snapshot")


class WriterStalled(WriterSqueezed):
    """Case C. Most of the memory is a file in a tmpfs that belongs to a service, more than the service's memory.high; the dd
    that writes its snapshot, 512 bytes at a time, sleeps in the kernel for what the file takes, and its disk has nothing to do."""

    verdicts = ({"verdict": "writer_stalled_in_kernel", "comm": "dd", "pid": "{pid}", "device": "vdb", "unreclaimable": "Shmem",
                 "cgroup": "/system.slice/store.service"},)
    may = ("memory_watermark_pressure", "direct_reclaim_stall", "dirty_throttling", "oom_risk", "cgroup_memory_limit")
    leave_mib = 90
    group = "/sys/fs/cgroup/system.slice/store.service"

    def prepare(self):
        super().prepare()
        self.text(f"cd /sys/fs/cgroup; echo +memory +io >cgroup.subtree_control; mkdir -p {self.group}; "
                  "echo +memory +io >system.slice/cgroup.subtree_control; echo ok")

    def run(self):
        join = f"sh -c 'echo $PPID' >{self.group}/cgroup.procs;"
        self.text(f"free=$(awk '/MemAvailable/ {{print int($2 / 1024)}}' /proc/meminfo); ({join} "
                  f"exec dd if=/dev/zero of=/mnt/ram/filled bs=1M count=$((free - {self.leave_mib}))) 2>&1; "
                  f"echo $(($(cat {self.group}/memory.current) * 9 / 10)) >{self.group}/memory.high", 200)
        self.facts = {"filled": self.now(), "high": int(self.text(f"cat {self.group}/memory.high"))}
        self.facts["pid"] = self.start("dd", "/usr/bin/dd if=/dev/zero of=/mnt/vdb/snapshot bs=512", before=join)
        time.sleep(4)
        self.watch(self.seconds - 12, "iostat -x", "pidstat -d", "sar -B")

    def during(self, seconds):
        super().during(seconds)
        pid = self.pids["dd"]
        self.facts["waits_in"] = self.text(f"cat /proc/{pid}/wchan; echo; grep State /proc/{pid}/status").split("\n")[:2]
        self.facts["memory_events"] = self.text(f"cat {self.group}/memory.events")


class DiskBurst(Case):
    """Case C, the red herring. A monitoring agent writes to the root disk for 200 ms in every 5 s, directly."""

    suite = "trixie"
    disks = (Disk(512, SLOW.format(40_000_000, 1200), "ext4"),)
    verdicts = ({"verdict": "disk_burst", "device": "vdb", "comm": "agent", "pid": "{pid}", "burst_ms": 200, "every_ms": 5000},)

    def run(self):
        self.facts = {"pid": self.start("agent", "bursts /mnt/vdb/agent.db 200 5000", comm="agent")}
        self.watch(self.seconds - 8, "iostat -x", "pidstat -d")


class CpuSingle(Case):
    """Case F. One thread of a program is pinned to CPU 1 and busy; CPU 0 idles."""

    suite = "trixie"
    disks = ()
    calm_before, seconds, calm_after = 45, 60, 20
    verdicts = ({"verdict": "cpu_single_saturated", "cpu": 1, "comm": "encoder", "pid": "{pid}", "thread_comm": "spinner-0",
                 "affinity": "1"},)

    def run(self):
        pid = self.start("encoder", "spin 1", comm="encoder", before="taskset -p 2 $(sh -c 'echo $PPID') >/dev/null;")
        self.facts = {"pid": pid, "mask": self.text(f"usleep 500000; taskset -p {pid}").split()[-1]}
        self.watch(self.seconds - 8, "mpstat -P ALL", "pidstat -u", "pidstat -w")


class CpuContention(Case):
    """Case F. Six busy threads on two CPUs."""

    disks = ()
    calm_before, seconds, calm_after = 45, 60, 20
    verdicts = ({"verdict": "cpu_contention", "comm": "encoder", "pid": "{pid}", "threads": 6},)

    def run(self):
        self.facts = {"pid": self.start("encoder", "spin 6", comm="encoder")}
        self.watch(self.seconds - 8, "mpstat -P ALL", "pidstat -u", "pidstat -w")


class MemoryLeak(Case):
    """Case E. A worker's heap grows by 256 KiB a second, in small pieces that nobody frees; its siblings stay as they are."""

    suite = "trixie"
    disks = ()
    calm_before, seconds, calm_after = 30, 305, 5
    rate_kib = 256
    verdicts = ({"verdict": "memory_leak_suspected", "comm": "gunicorn", "pid": "{pid}", "kib_per_second": "{kib_per_second}",
                 "memory": "anonymous"},)

    def prepare(self):
        for name in "ab":
            self.start(f"sibling-{name}", "hold 12", comm="gunicorn")

    def run(self):
        self.facts = {"kib_per_second": self.rate_kib, "pid": self.start("leak", f"leak {self.rate_kib}", comm="gunicorn"),
                      "siblings": [self.pids["sibling-a"], self.pids["sibling-b"]]}


class MemoryLeakToKill(MemoryLeak):
    """Case E to its end. A worker's heap grows by 2.2 MiB a second until the kernel kills it."""

    calm_before, seconds, calm_after = 35, 0, 15
    rate_kib = 2200
    verdicts = ({"verdict": "oom_risk", "comm": "gunicorn", "pid": "{pid}", "until": "{killed}"},
                {"verdict": "oom_kill", "comm": "gunicorn", "pid": "{pid}", "at": "{killed}"})
    may = ("memory_leak_suspected", "memory_watermark_pressure", "direct_reclaim_stall", "page_cache_thrash", "disk_saturated")

    def during(self, seconds):
        self.text(f"while kill -0 {self.pids['leak']}; do usleep 100000; done; true", 300)
        self.facts["killed"] = self.now()
        self.log(self.text("dmesg | grep -i 'out of memory'"))

    def state(self):
        if "killed" in self.facts:
            self.pids.pop("leak", None)
        return super().state()


class WarmUp(Case):
    """Case E's counterpart. A program's memory grows fast, then slower, and levels off at 130 MiB: a cache that fills."""

    disks = ()
    calm_before, seconds, calm_after = 20, 140, 3
    verdicts = ()

    def run(self):
        self.facts = {"pid": self.start("cache", "warmup 130 25", comm="memcached")}


class DirtyThrottling(Case):
    """dd writes to a disk of 12 MB/s as fast as it can, in a machine whose memory is nearly free."""

    suite = "trixie"
    memory_mib = 512
    disks = (Disk(2560, "throttling.bps-total=12000000", "ext4"),)
    verdicts = ({"verdict": "dirty_throttling", "comm": "dd", "pid": "{pid}", "device": "vdb"},
                {"verdict": "disk_saturated", "device": "vdb", "operation": "write", "comm": "dd", "pid": "{pid}"})
    may = ("writer_stalled_in_kernel",)

    def run(self):
        self.facts = {"pid": self.start("dd", "/usr/bin/dd if=/dev/zero of=/mnt/vdb/backup bs=1M")}
        self.watch(self.seconds - 8, "iostat -x", "pidstat -d", "sar -B")


class MemoryPressure(Case):
    """A program takes and returns most of the memory every second while another one writes a file to a disk of 40 MB/s: who
    allocates has to wait until the cache is clean."""

    memory_mib = 384
    calm_before, seconds, calm_after = 35, 55, 12
    disks = (Disk(4096, "throttling.bps-total=40000000", "ext4"),)
    verdicts = ({"verdict": "memory_watermark_pressure", "comm": "batch"},
                {"verdict": "direct_reclaim_stall", "comm": "batch", "pid": "{pid}"})
    may = ("dirty_throttling", "disk_saturated", "page_cache_thrash", "writer_stalled_in_kernel", "oom_risk")
    share = 0.75

    def run(self):
        self.start("dd", "/usr/bin/dd if=/dev/zero of=/mnt/vdb/log bs=64k")
        time.sleep(3)
        mib = int(self.text("awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo")) * self.share
        self.facts = {"pid": self.start("batch", f"allocate {int(mib)}", comm="batch"), "mib": int(mib)}
        self.watch(self.seconds - 8, "iostat -x", "sar -B")


class SwapThrash(Case):
    """A program uses more memory than there is, all of it and at random; the swap space is on a disk that does 500 requests
    a second."""

    suite = "trixie"
    memory_mib = 320
    calm_before, seconds, calm_after = 35, 55, 12
    disks = (Disk(512, SLOW.format(20_000_000, 500)),)
    verdicts = ({"verdict": "swap_thrash", "comm": "matrix", "pid": "{pid}", "device": "vdb"},)
    may = ("disk_saturated", "memory_watermark_pressure", "direct_reclaim_stall", "page_cache_thrash")

    def prepare(self):
        self.text("mkswap /dev/vdb && swapon /dev/vdb")

    def run(self):
        mib = int(int(self.text("awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo")) * 1.3)
        self.facts = {"pid": self.start("matrix", f"workingset {mib}", comm="matrix"), "mib": mib}
        self.watch(self.seconds - 8, "iostat -x", "sar -B")


class CgroupLimit(Case):
    """A service with memory.max of 48 MiB holds 30 MiB and reads files of 200 MiB: it reclaims its own pages all the time, in
    a machine with plenty of free memory."""

    calm_before, seconds, calm_after = 35, 55, 12
    verdicts = ({"verdict": "cgroup_memory_limit", "cgroup": "/system.slice/report.service", "limit_bytes": 48 << 20},)
    may = ("direct_reclaim_stall", "disk_saturated")

    def prepare(self):
        self.text("dd if=/dev/urandom of=/mnt/vdb/table bs=1M count=200 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches; "
                  "cd /sys/fs/cgroup; echo +memory +io >cgroup.subtree_control; mkdir system.slice; "
                  "echo +memory +io >system.slice/cgroup.subtree_control; mkdir system.slice/report.service; "
                  "echo 48M >system.slice/report.service/memory.max", 120)

    def run(self):
        join = "sh -c 'echo $PPID' >/sys/fs/cgroup/system.slice/report.service/cgroup.procs;"
        self.start("holder", "hold 30", comm="report", before=join)
        self.facts = {"pid": self.start("reader", "stream /mnt/vdb/table", comm="report", before=join)}

    def finish(self):
        self.facts["memory_events"] = self.text("cat /sys/fs/cgroup/system.slice/report.service/memory.events")
        super().finish()


class RandomReads(Case):
    """fio reads 4 KiB at random and directly, 32 at a time, from a disk that does 300 requests a second."""

    suite = "trixie"
    calm_before, seconds, calm_after = 35, 55, 12
    disks = (Disk(1024, "throttling.iops-total=300"),)
    verdicts = ({"verdict": "disk_saturated", "device": "vdb", "operation": "read", "comm": "fio"},)
    flags = "--iodepth=32"

    def run(self):
        self.start("fio", "/usr/bin/fio --name=random --filename=/dev/vdb --rw=randread --bs=4k --direct=1 --ioengine=libaio "
                   f"{self.flags} --time_based --runtime=600 --size=900M --thread --output=/run/fio.report")
        self.watch(self.seconds - 8, "iostat -x", "pidstat -d")

    def finish(self):
        self.text("kill -9 $(pidof fio); true")
        self.pids.clear()


class DiskHung(Case):
    """A disk answers nothing more for 60 s while a program writes to it and waits with fsync; then it goes on."""

    calm_before, seconds, calm_after = 35, 50, 20
    disks = (Disk(512, "id=data", "ext4"),)
    verdicts = ({"verdict": "disk_hung", "device": "vdb", "from": "{hung}", "until": "{answers}"},)
    may = ("sync_bound_process", "writer_stalled_in_kernel", "disk_saturated")

    def throttle(self, bytes_per_second):
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.machine.directory / "monitor"))
            lines = monitor.makefile("rw", encoding="utf-8")
            lines.readline()
            limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
            for command in ({"execute": "qmp_capabilities"}, {"execute": "block_set_io_throttle", "arguments": {
                    "device": "data", **limits, "bps": bytes_per_second}}):
                lines.write(json.dumps(command) + "\n")
                lines.flush()
                answer = lines.readline()
                while '"event"' in answer:
                    answer = lines.readline()
                if '"error"' in answer:
                    raise AssertionError(answer)

    def prepare(self):
        self.start("writer", "/usr/bin/python3 /usr/share/lab/journal.py /mnt/vdb/journal")

    def run(self):
        self.facts = {"hung": self.now(), "pid": self.pids["writer"]}
        self.throttle(1)

    def finish(self):
        self.throttle(0)
        self.facts["answers"] = self.now()
        self.machine.run("usleep 1500000")
        super().finish()


# ---- quiet hosts

class Quiet(Case):
    """Nothing happens."""

    calm_before, seconds, calm_after = 15, 65, 6

    def run(self):
        pass


class Idle(Quiet):
    """A machine with redis-server and a sleeping program; nobody asks anything."""

    suite = "sid"
    seconds = 80

    def prepare(self):
        self.start("redis", "/usr/bin/redis-server --dir /mnt/vdb --save '' --loglevel warning")
        self.start("app", "/usr/bin/python3 -c 'import time\nwhile True: time.sleep(1)'")


class Compile(Quiet):
    """gcc compiles one file after the other, two at a time on two CPUs."""

    memory_mib = 512
    compiler = True

    def run(self):
        self.text("mkdir -p /mnt/vdb/src; ln -sf /usr/bin/as /bin/as; for i in 0 1 2 3 4 5 6 7; do { echo '#include <stdio.h>'; "
                  "echo '#include <stdlib.h>'; for j in $(seq 60); do echo \"int f$j(int *a, int n) { int s = $i; for (int i = 0; "
                  "i < n; i++) { s += a[i] * $j; if (s > 1000) s -= a[n - 1 - i]; } printf(\\\"%d\\\", s); return s; }\"; done; } "
                  ">/mnt/vdb/src/$i.c; done")
        for job in "01":
            self.start(f"make{job}", "sh -c 'export PATH=/usr/bin:/bin TMPDIR=/mnt/vdb; while true; do for i in 0 1 2 3; do "
                       f"gcc -O2 -Wall -c /mnt/vdb/src/$(({job} * 4 + i)).c -o /mnt/vdb/src/{job}.o || sleep 1; done; done'")

    def finish(self):
        super().finish()
        self.log(self.text("ls -la /mnt/vdb/src/*.o; cat /run/make0.err"))


class Backup(Quiet):
    """A tree is copied to another disk with cp -a, then again; both disks are faster than that."""

    suite = "trixie"
    def run(self):
        self.start("backup", "sh -c 'n=0; while true; do mkdir -p /mnt/vdb/$n; /usr/bin/cp -a /usr/lib/python3.11 /usr/bin "
                   "/mnt/vdb/$n/; sync; n=$((n + 1)); [ $n -lt 8 ] || { rm -rf /mnt/vdb/*; n=0; }; sleep 3; done'")


class FullPageCache(Quiet):
    """Files are read until the memory is full of them; then the same 80 MiB over and over, from the cache."""

    suite = "trixie"
    calm_before, seconds, calm_after = 15, 95, 6
    disks = (Disk(1024, filesystem="ext4"),)

    def prepare(self):
        self.text("dd if=/dev/urandom of=/mnt/vdb/cold bs=1M count=420 2>/dev/null; dd if=/dev/urandom of=/mnt/vdb/hot bs=1M "
                  "count=80 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches", 180)

    def run(self):
        self.start("reader", "sh -c 'cat /mnt/vdb/hot /mnt/vdb/cold /mnt/vdb/hot >/dev/null; while true; do "
                   "/usr/bin/cat /mnt/vdb/hot >/dev/null; usleep 300000; done'")


class DirectWithinLimits(RandomReads):
    """fio reads 4 KiB at random and directly, at 40 % of what the disk does."""

    calm_before, seconds, calm_after = 15, 65, 6
    disks = (Disk(1024, "throttling.iops-total=1000"),)
    flags = "--iodepth=2 --rate_iops=300"
    verdicts = ()


class Boot(Quiet):
    """The daemon starts with the machine; then its services do."""

    suite = "bullseye"
    calm_before, seconds, calm_after = 1, 60, 5
    settles = False

    def run(self):
        self.start("redis", "/usr/bin/redis-server --dir /mnt/vdb --appendonly yes --loglevel warning")
        for number in range(6):
            self.start(f"service{number}", "/usr/bin/python3 -c 'import asyncio, json, http.server, logging, sqlite3, time\n"
                       "while True: time.sleep(2)'")
        self.text("ls -R /usr >/dev/null")


class PackageUpgrade(Quiet):
    """dpkg unpacks two versions of a package of 400 files over each other, with its fsync of each."""

    flags = "--force-bad-path --force-downgrade --force-not-root --force-overwrite"

    def images(self, directory):
        found = super().images(directory)
        for version in "12":
            package = directory / f"package{version}"
            (package / "DEBIAN").mkdir(parents=True)
            (package / "DEBIAN/control").write_text(f"Package: example\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody "
                                                    "<nobody@example.org>\nDescription: files\n")
            for number in range(400):
                path = package / f"usr/lib/example/{number % 20}/{number}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(f"{version}{number}\n", "ascii") * (500 + number * 13 % 4000))
            subprocess.run(["dpkg-deb", "-Zgzip", "--build", package, directory / f"example{version}.deb"], check=True,
                           capture_output=True)
        with tempfile.TemporaryDirectory(dir=directory) as temporary:
            for version in "12":
                shutil.copy(directory / f"example{version}.deb", temporary)
            make_ext4(directory / "packages.img", 256, temporary)
        self.disks = (Disk(512, "throttling.bps-total=80000000", "ext4"), Disk(256, image=directory / "packages.img"))
        return (found[0], *self.disks)

    def prepare(self):
        self.text("mkdir -p /mnt/vdb/var/lib/dpkg/updates /mnt/vdb/var/lib/dpkg/info; touch /mnt/vdb/var/lib/dpkg/status; "
                  "ls /mnt/vdc")

    def run(self):
        self.start("upgrade", "sh -c 'export PATH=/usr/bin:/bin; while true; do for i in 1 2; do /usr/bin/dpkg --root=/mnt/vdb "
                   f"{self.flags} --log=/dev/null -i /mnt/vdc/example$i.deb; sleep 5; done; done'")

    def finish(self):
        super().finish()
        self.log(self.text("tail -n 3 /run/upgrade.out /run/upgrade.err; find /mnt/vdb/usr | wc -l; true"))


class PackageUnpack(PackageUpgrade):
    """dpkg unpacks two versions of a package of 400 files over each other, without fsync."""

    flags = "--force-all"


class LogRotation(Quiet):
    """A log of 40 MB is renamed, compressed with gzip and deleted, twice; a program goes on writing to the new one."""

    suite = "trixie"
    def prepare(self):
        self.text("i=0; while [ $i -lt 40 ]; do /usr/bin/ls -lR /usr/lib /usr/share; i=$((i + 1)); done >/tmp/part 2>/dev/null; "
                  "while [ $(stat -c %s /mnt/vdb/log 2>/dev/null || echo 0) -lt 40000000 ]; do cat /tmp/part >>/mnt/vdb/log; done; "
                  "cp /mnt/vdb/log /mnt/vdb/log.kept; rm /tmp/part; sync", 200)

    def run(self):
        self.start("rotate", "sh -c 'while true; do mv /mnt/vdb/log /mnt/vdb/log.1; /usr/bin/gzip -1 -f /mnt/vdb/log.1; "
                   "rm -f /mnt/vdb/log.1.gz; cp /mnt/vdb/log.kept /mnt/vdb/log; sleep 8; done'")


class CronBurst(Quiet):
    """Every 20 s a dozen jobs of cron start at once, for a second or two each."""

    suite = "trixie"
    def run(self):
        self.start("crond", "sh -c 'while true; do for i in 1 2 3 4 5 6 7 8 9 10 11 12; do { sh -c \"ls -R /usr/share | sort | "
                   "md5sum; grep -c . /etc/passwd\"; } & done; wait; sleep 20; done'")


CASES = {
    "temp-file-churn": TempFileChurn, "temp-file-churn-fast": TempFileChurnFast, "sync-bound": SyncBound,
    "page-cache-thrash": PageCacheThrash,
    "writer-stalled": WriterStalled, "writer-squeezed": WriterSqueezed, "disk-burst": DiskBurst,
    "cpu-single": CpuSingle, "cpu-contention": CpuContention,
    "memory-leak": MemoryLeak, "memory-leak-to-kill": MemoryLeakToKill, "dirty-throttling": DirtyThrottling,
    "memory-pressure": MemoryPressure, "swap-thrash": SwapThrash, "cgroup-limit": CgroupLimit, "random-reads": RandomReads,
    "disk-hung": DiskHung,
    "quiet-warm-up": WarmUp, "quiet-idle": Idle, "quiet-compile": Compile, "quiet-backup": Backup,
    "quiet-full-page-cache": FullPageCache, "quiet-direct": DirectWithinLimits, "quiet-boot": Boot,
    "quiet-package-upgrade": PackageUpgrade, "quiet-package-unpack": PackageUnpack, "quiet-log-rotation": LogRotation, "quiet-cron-burst": CronBurst,
}


def main(known):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(known))
    options = parser.parse_args()
    failed = 0
    for name in options.names:
        base, _, kernel = name.rpartition("-")
        if name not in known and not (base in known and kernel in SUITES):
            parser.error(f"no such case: {name}")
        case = known[name](name, None, options.out) if name in known else known[base](name, SUITES[kernel], options.out)
        try:
            case.record()
        except (AssertionError, subprocess.CalledProcessError) as error:
            failed += 1
            case.log(f"FAILED: {error} {getattr(error, 'stderr', '') or ''}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(CASES)
