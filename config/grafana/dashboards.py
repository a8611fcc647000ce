#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The one source of dashboards/*.json: run it after a change; tests/rules/dashboards_test.py looks that they agree.

In expressions @ stands for the selection of the dashboard's variables, job and instance. Where a panel may have no data
because the host lacks the source, it says so (`without`) instead of being blank.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SELECTION = 'job=~"$job",instance=~"$instance"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

BPF = "No data source: BPF programs are refused or off on this host (tidegauge ebpf)"
TRAMPOLINES = "No data source: needs BPF trampolines, which this kernel refuses (tidegauge ebpf)"
PSI = "No data source: this kernel has no pressure information (PSI, Linux 4.20)"
V2 = "No data source: no control groups of version 2 with this controller"
NOTHING = "None: nothing of the kind happened"
VERDICTS = "No data source: this daemon says no verdicts (heuristics.enabled)"
HOST = "No data source: no Tidegauge answers here"


def expand(expression):
    return expression.replace("@", SELECTION)


def panel(title, description, unit, targets, kind="timeseries", width=12, height=8, without=HOST, stack=False, low=None, high=None, lines=None):
    """targets: [(expression, legend)]"""
    defaults = {"unit": unit, "noValue": without}
    if low is not None:
        defaults["min"] = low
    if high is not None:
        defaults["max"] = high
    options = {}
    if kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 30 if stack else 5, "showPoints": "never", "spanNulls": False,
                              "stacking": {"mode": "normal" if stack else "none"}, "axisSoftMin": 0}
        options = {"legend": {"displayMode": "table", "placement": "right" if width > 12 else "bottom", "calcs": ["max", "lastNotNull"]},
                   "tooltip": {"mode": "multi", "sort": "desc"}}
    elif kind == "heatmap":
        options = {"calculate": False, "yAxis": {"unit": unit}, "color": {"scheme": "Oranges", "mode": "scheme"}, "tooltip": {"show": True}}
    elif kind == "table":
        options = {"showHeader": True, "cellHeight": "sm"}
    elif kind == "state-timeline":
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
        defaults["mappings"] = [{"type": "value", "options": {"1": {"text": "holds", "color": "red", "index": 0}}}]
        options = {"showValue": "never", "mergeValues": True, "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False}}
    elif kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}, "textMode": "auto", "colorMode": "value", "graphMode": "area"}
    elif kind == "bargauge":
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}, "orientation": "horizontal", "displayMode": "basic"}
    if lines:
        steps = [{"color": "green", "value": None}] + [{"color": color, "value": value} for value, color in lines]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    at_once = kind in ("table", "bargauge")
    out = {
        "type": kind, "title": title, "description": description, "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
        "targets": [{"refId": chr(ord("A") + i), "datasource": DATASOURCE, "expr": expand(expression), "legendFormat": legend,
                     "format": "heatmap" if kind == "heatmap" else "table" if kind == "table" else "time_series",
                     "instant": at_once, "range": not at_once} for i, (expression, legend) in enumerate(targets)],
        "size": (width, height),
    }
    if kind == "table":
        out["transformations"] = [{"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True}}}]
    return out


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": DATASOURCE, "query": query, "definition": query, "refresh": 2, "sort": 1,
            "multi": True, "includeAll": True, "allValue": ".+", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}


def dashboard(uid, title, description, rows):
    """rows: [(title, [panel])]"""
    panels, y, number = [], 0, 1
    for name, members in rows:
        panels.append({"type": "row", "title": name, "id": number, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
        number, y, x, height = number + 1, y + 1, 0, 0
        for member in members:
            member = dict(member)
            width, own = member.pop("size")
            if x + width > 24:
                x, y, height = 0, y + height, 0
            panels.append(member | {"id": number, "gridPos": {"h": own, "w": width, "x": x, "y": y}})
            number, x, height = number + 1, x + width, max(height, own)
        y += height
    return {
        "uid": uid, "title": title, "description": description, "tags": ["tidegauge"], "editable": False, "schemaVersion": 38, "version": 1,
        "graphTooltip": 1, "refresh": "15s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Tidegauge", "tags": ["tidegauge"], "asDropdown": True, "includeVars": True, "keepTime": True}],
        "annotations": {"list": [{"name": "Verdicts", "datasource": DATASOURCE, "enable": True, "iconColor": "red", "titleFormat": "{{verdict}}",
                                  "textFormat": "{{instance}} {{severity}}", "expr": expand("tidegauge_verdict_active{@} == 1"), "step": "15s"}]},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
             "current": {"selected": False, "text": "Prometheus", "value": "prometheus"}},
            variable("job", "Job", "label_values(tidegauge_build_info, job)"),
            variable("instance", "Instance", 'label_values(tidegauge_build_info{job=~"$job"}, instance)'),
        ]},
        "panels": panels,
    }


# Shared panels.

def util():
    return panel("Disk %util", "Share of time with at least one request (iostat %util). 100 % is no saturation on disks that serve many at a time.",
                 "percentunit", [("rate(node_disk_io_time_seconds_total{@}[$__rate_interval])", "{{instance}} {{device}}")], low=0, high=1)


def queue():
    return panel("Disk queue (aqu-sz)", "Mean number of requests in the queue and on the disk.", "short",
                 [("rate(node_disk_io_time_weighted_seconds_total{@}[$__rate_interval])", "{{instance}} {{device}}")])


def wait():
    return panel("Disk latency (r_await, w_await)", "Mean time of a request, its time in the queue included. Gaps: there were none.", "s", [
        ("rate(node_disk_read_time_seconds_total{@}[$__rate_interval]) / (rate(node_disk_reads_completed_total{@}[$__rate_interval]) > 0)", "{{instance}} {{device}} read"),
        ("rate(node_disk_write_time_seconds_total{@}[$__rate_interval]) / (rate(node_disk_writes_completed_total{@}[$__rate_interval]) > 0)", "{{instance}} {{device}} write")])


