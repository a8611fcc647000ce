# SPDX-License-Identifier: Apache-2.0
#
# Short names for what people do with this tree; CMake does the building (CMakePresets.json).
# `make help` lists them. On a fresh Debian 12, `make run` is all it takes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# One shell per recipe, so that variables and traps live until its end.
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The one list of Debian packages. The daemon and its unit tests need the first part: one CMake
# configuration serves both. The second part is only for `make test`, `make bench` and the linters, the
# third for the machines of `make lab`.
BUILD_PACKAGES := \
  build-essential cmake ninja-build ccache pkg-config \
  prometheus-cpp-dev libmicrohttpd-dev libgnutls28-dev libspdlog-dev libyaml-cpp-dev libcli11-dev \
  nlohmann-json3-dev libexpected-dev libdeflate-dev libzstd-dev libre2-dev libsystemd-dev libcap-ng-dev \
  clang libbpf-dev bpftool robin-map-dev \
  zlib1g-dev libgtest-dev libgmock-dev libbenchmark-dev
TEST_PACKAGES := \
  clang-format clang-tidy libclang-rt-14-dev python3 python3-yaml curl \
  prometheus prometheus-alertmanager prometheus-node-exporter prometheus-process-exporter sysstat wrk systemd \
  fio redis-server redis-tools strace e2fsprogs xfsprogs btrfs-progs
LAB_PACKAGES := qemu-system-x86 busybox-static cpio debian-archive-keyring

CONFIG ?= config/tidegauge.yaml
ARGS ?=
PREFIX ?= /usr
JOBS ?= $(shell nproc)
SECONDS ?= 60

# Formatted: all C and C++ that people write. Tidied: what runs in production.
FORMATTED = $(shell find bpf collectors daemon tests -type f \
  \( -name '*.h' -o -name '*.cc' -o -name '*.c' \) -not -path 'tests/fixtures/*' 2>/dev/null)
TIDIED = $(sort $(shell find collectors daemon -type f -name '*.cc' 2>/dev/null))
HEADERS = $(shell find bpf collectors daemon -type f -name '*.h' 2>/dev/null)

# Installs what is missing of the packages $(1); says nothing when all are there.
# With $(2) = quiet-services no installed service may start: prometheus, node_exporter and sysstat
# are tools here, not services, and would take ports 9090 and 9100 of a developer's host. Debian's
# maintainer scripts ask policy-rc.d before they start anything, so one that says no (101) stands in
# while apt-get runs, unless the host has its own; the boot-time links of what was just installed
# are switched off afterwards. What the host already had is left as it is.
define install_packages
if ! command -v dpkg-query >/dev/null; then
  echo "deps: not a Debian system; install what these packages contain: $(1)" >&2
  exit 0
fi
installed=" $$(dpkg-query -W -f='$${db:Status-Status}=$${Package} ' $(1) 2>/dev/null || true)"
missing=()
for package in $(1); do
  [[ $$installed == *" installed=$$package "* ]] || missing+=("$$package")
