#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The look at style sees what it is there to see.
. "$(dirname "$0")/common"

# style PATH LINE...: what check-style says of a checkout with this file and little else.
style() {
    local file=$REPO/$1; shift
    rm -rf "$REPO"
    mkdir -p "$REPO/scripts" "$(dirname "$file")"
    cp "$TOP"/scripts/{lib.sh,tap.sh,check-style} "$REPO/scripts"
    git -C "$REPO" init -q
    printf '%s\n' "$@" >"$file"
    "$REPO/scripts/check-style" >"$SCRATCH/out" 2>&1 || true
}
spdx="# SPDX-License-Identifier: GPL-2.0-or-later"

sound() { style guest/x '#!/bin/sh' "$spdx" 'echo "$1"'; said "ok 1 - every file has its SPDX line"; said "ok 2 - shellcheck is silent"; }
no_spdx() { style guest/x '#!/bin/sh' 'echo "$1"'; said "not ok 1 - every file has its SPDX line"; said "guest/x: no SPDX line"; }
# unassigned PATH LINE: a script that begins like this.
unassigned() { style "$1" "$2" "$spdx" 'echo "$nobody_sets_this"'; said "not ok 2 - shellcheck is silent"; said "SC2154"; }
no_shellcheck() {
    mkdir -p "$SCRATCH/bin"
    printf '#!/bin/sh\necho "no such command" >&2; exit 127\n' >"$SCRATCH/bin/shellcheck"
    chmod +x "$SCRATCH/bin/shellcheck"
    PATH=$SCRATCH/bin:$PATH style guest/x '#!/bin/sh' "$spdx"
    said "not ok 2 - shellcheck is silent"
}

check "a sound script passes" sound
check "a file without its SPDX line is found" no_spdx
check "shellcheck sees a script of the guest" unassigned guest/x '#!/bin/sh'
check "and one beside our C++" unassigned src/tests/x.sh '#!/bin/bash'
check "and one that is sourced" unassigned testbed/jobs/x '# shellcheck shell=sh'
check "without shellcheck there is no verdict" no_shellcheck
tap_end