def throughput():
    return panel("Disk throughput (rkB/s, wkB/s)", "Bytes read and written.", "Bps", [
        ("rate(node_disk_read_bytes_total{@}[$__rate_interval])", "{{instance}} {{device}} read"),
        ("rate(node_disk_written_bytes_total{@}[$__rate_interval])", "{{instance}} {{device}} write")])


def pressure(resource):
    targets = [(f"rate(node_pressure_{resource}_waiting_seconds_total{{@}}[$__rate_interval])", "{{instance}} some")]
    if resource != "cpu":
        targets.append((f"rate(node_pressure_{resource}_stalled_seconds_total{{@}}[$__rate_interval])", "{{instance}} full"))
    return panel(f"Pressure: {resource}", f"Share of time in which some task, or all of them (full), waited for {resource} (PSI).", "percentunit", targets,
                 width=8, without=PSI, low=0)


HOST_BOARD = dashboard("tidegauge-host", "Tidegauge / Host", "What sar, mpstat, iostat and vmstat answer.", [
    ("Now", [
        panel("Verdicts that hold", "Conditions the daemon says hold, info included. The dashboard Why tells which and by whom.", "none",
              [("sum by (job, instance) (tidegauge_verdict_active{@})", "{{instance}}")], "stat", 6, 4, VERDICTS, lines=[(1, "red")]),
        panel("CPU busy", "All that is neither idle nor iowait.", "percentunit",
              [('1 - avg by (job, instance) (sum by (job, instance, cpu) (rate(node_cpu_seconds_total{@,mode=~"idle|iowait"}[$__rate_interval])))', "{{instance}}")],
              "stat", 6, 4),
        panel("Memory available", "What programs can have without swapping, of all memory.", "percentunit",
              [("node_memory_MemAvailable_bytes{@} / node_memory_MemTotal_bytes{@}", "{{instance}}")], "stat", 6, 4, lines=None),
        panel("Up since", "Time since the last boot.", "s", [("time() - node_boot_time_seconds{@}", "{{instance}}")], "stat", 6, 4)]),
    ("CPU", [
        panel("CPU time (sar -u)", "Mean over all CPUs, by what they do.", "percentunit",
              [("avg by (job, instance, mode) (rate(node_cpu_seconds_total{@,mode!=\"idle\"}[$__rate_interval]))", "{{instance}} {{mode}}")], stack=True, low=0, high=1),
        panel("iowait by CPU (mpstat -P ALL)", "Idle time of a CPU while a task that ran on it waits for I/O. One CPU may be high while the mean is low.",
              "percentunit", [('rate(node_cpu_seconds_total{@,mode="iowait"}[$__rate_interval])', "{{instance}} CPU {{cpu}}")], low=0, high=1),
        panel("Busy by CPU (mpstat -P ALL)", "A single CPU at its limit is hidden by the mean over all.", "percentunit",
              [('1 - sum by (job, instance, cpu) (rate(node_cpu_seconds_total{@,mode=~"idle|iowait"}[$__rate_interval]))', "{{instance}} CPU {{cpu}}")], low=0, high=1),
        panel("Load and tasks (sar -q, vmstat r b)", "Load averages, tasks that run or want to, and those blocked in I/O.", "short", [
            ("node_load1{@}", "{{instance}} load 1 min"), ("node_load15{@}", "{{instance}} load 15 min"),
            ("node_procs_running{@}", "{{instance}} running"), ("node_procs_blocked{@}", "{{instance}} blocked")]),
        panel("Switches, forks and interrupts (sar -w)", "Context switches, new tasks and interrupts a second.", "ops", [
            ("rate(node_context_switches_total{@}[$__rate_interval])", "{{instance}} cswch/s"), ("rate(node_forks_total{@}[$__rate_interval])", "{{instance}} proc/s"),
            ("rate(node_intr_total{@}[$__rate_interval])", "{{instance}} intr/s")]),
        pressure("cpu") | {"size": (12, 8)}]),
    ("Memory", [
        panel("Memory (sar -r)", "Where memory is.", "bytes", [
            ("node_memory_AnonPages_bytes{@}", "{{instance}} anonymous"), ("node_memory_Cached_bytes{@}", "{{instance}} cached"),
            ("node_memory_Slab_bytes{@}", "{{instance}} slab"), ("node_memory_MemFree_bytes{@}", "{{instance}} free"),
            ("node_memory_Buffers_bytes{@}", "{{instance}} buffers")], stack=True),
        panel("Paging (sar -B)", "Pages scanned and reclaimed, faults that had to read.", "ops", [
            ("rate(node_vmstat_pgscan_kswapd{@}[$__rate_interval])", "{{instance}} pgscank/s"), ("rate(node_vmstat_pgscan_direct{@}[$__rate_interval])", "{{instance}} pgscand/s"),
            ("rate(node_vmstat_pgsteal_kswapd{@}[$__rate_interval]) + rate(node_vmstat_pgsteal_direct{@}[$__rate_interval])", "{{instance}} pgsteal/s"),
            ("rate(node_vmstat_pgmajfault{@}[$__rate_interval])", "{{instance}} majflt/s")]),
        panel("Read into and written from memory (sar -B)", "pgpgin and pgpgout: all block I/O, swap included.", "KiBs", [
            ("rate(node_vmstat_pgpgin{@}[$__rate_interval])", "{{instance}} in"), ("rate(node_vmstat_pgpgout{@}[$__rate_interval])", "{{instance}} out")]),
        panel("Swap (sar -W, sar -S)", "Pages swapped in and out a second.", "ops", [
            ("rate(node_vmstat_pswpin{@}[$__rate_interval])", "{{instance}} in"), ("rate(node_vmstat_pswpout{@}[$__rate_interval])", "{{instance}} out")]),
        pressure("memory") | {"size": (12, 8)},
        panel("Dirty memory", "Written by programs and not by the disk yet, and being written.", "bytes",
              [("node_memory_Dirty_bytes{@}", "{{instance}} dirty"), ("node_memory_Writeback_bytes{@}", "{{instance}} writeback")])]),
    ("Disks", [util(), queue(), wait(), throughput(),
               panel("Disk requests (r/s, w/s, f/s)", "Requests that completed; flushes since Linux 5.5.", "iops", [
                   ("rate(node_disk_reads_completed_total{@}[$__rate_interval])", "{{instance}} {{device}} read"),
                   ("rate(node_disk_writes_completed_total{@}[$__rate_interval])", "{{instance}} {{device}} write"),
                   ("rate(node_disk_flush_requests_total{@}[$__rate_interval])", "{{instance}} {{device}} flush")]),
               pressure("io") | {"size": (12, 8)}]),
    ("File systems and network", [
        panel("File systems (df)", "Share of space in use.", "percentunit",
              [("1 - node_filesystem_avail_bytes{@} / (node_filesystem_size_bytes{@} > 0)", "{{instance}} {{mountpoint}}")], low=0, high=1),
        panel("Inodes (df -i)", "Share of inodes in use; file systems that make them as needed have none.", "percentunit",
              [("1 - node_filesystem_files_free{@} / (node_filesystem_files{@} > 0)", "{{instance}} {{mountpoint}}")], low=0, high=1),
        panel("Network (sar -n DEV)", "Bytes received and sent.", "Bps", [
            ('rate(node_network_receive_bytes_total{@,device!="lo"}[$__rate_interval])', "{{instance}} {{device}} in"),
            ('rate(node_network_transmit_bytes_total{@,device!="lo"}[$__rate_interval])', "{{instance}} {{device}} out")]),
        panel("Network errors and drops (sar -n EDEV)", "Packets that were lost at this host.", "pps", [
            ("rate(node_network_receive_errs_total{@}[$__rate_interval]) + rate(node_network_receive_drop_total{@}[$__rate_interval])", "{{instance}} {{device}} in"),
            ("rate(node_network_transmit_errs_total{@}[$__rate_interval]) + rate(node_network_transmit_drop_total{@}[$__rate_interval])", "{{instance}} {{device}} out")])]),
])