done
[[ $${#missing[@]} -gt 0 ]] || exit 0
echo "deps: installing $${missing[*]}"
as_root=()
if [[ $$(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "deps: neither root nor sudo; as root: apt-get install --no-install-recommends $${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
policy=/usr/sbin/policy-rc.d
mark='tidegauge: make deps'
if [[ "$(2)" == quiet-services ]] && { [[ ! -e $$policy ]] || grep -qF "$$mark" "$$policy"; }; then
  trap '"$${as_root[@]}" rm -f "$$policy"' EXIT
  printf '#!/bin/sh\n# %s, removed when it ends\nexit 101\n' "$$mark" |
    "$${as_root[@]}" tee "$$policy" >/dev/null
  "$${as_root[@]}" chmod 0755 "$$policy"
fi
"$${as_root[@]}" apt-get update -q
"$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -q -y --no-install-recommends "$${missing[@]}" </dev/null
if [[ "$(2)" == quiet-services ]] && command -v systemctl >/dev/null; then
  for package in "$${missing[@]}"; do
    case $$package in
      prometheus | prometheus-alertmanager | prometheus-node-exporter | prometheus-process-exporter | sysstat)
        "$${as_root[@]}" systemctl disable --quiet "$$package" >/dev/null 2>&1 || true ;;
    esac
    if [[ $$package == sysstat ]]; then
      "$${as_root[@]}" systemctl disable --quiet sysstat-collect.timer sysstat-summary.timer \
        >/dev/null 2>&1 || true
    fi
  done
fi
endef

# Configures preset $(1) into $(2) when the presets changed; Ninja notices all else by itself.
define configure
[[ $(2)/build.ninja -nt CMakePresets.json ]] || cmake --preset $(1)
endef

# Runs the tests of preset $(1), built in $(2), and closes with 'N passed, N failed[, N skipped]'
# counted from ctest's own record: "notrun" is a skip only when the test asked for it (SKIP_*), and
# a failure when its program or a fixture is missing. ctest's exit code is kept.
define run_tests
report=$(2)/ctest.xml
rm -f "$$report"
status=0
ctest --preset $(1) --output-on-failure --no-tests=error --output-junit "$$PWD/$$report" \
  </dev/null || status=$$?
if [[ ! -s $$report ]]; then
  echo "ctest left no record of its tests" >&2
  exit $$(( status > 0 ? status : 1 ))
fi
awk '
  /^\t<testcase / {
    waiting = 0
    if (/ status="run"/) passed++
    else if (/ status="disabled"/) skipped++
    else if (/ status="notrun"/) waiting = 1
    else failed++
    notrun += waiting
  }
  waiting && /^\t\t<skipped message="SKIP_/ { skipped++; notrun--; waiting = 0 }
  END {
    line = sprintf("%d passed, %d failed", passed, failed + notrun)
    print skipped ? line sprintf(", %d skipped", skipped) : line
  }' "$$report"
exit $$status
endef

.PHONY: help deps deps-build deps-test deps-lab build build-all run demo test test-asan bench abuse-long ebpf-long fuzz lab lab-kernels fmt \
  fmt-check tidy tidy-files lint clean install

help: ## list these targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

deps: deps-build deps-test ## install the Debian packages that are missing (silent when none is)

deps-build:
	@$(call install_packages,$(BUILD_PACKAGES),)

deps-test: deps-build
	@$(call install_packages,$(TEST_PACKAGES),quiet-services)

deps-lab: deps
	@$(call install_packages,$(LAB_PACKAGES),)

build: deps-build ## build the daemon: build/tidegauge
	@$(call configure,release,build)
	cmake --build build --target tidegauge

build-all: deps-build
	@$(call configure,release,build)
	cmake --build build

run: build ## build and run in the foreground; CONFIG=file, ARGS='more flags'
	@echo "tidegauge: look at http://127.0.0.1:10070/metrics (Ctrl-C stops it)"
	exec build/tidegauge serve --config.file=$(CONFIG) $(ARGS)

demo: deps build ## this host and a recorded incident with Prometheus and Alertmanager, on loopback, until Ctrl-C
	@exec python3 -B config/demo.py $(ARGS)

test: deps build-all ## build and run all tests
	@$(call run_tests,release,build)

test-asan: deps ## the same under AddressSanitizer and UndefinedBehaviorSanitizer (build-asan/)
	@$(call configure,asan,build-asan)
	cmake --build build-asan
	export ASAN_OPTIONS="$${ASAN_OPTIONS:-detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1}"
	export UBSAN_OPTIONS="$${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}"
	$(call run_tests,asan,build-asan)

bench: deps build-all ## run the benchmarks (build/**/*_bench)
	@found=0
	while IFS= read -r program; do
	  found=1
	  echo "== $$program"
	  "$$program" $(ARGS) </dev/null
	done < <(find build -type f -name '*_bench' -executable | sort)
	[[ $$found -eq 1 ]] || { echo "bench: no *_bench program under build/" >&2; exit 1; }

# Fetches kernels once, then needs no network; ARGS=bookworm.test_io for one test on one of them.
lab lab-kernels: deps-lab ## boot the kernels of other releases in virtual machines and test there
	@$(call configure,release,build)
	cmake --build build --target tidegauge lab_workload idle_processes
	python3 -B tests/lab/run.py $(ARGS)

abuse-long: deps build-all ## the long tests against processes that mean harm: minutes of forks, writes and cgroups
	@TIDEGAUGE=$$PWD/build/tidegauge TIDEGAUGE_E2E_LONG=1 PYTHONDONTWRITEBYTECODE=1 \
	  python3 tests/e2e/process_abuse_test.py LongIteratorTest LongProcfsTest
	TIDEGAUGE_ORACLE_SEEDS=200 build/tidegauge_tests --gtest_filter='ProcTasksOracle.*' --gtest_brief=1

ebpf-long: deps build-all ## the long tests of what BPF programs count: minutes of real disk traffic
	@export TIDEGAUGE=$$PWD/build/tidegauge TIDEGAUGE_E2E_LONG=1 PYTHONDONTWRITEBYTECODE=1; \
	build/tidegauge_tests --gtest_filter='ThisKernel.AttachingAndDetachingLeavesNothing'; \
	for test in counting ebpf_files ebpf_block memory; do python3 tests/e2e/$${test}_test.py || exit 1; done

fuzz: deps ## fuzz each target of tests/fuzz for SECONDS=60 (build-fuzz/, corpus kept there)
	@$(call configure,fuzz,build-fuzz)
	cmake --build build-fuzz --target http_fuzz config_fuzz collector_fuzz process_fuzz recording_fuzz verdict_fuzz make_recording
	tests/fuzz/run.sh $(SECONDS)

fmt: deps-test ## format C and C++ in place
	@clang-format -i $(FORMATTED)

fmt-check: deps-test ## fail when `make fmt` would change something
	@clang-format --dry-run --Werror $(FORMATTED)

tidy: deps-test build-all ## clang-tidy over collectors/ and daemon/, JOBS at a time
	@$(MAKE) -j$(JOBS) --keep-going --output-sync=target tidy-files

# A stamp per file: only what changed is looked at again. Any header counts for every file.
tidy-files: $(TIDIED:%=build/tidy/%.ok)

build/tidy/%.ok: % .clang-tidy $(HEADERS)
	@mkdir -p $(@D)
	status=0
	clang-tidy --quiet -p build --extra-arg=-Wno-unknown-warning-option $< >$@.log 2>&1 || status=$$?
	if [[ $$status -ne 0 ]]; then
	  { grep -vE '^[0-9]+ warnings? (generated|treated as errors?)|^Suppressed|^Use -header-filter' $@.log || true; } >&2
	  echo "tidy: $< FAILED" >&2
	  exit $$status
	fi
	touch $@

lint: deps-test ## layers, licences, CMake lists, systemd unit
	@python3 tests/lint/check_layers.py --self-test
	python3 tests/lint/check_layers.py
	tests/lint/check_systemd.sh

clean: ## remove what was built
	rm -rf build build-asan build-fuzz

install: ## install what `make build` built; PREFIX=/usr, DESTDIR= for packagers
	@[[ -x build/tidegauge ]] || { echo "install: run 'make build' first" >&2; exit 1; }
	# The unit names /usr/bin and /etc; this only sets paths, nothing is compiled again.
	cmake -S . -B build -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	cmake --install build
