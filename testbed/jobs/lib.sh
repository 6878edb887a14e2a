# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# What the jobs share. Each is a file of its own in the nested host: TAP lines without
# numbers on its standard output, everything else there is kept as a comment.

# result STATUS NAME: one line of TAP.
result() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }

# holds NAME COMMAND...: does the command succeed? What it said is shown if not.
holds() {
    _name=$1; shift
    if "$@" >/tmp/holds.out 2>&1; then result 0 "$_name"; else
        result 1 "$_name"
        sed 's/^/# /' /tmp/holds.out
    fi
}
