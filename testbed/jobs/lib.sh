# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2034,SC2154,SC3045 # variables shared with the jobs; busybox has read -t
# What the jobs share. Each is a file of its own in the nested host: TAP lines without
# numbers on its standard output, everything else there is kept as a comment.

# result STATUS NAME: one line of TAP.
result() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }

# holds NAME COMMAND...: does the command succeed? What it said is shown if not.
holds() {
    _name=$1; shift
    "$@" >holds.out 2>&1
    _status=$?
    result $_status "$_name"
    [ $_status = 0 ] || sed 's/^/# /' holds.out
}
fails() { ! "$@"; }

# How Linux begins when it has something to complain of.
complaints='Kernel panic|BUG:|WARNING:|Oops|Call Trace|general protection|hung_task|blocked for more'

# ---- an inner QEMU with the function, without a guest: virt, registers written by qtest ----
bus=52 bar=0x10000000 bar_size=0x10000000 window=0x10000000000 ram=0x40000000

# vm_start [QEMU-OPTION]...: with $DEVICE, by default the function through vfio-pci; leaves its process id in $pid, what it says in qemu.log.
vm_start() {
    rm -f qtest.* qmp.*
    mkfifo qtest.in qtest.out qmp.in qmp.out
    qemu-system-aarch64 -accel qtest -machine virt,cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=256M \
        -cpu max -m 64M -nodefaults -display none \
        -chardev pipe,id=qtest,path=qtest -qtest chardev:qtest -qtest-log none \
        -chardev pipe,id=qmp,path=qmp -mon qmp,mode=control \
        -device "pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=$bus,hdm_for_passthrough=on" \
        -device cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=2 \
        -device "${DEVICE:-vfio-pci,id=dev0,host=$BDF,bus=rp0}" \
        -trace 'vfio_cxl*' -trace enable=-vfio_cxl_regs_* "$@" >qemu.log 2>&1 &
    pid=$!
    # Neither end may wait for a QEMU that is not there (any more): open for both directions.
    exec 3<>qtest.in 4<>qtest.out 5<>qmp.in 6<>qmp.out
    qmp '{"execute": "qmp_capabilities"}' || { cat qemu.log; return 1; }
    ecam=0x$(mtree | sed -n 's/^ *0*\([0-9a-f]*\)-.*alias pcie-ecam .*/\1/p' | head -n1)
}

vm_lives() { kill -0 $pid && q readl "$(cfg 0)"; }

# vm_stop: fails if it had ended before, or ends with another status than 0, which is
# QEMU's after a SIGTERM.
vm_stop() {
    # Signals can be sent to it until it is waited for, but it has no program any more.
    _ended=0
    [ -e "/proc/$pid/exe" ] || _ended=1
    kill $pid 2>/dev/null
    wait $pid 2>/dev/null || _ended=$?
    exec 3>&- 4>&- 5>&- 6>&-
    sed 's/^/# qemu: /' qemu.log
    [ $_ended = 0 ] || echo "QEMU ended by itself, or with an exit status other than 0 ($_ended)"
    return $_ended
}

# answer FD: one line, in $line; fails when none comes in half a minute, or QEMU has gone.
answer() {
    _tries=0
    until read -r -t 3 line <&"$1"; do
        _tries=$((_tries + 1))
        kill -0 $pid 2>/dev/null && [ $_tries -lt 10 ] || return 1
    done
}

# q COMMAND...: of the qtest protocol; its value, if any, in $line.
q() {
    echo "$*" >&3
    while answer 4; do
        case $line in OK*) line=${line#OK}; line=${line# }; return ;; ERR* | FAIL*) return 1 ;; esac
    done
    return 1
}

qmp() {
    echo "$1" >&5
    while answer 6; do case $line in *'"return"'* | *'"error"'*) return ;; esac; done
    return 1
}
mtree() { qmp '{"execute": "human-monitor-command", "arguments": {"command-line": "info mtree"}}' && printf '%b' "$line"; }

at() { printf '0x%x' $(($1 + $2)); }
# cfg OFFSET: where that byte of the function's configuration space is.
cfg() { at "$((ecam + ((bus + 1) << 20)))" "$1"; }
memory_space() { q writew "$(cfg 4)" "$1"; }
# reads WIDTH ADDRESS VALUE
reads() { q "$1" "$2" && [ "$(($line))" = "$(($3))" ] || { echo "$2 reads $line, expected $3"; return 1; }; }
# Read back through the window, written through it or by the device.
mapped() { mtree | grep 'CXL decoder 0' | grep -q "$(printf '%016x' $window)-"; }
unmapped() { mtree >tree && grep -q 'pcie-ecam' tree && ! grep -q 'CXL decoder 0' tree; }

# What firmware does: bus numbers, bridge window, BARs. Memory space is off after it.
vm_pci() {
    _port=$((ecam + (bus << 20)))
    q writel "$(at $_port 0x18)" $((bus | (bus + 1) << 8 | (bus + 1) << 16))
    q writel "$(at $_port 0x20)" $((bar >> 16 | (bar + bar_size - 1) & 0xfff00000))
    q writew "$(at $_port 4)" 6
    q writew "$(cfg 4)" 0
    q writel "$(cfg 0x10)" $bar
    q writel "$(cfg 0x14)" 0
    q writel "$(cfg 0x18)" "$(at $bar 0x800000)"
    q writel "$(cfg 0x1c)" 0
}

# model COMMAND...: asks the model device; its answer on standard output. This is the
# host's hardware: the function's memory as the device itself sees it.
model() {
    [ -n "${model_open:-}" ] || exec 7<>"$MODEL"
    model_open=1
    echo "$*" >&7
    read -r -t 10 _said <&7 && echo "$_said"
}

# qtests PROGRAM ARCH PATTERN...: a test program of QEMU's for CXL devices, vfio-cxl or
# vfio-cxl-life, with vfio-pci in vfio-user-pci's place: those of its cases whose names below
# /ARCH/PROGRAM/ begin with a PATTERN; all without one.
qtests_failed=0
qtests() {
    _program=$1 _arch=$2
    shift 2
    for _pattern; do
        set -- "$@" -p "/$_arch/$_program/$_pattern"
        shift
    done
    VFIO_CXL_HOST="$BDF" VFIO_CXL_HOST_BASE="$HPA" VFIO_CXL_CONTROL="$MODEL" CXL_TYPE2_CONTRACT="$CONTRACT" \
        QTEST_QEMU_BINARY="/bin/qemu-system-$_arch" "$_program-test" --tap -k "$@" || qtests_failed=1
}
