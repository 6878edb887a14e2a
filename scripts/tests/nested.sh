#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the nested host's jobs and their report take for a failure, without the host.
. "$(dirname "$0")/common"

# stops COMMAND: vm_stop with COMMAND in QEMU's place, when it has ended or made the file
# `up`. Nothing but the shell's own words in between, which would wait for it.
# shellcheck disable=SC2016 # the inner shell's variables
stops() {
    (cd "$SCRATCH" && rm -f up && : >qemu.log && sh -c '. "$1"; sh -c "$2" & pid=$!
        until [ -e up ] || [ ! -e /proc/$pid/exe ]; do :; done; vm_stop' sh "$TOP/testbed/jobs/lib.sh" "$1")
}
lives='trap "exit 0" TERM; : >up; while :; do sleep 0.1; done'

# host: a checkout whose nested host is a script that says what $SCRATCH/said holds and has
# $SCRATCH/console on its console; nested-view is for each test to write.
host() {
    new_repo
    cp -r "$TOP/testbed" "$REPO/testbed"
    mkdir -p "$REPO/build/bin" "$REPO/build/testbed/amd64"
    : >"$REPO/build/testbed/amd64/initramfs.cpio"
    printf '#!/bin/sh\n' | tee "$REPO/testbed/build" "$REPO/scripts/firmware" >/dev/null
    printf '#!/bin/sh\necho cxl-type2-model: listening\nexec sleep 60\n' >"$REPO/build/bin/cxl-type2-model"
    printf '#!/bin/sh\ncp %s/said %s/build/nested/live-view.out\ncp %s/console %s/build/nested/live-view.console\n' \
        "$SCRATCH" "$REPO" "$SCRATCH" "$REPO" >"$REPO/build/bin/qemu-system-x86_64"
    printf '#!/bin/sh\necho 1..2\necho ok - config\necho ok - registers\n' >"$REPO/scripts/nested-view"
    chmod +x "$REPO"/build/bin/* "$REPO/testbed/build" "$REPO/scripts/firmware"
    printf '%s\n' '==== view begin 1.0' 'ok - a' '==== view end 0 2.0' '==== kernel begin 2.0' 'ok - b' \
        '==== kernel end 0 2.5' '==== all end' >"$SCRATCH/said"
    echo "Linux version 7" >"$SCRATCH/console"
}
nested() { "$REPO/scripts/nested" live view; }
sound() {
    host
    works nested
    holds "$SCRATCH/out" "ok 3 - compare: config"
    holds "$SCRATCH/out" "1..5"
}
# red WORDS: the run fails and says so.
red() { fails nested; said "$1"; }
failing_line() { host; sed -i 's/^ok - a/not ok - a/' "$SCRATCH/said"; red "not ok 1 - view: a"; }
unexplained_status() { host; sed -i 's/view end 0/view end 2/' "$SCRATCH/said"; red "not ok 2 - view: exit status 2"; }
no_line() { host; sed -i '/^ok - a/d' "$SCRATCH/said"; red "not ok 1 - view: ran no test"; }
broken_plan() { host; sed -i 's/^ok - a/1..2\n&/' "$SCRATCH/said"; red "view: planned 2 tests, ran 1"; }
# As QEMU's test programs do it with -p.
plan_afterwards() { host; sed -i 's/^ok - a/ok 1 a\n1..1\nok 2 b\n1..2/' "$SCRATCH/said"; works nested; }
cut_off() { host; sed -i '/kernel/d' "$SCRATCH/said"; red "kernel: did not end"; }
compare_crashes() { host; echo 'exit 1' >>"$REPO/scripts/nested-view"; red "compare: exit status 1"; }
compare_stops() { host; sed -i '/registers/d' "$REPO/scripts/nested-view"; red "compare: planned 2 tests, ran 1"; }
console_complains() { host; echo "[   12.3] WARNING: CPU: 0 PID: 1 at x.c:1" >"$SCRATCH/console"; red "# console: [   12.3] WARNING: CPU: 0"; }

# view LINE...: nested-view with these lines for the job, of whose output the other side is.
view() {
    host
    cp "$TOP/scripts/nested-view" "$REPO/scripts/nested-view"
    printf '#!/bin/sh\n: >"$4"\nexec sleep 60\n' >"$REPO/build/bin/cxl-type2-model"
    printf '%s\n' "$@" >"$REPO/testbed/jobs/view"
    printf '# view %s 0102\n' config registers first last >"$SCRATCH/said"
    "$REPO/scripts/nested-view" live "$SCRATCH/said" >"$SCRATCH/out" 2>&1
}
same_views() { view "cat $SCRATCH/said" || cat "$SCRATCH/out"; }
other_views() { if view "sed s/0102/0103/ $SCRATCH/said"; then echo "exit status 0"; fi; said "not ok - config is the same"; }
no_view() { if view 'result 1 "the device realizes"'; then echo "exit status 0"; fi; said "not ok - by vfio-user: the device realizes"; said "not ok - last is the same"; }

# kernel_says TEXT: the job, where the kernel's log is TEXT.
kernel_says() {
    mkdir -p "$SCRATCH/bin"
    printf '#!/bin/sh\necho "%s"\n' "$1" >"$SCRATCH/bin/dmesg"
    chmod +x "$SCRATCH/bin/dmesg"
    (cd "$SCRATCH" && PATH=$SCRATCH/bin:$PATH && sh -c '. "$1/lib.sh"; . "$1/kernel"' sh "$TOP/testbed/jobs" >"$SCRATCH/out")
}
kernel_quiet() { kernel_says "[    0.1] Linux version 7"; lacks "$SCRATCH/out" "not ok - nothing in it is a complaint"; said "ok - nothing in it"; }
kernel_complains() {
    kernel_says "[  240.1] INFO: task qemu:12 blocked for more than 120 seconds."
    said "not ok - nothing in it is a complaint"
    said "# [  240.1] INFO: task"
}

check "a QEMU that ends when told to has lived" works stops "$lives"
check "one that crashed before has not" fails stops 'kill -SEGV $$'
check "nor one that ended before" fails stops 'exit 0'
check "nor one that ends with an error" fails stops "${lives/exit 0/exit 1}"
check "a host whose jobs went well is reported so" sound
check "a job's failing line fails" failing_line
check "a job's exit status that no line explains fails" unexplained_status
check "a job without a line fails" no_line
check "a plan that was not kept fails" broken_plan
check "a plan that comes afterwards is none" plan_afterwards
check "a job that did not end fails" cut_off
check "a comparison that crashes half-way fails" compare_crashes
check "a comparison that stops half-way fails" compare_stops
check "a complaint on the console fails" console_complains
check "views that are the same are said to be" same_views
check "views that are not are not" other_views
check "a view that did not come about fails" no_view
check "a kernel that complains of nothing passes" kernel_quiet
check "a kernel that complains fails" kernel_complains
tap_end