WHY_BOARD = dashboard("tidegauge-why", "Tidegauge / Why", "What is wrong, since when, who causes it, and what came before it.", [
    ("Verdicts", [
        panel("When which verdict held", "One line for each verdict that held in this time.", "none",
              [("tidegauge_verdict_active{@} == 1", "{{instance}} {{verdict}}")], "state-timeline", 24, 8, "None: no verdict held, or this daemon says none"),
        panel("What holds now, and who causes it", "The first cause of each verdict; tidegauge why on the host has the evidence and what was ruled out.", "none",
              [("tidegauge_verdict_info{@}", "")], "table", 24, 7, "None: no verdict holds, or this daemon says none"),
        panel("Confidence", "How sure each verdict is; lower where a source is missing, such as BPF.", "percentunit",
              [("tidegauge_verdict_confidence{@} > 0", "{{instance}} {{verdict}}")], low=0, high=1, without="None: no verdict holds, or this daemon says none"),
        panel("How often verdicts began", "Onsets in the last hour.", "short", [("increase(tidegauge_verdict_onsets_total{@}[1h]) > 0", "{{instance}} {{verdict}}")],
              without="None: no verdict began within an hour, or this daemon says none")]),
    ("What leads and what follows, on one time axis", [
        panel("Signals as shares", "What rises first is nearer to the cause: a disk that leads, then reclaim, then pressure and iowait.", "percentunit", [
            ("max by (job, instance) (rate(node_disk_io_time_seconds_total{@}[$__rate_interval]))", "{{instance}} busiest disk"),
            ("max by (job, instance) (rate(node_cpu_seconds_total{@,mode=\"iowait\"}[$__rate_interval]))", "{{instance}} iowait, worst CPU"),
            ("rate(node_pressure_io_waiting_seconds_total{@}[$__rate_interval])", "{{instance}} pressure io"),
            ("rate(node_pressure_memory_waiting_seconds_total{@}[$__rate_interval])", "{{instance}} pressure memory"),
            ("rate(node_pressure_cpu_waiting_seconds_total{@}[$__rate_interval])", "{{instance}} pressure CPU"),
            ("1 - node_memory_MemAvailable_bytes{@} / node_memory_MemTotal_bytes{@}", "{{instance}} memory in use")], width=24, height=10, low=0),
        panel("Reads of each disk", "The disk that leads a page-cache thrash is read most, before kswapd wakes.", "Bps",
              [("rate(node_disk_read_bytes_total{@}[$__rate_interval])", "{{instance}} {{device}}")]),
        panel("Reclaim and refaults", "kswapd and direct reclaim at work, and pages needed again after it.", "ops", [
            ("rate(node_vmstat_pgscan_kswapd{@}[$__rate_interval])", "{{instance}} scanned by kswapd"),
            ("rate(node_vmstat_pgscan_direct{@}[$__rate_interval])", "{{instance}} scanned directly"),
            ("rate(node_vmstat_workingset_refault_file{@}[$__rate_interval])", "{{instance}} file refaults"),
            ("rate(node_vmstat_pgmajfault{@}[$__rate_interval])", "{{instance}} major faults")])]),
    ("Who loses time, and in what", [
        panel("In syncs, by group", "Share of time spent waiting for fsync and its kin; several threads add up.", "percentunit",
              [("topk(10, rate(tidegauge_group_sync_seconds_total{@}[$__rate_interval]))", "{{instance}} {{group}}")], without=BPF),
        panel("In run queues, by group", "Time of threads that could run and had no CPU.", "percentunit",
              [("topk(10, rate(tidegauge_group_run_queue_wait_seconds_total{@}[$__rate_interval]))", "{{instance}} {{group}}")],
              without="No data source: this kernel does not count run-queue waits (CONFIG_SCHED_INFO)"),
        panel("In direct reclaim, by group", "Time of threads that had to free memory before they got any.", "percentunit",
              [("topk(10, sum by (job, instance, group) (rate(tidegauge_reclaim_stall_seconds_sum{@}[$__rate_interval])))", "{{instance}} {{group}}")],
              without="None: nobody reclaims memory for itself, or BPF is refused (tidegauge ebpf)"),
        panel("In dirty throttling, by group", "Pauses of writers that the disk cannot keep up with.", "percentunit",
              [("topk(10, rate(tidegauge_dirty_throttle_seconds_total{@}[$__rate_interval]))", "{{instance}} {{group}}")],
              without="None: no writer is paused, or BPF is refused (tidegauge ebpf)"),
        panel("Threads in uninterruptible sleep", "State D at the moment, and those that have been in one such sleep for long.", "short", [
            ("tidegauge_uninterruptible_threads{@}", "{{instance}} in state D"), ("tidegauge_stuck_threads{@}", "{{instance}} {{group}} {{wchan}}")]),
        panel("Disks are busy for", "Busy time of disks by the group that caused it, write-back included.", "percentunit",
              [("topk(10, sum by (job, instance, device, group) (rate(tidegauge_block_attributed_busy_seconds_total{@}[$__rate_interval])))",
                "{{instance}} {{device}} {{group}}")], without=BPF)]),
    ("What can be told here", [
        panel("BPF features", "Tier in which each is measured, and why in no better one.", "none", [("tidegauge_ebpf_feature_info{@}", "")], "table", 12, 8,
              "No data source: the collector ebpf is off or BPF is refused"),
        panel("Collectors that fail", "Their series are missing. Those whose source the kernel lacks are not among them.", "none",
              [("(tidegauge_collector_success{@} == 0) unless (tidegauge_collector_no_data{@} == 1)", "")], "table", 12, 8, "None: every collector answers")]),
])


