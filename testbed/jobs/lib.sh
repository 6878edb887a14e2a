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

# ---- an inner QEMU ----

# qemu_start PROGRAM [OPTION]...: with a QMP monitor; leaves its process id in $pid, what it says in qemu.log.
qemu_start() {
    rm -f qmp.*
    mkfifo qmp.in qmp.out
    : >events
    "$@" -nodefaults -display none -chardev pipe,id=qmp,path=qmp -mon qmp,mode=control \
        -trace 'vfio_cxl*' -trace enable=-vfio_cxl_regs_* >qemu.log 2>&1 &
    pid=$!
    # Neither end may wait for a QEMU that is not there (any more): open for both directions.
    exec 5<>qmp.in 6<>qmp.out
    qmp '{"execute": "qmp_capabilities"}' || { cat qemu.log; return 1; }
}

# qemu_ended SECONDS: it ends by itself, with exit status 0.
qemu_ended() {
    _until=$(($(now) + $1))
    while [ -e "/proc/$pid/exe" ]; do
        [ "$(now)" -lt $_until ] || { echo "QEMU has not ended after $1 s"; return 1; }
        sleep 0.2
    done
    wait $pid || { echo "QEMU's exit status is $?"; return 1; }
}

# answer FD: one line, in $line; fails when none comes in half a minute, or three times $patience seconds, or QEMU has gone.
answer() {
    _tries=0
    until read -r -t 3 line <&"$1"; do
        _tries=$((_tries + 1))
        kill -0 $pid 2>/dev/null && [ $_tries -lt "${patience:-10}" ] || return 1
    done
}

qmp() {
    echo "$1" >&5
    while answer 6; do
        case $line in
            *'"event"'*) echo "$line" >>events ;;
            *'"return"'* | *'"error"'*) return ;;
        esac
    done
    return 1
}
# event NAME SECONDS: waits for one that came since the last call.
event() {
    _until=$(($(now) + $2))
    until grep "\"event\": \"$1\"" events; do
        if read -r -t 1 line <&6; then echo "$line" >>events; fi
        [ "$(now)" -lt $_until ] || { echo "no event $1 within $2 s"; return 1; }
    done
    : >events
}
# Seconds since power-on
now() { read -r _up _ </proc/uptime && echo "${_up%%.*}"; }

# ---- without a guest: virt, registers written by qtest ----
bus=52 bar=0x10000000 bar_size=0x10000000 window=0x10000000000 ram=0x40000000

# vm_start [QEMU-OPTION]...: with $DEVICE, by default the function through vfio-pci.
vm_start() {
    rm -f qtest.*
    mkfifo qtest.in qtest.out
    exec 3<>qtest.in 4<>qtest.out
    qemu_start qemu-system-aarch64 -accel qtest -machine virt,cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=256M \
        -cpu max -m 64M -chardev pipe,id=qtest,path=qtest -qtest chardev:qtest -qtest-log none \
        -device "pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=$bus,hdm_for_passthrough=on" \
        -device cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=2 \
        -device "${DEVICE:-vfio-pci,id=dev0,host=$BDF,bus=rp0}" "$@" || return
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

# q COMMAND...: of the qtest protocol; its value, if any, in $line.
q() {
    echo "$*" >&3
    while answer 4; do
        case $line in OK*) line=${line#OK}; line=${line# }; return ;; ERR* | FAIL*) return 1 ;; esac
    done
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

# ---- with a Linux guest, by KVM ----
# Its console is the file `console`, read forwards: each search goes on behind the line that
# the one before it has found.

# kvm_start WORDS [QEMU-OPTION]...: firmware and Linux, with the function through vfio-pci; WORDS go
# to the kernel's command line. MODE=guest: the guest's driver programs the decoder. IOMMUFD=1: by the
# function's device file and an address space of iommufd's, else by its group and type1.
#
# tsc=reliable: where the machine is busy, Linux mistrusts it and is left with a clock of some milliseconds.
kvm_start() {
    _words="rdinit=/init loglevel=4 random.trust_cpu=on panic=-1 cxl2.action=serve $1"
    shift
    _bridge=,hdm_for_passthrough=on _device=''
    [ "${MODE:-locked}" = locked ] || _bridge='' _device=,x-cxl-decoders=guest _words="$_words cxl2.locked=0"
    [ -z "${IOMMUFD:-}" ] || { _device=$_device,iommufd=iommufd0; set -- -object iommufd,id=iommufd0 "$@"; }
    case $(uname -m) in
        x86_64) set -- qemu-system-x86_64 -machine "q35,$cxl" -L /usr/local/share/qemu -append "console=ttyS0 no_timer_check tsc=reliable clocksource=tsc $_words" "$@" ;;
        aarch64) set -- qemu-system-aarch64 -machine "virt,gic-version=3,$cxl" -bios /usr/local/share/qemu/QEMU_EFI.fd \
            -append "console=ttyAMA0 $_words" "$@" ;;
    esac
    rm -f typed
    mkfifo typed
    : >console
    exec 8<>typed
    console_at=0 told=0
    # All of the guest's RAM is pinned and mapped first; with pages of 16 KiB that was seen to take three minutes.
    patience=120
    qemu_start "$@" -accel kvm -cpu host -smp 2 -m 512M -kernel /guest/kernel -initrd /guest/initramfs.cpio.gz \
        -chardev file,id=console,path=console,input-path=typed -serial chardev:console \
        -device "pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=12$_bridge" -device cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=2 \
        -device "${DEVICE:-vfio-pci,id=dev0,host=$BDF,bus=rp0$_device}"
}
cxl=cxl=on,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=${HDM:-256M}

