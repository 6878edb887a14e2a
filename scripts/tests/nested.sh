#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the nested host's jobs take for a failure, without the host.
. "$(dirname "$0")/common"

# stops COMMAND: vm_stop with COMMAND in QEMU's place, when it has ended or made the file
# `up`. Nothing but the shell's own words in between, which would wait for it.
# shellcheck disable=SC2016 # the inner shell's variables
stops() {
    (cd "$SCRATCH" && rm -f up && : >qemu.log && sh -c '. "$1"; sh -c "$2" & pid=$!
        until [ -e up ] || [ ! -e /proc/$pid/exe ]; do :; done; vm_stop' sh "$TOP/testbed/jobs/lib.sh" "$1")
}
lives='trap "exit 0" TERM; : >up; while :; do sleep 0.1; done'

check "a QEMU that ends when told to has lived" works stops "$lives"
check "one that crashed before has not" fails stops 'kill -SEGV $$'
check "nor one that ended before" fails stops 'exit 0'
check "nor one that ends with an error" fails stops "${lives/exit 0/exit 1}"
tap_end
