#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the folders' one-way dependencies: bpf <- collectors <- daemon.

Rules, by the name each complaint carries:

  layer     bpf/ includes neither collectors/ nor daemon/, collectors/ includes no daemon/, and
            nothing but tests/ includes tests/.
  library   collectors/ knows no Prometheus, YAML, logger, command line, JSON or HTTP library.
  purity    daemon/heuristics, daemon/recorder and daemon/exporter know no /proc: they do not reach,
            directly or through other headers, a header that reads kernel files.
  io        daemon/heuristics and daemon/exporter include no file-system header, directly or through
            this repository's headers. The exporter's listener (sockets) is exempt.
  clock     daemon/heuristics asks no clock: time is an argument.
  path      no string literal in those three folders begins with /proc or /sys.
  relative  no #include "../x": paths begin at the repository's root.
  computed  no #include MACRO: nobody could check it.
  cmake     every C or C++ source is named by a CMakeLists.txt or *.cmake file.
  spdx      every source, script and build file names its licence, and bpf/ its own.

Runs on what git knows and does not ignore (on every file when there is no git). Prints
file:line: rule: what, and exits with 1 when there is anything to print.
"""

import argparse
import fnmatch
import os
import posixpath
import re
import subprocess
import sys
import tempfile

SOURCES = (".cc", ".cpp", ".c")
HEADERS = (".h", ".hpp")
LICENSED = SOURCES + HEADERS + (".py", ".sh", ".cmake", ".service", ".yaml", ".yml")
LICENSED_NAMES = ("CMakeLists.txt", "Makefile", "run")
UNLICENSED_FOLDERS = ("tests/fixtures/", "tests/golden/")
LICENSE = "Apache-2.0"
BPF_LICENSE = "GPL-2.0-only OR BSD-2-Clause"

LAYERS = ("bpf", "collectors", "daemon", "tests")
FORBIDDEN_LAYERS = {
    "bpf": ("collectors", "daemon", "tests"),
    "collectors": ("daemon", "tests"),
    "daemon": ("tests",),
}
LIBRARIES = (
    "prometheus/", "yaml-cpp/", "spdlog/", "fmt/", "CLI/", "nlohmann/", "microhttpd.h",
    "systemd/", "cap-ng.h",
)

PURE_FOLDERS = ("daemon/heuristics/", "daemon/recorder/", "daemon/exporter/")
KERNEL_READERS = (
    "collectors/procfs/", "collectors/block/", "collectors/process/", "collectors/ebpf/", "bpf/",
    "collectors/core/kernel_files.h",
)
NO_IO_FOLDERS = ("daemon/heuristics/", "daemon/exporter/")
NO_IO_EXEMPT = ("daemon/exporter/http_server*", "daemon/exporter/listener*")
IO_HEADERS = ("filesystem", "fstream", "dirent.h", "fcntl.h")
CLOCKLESS_FOLDERS = ("daemon/heuristics/",)
CLOCKS = re.compile(r"_clock\s*::\s*now\b|\bclock_gettime\b|\bgettimeofday\b|\bstd\s*::\s*time\s*\(")

# What can hide a quote or a comment mark from whoever looks for the other, in one pass.
TOKEN = re.compile(
    r"""(?P<comment>//(?:\\\n|[^\n])*|/\*.*?\*/)
      | (?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\((?P<rawtext>.*?)\)(?P=delimiter)")
      | (?P<include>^[ \t]*\#[ \t]*include\b[^\n]*)
      | (?P<string>"(?P<text>(?:\\.|[^"\\\n])*)")
      | (?P<number>(?<!\w)\d(?:'?\w|\.)*)
      | (?P<char>'(?:\\.|[^'\\\n])+')""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
INCLUDE = re.compile(r'#[ \t]*include[ \t]*(?:"(?P<quoted>[^"]+)"|<(?P<angled>[^>]+)>)?')


class Source:
    """Includes [(line, path)], string literals [(line, text)], and code without both."""

    def __init__(self, text):
        self.includes = []
        self.literals = []
        code = []
        end = 0
        for token in TOKEN.finditer(text):
            code.append(text[end:token.start()])
            end = token.end()
            # The line of what was matched, not of the blanks before it.
            line = text.count("\n", 0, token.start()) + 1
            if token["include"]:
                include = INCLUDE.search(token["include"])
                self.includes.append((line, include["quoted"] or include["angled"]))
            elif token["raw"]:
                self.literals.append((line, token["rawtext"]))
            elif token["string"]:
                self.literals.append((line, token["text"]))
            elif token["number"]:
                code.append(token["number"])
            code.append("\n" * token[0].count("\n"))
        code.append(text[end:])
        self.code = "".join(code)


class Checker:
    def __init__(self, root, files):
        self.root = root
        self.files = set(files)
        self.complaints = []
        self.sources = {}

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def source(self, path):
        if path not in self.sources:
            self.sources[path] = Source(self.read(path))
        return self.sources[path]

    def complain(self, path, line, rule, what):
        self.complaints.append((path, line, rule, what))

    def resolve(self, path, include):
        """The include's path from the root: as written, or beside the file that includes it."""
        beside = posixpath.join(posixpath.dirname(path), include)
        if include not in self.files and beside in self.files:
            return beside
        return include

    def reach(self, path, exempt=()):
        """Everything that path includes, directly or not: {target: (line in path, chain)}."""
        reached = {}
        queue = [
            (line, [self.resolve(path, include)])
            for line, include in self.source(path).includes
            if include
        ]
        while queue:
            line, chain = queue.pop(0)
            target = chain[-1]
            if target in reached:
                continue
            reached[target] = (line, chain)
            if target in self.files and not matches(target, exempt):
                for _, include in self.source(target).includes:
                    if include:
                        queue.append((line, chain + [self.resolve(target, include)]))
        return reached

    def check(self):
        code = sorted(f for f in self.files if f.endswith(SOURCES + HEADERS)
                      and f.startswith(tuple(layer + "/" for layer in LAYERS))
                      and not f.startswith(UNLICENSED_FOLDERS))
        for path in code:
            self.check_includes(path)
            self.check_purity(path)
        self.check_cmake(f for f in code if f.endswith(SOURCES))
        for path in sorted(self.files):
            self.check_license(path)
        return sorted(set(self.complaints))

    def check_includes(self, path):
        layer = path.split("/", 1)[0]
        for line, include in self.source(path).includes:
            if include is None:
                self.complain(path, line, "computed", "#include of a macro")
                continue
            if ".." in include.split("/"):
                self.complain(path, line, "relative", include)
                include = posixpath.normpath(posixpath.join(posixpath.dirname(path), include))
            target = self.resolve(path, include)
            if target.split("/", 1)[0] in FORBIDDEN_LAYERS.get(layer, ()):
                self.complain(path, line, "layer", f"{layer}/ includes {target}")
            if layer in ("bpf", "collectors") and include.startswith(LIBRARIES):
                self.complain(path, line, "library", f"{layer}/ includes {include}")

    def check_purity(self, path):
        if path.startswith(PURE_FOLDERS):
            for target, (line, chain) in self.reach(path).items():
                if target.startswith(KERNEL_READERS) and not any(
                        step.startswith(KERNEL_READERS) for step in chain[:-1]):
                    self.complain(path, line, "purity", " -> ".join(chain))
            for line, text in self.source(path).literals:
                if re.match(r"/(proc|sys)(/|$)", text):
                    self.complain(path, line, "path", f'"{text}"')
        if path.startswith(NO_IO_FOLDERS) and not matches(path, NO_IO_EXEMPT):
            for target, (line, chain) in self.reach(path, NO_IO_EXEMPT).items():
                if target in IO_HEADERS and not matches_any(chain, NO_IO_EXEMPT):
                    self.complain(path, line, "io", " -> ".join(chain))
        if path.startswith(CLOCKLESS_FOLDERS):
            text = self.source(path).code
            for clock in CLOCKS.finditer(text):
                self.complain(path, text.count("\n", 0, clock.start()) + 1, "clock", clock[0])

    def check_cmake(self, sources):
        listed = set()
        for path in self.files:
            if posixpath.basename(path) != "CMakeLists.txt" and not path.endswith(".cmake"):
                continue
            folder = posixpath.dirname(path)
            text = re.sub(r"#[^\n]*", "", self.read(path))
            for word in re.split(r'[\s()";]+', text):
                if not word.endswith(SOURCES):
                    continue
                for prefix, base in (
                    ("${CMAKE_CURRENT_SOURCE_DIR}/", folder),
                    ("${CMAKE_CURRENT_LIST_DIR}/", folder),
                    ("${PROJECT_SOURCE_DIR}/", ""),
                    ("${CMAKE_SOURCE_DIR}/", ""),
                    ("", folder),
                ):
                    if word.startswith(prefix):
                        name = posixpath.join(base, word[len(prefix):])
                        listed.add(posixpath.normpath(name))
                        break
        for path in sources:
            if path not in listed:
                self.complain(path, 1, "cmake", "no CMakeLists.txt names this source")

    def check_license(self, path):
        name = posixpath.basename(path)
        if path.startswith(UNLICENSED_FOLDERS):
            return
        if not name.endswith(LICENSED) and name not in LICENSED_NAMES:
            return
        head = "\n".join(self.read(path).split("\n", 5)[:5])
        found = re.search(r"SPDX-License-Identifier: (.*?)\s*(?:\*/|-->)?\s*$", head, re.MULTILINE)
        wanted = BPF_LICENSE if path.startswith("bpf/") and name.endswith(
            SOURCES + HEADERS) else LICENSE
        if found is None:
            self.complain(path, 1, "spdx", f"no SPDX-License-Identifier: {wanted} in its first lines")
        elif found[1].strip("()") != wanted:
            self.complain(path, 1, "spdx", f"{found[1]}, expected {wanted}")


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def matches_any(paths, patterns):
    return any(matches(path, patterns) for path in paths)


def list_files(root):
    """Tracked and new files; without git (a release archive) every file outside build folders."""
    try:
        answer = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        )
        names = [os.fsdecode(name) for name in answer.stdout.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, files in os.walk(root):
            folders[:] = [f for f in folders if f != ".git" and not f.startswith("build")]
            names += [os.path.relpath(os.path.join(folder, f), root) for f in files]
    # A file deleted but not yet staged is still in the index; a link is its target's matter.
    return [n for n in names if os.path.isfile(os.path.join(root, n))
            and not os.path.islink(os.path.join(root, n))]


def report(complaints):
    for path, line, rule, what in complaints:
        print(f"{path}:{line}: {rule}: {what}")


# --- Self-test: a clean tree, then one planted violation at a time ---------------------------------

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
SPDX_BPF = "// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause\n"

CLEAN = {
    "CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\n"
    "add_library(collectors collectors/core/text.cc collectors/procfs/stat.cc)\n",
    "daemon/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\n"
    "add_executable(tidegauge main.cc heuristics/assess.cc\n"
    "  ${CMAKE_CURRENT_SOURCE_DIR}/exporter/text.cc exporter/http_server.cc recorder/ring.cc)\n",
    "tests/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\nadd_executable(t a_test.cc)\n",
    "bpf/disk.h": SPDX_BPF + "#include <linux/types.h>\n",
    "collectors/core/text.h": SPDX + "#include <string_view>\n",
    "collectors/core/text.cc": SPDX + '#include "collectors/core/text.h"\n#include "bpf/disk.h"\n',
    "collectors/core/kernel_files.h": SPDX + "#include <fcntl.h>\n#include <filesystem>\n",
    "collectors/procfs/stat.h": SPDX + '#include "collectors/core/kernel_files.h"\n',
    "collectors/procfs/stat.cc": SPDX + '#include "collectors/procfs/stat.h"\n'
    'const char* kPath = "/proc/stat";\n',
    "daemon/main.cc": SPDX + '#include <yaml-cpp/yaml.h>\n#include "collectors/procfs/stat.h"\n'
    "auto t = std::chrono::system_clock::now();\n",
    # What only looks like a violation: comments, digit separators, quotes in characters, raw text.
    "daemon/heuristics/assess.cc": SPDX + '#include "collectors/core/text.h"\n'
    '// #include "collectors/procfs/stat.h"\n/* "/proc/stat"\n   steady_clock::now() */\n'
    "int kBig = 1'000'000; char kQuote = '\"'; // \"/proc\n"
    'auto a = R"x(see "/proc/stat")x"; auto b = "a \\" /sys"; auto c = "/system"; auto d = "//x";\n',
    "daemon/exporter/text.cc": SPDX + '#include "collectors/core/text.h"\n'
    '#include "daemon/exporter/http_server.h"\n',
    "daemon/exporter/http_server.h": SPDX + "#include <fcntl.h>\n",
    "daemon/exporter/http_server.cc": SPDX + '#include "daemon/exporter/http_server.h"\n'
    "#include <fcntl.h>\n#include <microhttpd.h>\n",
    "daemon/recorder/ring.cc": SPDX + "#include <fcntl.h>\n#include <filesystem>\n",
    "tests/a_test.cc": SPDX + '#include "daemon/exporter/http_server.h"\n',
    "tests/fixtures/proc/x.c": "no licence, no build\n",
    "README.md": "no licence needed\n",
}

# (the one rule that must speak, the file to change, what is put after its first line)
PLANTED = [
    ("layer", "bpf/disk.h", '#include "collectors/core/text.h"\n'),
    ("layer", "collectors/core/text.h", '#include "daemon/config/config.h"\n'),
    ("layer", "collectors/core/text.cc", "#include <daemon/config/config.h>\n"),
    ("layer", "collectors/core/text.cc", '#  include   "tests/helpers.h"\n'),
    ("layer", "daemon/main.cc", '#include "tests/helpers.h"\n'),
    ("library", "collectors/core/text.cc", "#include <prometheus/registry.h>\n"),
    ("library", "collectors/core/text.cc", "#include <yaml-cpp/yaml.h>\n"),
    ("library", "collectors/core/text.cc", "#include <spdlog/spdlog.h>\n"),
    ("library", "collectors/core/text.cc", "#include <CLI/CLI.hpp>\n"),
    ("library", "collectors/core/text.cc", "#include <nlohmann/json.hpp>\n"),
    ("library", "collectors/core/text.cc", "#include <microhttpd.h>\n"),
    ("purity", "daemon/heuristics/assess.cc", '#include "collectors/procfs/vmstat.h"\n'),
    ("purity", "daemon/recorder/ring.cc", '#include "collectors/block/diskstats.h"\n'),
    ("purity", "daemon/recorder/ring.cc", '#include "collectors/core/kernel_files.h"\n'),
    ("purity", "daemon/exporter/http_server.h", '#include "collectors/ebpf/loader.h"\n'),
    ("purity", "daemon/exporter/text.cc", '#include "collectors/process/table.h"\n'),
    # Through an innocent header: every pure file that includes it is named.
    ("purity", "collectors/core/text.h", '#include "collectors/process/table.h"\n'),
    ("io", "daemon/heuristics/assess.cc", "#include <fstream>\n"),
    ("io", "daemon/exporter/text.cc", "#include <filesystem>\n"),
    ("io", "daemon/exporter/text.cc", "#include <dirent.h>\n"),
    ("io", "daemon/exporter/text.cc", "#include <fcntl.h>\n"),
    ("io", "collectors/core/text.h", "#include <fstream>\n"),
    ("clock", "daemon/heuristics/assess.cc", "auto t = std::chrono::steady_clock::now();\n"),
    ("clock", "daemon/heuristics/assess.cc", "int r = clock_gettime(CLOCK_MONOTONIC, &ts);\n"),
    ("path", "daemon/heuristics/assess.cc", 'auto p = "/proc/1/status";\n'),
    ("path", "daemon/exporter/text.cc", 'auto p = R"(/sys/block)";\n'),
    ("path", "daemon/recorder/ring.cc", 'auto p = "/proc";\n'),
    ("relative", "daemon/main.cc", '#include "../daemon/exporter/http_server.h"\n'),
    ("relative", "tests/a_test.cc", '#include "../daemon/exporter/http_server.h"\n'),
    ("computed", "daemon/main.cc", "#include CONFIG_HEADER\n"),
]


def complaints_of(changes):
    """Complaints about CLEAN with some files replaced (None: removed), in a scratch folder."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **changes}.items():
            if text is None:
                continue
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        return Checker(root, list_files(root)).check()


def after_first_line(path, text):
    first, rest = CLEAN[path].split("\n", 1)
    return f"{first}\n{text}{rest}"


def self_test():
    cases = [(None, "a clean tree", {})]
    for rule, path, text in PLANTED:
        cases.append((rule, f"{path}: {text.strip()}", {path: after_first_line(path, text)}))
    cmake = CLEAN["daemon/CMakeLists.txt"]
    cases += [
        ("cmake", "a source nobody names", {"collectors/core/new.cc": SPDX}),
        ("cmake", "a test nobody names", {"tests/unit/new_test.cc": SPDX}),
        ("cmake", "a source named elsewhere only", {"collectors/main.cc": SPDX}),
        ("cmake", "a source named in a comment",
         {"daemon/CMakeLists.txt": cmake.replace("recorder/ring.cc)", ") # recorder/ring.cc")}),
        ("spdx", "a source without licence",
         {"daemon/main.cc": CLEAN["daemon/main.cc"].replace(SPDX, "")}),
        ("spdx", "a script without licence", {"tests/x.py": "pass\n"}),
        ("spdx", "the other licence in bpf/", {"bpf/disk.h": SPDX}),
        ("spdx", "bpf's licence elsewhere", {"collectors/core/text.h": SPDX_BPF}),
    ]
    failures = 0
    for rule, name, changes in cases:
        complaints = complaints_of(changes)
        if {complaint[2] for complaint in complaints} != ({rule} if rule else set()):
            failures += 1
            print(f"self-test: {name}: expected {rule or 'nothing'}, got:")
            report(complaints)
    # One planted line is reported at its place.
    places = [c[:2] for c in complaints_of({
        "daemon/main.cc": after_first_line("daemon/main.cc", '/*\n*/\n#include "tests/x.h"\n')})]
    if places != [("daemon/main.cc", 4)]:
        failures += 1
        print(f"self-test: expected a complaint at daemon/main.cc:4, got {places}")
    print(f"layers: self-test of {len(cases) + 1} trees, {failures} wrong")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--self-test", action="store_true", help="plant violations, expect them")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), "..", ".."))
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    checker = Checker(arguments.root, list_files(arguments.root))
    complaints = checker.check()
    report(complaints)
    if complaints:
        print(f"layers: {len(complaints)} complaints", file=sys.stderr)
        return 1
    print(f"layers: {len(checker.sources)} sources, all dependencies point one way")
    return 0


if __name__ == "__main__":
    sys.exit(main())
