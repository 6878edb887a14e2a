# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # tap_last is for who wants to know whether to go on
# Sourced by scripts that report in TAP. A check is a command that says what is
# wrong: silence and exit status 0 is success, anything printed is a failure.

tap_count=0
tap_last=ok

check() {
    local name=$1 out; shift
    tap_count=$((tap_count + 1))
    out=$("$@" 2>&1 </dev/null) || out=${out:-"$1: exit status $?"}
    tap_last=ok
    if [ -z "$out" ]; then echo "ok $tap_count - $name"; return; fi
    tap_last=failed
    echo "not ok $tap_count - $name"
    sed 's/^/#   /' <<<"$out"
    tap_failed=1
}

skip() { tap_count=$((tap_count + 1)); echo "ok $tap_count - $1 # SKIP $2"; }

tap_end() { echo "1..$tap_count"; [ -z "${tap_failed:-}" ]; }
