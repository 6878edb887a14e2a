#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# usage: preflight.sh MODEL PREFLIGHT TREE SCHEMA
# The program as a user starts it: exit status, what it prints, and libvirt's opinion.
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

model=$1 preflight=$2 tree=$3 schema=$4

# STATUS TEXT OPTION...: ends with that status, and says TEXT somewhere.
ends() {
    status=$1 text=$2
    shift 2
    timeout 20 "$preflight" "$@" >"$dir/out" 2>"$dir/err"
    got=$?
    test $got -eq "$status" && cat "$dir/out" "$dir/err" | grep -qF -- "$text"
    check $? "exit status $status: $* ($text)"
}

ends 0 'Exit status:' --help
ends 2 'name PCI addresses'
ends 2 'is not a PCI address' gpu0
ends 2 '--ram lots' --ram lots 81:00.0
ends 2 '--arch riscv64' --arch riscv64 81:00.0
ends 2 '--nonsense' --nonsense 81:00.0
ends 2 'excludes' --json --xml 81:00.0
ends 2 '0000:81:00.0 is named twice' --sysfs "$tree/sys" 81:00.0 0000:81:00.0
ends 2 '2 addresses and 1 sockets' --socket "$dir/s" 81:00.0 82:00.0
ends 3 '10000:e1:00.0: no such device' --sysfs "$tree/sys" 10000:e1:00.0
ends 3 'no such device' --sysfs "$tree/sys" 82:00.0
ends 3 "$dir/nobody" --socket "$dir/nobody"
ends 0 '0000:81:00.0: ready' --sysfs "$tree/sys" --arch x86_64 81:00.0
ends 1 'NOT READY: 1 failed' --sysfs "$tree/sys" --arch x86_64 --phys-bits 36 0000:81:00.0
ends 1 'a bridge' --sysfs "$tree/sys" 80:01.0

start_model --hdm-size 1G
ends 0 "$dir/s: ready" --socket "$dir/s"
ends 0 'cxl-fmw.0.size=1G' --socket "$dir/s"
ends 0 '"window_bytes": 1073741824' --json --socket "$dir/s"
# What a host shows and what its VFIO device says, together.
ends 0 'answers on' --sysfs "$tree/sys" --arch x86_64 --socket "$dir/s" 81:00.0

# Committed decoders that QEMU would refuse: it is told to leave them to the guest.
start_model --decoders 6 --decoder-size 256M --decoder-skip 256M
ends 0 'x-cxl-decoders=guest, as below' --socket "$dir/s"
ends 0 '"x-cxl-decoders":"guest"}' --socket "$dir/s"
ends 0 'cxl-fmw.0.size=2816M' --socket "$dir/s"
start_model --hdm-size 1G

if command -v virt-xml-validate >/dev/null; then
    for arch in aarch64 x86_64; do
        timeout 20 "$preflight" --xml --arch $arch --socket "$dir/s" >"$dir/out" 2>"$dir/err" &&
            virt-xml-validate "$dir/out" domain >>"$dir/err" 2>&1
        check $? "libvirt takes the domain of a socket, $arch"
        timeout 20 "$preflight" --xml --arch $arch --phys-bits 48 --sysfs "$tree/sys" 81:00.0 >"$dir/out" 2>"$dir/err" &&
            virt-xml-validate "$dir/out" domain >>"$dir/err" 2>&1
        check $? "libvirt takes the domain of a host device, $arch"
    done
else
    number=$((number + 1))
    echo "ok $number - libvirt takes the domains # SKIP virt-xml-validate is not installed"
fi

# A second server: one line for both.
"$model" --socket "$dir/s2" --hdm-size 512M --background --pid-file "$dir/pid2" >"$dir/model2" 2>&1
ends 0 "$dir/s, $dir/s2: ready" --socket "$dir/s" --socket "$dir/s2"
ends 0 'cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=1G,cxl-fmw.1.targets.0=cxl.1,cxl-fmw.1.size=512M' --socket "$dir/s" --socket "$dir/s2"
if command -v virt-xml-validate >/dev/null; then
    timeout 20 "$preflight" --xml --numa --cpus 2 --socket "$dir/s" --socket "$dir/s2" >"$dir/out" 2>"$dir/err" &&
        virt-xml-validate "$dir/out" domain >>"$dir/err" 2>&1
    check $? 'libvirt takes the domain of two sockets, with a node'
fi

# --json has the form that its schema says: ready, not ready, one device and two.
valid() { # WHAT OPTION...
    what=$1
    shift
    timeout 20 "$preflight" --json "$@" >"$dir/out" 2>"$dir/err"
    /usr/bin/python3 -c 'import json, jsonschema, sys
jsonschema.Draft202012Validator.check_schema(s := json.load(open(sys.argv[1])))
jsonschema.Draft202012Validator(s).validate(json.load(open(sys.argv[2])))' "$schema" "$dir/out" 2>>"$dir/err"
    check $? "the JSON is as its schema says: $what"
}
if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
    valid 'a socket' --socket "$dir/s"
    valid 'two' --socket "$dir/s" --socket "$dir/s2"
    valid 'a recorded host' --sysfs "$tree/sys" 81:00.0
    valid 'not ready' --sysfs "$tree/sys" --arch x86_64 --phys-bits 36 81:00.0
    valid 'a bridge' --sysfs "$tree/sys" 80:01.0
    # And what is not of that form is found.
    timeout 20 "$preflight" --json --socket "$dir/s" | sed 's/"status": "ok"/"status": "fine"/' >"$dir/out"
    ! /usr/bin/python3 -m jsonschema -i "$dir/out" "$schema" >"$dir/err" 2>&1
    check $? 'a status that the schema does not know is refused'
else
    number=$((number + 1))
    echo "ok $number - the JSON is as its schema says # SKIP python3-jsonschema is not installed"
fi
kill "$(cat "$dir/pid2")"

start_model --fault no-cxl-flag
ends 1 'bit 9 clear' --socket "$dir/s"
start_model --fault die-after-info
ends 3 "--socket $dir/s" --socket "$dir/s"

echo "1..$number"
exit $failures