def zone_pages(mark):
    return f"node_zoneinfo_{mark}_pages{{@}}"


MEMORY_BOARD = dashboard("tidegauge-memory", "Tidegauge / Memory and watermarks", "How far memory is from kswapd and direct reclaim, and what they do.", [
    ("Watermarks", [
        panel("Free pages of each zone and its marks", "Below low kswapd is woken, below min whoever allocates reclaims, at high kswapd sleeps again. What lowmem_reserve keeps from "
              "ordinary allocations counts as free here, not in the headroom beside it.", "short",
              [("node_zoneinfo_nr_free_pages{@}", "{{instance}} {{node}} {{zone}} free"), (zone_pages("min"), "{{instance}} {{node}} {{zone}} min"),
               (zone_pages("low"), "{{instance}} {{node}} {{zone}} low"), (zone_pages("high"), "{{instance}} {{node}} {{zone}} high")], width=24, height=9),
        panel("Headroom of nodes above low", "Free memory for ordinary allocations before kswapd is woken; negative below.", "bytes",
              [('tidegauge_node_memory_headroom_bytes{@,mark="low"}', "{{instance}} node {{node}}")], without=VERDICTS),
        panel("Time to low", "At the pace of the last minute.", "s", [("tidegauge_node_memory_time_to_low_seconds{@}", "{{instance}} node {{node}}")],
              without="None: free memory does not fall clearly"),
        panel("Headroom of zones above min", "Negative: allocations cannot use this zone without reclaim; small zones always are, because of lowmem_reserve.", "bytes",
              [('tidegauge_zone_headroom_bytes{@,mark="min"}', "{{instance}} {{node}} {{zone}}")], without=VERDICTS),
        pressure("memory") | {"size": (12, 8)}]),
    ("kswapd and reclaim", [
        panel("kswapd awake", "Share of time kswapd of each node was awake.", "percentunit", [("rate(tidegauge_kswapd_awake_seconds_total{@}[$__rate_interval])", "{{instance}} node {{node}}")],
              width=8, without=BPF, low=0, high=1),
        panel("Why it is awake", "The reason now; all 0 while it sleeps.", "none", [("tidegauge_kswapd_awake_reason{@}", "{{instance}} {{node}} {{reason}}")], width=8, without=VERDICTS),
        panel("Who wakes kswapd", "Wake-ups by the group whose allocation found memory below low.", "ops",
              [("topk(10, sum by (job, instance, group) (rate(tidegauge_kswapd_wakeups_total{@}[$__rate_interval])))", "{{instance}} {{group}}")], width=8,
              without="None: nobody wakes kswapd, or BPF is refused (tidegauge ebpf)"),
        panel("Scanned and reclaimed (sar -B)", "Pages kswapd and direct reclaim looked at, and got.", "ops", [
            ("rate(node_vmstat_pgscan_kswapd{@}[$__rate_interval])", "{{instance}} pgscank/s"), ("rate(node_vmstat_pgscan_direct{@}[$__rate_interval])", "{{instance}} pgscand/s"),
            ("rate(node_vmstat_pgsteal_kswapd{@}[$__rate_interval])", "{{instance}} pgsteal by kswapd"), ("rate(node_vmstat_pgsteal_direct{@}[$__rate_interval])", "{{instance}} pgsteal directly")]),
        panel("Efficiency (sar %vmeff)", "Pages reclaimed of those scanned in the last 10 s.", "percentunit", [("tidegauge_reclaim_efficiency_ratio{@}", "{{instance}}")],
              without="None: nothing is scanned", low=0),
        panel("Direct reclaim (allocstall)", "Allocations that had to reclaim by themselves, by the zone they wanted.", "ops", [
            ("rate(node_vmstat_allocstall_normal{@}[$__rate_interval])", "{{instance}} normal"), ("rate(node_vmstat_allocstall_movable{@}[$__rate_interval])", "{{instance}} movable")],
            without="No data source: Linux 4.9 and older count them in node_vmstat_allocstall"),
        panel("Refaults and major faults", "Pages needed again soon after they were reclaimed: the cache is too small for what is read.", "ops", [
            ("rate(node_vmstat_workingset_refault_file{@}[$__rate_interval])", "{{instance}} file"), ("rate(node_vmstat_workingset_refault_anon{@}[$__rate_interval])", "{{instance}} anonymous"),
            ("rate(node_vmstat_pgmajfault{@}[$__rate_interval])", "{{instance}} major faults")], without="No data source: Linux 5.8 and older count them in one")]),
    ("Who has it", [
        panel("Anonymous memory by group", "What only swap takes back.", "bytes", [('topk(10, tidegauge_group_resident_memory_bytes{@,kind="anon"})', "{{instance}} {{group}}")]),
        panel("Growth of anonymous memory by group", "Bytes a second, over half an hour: a leak is steady.", "Bps",
              [('topk(10, deriv(tidegauge_group_resident_memory_bytes{@,kind="anon"}[30m]) > 0)', "{{instance}} {{group}}")], without="None: no group grows"),
        panel("Who fills the page cache", "Bytes inserted by group.", "Bps",
              [("topk(10, sum by (job, instance, group) (rate(tidegauge_page_cache_inserted_bytes_total{@}[$__rate_interval])))", "{{instance}} {{group}}")], without=BPF),
        panel("Who has the page cache reclaimed", "Bytes removed by reclaim, by group; kswapd most of all.", "Bps",
              [('topk(10, sum by (job, instance, group) (rate(tidegauge_page_cache_removed_bytes_total{@,cause="reclaim"}[$__rate_interval])))', "{{instance}} {{group}}")],
              without="None: nothing is reclaimed, or BPF is refused (tidegauge ebpf)"),
        panel("Killed for want of memory", "Kills in ten minutes, by the host's count.", "short", [("increase(node_vmstat_oom_kill{@}[10m])", "{{instance}}")],
              without="No data source: this kernel does not count kills (Linux 4.13)"),
        panel("Dirty memory against its thresholds", "Above 1 of background the kernel writes back, above 1 of freerun writers begin to be paused.", "percentunit", [
            ("tidegauge_dirty_background_ratio{@}", "{{instance}} background"), ("tidegauge_dirty_freerun_ratio{@}", "{{instance}} freerun")], without=VERDICTS)]),
    ("Fragmentation", [
        panel("Free blocks by order", "Blocks of 2^size pages: huge pages need size 9.", "short",
              [("sum by (job, instance, node, size) (node_buddyinfo_blocks{@})", "{{instance}} {{node}} size {{size}}")]),
        panel("Fragmentation index", "For blocks of 2 MiB: -1 one is free, towards 0 want of memory, towards 1 memory in pieces.", "short",
              [('tidegauge_zone_fragmentation_index{@,order="9"}', "{{instance}} {{node}} {{zone}}")], without=VERDICTS, low=-1, high=1),
        panel("Compaction stalls", "Allocations that had to compact memory, and those that did in vain.", "ops", [
            ("rate(node_vmstat_compact_stall{@}[$__rate_interval])", "{{instance}} stalls"), ("rate(node_vmstat_compact_fail{@}[$__rate_interval])", "{{instance}} in vain")],
            without="No data source: this kernel has no compaction"),
        panel("Time in compaction, by group", "Time of threads that compacted memory themselves.", "percentunit",
              [("topk(10, rate(tidegauge_compaction_stall_seconds_sum{@}[$__rate_interval]))", "{{instance}} {{group}}")],
              without="None: nobody compacts memory, or BPF is refused (tidegauge ebpf)")]),
])


