#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target of build-fuzz/ for so many seconds (default 60), one after another, on a corpus that
# is kept in build-fuzz/corpus/. Findings land in build-fuzz/findings/; any makes this fail.
# TIDEGAUGE_FUZZ_TARGET=task_merge spends all of process_fuzz's time on that part.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-60}
build=build-fuzz
findings=$build/findings
fixtures=tests/fixtures/linux-6.12/proc
mkdir -p "$findings"

# seed NUMBER TEXT: one input for process_fuzz; NUMBER is the part's place in its table.
seed() {
  local file
  file=$build/seeds/process_fuzz/$1-$(printf '%s' "$2" | cksum | cut -d' ' -f1)
  { printf "\\x$(printf %02x "$1")"; printf '%s\n' "$2"; } >"$file"
}

mkdir -p "$build"/seeds/{process,http,config,collector,recording,verdict}_fuzz
seed 0 '1234 (a) R 1 (b) S 1 1234 1234 0 -1 4194560 18 0 1 0 2 3 0 0 20 0 1 0 6789 4096 25 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 7 0 0 1 1 1 1 1 1 1 0'
seed 1 "$(printf 'Name:\tsh\nState:\tS (sleeping)\nTgid:\t7\nNSpid:\t7\nUid:\t0\t0\t0\t0\nVmRSS:\t   4 kB\nRssAnon:\t   4 kB\nRssFile:\t   4 kB\nRssShmem:\t   0 kB\nVmSwap:\t   0 kB\nThreads:\t1\nKthread:\t0\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t0')"
seed 2 "$(printf 'rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7')"
seed 3 '123456 7890 12'
seed 4 "$(printf '\x01anon 10\nfile 20\nusage_usec 3\nuser_usec 2\nsystem_usec 1\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=5')"
seed 4 "$(printf '\x018:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6')"
seed 4 "$(printf '\x028:0 Read 1\n8:0 Write 2\nTotal 3')"
seed 5 '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw'
seed 5 '35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct'
seed 6 '   8       0 sda 1 2 3 4 5 6 7 8 9 10 11'
seed 7 '0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope'
seed 7 "$(printf '9:memory:/kubepods.slice/kubepods-pod0a1b2c3d_0a1b_0a1b_0a1b_0a1b2c3d4e5f.slice/cri-containerd-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n1:name=systemd:/lxc.payload.web/user.slice')"
seed 9 "$(printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false')"
seed 10 "$(printf '\x20a\xc3\xa9\xff\xe2\x82\xac\xf0\x9f\x98\x80')"
seed 11 '0-3,8,10-11'
seed 11 '22 27 0:22 / /proc rw,relatime - proc proc rw,gid=4,hidepid=invisible'
cp config/tidegauge.yaml "$build/seeds/config_fuzz/"
printf '/metrics?collect[]=cpu' >"$build/seeds/http_fuzz/target"
cp "$fixtures/vmstat" "$build/seeds/collector_fuzz/"
# A second of this machine's cheap collectors: as a file, and each chunk's plain bytes.
"$build/make_recording" "$build/seed.tgrec" 1 250 250 loadavg meminfo netdev pressure >/dev/null
"$build/make_recording" --seeds "$build/seed.tgrec" "$build/seeds/recording_fuzz"
# A recording as it is, a series that runs, each real incident as it was.
{ printf '\x00'; cat "$build/seed.tgrec"; } >"$build/seeds/verdict_fuzz/file"
printf '\x01\x00\x00\x03\x00\x03\x07\x00\x27\x07\x00\x27' >"$build/seeds/verdict_fuzz/series"
for incident in 00 01 02 03 04 05 06 07 08 09; do
  printf "\\x02\\x$incident\\x01\\x00\\x00\\x00\\x20\\x40\\x01\\x0e\\x05" >"$build/seeds/verdict_fuzz/incident$incident"
done

status=0
for target in http_fuzz config_fuzz collector_fuzz process_fuzz recording_fuzz verdict_fuzz; do
  corpus=$build/corpus/$target
  log=$build/$target.log
  mkdir -p "$corpus"
  # A unit that takes 10 s, or a process beyond 2 GiB, is a finding too.
  if ! "$build/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$findings/$target-" "$corpus" "$build/seeds/$target" </dev/null >"$log" 2>&1; then
    status=1
    grep -vE '^#|NEW_FUNC' "$log" | tail -n 60
    echo "$target: FAILED, see $log and $findings/"
    continue
  fi
  echo "$target: $(sed -nE 's/^Done ([0-9]+) runs in ([0-9]+).*/\1 inputs in \2 s/p' "$log"), nothing found"
done
exit $status
