# SPDX-License-Identifier: Apache-2.0
"""Debian's cloud kernels of several releases, fetched once and kept.

They come from the mirror this machine's own apt uses, through a private apt configuration that names another suite:
the machine's lists and packages are not touched, and no root is needed. apt checks signatures against the machine's
debian-archive-keyring. What a virtual machine needs is kept below cache_directory(), so that later runs need no
network; remove that folder to fetch newer kernels.
"""

import contextlib
import fcntl
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
META_PACKAGE = "linux-image-cloud-amd64"
# Since 7.x an image is an empty package that depends on one with the kernel and one with its modules.
PARTS = re.compile(r"linux-(?:image|binary|modules)-\d[\w.+-]*-cloud-amd64(?:-unsigned)?")
FETCH_SECONDS = 300
# Enough for virtio disks and networks and the file systems on them, with what those depend on.
KEPT_MODULES = ("drivers/virtio", "drivers/block", "drivers/net", "drivers/md", "fs", "lib", "crypto", "arch", "net/core")


class Unavailable(Exception):
    """The kernel cannot be had here; the text says why."""


@dataclass
class Kernel:
    suite: str
    release: str  # as uname -r tells it
    directory: Path

    @property
    def image(self):
        return self.directory / "vmlinuz"

    def module_files(self, names):
        """Paths of these modules and all they need, in the order to load them. Those built in are left out."""
        order = []

        def visit(name):
            path = self.directory / "modules" / f"{name.replace('-', '_')}.ko"
            if path not in order and path.exists():
                text = path.read_bytes()
                needs = [word for key in (b"depends", b"softdep") for value in re.findall(rb"\0%s=([^\0]*)\0" % key, text)
                         for word in re.split(rb"[,\s]+", value.split(b"post:")[0])]
                for need in needs:
                    if need and need != b"pre:":
                        visit(need.decode())
                order.append(path)
        for name in names:
            visit(name)
        return order


def cache_directory():
    base = os.environ.get("TIDEGAUGE_LAB_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegauge-lab"


def run(*argv, **options):
    done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=FETCH_SECONDS, check=False, **options)
    if done.returncode != 0:
        complaints = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("E:", "W:", "Err:"))]
        raise Unavailable(f"{argv[0]}: " + " ".join(complaints[:3] or done.stderr.splitlines()[-1:] or ["failed"]))
    return done.stdout


def mirror():
    """The address of the Debian archive this machine installs from."""
    if not shutil.which("apt-get"):
        raise Unavailable("no apt-get here")
    targets = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages")
    for line in targets.splitlines():
        origin, codename, address = line.split(" ", 2)
        if origin == "Debian" and codename.isalpha():  # not -updates, not -security
            return address
    raise Unavailable("this machine's apt names no Debian archive, or its lists were never fetched (apt-get update)")


class PrivateApt:
    """apt with folders and sources of its own; whatever else the machine configures (a proxy, say) stays."""

    def __init__(self, suite, root):
        if not KEYRING.exists():
            raise Unavailable(f"{KEYRING} is missing (package debian-archive-keyring): signatures cannot be checked")
        self.root = root
        for name in ("lists/partial", "archives/partial", "state"):
            (root / name).mkdir(parents=True)
        (root / "status").touch()
        (root / "lab.sources").write_text(
            f"Types: deb\nURIs: {mirror()}\nSuites: {suite}\nComponents: main\nArchitectures: amd64\n"
            f"Signed-By: {KEYRING}\n")
        (root / "apt.conf").write_text(
            f'Dir::State "{root}/state";\nDir::State::lists "{root}/lists";\nDir::State::status "{root}/status";\n'
            f'Dir::Cache "{root}";\nDir::Cache::archives "{root}/archives";\n'
            f'Dir::Etc::sourcelist "{root}/lab.sources";\nDir::Etc::sourceparts "-";\n'
            'APT::Architecture "amd64";\nAPT::Get::AllowUnauthenticated "false";\nAcquire::Languages "none";\n'
            'Acquire::AllowInsecureRepositories "false";\nAcquire::Retries "2";\n'
            f'APT::Sandbox::User "{"root" if os.geteuid() == 0 else ""}";\n'  # others cannot reach a home
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n")
        self("apt-get", "update", "--error-on=any")

    def __call__(self, program, *arguments):
        return run(program, "-c", self.root / "apt.conf", *arguments, cwd=self.root / "archives")

    def depends(self, package):
        text = self("apt-cache", "show", "--no-all-versions", package)
        lines = re.findall(r"^(?:Pre-)?Depends: (.*)$", text, re.MULTILINE)
        return [word.split()[0] for line in lines for word in line.split(",")]

    def kernel_packages(self):
        wanted, left = [], [META_PACKAGE]
        while left:
            for package in self.depends(left.pop()):
                if PARTS.fullmatch(package) and package not in wanted:
                    wanted.append(package)
                    left.append(package)
        if not wanted:
            raise Unavailable(f"{META_PACKAGE} names no kernel package")
        return wanted


def keep_modules(unpacked, directory):
    """Uncompressed and in one folder: names of modules are unique, busybox's insmod reads plain files."""
    directory.mkdir()
    for path in unpacked.rglob("*.ko*"):
        inner = str(path).partition("/kernel/")[2]
        if path.is_file() and inner.startswith(KEPT_MODULES):
            name, _, packing = path.name.partition(".ko")
            if packing not in ("", ".xz"):
                raise Unavailable(f"modules are packed as {packing}")
            data = path.read_bytes()
            (directory / f"{name.replace('-', '_')}.ko").write_bytes(lzma.decompress(data) if packing else data)


def fetch(suite, target):
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as temporary:
        work = Path(temporary)
        apt = PrivateApt(suite, work / "apt")
        apt("apt-get", "download", *apt.kernel_packages())
        for package in (work / "apt" / "archives").glob("*.deb"):
            run("dpkg-deb", "--extract", package, work / "unpacked")
        images = list((work / "unpacked").rglob("vmlinuz*"))
        releases = {path.parent.name for path in (work / "unpacked").rglob("modules/*/kernel")}
        if len(images) != 1 or len(releases) != 1:
            raise Unavailable(f"the packages hold {len(images)} kernel images and modules of {len(releases)} releases")
        kept = work / "kept"
        kept.mkdir()
        shutil.copyfile(images[0], kept / "vmlinuz")
        keep_modules(work / "unpacked", kept / "modules")
        (kept / "release").write_text(releases.pop() + "\n")
        kept.rename(target)


@contextlib.contextmanager
def locked(path):
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kernel(suite):
    """The suite's newest cloud kernel, or the one fetched earlier; Unavailable."""
    base = cache_directory()
    base.mkdir(parents=True, exist_ok=True)
    target = base / suite
    with locked(base / f"{suite}.lock"):
        if not target.exists():
            try:
                fetch(suite, target)
            except subprocess.TimeoutExpired as error:
                raise Unavailable(f"{error.cmd[0]} took more than {FETCH_SECONDS} s") from None
    return Kernel(suite, (target / "release").read_text().strip(), target)