def heat(title, description, metric, unit="s", extra="", without=BPF):
    return panel(title, description, unit, [(f"sum by (le) (increase({metric}_bucket{{@{extra}}}[$__rate_interval]))", "{{le}}")], "heatmap", without=without)


DISKS_BOARD = dashboard("tidegauge-disks", "Tidegauge / Disks and files", "How busy disks are, for whom, how long requests and syncs take, of which files.", [
    ("Disks", [util(), queue(), wait(), throughput()]),
    ("Latency", [
        heat("Time on the device", "How long requests took from the driver to their end. All disks that are chosen together.", "tidegauge_block_device_seconds"),
        heat("Time in the queue", "How long requests waited before the driver got them.", "tidegauge_block_queue_seconds"),
        panel("Slowest hundredth by disk (p99)", "Of the time on the device.", "s",
              [("histogram_quantile(0.99, sum by (job, instance, device, operation, le) (rate(tidegauge_block_device_seconds_bucket{@}[$__rate_interval])))",
                "{{instance}} {{device}} {{operation}}")], without=BPF),
        panel("Requests in flight", "At the moment; a hung disk has some and completes none.", "short", [("node_disk_io_now{@}", "{{instance}} {{device}}")])]),
    ("Bursts", [
        heat("Busy share of 100 ms windows", "Means hide bursts: many windows at 100 % on a disk with a low %util.", "tidegauge_block_window_busy_ratio", "percentunit",
             without="No data source: the collector ebpf_block is off"),
        panel("Busiest 100 ms of the last minute", "Beside the mean: what a second does not show.", "percentunit", [("tidegauge_block_peak_busy_ratio{@}", "{{instance}} {{device}}")],
              low=0, high=1, without="No data source: the collector ebpf_block is off, or no disk was busy"),
        panel("Bursts", "Times a disk was busy for 90 % of 100 ms and less than half of the second around.", "ops",
              [("rate(tidegauge_block_bursts_total{@}[$__rate_interval])", "{{instance}} {{device}}")], without="No data source: the collector ebpf_block is off, or no disk was busy"),
        panel("Who made the last peak", "Share of the busiest 100 ms of the last minute, by process.", "percentunit",
              [("tidegauge_block_peak_user_ratio{@}", "{{instance}} {{device}} {{comm}} {{pid}}")], "bargauge", without=BPF)]),
    ("For whom disks are busy", [
        panel("Busy time by group", "Divided at each moment among the requests there are; buffered writes count for who dirtied the pages.", "percentunit",
              [("topk(10, sum by (job, instance, device, group) (rate(tidegauge_block_attributed_busy_seconds_total{@}[$__rate_interval])))", "{{instance}} {{device}} {{group}}")],
              stack=True, without=BPF),
        panel("Busy time by process", "The busiest processes alone.", "percentunit",
              [("topk(10, rate(tidegauge_block_process_busy_seconds_total{@}[$__rate_interval]))", "{{instance}} {{device}} {{comm}} {{pid}}")], without=BPF),
        panel("Bytes by group", "Read and written at the disk.", "Bps",
              [("topk(10, sum by (job, instance, device, group, operation) (rate(tidegauge_block_attributed_bytes_total{@}[$__rate_interval])))",
                "{{instance}} {{device}} {{group}} {{operation}}")], without=BPF),
        panel("Failed and repeated requests", "Errors of the device, and requests the driver gave back.", "ops", [
            ("rate(tidegauge_block_request_errors_total{@}[$__rate_interval])", "{{instance}} {{device}} {{operation}} errors"),
            ("rate(tidegauge_block_requeues_total{@}[$__rate_interval])", "{{instance}} {{device}} {{operation}} repeated")],
            without="None: no request failed, or BPF is refused (tidegauge ebpf)")]),
    ("Syncs", [
        heat("Time of syncs", "fsync, fdatasync, msync, O_SYNC writes of all groups together.", "tidegauge_file_sync_duration_seconds"),
        panel("Slowest hundredth of syncs by group (p99)", "A database answers after its sync.", "s",
              [("histogram_quantile(0.99, sum by (job, instance, group, le) (rate(tidegauge_file_sync_duration_seconds_bucket{@}[$__rate_interval])))", "{{instance}} {{group}}")], without=BPF),
        panel("Syncs by group", "How often each group has files written out.", "ops",
              [("topk(10, sum by (job, instance, group) (rate(tidegauge_file_sync_duration_seconds_count{@}[$__rate_interval])))", "{{instance}} {{group}}")], without=BPF),
        panel("Files with the longest syncs", "The longest one of the last minute.", "s", [("topk(10, tidegauge_top_file_sync_longest_seconds{@})", "{{instance}} {{path}}")], "bargauge", without=BPF)]),
    ("Files", [
        panel("Busiest files by bytes written", "On ext4, and what is written directly.", "Bps",
              [("topk(10, rate(tidegauge_top_file_written_bytes_total{@}[$__rate_interval]))", "{{instance}} {{path}}")], without=BPF),
        panel("Files created and deleted", "By group, on ext4 and btrfs.", "ops", [
            ("topk(5, sum by (job, instance, group) (rate(tidegauge_files_created_total{@}[$__rate_interval])))", "{{instance}} {{group}} created"),
            ("topk(5, sum by (job, instance, group) (rate(tidegauge_files_deleted_total{@}[$__rate_interval])))", "{{instance}} {{group}} deleted")], without=BPF),
        heat("Lifetime of deleted files", "Short lives are temporary files: written, and thrown away.", "tidegauge_file_lifetime_seconds"),
        panel("Written and thrown away", "Size of deleted files by directory, ids in its name folded to X.", "Bps",
              [("topk(10, sum by (job, instance, group, directory) (rate(tidegauge_deleted_file_bytes_total{@}[$__rate_interval])))", "{{instance}} {{group}} {{directory}}")], without=BPF),
        panel("Slow operations on files", "Those of the last five minutes that took longer than slow_operation.", "s", [("tidegauge_slow_file_operation_seconds{@}", "")], "table",
              without="None: no operation was slow, or BPF is refused (tidegauge ebpf)"),
        panel("Time of reads, writes and opens", "Mean by operation.", "s",
              [("sum by (job, instance, operation) (rate(tidegauge_file_operation_duration_seconds_sum{@}[$__rate_interval])) "
                "/ (sum by (job, instance, operation) (rate(tidegauge_file_operation_duration_seconds_count{@}[$__rate_interval])) > 0)", "{{instance}} {{operation}}")], without=TRAMPOLINES)]),
])


