# SPDX-License-Identifier: Apache-2.0
"""Case B: a read path that adds each matching key to a set in redis, one after the other.

tags.py PORT: requests one after the other until somebody ends it, of 1000 keys each. Its own work per key is a few ms.
"""

import socket
import sys
import time


def command(line, *words):
    line.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    answer = b""
    while not answer.endswith(b"\r\n"):
        answer += line.recv(4096)
    return answer


with open("/proc/self/comm", "w", encoding="ascii") as name:
    name.write("flask")
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as redis:
    redis.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = 0
    while True:
        request += 1
        begin, key = time.monotonic(), 0
        for key in range(1000):
            command(redis, b"SADD", b"tag:%d" % request, b"uuid-%08d-%08d" % (request, key))
        print(f"request {request}: {time.monotonic() - begin:.2f} s", flush=True)
