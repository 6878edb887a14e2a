# SPDX-License-Identifier: GPL-2.0-or-later
# Thin on purpose: each target calls a script in scripts/, which knows what is up
# to date. Everything made lies below build/.
#
# Variables given on the command line (QEMU_SRC, GUEST_KERNEL, FIRMWARE, HDM, WINDOW,
# CC, DEBIAN_MIRROR ...) reach the scripts through the environment.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := all

.PHONY: run
run: all ## boot a Linux guest on the model device and show what happens; KVM=1: by KVM and vfio-pci
	@scripts/run

.PHONY: check
check: all ## run all tests; STEPS="name ..." runs some of them
	@scripts/qemu/build tests
	@scripts/check/check $(STEPS)

.PHONY: all
all: qemu programs guest ## build everything

.PHONY: setup
setup: ## install the Debian packages that are missing
	@scripts/debian/setup

.PHONY: fetch
fetch: setup ## fetch and unpack QEMU (QEMU_SRC=DIR takes any prepared tree)
	@scripts/qemu/fetch

.PHONY: prepare
prepare: fetch ## lay new files and hooks onto build/src/qemu
	@scripts/qemu/prepare

.PHONY: qemu
qemu: setup ## build QEMU, unpatched first, then ours
	@scripts/qemu/build

.PHONY: programs
programs: setup ## build what is C++: the model device, preflight, the benchmark
	@scripts/build-cpp

.PHONY: guest
guest: setup ## build the guest: kernel, driver, initramfs, firmware
	@scripts/debian/firmware >/dev/null
	@guest/build

.PHONY: check-nested
check-nested: all ## vfio-pci with a real kernel's VFIO and KVM: a Linux host inside a VM
	@scripts/qemu/build tests
	@scripts/check/check nested-live nested-shadow nested-kvm-amd64-live nested-kvm-amd64-shadow \
		nested-kvm-arm64-live nested-kvm-arm64-shadow
	@scripts/check/conformance-table

.PHONY: check-mutations
check-mutations: all ## take each gate out of QEMU's CXL code and see a named test turn red
	@scripts/qemu/build tests
	@scripts/check/mutations

.PHONY: check-iommufd
check-iommufd: all ## IOMMUFD and dma-bufs, in a nested host whose kernel is built here
	@scripts/qemu/build tests
	@ARCH=amd64-iommufd scripts/nested/run live iommufd

.PHONY: nested-shell
nested-shell: all ## a shell in that host (CONTRACT=live|shadow ARCH=amd64|arm64)
	@scripts/qemu/build tests
	@scripts/nested/run shell $(or $(CONTRACT),live)

.PHONY: install
install: all ## copy QEMU, its firmware and our programs to where they are used (PREFIX= DESTDIR=)
	@packaging/install

.PHONY: deb
deb: all ## Debian packages of them, in build/deb
	@packaging/deb

.PHONY: bench
bench: all ## measure CXL.mem, registers, start-up (ARCH= ACCEL= SIZE= ROUNDS=); KVM=1: by KVM and vfio-pci
	@$(if $(filter-out 0,$(KVM)),scripts/nested/bench,build/bin/cxl-type2-bench)

.PHONY: fuzz
fuzz: qemu ## fuzz what parses; SECONDS=N for each of the targets
	@scripts/check/fuzz $(or $(SECONDS),60)

.PHONY: check-asan
check-asan: all ## run our qtests with a QEMU that has sanitizers (slow)
	@scripts/check/asan

.PHONY: series
series: prepare ## export branches and mails into build/series
	@scripts/series/series export

.PHONY: series-check
series-check: qemu programs ## prove that the series is sound, each patch built and tested, too (slow)
	@scripts/series/series check
	@scripts/series/series build

.PHONY: series-build
series-build: qemu programs ## compile and test every patch by itself (slow); TESTS=0 compiles only
	@scripts/series/series build

.PHONY: series-qemu-check
series-qemu-check: qemu programs ## QEMU's own `make check` on base and series, compared (slow); SUITES="unit ..."
	@scripts/series/series qemu-check

.PHONY: refresh
refresh: fetch ## bring edits in build/src/qemu into series/ (PATCH=name OFFSETS=1)
	@scripts/series/series refresh $(if $(filter-out 0,$(OFFSETS)),--offsets) $(PATCH)

.PHONY: discard
discard: fetch ## drop edits in build/src/qemu
	@scripts/qemu/prepare --discard

.PHONY: rebase
rebase: setup ## QEMU_SRC=DIR: which patches apply on another QEMU
	@env -u QEMU_SRC scripts/qemu/fetch
	@scripts/series/series rebase "$(QEMU_SRC)"

.PHONY: update
update: setup ## fetch Debian's package index anew, and newer guest packages with it
	@scripts/debian/update

.PHONY: clean
clean: ## remove what was built, keep what was fetched
	@rm -rf build/qemu build/base build/cpp build/bin build/guest build/testbed build/nested build/check

.PHONY: distclean-qemu
distclean-qemu: ## remove QEMU's tree and its build, keep the download
	@rm -rf build/qemu build/base build/src build/series

.PHONY: distclean
distclean: ## remove build/
	@rm -rf build

.PHONY: help
help: ## show this
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
