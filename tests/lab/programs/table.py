# SPDX-License-Identifier: Apache-2.0
"""Updates a table in memory that is larger than the memory, here and there: table.py MEBIBYTES."""

import random
import sys

PAGE = 4096
table = bytearray(int(sys.argv[1]) << 20)
pages = len(table) // PAGE
for page in range(pages):
    table[page * PAGE] = 1
while True:
    for page in random.choices(range(pages), k=4000):
        table[page * PAGE] = (table[page * PAGE] + 1) & 255