def groups(title, description, unit, expression):
    return panel(title, description, unit, [(f"topk(10, {expression})", "{{instance}} {{group}}")])


def cgroups(title, description, unit, expression, without=V2):
    return panel(title, description, unit, [(f"topk(10, {expression})", "{{instance}} {{cgroup}}")], without=without)


PROCESSES_BOARD = dashboard("tidegauge-processes", "Tidegauge / Processes and containers", "Who uses CPU, memory and disks: services, containers, programs, single processes.", [
    ("Groups: services, containers, programs", [
        groups("CPU (pidstat -u)", "1 is one CPU.", "short", "sum by (job, instance, group) (rate(tidegauge_group_cpu_seconds_total{@}[$__rate_interval]))"),
        groups("Read from disk (kB_rd/s)", "Bytes that block devices were asked to read.", "Bps", "rate(tidegauge_group_storage_read_bytes_total{@}[$__rate_interval])"),
        groups("Written to disk (kB_wr/s)", "Bytes dirtied for block devices.", "Bps", "rate(tidegauge_group_storage_written_bytes_total{@}[$__rate_interval])"),
        groups("Thrown away before it was written (kB_ccwr/s)", "Bytes dirtied and then truncated away.", "Bps", "rate(tidegauge_group_storage_cancelled_bytes_total{@}[$__rate_interval])"),
        groups("Resident memory", "Shared pages count for each process.", "bytes", "sum by (job, instance, group) (tidegauge_group_resident_memory_bytes{@})"),
        groups("Swapped out", "Anonymous memory in swap.", "bytes", "tidegauge_group_swap_bytes{@}"),
        groups("Run-queue wait", "Time of threads that could run and had no CPU.", "percentunit", "rate(tidegauge_group_run_queue_wait_seconds_total{@}[$__rate_interval])"),
        groups("Major faults", "Faults that waited for a disk.", "ops", 'rate(tidegauge_group_page_faults_total{@,kind="major"}[$__rate_interval])'),
        groups("Involuntary switches (nvcswch/s)", "Threads that wanted to go on and were not let.", "ops",
               'rate(tidegauge_group_context_switches_total{@,kind="involuntary"}[$__rate_interval])'),
        groups("Processes started", "Short-lived ones included.", "ops", "rate(tidegauge_group_processes_started_total{@}[$__rate_interval])")]),
    ("The busiest processes", [
        panel("CPU by process", "1 is one CPU.", "short", [("topk(10, sum by (job, instance, comm, pid) (rate(tidegauge_process_cpu_seconds_total{@}[$__rate_interval])))", "{{instance}} {{comm}} {{pid}}")]),
        panel("Written by process", "Bytes dirtied for block devices.", "Bps", [("topk(10, rate(tidegauge_process_storage_written_bytes_total{@}[$__rate_interval]))", "{{instance}} {{comm}} {{pid}}")]),
        panel("Memory by process", "Anonymous memory.", "bytes", [('topk(10, tidegauge_process_resident_memory_bytes{@,kind="anon"})', "{{instance}} {{comm}} {{pid}}")]),
        panel("Time in block I/O by process (iodelay)", "Needs sysctl kernel.task_delayacct=1 before the process starts.", "percentunit",
              [("topk(10, rate(tidegauge_process_block_io_delay_seconds_total{@}[$__rate_interval]))", "{{instance}} {{comm}} {{pid}}")],
              without="No data source: sysctl kernel.task_delayacct is 0"),
        panel("Threads in one uninterruptible sleep", "By group and the kernel function they wait in.", "short", [("tidegauge_stuck_threads{@}", "{{instance}} {{group}} {{wchan}}")],
              without="None: no thread is stuck"),
        panel("What is not known of processes", "Processes of which a field could not be told, and why.", "short", [("tidegauge_process_missing{@}", "{{instance}} {{field}}: {{reason}}")], "table",
              without="None: everything is known of every process")]),
    ("Control groups: containers and units", [
        cgroups("Memory", "Charged memory, page cache included.", "bytes", "tidegauge_cgroup_memory_usage_bytes{@}", "No data source: no memory controller"),
        cgroups("Memory against its limit", "Of those that have one.", "percentunit", "tidegauge_cgroup_memory_usage_bytes{@} / (tidegauge_cgroup_memory_limit_bytes{@} > 0)",
                "None: no control group has a memory limit"),
        cgroups("CPU", "1 is one CPU.", "short", "rate(tidegauge_cgroup_cpu_usage_seconds_total{@}[$__rate_interval])", "No data source: no CPU controller"),
        cgroups("CPU quota used up", "Share of the quota's periods in which it was.", "percentunit",
                "rate(tidegauge_cgroup_cpu_throttled_periods_total{@}[$__rate_interval]) / (rate(tidegauge_cgroup_cpu_periods_total{@}[$__rate_interval]) > 0)",
                "None: no control group with a CPU quota runs"),
        panel("Pressure", "Share of time in which some task of it waited.", "percentunit",
              [("topk(10, rate(tidegauge_cgroup_pressure_waiting_seconds_total{@}[$__rate_interval]))", "{{instance}} {{cgroup}} {{resource}}")], without=V2),
        panel("Disk I/O", "Read and written by device.", "Bps", [
            ("topk(10, rate(tidegauge_cgroup_io_read_bytes_total{@}[$__rate_interval]))", "{{instance}} {{cgroup}} {{device}} read"),
            ("topk(10, rate(tidegauge_cgroup_io_written_bytes_total{@}[$__rate_interval]))", "{{instance}} {{cgroup}} {{device}} written")],
            without="No data source: no I/O controller")]),
])