# kvm_find PATTERN SECONDS: the console's next line that matches, in $line; fails when none comes, or QEMU has gone.
kvm_find() {
    _until=$(($(now) + $2))
    while :; do
        # Before the look, so that what a QEMU said before it ended is found.
        _lives=0; [ -e "/proc/$pid/exe" ] || _lives=1
        # A line that is not complete yet has no carriage return.
        line=$(tail -n +$((console_at + 1)) console | grep -nE -m1 "$1.*$cr") && break
        [ $_lives = 0 ] || { echo "QEMU has ended before the guest said: $1"; return 1; }
        [ "$(now)" -lt $_until ] || { echo "the guest did not say within $2 s: $1"; tail -n 20 console; return 1; }
        sleep 0.3
    done
    console_at=$((console_at + ${line%%:*}))
    line=${line#*:}
    line=${line%"$cr"*}
}
cr=$(printf '\r')

# kvm_tell: the guest's lines of TAP so far, what else it said of the device as comments; all it said, where
# a line is a failure.
kvm_tell() {
    tail -n +$((told + 1)) console | head -n $((console_at - told)) | tr -d '\r' >said
    told=$console_at
    if grep -qE '^not ok |verdict=fail|Kernel panic' said; then sed -E '/^((not )?ok |# )/!s/^/# /' said; else
        sed -nE '/^ok |^# .*reset methods/{p;d}; /^CXL2: /s/^/# /p' said
    fi
}

# kvm_do SECONDS COMMAND: a line of shell for the guest to run; its exit status.
kvm_do() {
    echo "$2" >&8
    kvm_find '^CXL2: done status=' "$1" || return
    return "${line##*=}"
}

# runs: the VM does, by QEMU's word; alive: by the guest's, too.
runs() { qmp '{"execute": "query-status"}' && echo "$line" | grep '"running": true'; }
alive() { runs && kvm_do 60 true; }

# kvm_toggles COUNT: the guest takes the function away from itself, COUNT times by Memory Space Enable and less
# often by D3hot and a function level reset, on one vCPU while the other reads BARs and uses the memory. It reads
# all-ones, or has to wait; the VM goes on, and nobody says that the host did it.
kvm_toggles() {
    holds "the guest toggles while it reads" kvm_do "$((120 + $1))" \
        "/hammer bars memory-space=$1 d3hot=$(($1 / 10)) flr=$(($1 / 20))"
    kvm_tell
    holds "the guest runs" alive
    holds "nothing is put down to the host" fails grep 'the host has closed' qemu.log
}

# value NAME: of "NAME=value" in $line
value() { _value=${line##* $1=}; echo "${_value%% *}"; }

# kvm_examined WHEN: follows the guest's examination of the device to its verdict and plays the host's
# part in it: what the guest wrote has to be in the device, what the device gets it has to see.
kvm_examined() {
    _begin=$(now)
    if kvm_find '^CXL2: (region=|verdict=)' 300 >found; then
        memory_base=$(value base) memory_size=$(($(value size)))
        kvm_find '^CXL2: (wrote |verdict=)' 60 >found || true
    fi
    case ${line:-} in
        *'wrote '*)
            kvm_holds "$1: what the guest wrote at the memory's ends is in the device" \
                [ "$(value first) $(value last)" = "$(model_hex 0) $(model_hex $((memory_size - 16)))" ]
            kvm_find '^CXL2: (waiting-for-host|verdict=)' 60 >found
            _poked="$(random_hex) $(random_hex)"
            model poke 4096 "${_poked% *}" >poked
            model poke $((memory_size - 4096)) "${_poked#* }" >>poked
            kvm_find '^CXL2: (saw |verdict=)' 60 >found
            kvm_holds "$1: what the device got there the guest reads" [ "$(value first) $(value last)" = "$_poked" ] ;;
    esac
    case ${line:-} in
        *verdict=*) ;;
        *) kvm_find '^CXL2: verdict=' 120 >found || sed 's/^/# /' found ;;
    esac
    kvm_tell
    kvm_holds "$1: the guest's verdict" [ "$(value verdict)" = pass ]
    echo "# $1: $(($(now) - _begin)) s to the verdict"
}

