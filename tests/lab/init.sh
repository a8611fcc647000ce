#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The guest's first process: mounts what a host has, loads the modules it was given, then runs what
# comes over the second serial line, one command after another (vm.py is the other end). The first
# line is the console. A request is a line "SECONDS COMMAND", the command in base64; the answer is a
# line "STATUS BYTES BYTES" with stdout, compressed because the line is slow, and stderr behind it.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tracefs trace /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
while read -r module; do
  insmod "/modules/$module" || echo "lab: no module $module"
done </modules/order

exec 3<>/dev/ttyS1
stty raw -echo <&3
echo ready >&3
# Not by the builtin `read`: it drops what it has of a line whenever some orphan ends.
while request=$(head -n 1 <&3) && [ -n "$request" ]; do
  echo "${request#* }" | base64 -d >/tmp/request
  timeout "${request%% *}" sh /tmp/request </dev/null >/tmp/stdout 2>/tmp/stderr
  status=$?
  gzip -f /tmp/stdout
  { echo "$status $(wc -c </tmp/stdout.gz) $(wc -c </tmp/stderr)"; cat /tmp/stdout.gz /tmp/stderr; } >&3
done
poweroff -f