FLEET_BOARD = dashboard("tidegauge-fleet", "Tidegauge / Fleet", "All hosts, the worst first; facts about them in one query.", [
    ("Hosts", [
        panel("Hosts that answer", "Daemons that Prometheus scrapes.", "short", [("count by (job) (tidegauge_build_info{@})", "{{job}}")], "stat", 6, 5),
        panel("Hosts that do not answer", "Targets without an answer.", "short", [("count by (job) (up{@} == 0)", "{{job}}")], "stat", 6, 5, "None: every target answers", lines=[(1, "red")]),
        panel("Hosts by verdict that holds", "How many hosts have which.", "short", [("sum by (job, verdict) (tidegauge_verdict_active{@}) > 0", "{{verdict}}")], "bargauge", 12, 5,
              "None: no verdict holds, or no daemon says any"),
        panel("Verdicts, the surest first", "Which hosts, what, and who causes it.", "none",
              [('sort_desc(tidegauge_verdict_info{@} * on (job, instance, verdict) group_left (severity) max by (job, instance, verdict, severity) (tidegauge_verdict_confidence{@} > 0))', "")],
              "table", 24, 8, "None: no verdict holds, or no daemon says any")]),
    ("The worst hosts", [
        panel("iowait", "Mean over the CPUs of a host.", "percentunit",
              [('topk(10, avg by (job, instance) (rate(node_cpu_seconds_total{@,mode="iowait"}[$__rate_interval])))', "{{instance}}")], "bargauge"),
        panel("%util", "The busiest disks of all hosts.", "percentunit", [("topk(10, rate(node_disk_io_time_seconds_total{@}[$__rate_interval]))", "{{instance}} {{device}}")], "bargauge"),
        panel("Disk latency", "The slowest disks of all hosts.", "s",
              [("topk(10, (rate(node_disk_read_time_seconds_total{@}[$__rate_interval]) + rate(node_disk_write_time_seconds_total{@}[$__rate_interval])) "
                "/ (rate(node_disk_reads_completed_total{@}[$__rate_interval]) + rate(node_disk_writes_completed_total{@}[$__rate_interval]) > 0))", "{{instance}} {{device}}")], "bargauge"),
        panel("Memory available", "The least first.", "percentunit", [("bottomk(10, node_memory_MemAvailable_bytes{@} / node_memory_MemTotal_bytes{@})", "{{instance}}")], "bargauge"),
        panel("Pressure: memory", "Share of time in which some task waited for memory.", "percentunit", [("topk(10, rate(node_pressure_memory_waiting_seconds_total{@}[$__rate_interval]))", "{{instance}}")],
              "bargauge", without=PSI),
        panel("Slowest syncs (p99)", "Groups of all hosts whose syncs take longest.", "s",
              [("topk(10, histogram_quantile(0.99, sum by (job, instance, group, le) (rate(tidegauge_file_sync_duration_seconds_bucket{@}[$__rate_interval]))))", "{{instance}} {{group}}")],
              "bargauge", without=BPF),
        panel("File systems", "The fullest first.", "percentunit", [("topk(10, 1 - node_filesystem_avail_bytes{@} / (node_filesystem_size_bytes{@} > 0))", "{{instance}} {{mountpoint}}")], "bargauge"),
        panel("CPU busy", "All that is neither idle nor iowait.", "percentunit",
              [('topk(10, 1 - avg by (job, instance) (sum by (job, instance, cpu) (rate(node_cpu_seconds_total{@,mode=~"idle|iowait"}[$__rate_interval]))))', "{{instance}}")], "bargauge")]),
    ("Facts", [
        panel("Hosts by kernel release", "An incident on one release only is the kernel's.", "short", [("count by (job, release) (node_uname_info{@})", "{{release}}")], "bargauge"),
        panel("Hosts by vm.swappiness", "And so with any other sysctl of collectors.sysctl.include.", "short",
              [('count_values by (job) ("swappiness", node_sysctl_vm_swappiness{@})', "{{swappiness}}")], "bargauge", without="No data source: vm.swappiness is not among collectors.sysctl.include"),
        panel("Verdicts by kernel release", "Hosts of each release with a verdict that holds.", "short",
              [("count by (job, release, verdict) ((tidegauge_verdict_active{@} == 1) * on (job, instance) group_left (release) node_uname_info{@})", "{{release}} {{verdict}}")], "bargauge",
              without="None: no verdict holds, or no daemon says any"),
        panel("Hosts by version of Tidegauge", "What runs where.", "short", [("count by (job, version) (tidegauge_build_info{@})", "{{version}}")], "bargauge"),
        panel("Hosts", "Release, distribution and name of each.", "none", [("node_uname_info{@} * on (job, instance) group_left (pretty_name) node_os_info{@}", "")], "table", 12, 9),
        panel("Configured files", "Size of the files of collectors.files: which hosts have a large /etc/hosts?", "bytes", [("tidegauge_file_size_bytes{@}", "{{instance}} {{path}}")], "table", 12, 9,
              "No data source: no files are configured (collectors.files.paths)"),
        panel("Where processes come from", "iterator: BPF, complete for short-lived processes; procfs else, and why.", "none", [("tidegauge_process_source_info{@}", "")], "table", 12, 8),
        panel("CPU use of the daemon", "Against its budget.", "percentunit", [("topk(10, rate(process_cpu_seconds_total{@}[$__rate_interval]))", "{{instance}}"),
                                                                           ("max by (job) (tidegauge_cpu_budget_ratio{@})", "budget")])]),
])

BOARDS = {"host": HOST_BOARD, "why": WHY_BOARD, "memory": MEMORY_BOARD, "disks": DISKS_BOARD, "processes": PROCESSES_BOARD, "fleet": FLEET_BOARD}


def text(board):
    return json.dumps(board, indent=1) + "\n"


def main():
    (HERE / "dashboards").mkdir(exist_ok=True)
    for name, board in BOARDS.items():
        (HERE / "dashboards" / f"{name}.json").write_text(text(board), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
