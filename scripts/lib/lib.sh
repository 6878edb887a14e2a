# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by every script: strict mode, the paths everybody uses, and little else.
set -euo pipefail
shopt -s inherit_errexit

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
BUILD=$TOP/build
# A stable locale, because output of tools is parsed and lists are sorted.
export LC_ALL=C.UTF-8
# Always the distribution's Python: QEMU's configure and meson need its modules.
export PYTHON=/usr/bin/python3

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# sha256_of FILE: the bare checksum.
sha256_of() { sha256sum -- "$1" | cut -d' ' -f1; }

# one_at_a_time NAME: holds the lock build/.lock-NAME until this script ends, so
# that two calls (make -j, a second terminal) do not write the same things.
one_at_a_time() {
    mkdir -p "$BUILD"
    exec 9>"$BUILD/.lock-$1"
    flock -n 9 || { say "waiting for another ${0##*/} to end ..."; flock 9; }
}

# ninja_in DIR TARGET...: ninja; where nobody watches, a line every quarter of a
# minute is enough, and everything that is not progress.
ninja_in() {
    local out=$1; shift
    if [ -t 1 ]; then ninja -C "$out" "$@"; return; fi
    NINJA_STATUS='[%f/%t, %e s] ' ninja -C "$out" "$@" 2>&1 | awk '
        /^\[[0-9]+\/[0-9]+, / { t = $2 + 0; if (!seen++ || t - last >= 15) { print; fflush(); last = t } next }
        /^ninja: (Entering directory|no work to do)/ { next }
        { print; fflush() }'
}

# say_step N TEXT: which of the steps before a first `make run` this is; one that has nothing to
# do says nothing.
say_step() { say "step $1 of 5: $2"; }

# own_loader ROOT: sets `loader`: before a program of packages that were unpacked below ROOT,
# a C library among them, it has this run by that library, which may be newer than the machine's.
own_loader() {
    # shellcheck disable=SC2034 # for the caller
    loader=("$(echo "$1"/usr/lib*/ld-linux*)" --library-path "$(echo "$1"/usr/lib/*-linux-gnu)")
}
