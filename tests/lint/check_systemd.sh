#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The systemd files: the unit is free of complaints, its exposure score is below 3, every directive
# has its comment, both capability lines agree, and the sysusers and tmpfiles entries work in an
# empty root. Needs systemd's tools, but no running systemd.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unit=systemd/tidegauge.service
limit=3.0

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
  printf 'check_systemd: %s\n' "$*" >&2
  exit 1
}

# `verify` wants an ExecStart= that exists, which the daemon does not until it is installed. It says
# "unknown key" with exit code 0, so any word is a failure.
sed 's|^ExecStart=/usr/bin/tidegauge |ExecStart=/bin/true |' "$unit" >"$scratch/tidegauge.service"
grep -q '^ExecStart=/bin/true serve --config.file=/etc/tidegauge/tidegauge.yaml$' \
  "$scratch/tidegauge.service" || fail "ExecStart= is not the one expected"
complaints=$(systemd-analyze verify --man=no --recursive-errors=no "$scratch/tidegauge.service" 2>&1) ||
  fail "systemd-analyze verify: $complaints"
[[ -z $complaints ]] || fail "systemd-analyze verify: $complaints"

score=$(systemd-analyze security --no-pager --offline=yes "$unit" |
  sed -nE 's/.*Overall exposure level for .*: ([0-9.]+) .*/\1/p')
[[ -n $score ]] || fail "systemd-analyze security gave no score"
awk -v s="$score" -v l="$limit" 'BEGIN { exit !(s < l) }' ||
  fail "exposure score $score is not below $limit"

awk '
  /^[A-Za-z]+=/ && previous !~ /^#/ { print "check_systemd: no comment above: " $0; bad = 1 }
  { previous = $0 }
  END { exit bad }' "$unit" >&2 || exit 1

bounding=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit")
ambient=$(sed -n 's/^AmbientCapabilities=//p' "$unit")
[[ -n $bounding && $bounding == "$ambient" ]] || fail "capability lines differ: $bounding / $ambient"
for capability in $bounding; do
  grep -q "^# .*$capability: " "$unit" || fail "no comment says what $capability is for"
done

# Creating files that belong to others takes root; elsewhere the unit alone was checked.
if [[ $(id -u) -eq 0 ]]; then
  root=$scratch/root
  mkdir -p "$root/etc" "$root/var/lib" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d"
  cp systemd/tidegauge.sysusers "$root/usr/lib/sysusers.d/tidegauge.conf"
  cp systemd/tidegauge.tmpfiles "$root/usr/lib/tmpfiles.d/tidegauge.conf"
  systemd-sysusers --root="$root" 2>"$scratch/log" || fail "sysusers: $(cat "$scratch/log")"
  grep -q '^tidegauge:' "$root/etc/passwd" || fail "sysusers made no user"
  for run in first second; do # the second meets what the first made, as every boot does
    systemd-tmpfiles --root="$root" --create 2>"$scratch/log" ||
      fail "tmpfiles, $run run: $(cat "$scratch/log")"
  done
  uid=$(awk -F: '$1 == "tidegauge" { print $3 }' "$root/etc/passwd")
  [[ $(stat -c '%a %u' "$root/var/lib/tidegauge") == "750 $uid" ]] ||
    fail "tmpfiles made another /var/lib/tidegauge: $(stat -c '%a %u' "$root/var/lib/tidegauge")"
fi

printf 'systemd: unit verified, exposure score %s (must be below %s)\n' "$score" "$limit"
