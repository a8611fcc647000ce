# SPDX-License-Identifier: Apache-2.0
"""Orders into SQLite, each a transaction of its own: orders.py DATABASE."""

import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("pragma journal_mode = wal")
database.execute("pragma synchronous = full")
database.execute("create table if not exists orders (number integer primary key, what text)")
while True:
    database.execute("insert into orders (what) values (?)", ("a chair, two tables",))
