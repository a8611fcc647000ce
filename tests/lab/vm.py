# SPDX-License-Identifier: Apache-2.0
"""A virtual machine that runs the program under test on another kernel, under QEMU without KVM.

Its root is an initramfs: busybox, the program with the shared libraries it has here, the helpers, and init.sh, which
runs commands that come over the second serial line. The first is the console; a panic there ends the machine.
"""

import base64
import ctypes
import gzip
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

LIFETIME_SECONDS = 180
BOOT_SECONDS = 60
MEMORY_MIB = 512
CPUS = 2
GRACE_SECONDS = 20  # for an answer to come after its time
PANIC = "Kernel panic"  # an oops becomes one
CONSOLE_LINES = 40
# What the kernel knows a disk by; the rest of the modules follow from what these need.
DISK_MODULES = ("virtio_pci", "virtio_blk")
# What the oldest kernel here understands.
MKFS_FLAGS = {"ext4": ("-q",), "xfs": ("-q", "-f", "-m", "bigtime=0,inobtcount=0"), "btrfs": ("-q", "-f", "-R", "^free-space-tree")}
HERE = Path(__file__).resolve().parent


class GuestLost(AssertionError):
    """The machine panicked, ended or ran out of time."""


@dataclass
class Outcome:
    status: int
    stdout: str
    stderr: str


@dataclass
class Disk:
    """A raw disk, empty and sparse: /dev/vda in the guest, the next one /dev/vdb."""

    mebibytes: int
    options: str = ""  # of -drive: "throttling.bps-total=20000000"
    filesystem: str = ""  # "ext4", "xfs", "btrfs": made on it before the start
    image: Path | None = None  # one that somebody made, instead of an empty one


