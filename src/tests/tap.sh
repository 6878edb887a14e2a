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

start_model() { # OPTION...: it listens on $dir/s when this returns; $dir/model has its words
    end_model
    # shellcheck disable=SC2154 # the test sets `model`
    "$model" --socket "$dir/s" --background --pid-file "$dir/pid" "$@" >"$dir/model" 2>&1 &&
        pid=$(cat "$dir/pid")
}

end_model() { # its socket is gone then
    test -n "$pid" || return 0
    kill "$pid" 2>/dev/null
    tries=0
    while test -e "$dir/pid" && kill -0 "$pid" 2>/dev/null && test $tries -lt 100; do
        tries=$((tries + 1))
        sleep 0.05
    done
    rm -f "$dir/pid" "$dir/s" # where it ended otherwise
    pid=
}

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