# kvm_verdict WHEN: likewise, of a guest that starts, until it takes commands.
kvm_verdict() {
    kvm_examined "$1"
    kvm_find '^CXL2: ready' 30 >found || sed 's/^/# /' found
}

# kvm_ends: the guest powers off, and QEMU ends.
kvm_ends() {
    echo "poweroff -f" >&8
    qemu_ended 60
    _status=$?
    kvm_tell >/dev/null
    exec 5>&- 6>&- 8>&-
    grep -vE '^(vfio_cxl|qemu-system-[a-z0-9_]*: .*recommended cpus)' qemu.log | sed 's/^/qemu: /'
    return $_status
}
# Its lines come behind the guest's.
kvm_holds() { _name=$1; shift; "$@"; result $? "$_name"; }

# kvm_faults_in BASE SIZE: from now on, faults of the second stage in that range of the guest's are counted.
kvm_faults_in() {
    mount -t tracefs tracefs $tracing 2>/dev/null
    mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
    case $(uname -m) in
        x86_64) _event=kvm_page_fault _field=fault_address ;;
        aarch64) _event=kvm_guest_fault _field=ipa ;;
    esac
    echo 0 >$tracing/tracing_on
    echo >$tracing/trace
    echo "$_field >= $(($1)) && $_field < $(($1 + $2))" >$tracing/events/kvm/$_event/filter
    echo 1 >$tracing/events/kvm/$_event/enable
    echo 1 >$tracing/tracing_on
}
# kvm_faults: ends that, and says how many there were.
kvm_faults() {
    echo 0 >$tracing/tracing_on
    echo 0 >$tracing/events/kvm/enable
    grep -c 'kvm_[a-z]*_fault:' $tracing/trace
}
tracing=/sys/kernel/tracing debug=/sys/kernel/debug/kvm

# model_hex OFFSET: 16 bytes of the device's memory
model_hex() { model peek "$1" 16 | tr -d ' '; }
# 16 bytes, none of them 0: the guest takes it for "not yet there".
random_hex() { od -An -N16 -tx1 /dev/urandom | sed 's/ 00/ a5/g' | tr -d ' \n'; }

# model COMMAND...: asks the model device; its answer on standard output. This is the
# host's hardware: the function's memory as the device itself sees it.
model() {
    [ -n "${model_open:-}" ] || exec 7<>"$MODEL"
    model_open=1
    echo "$*" >&7
    read -r -t 10 _said <&7 && echo "$_said"
}

# qtests PROGRAM ARCH PATTERN...: a test program of QEMU's for CXL devices, vfio-cxl,
# vfio-cxl-life or vfio-cxl-refuse, with vfio-pci in vfio-user-pci's place: those of its cases whose names below
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