def shared_libraries(program):
    """What ldd says it loads, the loader among them."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", text)


def make_initramfs(target, programs, kernel, modules):
    """`programs`, {name: path}, are installed to /bin with the libraries they need, wherever they want them."""
    with tempfile.TemporaryDirectory(prefix="root-", dir=target.parent) as temporary:
        root = Path(temporary)
        for name in ("bin", "dev", "proc", "sys", "tmp", "etc", "run", "modules", "mnt"):
            (root / name).mkdir()

        def install(source, place):
            path = root / place.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            # Debugging symbols are most of a program, and the guest's memory is small.
            subprocess.run(["strip", "--strip-debug", "-o", path, Path(source).resolve()], check=True)
            path.chmod(0o755)

        for name, program in {"busybox": "/bin/busybox", **programs}.items():
            install(program, f"bin/{name}")
            if subprocess.run(["ldd", program], capture_output=True, check=False).returncode == 0:
                for library in shared_libraries(program):
                    install(library, library)
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nlab:x:1234:1234:lab:/:/bin/sh\n")
        (root / "init").write_bytes((HERE / "init.sh").read_bytes())
        (root / "init").chmod(0o755)
        (root / "bin/sh").symlink_to("busybox")
        order = kernel.module_files(modules)
        for path in order:
            (root / "modules" / path.name).write_bytes(path.read_bytes())
        (root / "modules/order").write_text("".join(f"{path.name}\n" for path in order))
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*"))) + "\n"
        with open(target, "wb") as out:  # not compressed: reading is cheaper for an emulated CPU
            subprocess.run(["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"], cwd=root, input=names.encode(),
                           stdout=out, check=True)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Machine:
    """Boots at once; run() says what a command there answered. stop() ends it, whatever state it is in."""

    def __init__(self, kernel, programs, directory, *, disks=(), modules=(), options=()):
        self.directory = Path(directory)
        self.console_path = self.directory / "console.log"
        self.line, theirs = socket.socketpair()
        self.buffer = bytearray()
        self.out_of_time = self.is_lost = False
        initramfs = self.directory / "initramfs.cpio"
        make_initramfs(initramfs, programs, kernel, (*(DISK_MODULES if disks else ()), *modules))
        argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand", "-smp", CPUS,
                "-m", MEMORY_MIB, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-kernel", kernel.image, "-initrd", initramfs,
                "-append", "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 random.trust_cpu=on rdinit=/init",
                "-serial", f"file:{self.console_path}",
                "-chardev", f"socket,id=commands,fd={theirs.fileno()}", "-serial", "chardev:commands"]
        for number, disk in enumerate(disks):
            image = disk.image or self.directory / f"disk{number}.img"
            with open(image, "ab") as file:
                file.truncate(disk.mebibytes << 20)
            if disk.filesystem:
                subprocess.run(["mkfs." + disk.filesystem, *MKFS_FLAGS.get(disk.filesystem, ()), image], check=True,
                               capture_output=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
            argv += ["-drive", f"file={image},format=raw,if=virtio,cache=unsafe" + (disk.options and f",{disk.options}")]
        argv += options
        self.started = time.monotonic()
        with theirs, open(self.directory / "qemu.log", "wb") as log:
            self.process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, pass_fds=[theirs.fileno()], preexec_fn=die_with_parent)
        self.watchdog = threading.Timer(LIFETIME_SECONDS, self.end_of_life)
        self.watchdog.daemon = True
        self.watchdog.start()
        try:
            while self.read_line(BOOT_SECONDS) != b"ready":
                pass
        except BaseException:
            self.stop()
            raise
        self.boot_seconds = time.monotonic() - self.started

    def end_of_life(self):
        self.out_of_time = True
        self.process.kill()

    def stop(self):
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait()
        self.line.close()

    def power_off(self):
        """The guest's own end; whether it came."""
        try:
            self.send("poweroff -f", 10)
            return self.process.wait(20) == 0
        except (GuestLost, subprocess.TimeoutExpired):
            return False
        finally:
            self.stop()

    # What it says when it is asked nothing.

    def console(self):
        return self.console_path.read_text("utf-8", "replace").replace("\r", "") if self.console_path.exists() else ""

    def panicked(self):
        return PANIC in self.console()

    def lost(self, reason):
        """The exception to raise. Told in full once: what comes after has the same cause."""
        if self.is_lost:
            return GuestLost("the machine was lost before")
        self.is_lost = True
        if self.out_of_time:
            reason = f"more than {LIFETIME_SECONDS} s"
        if self.panicked():
            reason = PANIC
        qemu = (self.directory / "qemu.log").read_text("utf-8", "replace")
        tail = "\n".join(self.console().splitlines()[-CONSOLE_LINES:])
        return GuestLost(f"the machine is lost: {reason}\n{qemu}--- console\n{tail}")

    # The command line.

    def send(self, command, seconds):
        if self.is_lost:
            raise self.lost("")
        try:
            self.line.sendall(b"%d %s\n" % (seconds, base64.b64encode(command.encode())))
        except OSError:
            raise self.lost("QEMU ended") from None

    def receive(self, deadline):
        """Waits for more of the guest's words, but not after a panic."""
        while True:
            self.line.settimeout(min(1.0, max(0.01, deadline - time.monotonic())))
            try:
                chunk = self.line.recv(1 << 16)
            except TimeoutError:
                if self.panicked() or time.monotonic() >= deadline:
                    raise self.lost("no answer") from None
                continue
            except OSError:
                chunk = b""
            if not chunk:
                raise self.lost("QEMU ended")
            self.buffer += chunk
            return

    def read_line(self, seconds):
        deadline = time.monotonic() + seconds
        while (end := self.buffer.find(b"\n")) < 0:
            self.receive(deadline)
        return self.take(end + 1).rstrip(b"\r\n")

    def read_bytes(self, count):
        deadline = time.monotonic() + GRACE_SECONDS
        while len(self.buffer) < count:
            self.receive(deadline)
        return self.take(count)

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def run(self, command, seconds=30):
        """Runs a shell command, or a list of words; after so many seconds it is ended there."""
        if not isinstance(command, str):
            command = shlex.join(map(str, command))
        self.send(command, seconds)
        status, out, err = map(int, self.read_line(seconds + GRACE_SECONDS).split())
        stdout = gzip.decompress(self.read_bytes(out)).decode("utf-8", "replace")
        return Outcome(status, stdout, self.read_bytes(err).decode("utf-8", "replace"))

    def text(self, command, seconds=30):
        """What a command prints; AssertionError if it fails."""
        done = self.run(command, seconds)
        if done.status != 0:
            raise AssertionError(f"{command}: status {done.status}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def spawn(self, name, *words, before=""):
        """Starts a program with its output in /tmp/NAME.out and .err; its pid. `before` is run by the shell that
        becomes it."""
        line = f"{before} exec {shlex.join(map(str, words))}"
        return int(self.text(f"rm -f /tmp/{name}.out; sh -c {shlex.quote(line)} >/tmp/{name}.out 2>/tmp/{name}.err & echo $!"))

    def write(self, path, text):
        self.text(f"cat >{shlex.quote(path)} <<'end-of-file'\n{text}end-of-file\n")
