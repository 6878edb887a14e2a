# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# What the shell tests of the model's programs share: a folder of their own, a model
# process that does not outlive them, and TAP lines. To be sourced.
set -u

dir=$(mktemp -d) || exit 1
pid=
trap 'test -n "$pid" && kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
failures=0
number=0

check() { # STATUS TEXT
    number=$((number + 1))
    if test "$1" -eq 0; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        cat "$dir/out" "$dir/err" 2>/dev/null | sed 's/^/# /'
        failures=$((failures + 1))
    fi
}
