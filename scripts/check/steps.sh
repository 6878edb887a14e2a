# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The steps of `make check`, cheapest first. One line is one step:
#
#   step NAME HOW COMMAND [ARG...]        the command runs in the top folder
#   beside NAME HOW COMMAND [ARG...]      so does this, from the start, while others wait
#
# HOW  tap    counts "ok" and "not ok" lines; "# SKIP reason" is a skip; a plan
#             that was not kept, no test at all, or an exit status that no line
#             explains is a failure
#      gtest  counts GoogleTest's result lines, by the same rules
#      meson  counts the tests of a meson build folder (the argument)
#      exit   one test: the exit status
#
# `qtest ARCH PROGRAM` runs one of QEMU's test programs against build/bin's QEMU.
# CXL_TYPE2_MODEL and CXL_TYPE2_CTL name the model device's programs.

beside tidy                     tap   scripts/check/tidy
for t in scripts/check/tests/*; do
    case $t in *.sh) ;; *) step "scripts-${t##*/}" tap "$t" ;; esac
done
step series                     tap   scripts/series/series check
step unchanged                  tap   scripts/check/unchanged
step acpi-tables                tap   scripts/check/tables
step style                      tap   scripts/check/style
step docs                       tap   scripts/check/docs
step unit                       meson build/cpp
step preflight                  tap   scripts/check/preflight
step without-cxl                tap   scripts/check/without-cxl

# By our sources, not by what is built: a program that is missing is a failure.
for t in tests/unit/test-*.c; do
    t=$(basename "$t" .c)
    step "$t" tap qtest x86_64 "tests/unit/$t"
done
for t in tests/fuzz/*.tar.xz src/fuzz/*.tar.xz; do
    t=$(basename "$t" .tar.xz)
    step "fuzz-$t" tap scripts/check/fuzz 10 "$t"
done
for arch in aarch64 x86_64; do
    step "vfio-cxl-test-$arch"          tap   qtest $arch tests/qtest/vfio-cxl-test
    step "vfio-cxl-test-$arch-shadow"   tap   qtest $arch tests/qtest/vfio-cxl-test CXL_TYPE2_CONTRACT=shadow
    step "vfio-cxl-config-test-$arch"   tap   qtest $arch tests/qtest/vfio-cxl-config-test
    step "vfio-cxl-config-test-$arch-shadow" tap qtest $arch tests/qtest/vfio-cxl-config-test CXL_TYPE2_CONTRACT=shadow
    step "vfio-cxl-refuse-test-$arch"   tap   qtest $arch tests/qtest/vfio-cxl-refuse-test
    step "vfio-cxl-refuse-test-$arch-shadow" tap qtest $arch tests/qtest/vfio-cxl-refuse-test CXL_TYPE2_CONTRACT=shadow
    step "vfio-cxl-life-test-$arch"     tap   qtest $arch tests/qtest/vfio-cxl-life-test
    step "vfio-cxl-fault-test-$arch"    tap   qtest $arch tests/qtest/vfio-cxl-fault-test
    step "vfio-cxl-dma-test-$arch"      tap   qtest $arch tests/qtest/vfio-cxl-dma-test \
        "CXL_TYPE2_UNPATCHED_QEMU=$BUILD/base/qemu-system-$arch"
    step "vfio-cxl-access-test-$arch"   tap   qtest $arch tests/qtest/vfio-cxl-access-test
    step "acpi-generic-initiator-$arch" tap   qtest $arch tests/qtest/acpi-generic-initiator-test
    step "vfio-user-hostile-$arch"      tap   qtest $arch tests/qtest/vfio-user-hostile-test
    step "vfio-user-dma-$arch"          tap   qtest $arch tests/qtest/vfio-user-dma-test
    step "vfio-user-limits-$arch"       tap   qtest $arch tests/qtest/vfio-user-limits-test
    step "cxl-test-$arch"               tap   qtest $arch tests/qtest/cxl-test
    step "qom-test-$arch"               tap   scripts/check/qtest-cases $arch tests/qtest/qom-test
    step "device-introspect-$arch"      tap   qtest $arch tests/qtest/device-introspect-test
    step "bios-tables-$arch"            tap   scripts/check/bios-tables $arch
    step "bios-tables-$arch-red"        tap   scripts/check/bios-tables --red $arch
done

# What happens over time, and with each fault, does not depend on the machine, so the other
# generation is shown on one. The guest's decoders do not depend on the generation: one each.
for t in fault life; do
    step "vfio-cxl-$t-test-aarch64-shadow" tap qtest aarch64 "tests/qtest/vfio-cxl-$t-test" CXL_TYPE2_CONTRACT=shadow
done
step vfio-cxl-decoder-test-aarch64       tap qtest aarch64 tests/qtest/vfio-cxl-decoder-test
step vfio-cxl-decoder-test-x86_64-shadow tap qtest x86_64 tests/qtest/vfio-cxl-decoder-test CXL_TYPE2_CONTRACT=shadow

# vfio-pci with a real kernel's VFIO, in a Linux host inside a VM; with KVM and a guest, too.
# The first for arm64 cross-builds a QEMU for it.
for contract in live shadow; do
    step "nested-$contract"         tap   scripts/nested/run $contract
    for arch in amd64 arm64; do
        step "nested-kvm-$arch-$contract" tap env ARCH=$arch scripts/nested/run $contract kvm
    done
done

# An Arm host that cannot map the memory: refused in words.
step nested-kvm-arm64-refused   tap   env ARCH=arm64 CPU=neoverse-n1 scripts/nested/run live kvm-refused

# Boots of a real guest.
step packaging                  tap   packaging/test
step commands                   tap   scripts/check/commands
step bench                      tap   scripts/check/bench
for arch in aarch64 x86_64; do
    step "functional-$arch"         tap   scripts/check/functional $arch
    step "libvirt-$arch"            tap   scripts/check/libvirt $arch
done
