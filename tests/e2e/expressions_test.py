#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every expression of every rule and panel has a result at Debian's Prometheus that scrapes real daemons under load.

Those that may have none are listed here with the reason. An alert has none while nothing is wrong: it must be computed, and
every series that it goes by must be there.
"""

import json
import math
import re
import sys
import time

import harness
import monitoring
from harness import scaled

FASTER = 12
WINDOW = monitoring.window(FASTER)

# What counts faults, verdicts or sources that a test host may lack. Expressions by what they contain.
MAY_BE_EMPTY = {
    r"tidegauge_verdict_active\S* == 1": "no verdict holds on a quiet host",
    r"tidegauge_verdict_(info|confidence)": "no verdict holds on a quiet host",
    r"subject:tidegauge_verdict:active": "no verdict holds on a quiet host",
    r"verdict_onsets_total.* > 0": "no verdict begins on a quiet host",
    r"tidegauge_verdict_active\S*\) > 0": "no verdict holds on a quiet host",
    r"time_to_low": "memory does not fall",
    r"reclaim_stall|dirty_throttle|compaction_stall|kswapd_wakeups": "nobody waits for memory",
    r"cause=\"reclaim\"|reclaim_efficiency|sar_pgsteal|sar_vmeff": "nothing is reclaimed",
    r"stuck_threads|slow_file_operation|stuck_mounts|kernel_hung": "nothing hangs or is slow",
    r"request_errors_total|requeues_total|oom_victim": "counts faults",
    r"collector_success\S* == 0": "no collector fails",
    r"up\S* == 0": "no target is down",
    r"tidegauge_process_missing": "nothing is missing where delay accounting is on",
    r"_await|_read_time_seconds_total.*reads_completed|_areq_sz": "there may be no read within the window",
    r"node_pressure_|psi_": "kernels without PSI",
    r"node_disk_flush_requests_total|iostat_f:": "kernels before 5.5",
    r"discards_completed_total|iostat_d:": "kernels before 4.18",
    r"allocstall": "counters by zone or one, as the kernel has it",
    r"node_vmstat_workingset_refault_(file|anon)": "kernels before 5.9",
    r"file_operation_duration": "needs trampolines",
    r"block_io_delay_seconds_total": "needs sysctl kernel.task_delayacct",
    r"run_queue_wait|pidstat_wait": "kernels without CONFIG_SCHED_INFO",
    r"rotational=\"0\"": "no solid-state disk",
    r"feature_info\{tier=\"off\"": "every BPF feature runs",
    r"tidegauge_cgroup_(memory_limit|cpu_throttled|cpu_periods|pressure)": "no cgroup has a limit, or cgroup version 1",
    r"tidegauge_cgroup_(io|cpu)": "controllers that the host does not have",
    r"deriv\(.*> 0": "no group grows",
    r"node_network_\w+\{[^}]*device!=": "a host with the loopback device alone",
    r"node_filesystem_": "a container without mounts of its own",
}
# Families that only BPF programs have.
NEEDS_BPF = re.compile(r"tidegauge_(block_(device|queue|attributed|process_busy|peak_user)|file_|files_|top_file|deleted_file|page_cache|kswapd_awake_seconds)|group:sync")


def operands(expression):
    """The series an alert is made of: it has no result while nothing is wrong, they must."""
    return sorted(set(re.findall(r"(?<![\w:])((?:node_|tidegauge_|process_|[a-z]+:)[\w:]*(?:\{[^}]*\})?(?:\[\w+\])?)", expression)))


class ExpressionsTest(monitoring.TestCase):
    def load(self):
        """Something of everything for the daemon to count, until stopped: files, syncs, deletions, reads."""
        file = self.write("fio.job", "\n".join([
            "[global]", f"directory={self.directory}", "time_based=1", f"runtime={scaled(120):g}", "ioengine=psync", "size=16m", "thread=0",
            "[syncs]", "rw=randwrite", "bs=4k", "fdatasync=4", "rate_iops=200",
            "[reads]", "rw=randread", "bs=4k", "direct=1", "rate_iops=200",
            "[writes]", "rw=write", "bs=64k", "rate_iops=100", ""]))
        self.spawn(harness.Program, [harness.find_peer("fio"), "--output-format=terse", file], "fio")
        path, port = harness.find_peer("redis-server"), harness.free_port()
        (self.directory / "redis").mkdir()
        self.spawn(harness.Program, [path, "--port", port, "--bind", "127.0.0.1", "--dir", self.directory / "redis", "--appendonly", "yes",
                                     "--appendfsync", "always", "--save", ""], "redis", port=port)
        code = ("import os,sys,time\nn=0\nwhile True:\n p=os.path.join(sys.argv[1],'temporary-%d'%(n%50))\n f=open(p,'wb');f.write(b'x'*65536);f.flush()\n"
                " if n%5==0: os.fsync(f.fileno())\n f.close();os.unlink(p);n+=1;time.sleep(.02)\n")
        (self.directory / "churn").mkdir()
        self.spawn(harness.Program, ["python3", "-c", code, self.directory / "churn"], "churn")

    def has_bpf(self, daemon):
        families = daemon.scrape()
        tiers = {dict(key[1]).get("tier") for key in families["tidegauge_ebpf_feature_info"].series} if "tidegauge_ebpf_feature_info" in families else set()
        return bool(tiers - {"off"})

    def all_expressions(self):
        """{(expression, where)} of panels and of what alerts go by; Prometheus evaluates the rules themselves."""
        found = {}
        for file, rule in monitoring.shipped_rules():
            if "alert" in rule:
                for operand in operands(rule["expr"].replace("[2m]", f"[{WINDOW}]")):
                    found[operand] = f"{file}: {rule['alert']}"
        for path in sorted((monitoring.CONFIG / "grafana" / "dashboards").glob("*.json")):
            board = json.loads(path.read_text("utf-8"))
            asked = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", ())]
            asked += [(annotation["name"], annotation["expr"]) for annotation in board["annotations"]["list"]]
            for title, expression in asked:
                expression = expression.replace("$__rate_interval", WINDOW).replace("$job", ".+").replace("$instance", ".+").replace("[30m]", f"[{WINDOW}]")
                found[expression] = f"{path.stem}: {title}"
        return found

    def test_every_expression_has_a_result(self):
        config = f"cpu_budget: 50%\ncollectors:\n  files:\n    paths: [/etc/hosts]\nrecorder:\n  directory: {self.directory / 'incidents'}\n"
        daemon = self.start(config=config)
        is_bpf = self.wait_for_collectors(daemon)
        if not is_bpf:
            print("BPF is refused here: expressions on it are allowed to be empty", file=sys.stderr)
        self.load()
        prometheus = self.start_prometheus_with_rules([daemon.port], faster=FASTER)
        shipped = monitoring.shipped_rules()
        waiting = self.all_expressions()
        recorded = {rule["record"] for _, rule in shipped if "record" in rule}
        total = len(waiting) + len(recorded)
        self.assertGreater(len(waiting), 200)
        rules_text = [rule["record"] + " " + rule["expr"] for _, rule in shipped if "record" in rule]
        for pattern in MAY_BE_EMPTY:
            self.assertTrue([one for one in [*waiting, *rules_text] if re.search(pattern, one)], f"no expression is like {pattern} any more")

        def may_be_empty(expression):
            return any(re.search(pattern, expression) for pattern in MAY_BE_EMPTY) or (not is_bpf and NEEDS_BPF.search(expression))

        # Prometheus's own word for the rules: evaluated more than once over the whole of their ranges, and well.
        begin = time.time()

        def rules():
            return [rule for group in self.ask(prometheus, "rules")["groups"] for rule in group["rules"]]

        def evaluated():
            return [rule for rule in rules() if rule["health"] == "unknown"] == [] and time.time() - begin > 10
        harness.wait_until(evaluated, 60, lambda: f"all rules to be evaluated\n{prometheus.tail()}", pause=0.5)
        missing = []

        def all_there():
            for expression, where in list(waiting.items()):
                data = self.query(prometheus, expression)
                self.assertEqual(data["resultType"], "matrix" if expression.endswith("]") else "vector", f"{where}: {expression}")
                if self.is_filled(data, where, expression):
                    del waiting[expression]
            known = {row["metric"]["__name__"] for row in self.query(prometheus, 'count by (__name__) ({__name__=~".+:.+"})')["result"]}
            missing[:] = [f"{where}: {expression}" for expression, where in waiting.items() if not may_be_empty(expression)]
            missing[:] += [text for text in rules_text if text.split()[0] not in known and not may_be_empty(text)]
            return not missing
        harness.wait_until(all_there, 60, lambda: f"a result of each: {missing}\n{daemon.tail()}", pause=1)
        print(f"{len(waiting)} of {total} expressions have no result and may: "
              + "; ".join(sorted(waiting.values())), file=sys.stderr)
        self.check_types(daemon.scrape())
        self.assertEqual(len(rules()), len(shipped))
        self.assertEqual([(rule["name"], rule.get("lastError")) for rule in rules() if rule["health"] != "ok"], [])
        complaints = [line for line in prometheus.stderr().splitlines() if re.search(r"\blevel=(warn|error)", line)]
        self.assertEqual(complaints, [], "Prometheus's log")

    def check_types(self, families):
        """Rates are of counters, and what counters count is only ever asked for as a rate."""
        def type_of(name):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            family = families.get(name) or families.get(base)
            return family.type if family else None
        texts = [(file, rule["expr"]) for file, rule in monitoring.shipped_rules()]
        texts += [(where, expression) for expression, where in self.all_expressions().items() if "alerts.yaml" not in where]
        checked = 0
        for where, text in texts:
            for function, name, window in re.findall(r"(?:\b(\w+)\s*\(\s*)?(?<![\w:])((?:node|tidegauge|process)_\w+)(?:\{[^}]*\})?(\[)?", text):
                kind = type_of(name)
                if kind is None:
                    continue
                checked += 1
                if window and function in ("rate", "increase"):
                    self.assertIn(kind, ("counter", "histogram", "untyped"), f"{where}: {function}({name}) in {text}")
                elif window:
                    self.assertIn(kind, ("gauge", "untyped"), f"{where}: {function}({name}) in {text}")
                else:
                    self.assertIn(kind, ("gauge", "untyped"), f"{where}: {name} in {text}")
        self.assertGreater(checked, 200)

    def wait_for_collectors(self, daemon):
        """Until BPF programs are attached and the slow collectors have run; returns whether there is any BPF."""
        def settled():
            families = daemon.scrape()
            return all(harness.sample(families, "tidegauge_collector_success", collector=name) == 1
                       or harness.sample(families, "tidegauge_collector_no_data", collector=name) == 1
                       for name in ("process", "cgroup", "ebpf", "ebpf_block", "ebpf_files", "ebpf_memory", "filesystem", "files", "verdicts"))
        harness.wait_until(settled, 60, lambda: f"all collectors\n{daemon.tail()}", pause=0.5)
        return self.has_bpf(daemon)

    def is_filled(self, data, where, expression):
        """Whether there are results; those that are must be sane: shares and counts are not negative."""
        if not data["result"]:
            return False
        values = [float(row["value"][1]) for row in data["result"] if "value" in row]
        if "headroom" not in expression and "fragmentation_index" not in expression and "deriv(" not in expression:
            self.assertFalse([value for value in values if value < 0 and abs(value) > 1e-9], f"{where}: {expression}: {values}")
        # A quantile of nothing is NaN; elsewhere it is a division by 0.
        if not re.search(r"histogram_quantile|p99", expression):
            self.assertFalse([value for value in values if math.isnan(value) or math.isinf(value)], f"{where}: {expression}: {values}")
        return bool([value for value in values if not math.isnan(value)]) or "values" in data["result"][0]

    def test_two_daemons_of_one_job_and_one_that_vanishes(self):
        """Each has its own results; nothing is said of one that is gone but that it is."""
        flags = ("--no-collector.process", "--no-collector.ebpf", "--no-collector.ebpf_block", "--no-collector.ebpf_files", "--no-collector.ebpf_memory",
                 "--no-recorder.enabled")
        staying, leaving = self.start(*flags), self.start(*flags)
        prometheus = self.start_prometheus_with_rules([staying.port, leaving.port], faster=FASTER)
        instances = {f"127.0.0.1:{staying.port}", f"127.0.0.1:{leaving.port}"}

        def of(expression):
            return {row["metric"]["instance"] for row in self.query(prometheus, expression)["result"]}
        for name in ("cpu:mpstat_iowait:percent", "instance:sar_iowait:percent", "device:iostat_util:percent", "instance:sar_pgscank:per_second"):
            harness.wait_until(lambda name=name: of(name) == instances, 20, lambda name=name: f"{name} of both: {of(name)}\n{prometheus.tail()}", pause=0.3)
        leaving.stop()
        firing = 'ALERTS{alertstate="firing",instance="127.0.0.1:%d"}' % leaving.port

        def names():
            return {row["metric"]["alertname"] for row in self.query(prometheus, firing)["result"]}
        harness.wait_until(lambda: "TidegaugeDown" in names(), 15, lambda: f"TidegaugeDown: {names()}\n{prometheus.tail()}", pause=0.3)
        harness.wait_until(lambda: of("instance:sar_iowait:percent") == {f"127.0.0.1:{staying.port}"}, 20, "the series of the one that is gone to end", pause=0.3)
        self.assertEqual(names(), {"TidegaugeDown"})
        # BPF and processes are off here: what is made of them is absent, and nobody complains of it.
        for name in ("group:sync_p99:seconds", "group:pidstat_cpu:percent"):
            self.assertEqual(of(name), set())
        complaining = {row["metric"]["alertname"] for row in self.query(prometheus, 'ALERTS{alertname=~"Tidegauge.*",instance="127.0.0.1:%d"}' % staying.port)["result"]}
        self.assertLessEqual(complaining, {"TidegaugeBudgetExceeded", "TidegaugePassesStretched", "TidegaugeTicksLate"})


if __name__ == "__main__":
    harness.main()
