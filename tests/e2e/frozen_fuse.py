# SPDX-License-Identifier: Apache-2.0
"""A file system whose server can be frozen: what a dead NFS mount or a stopped FUSE daemon looks like to statfs().

The kernel's FUSE protocol in a thread of the test: a directory with one file, FILE, of zeros, that answers statfs
and getattr. While frozen it reads no request, so callers hang until it thaws, is closed, or they are killed. The mount
exists only in the private mount namespace of the program that is started with `enter` as its before_exec hook; it goes
with that program. Needs root and /dev/fuse.

FLUSH is what close() waits for. It is never answered: who closes the file hangs, and once it has been sent a signal
that kills, nothing but the end of the connection frees it. `stick` starts a task that gets there inside execve().
"""

import ctypes
import errno
import os
import select
import signal
import struct
import subprocess
import sys
import threading

from harness import libc, wait_until

CLONE_NEWNS = 0x00020000
MS_REC, MS_BIND, MS_PRIVATE = 0x4000, 0x1000, 1 << 18
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
FLUSH, INIT, INTERRUPT, BATCH_FORGET = 25, 26, 36, 42
DIRECTORY_MODE, FILE_MODE = 0o40755, 0o100644
ROOT, FILE_NODE = 1, 2
FILE_BYTES = 65536
FILE = "file"
BLOCKS = 1000  # of 4096 bytes

# Mounts in a mount namespace of its own and starts tasks named argv[2]. Each opens the file so that exec closes it, and
# execs: there, with its exec_update_lock held, it waits for FLUSH. The server's descriptor is closed before, because its
# end is what frees them.
STUCK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
point, name, device, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
if libc.unshare(0x00020000) != 0 or libc.mount(b"none", b"/", None, 0x4000 | 1 << 18, None) != 0 \\
        or libc.mount(b"tidegauge-test", point.encode(), b"fuse.frozen", 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.close(device)
for _ in range(count):
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, 9, 0, 0, 0)
        libc.prctl(15, name.encode(), 0, 0, 0)
        os.open(point + "/file", os.O_RDONLY | os.O_CLOEXEC)
        sys.stdin.readline()
        os.execv("/bin/sleep", ["sleep", "600"])
    print(pid, flush=True)
sys.stdin.close()
for _ in range(count):
    os.wait()
"""


def unavailable():
    """Why it cannot be used here, or None."""
    if os.geteuid() != 0:
        return "needs root to mount a FUSE file system"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs /dev/fuse"
    pid = os.fork()
    if pid == 0:
        os._exit(0 if libc.unshare(CLONE_NEWNS) == 0 else 1)
    return "needs mount namespaces" if os.waitpid(pid, 0)[1] != 0 else None


def attributes(node):
    size, mode = (FILE_BYTES, FILE_MODE) if node == FILE_NODE else (0, DIRECTORY_MODE)
    return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def check(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))



class FrozenFuse:
    def __init__(self, mount_point):
        self.mount_point = str(mount_point)
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK)
        self.wake_read, self.wake_write = os.pipe()
        self.frozen = self.closing = False
        self.statfs_answers = self.flushes = 0
        self.starter = None
        self.stuck = []  # pids
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def enter(self):
        """In the child before exec: a private mount namespace with this file system in it."""
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        check(libc.mount(b"tidegauge-test", self.mount_point.encode(), b"fuse.frozen", 0, options.encode()))
        # Collectors read pid 1's mounts; here they are this program's.
        check(libc.mount(f"/proc/{os.getpid()}/mountinfo".encode(), b"/proc/1/mountinfo", None, MS_BIND, None))

    def freeze(self):
        self.frozen = True
        os.write(self.wake_write, b"x")

    def thaw(self):
        self.frozen = False
        os.write(self.wake_write, b"x")

    def stick(self, name, count=1):
        """Starts tasks, and returns their pids when they run. Instead of `enter`: the mount is theirs."""
        self.starter = subprocess.Popen([sys.executable, "-c", STUCK, self.mount_point, name, str(self.fd), str(count)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[self.fd], text=True)
        self.stuck = [int(self.starter.stdout.readline()) for _ in range(count)]
        return self.stuck

    def let_exec(self):
        """They exec and hang; returns once they do."""
        self.starter.stdin.close()
        wait_until(lambda: self.flushes == len(self.stuck), 5, lambda: f"{self.flushes} of {self.stuck} to hang")

    def free(self):
        """Ends tasks and connection, in any state, and sees to it that none is left: one would block `ps` for all."""
        for pid in self.stuck:
            kill(pid)
        self.close()
        if self.starter:
            kill(self.starter.pid)
            self.starter.stdout.close()
            self.starter.stdin.close()
            self.starter.wait()
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in self.stuck), 5, f"the end of {self.stuck}")
        self.starter, self.stuck = None, []

    def close(self):
        """Ends the connection: hanging calls return ENOTCONN."""
        if not self.closing:
            self.closing = True
            os.write(self.wake_write, b"x")
            self.thread.join()
            for fd in (self.fd, self.wake_read, self.wake_write):
                os.close(fd)

    def _serve(self):
        while not self.closing:
            # Not mounted yet, the device is "readable" but a read says EPERM.
            watched = [self.wake_read] if self.frozen else [self.wake_read, self.fd]
            ready, _, _ = select.select(watched, [], [], 0.5)
            if self.wake_read in ready:
                os.read(self.wake_read, 4096)
            elif self.fd in ready:
                self._answer()

    def _answer(self):
        try:
            request = os.read(self.fd, 1 << 17)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENODEV):  # not mounted yet, or no longer
                select.select([self.wake_read], [], [], 0.01)
            return
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        body, error = b"", 0
        if opcode == INIT:
            _, _, readahead, _ = struct.unpack_from("<4I", request, 40)
            body = struct.pack("<4I2H2I2H8I", 7, 31, readahead, 0, 12, 9, 65536, 1, 0, 0, *[0] * 8)
        elif opcode == STATFS:
            self.statfs_answers += 1
            body = struct.pack("<5Q4I6I", BLOCKS, BLOCKS // 2, BLOCKS // 2, 10, 5, 4096, 255, 4096, 0, *[0] * 6)
        elif opcode == GETATTR:
            body = struct.pack("<Q2I", 1, 0, 0) + attributes(node)
        elif opcode == LOOKUP and request[40:].rstrip(b"\0") == FILE.encode():
            body = struct.pack("<4Q2I", FILE_NODE, 0, 1, 1, 0, 0) + attributes(FILE_NODE)
        elif opcode == OPEN:
            body = struct.pack("<Q2I", 1, 0, 0)
        elif opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", request, 40)
            body = bytes(max(0, min(size, FILE_BYTES - offset)))
        elif opcode == RELEASE:
            pass
        elif opcode == FLUSH:
            self.flushes += 1
            return
        else:
            error = -errno.ENOSYS
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except OSError:
            pass  # the caller was killed meanwhile
