# SPDX-License-Identifier: Apache-2.0
"""Case A: each request writes many files into a directory of its own, reads them back and removes them.

temp_files.py ROOT FILES BYTES: requests one after the other, on a thread of its own, until somebody ends it.
"""

import os
import shutil
import sys
import threading
import uuid


def call_me(name):
    with open("/proc/thread-self/comm", "w", encoding="ascii") as file:
        file.write(name)


def request(root, files, size):
    directory = f"{root}/{uuid.uuid1()}"
    os.mkdir(directory)
    content = os.urandom(size)
    for i in range(files):
        with open(f"{directory}/{i}.txt", "wb") as file:
            file.write(content)
    found = 0
    for i in range(files):
        with open(f"{directory}/{i}.txt", "rb") as file:
            found += len(file.read())
    shutil.rmtree(directory)
    return found


def serve(root, files, size):
    call_me("word-worker")
    print(threading.get_native_id(), flush=True)
    while True:
        request(root, files, size)


call_me("flask")
thread = threading.Thread(target=serve, args=(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
thread.start()
thread.join()
