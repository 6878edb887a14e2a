#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The test runner counts what ran, hides nothing, leaves nothing behind.
. "$(dirname "$0")/common"

# steps LINES: a checkout whose check-steps holds these lines.
steps() { new_repo; mkdir -p "$REPO/build"; printf '%s\n' "$@" >"$REPO/scripts/check-steps"; }
last_line() { [ "$(tail -n1 "$SCRATCH/out")" = "$1" ] || echo "last line: $(tail -n1 "$SCRATCH/out"), expected: $1"; }
# counts PASSED FAILED SKIPPED HOW TEXT: one step that prints TEXT.
counts() {
    printf '%s\n' "$5" >"$SCRATCH/text"
    steps "step one $4 cat $SCRATCH/text"
    if [ "$2" = 0 ]; then works "$REPO/scripts/check"; else fails "$REPO/scripts/check"; fi
    last_line "$1 passed, $2 failed, $3 skipped"
}

tap_lines() { counts 2 0 1 tap $'1..3\nok 1 - a\nok 2 - b\nok 3 - c # SKIP no reason'; said "skipped: c (no reason)"; }
tap_failure() { counts 1 1 0 tap $'ok 1 - a\nnot ok 2 - b\n# because\n1..2'; said "# because"; }
tap_plan() { counts 1 2 0 tap $'1..3\nok 1 - a'; }
tap_nothing() { counts 0 1 0 tap "hello"; }
tap_bail() { counts 1 1 0 tap $'ok 1 - a\nBail out! gone'; }
gtest_lines() { counts 1 1 1 gtest $'[       OK ] A.b (0 ms)\n[  SKIPPED ] A.c (0 ms)\n[  FAILED  ] A.d (0 ms)\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] A.d'; }
gtest_crash() { steps "step one gtest sh -c \"echo '[       OK ] A.b (0 ms)'; kill -SEGV \\\$\\\$\""; fails "$REPO/scripts/check"; last_line "1 passed, 1 failed, 0 skipped"; }
tap_status() { steps "step one tap sh -c 'echo ok 1 - a; exit 3'"; fails "$REPO/scripts/check"; last_line "1 passed, 1 failed, 0 skipped"; }
exit_status() {
    steps "step one exit true" "step two exit false" "step three exit true"
    fails "$REPO/scripts/check"
    last_line "2 passed, 1 failed, 0 skipped"
    works "$REPO/scripts/check" one three
    last_line "2 passed, 0 failed, 0 skipped"
    fails "$REPO/scripts/check" one four
    said "no step is called four"
}
# Each of two steps ends only when the other runs.
side_by_side() {
    cat >"$SCRATCH/step" <<SH
#!/bin/bash
touch "$SCRATCH/\$1"
for i in \$(seq 100); do [ -e "$SCRATCH/\$2" ] && exit; sleep 0.1; done
exit 1
SH
    chmod +x "$SCRATCH/step"
    steps "step one exit $SCRATCH/step here there" "step two exit $SCRATCH/step there here" "step three exit true"
    CHECK_JOBS=2 works "$REPO/scripts/check"
    last_line "3 passed, 0 failed, 0 skipped"
}
# One job at a time, and a step beside it, at the lowest priority.
beside_the_jobs() {
    cat >"$SCRATCH/step" <<SH
#!/bin/bash
touch "$SCRATCH/\$1"
for i in \$(seq 100); do [ -e "$SCRATCH/\$2" ] && exit; sleep 0.1; done
exit 1
SH
    chmod +x "$SCRATCH/step"
    rm -f "$SCRATCH"/{here,there}
    steps "step one exit $SCRATCH/step here there" "beside two exit $SCRATCH/step there here" \
        "beside three exit sh -c '[ \$(nice) = 19 ]'" "step four exit true"
    CHECK_JOBS=1 works "$REPO/scripts/check"
    last_line "4 passed, 0 failed, 0 skipped"
    CHECK_JOBS=1 works "$REPO/scripts/check" three four
    last_line "2 passed, 0 failed, 0 skipped"
}
# They may end at the same moment.
at_once() {
    steps "for i in \$(seq 30); do step s\$i exit sh -c \"sleep 0.\$((RANDOM % 10)); exit \$((i % 2))\"; done"
    CHECK_JOBS=3 fails "$REPO/scripts/check"
    last_line "15 passed, 15 failed, 0 skipped"
}
# interrupted SIGNAL: a step that starts a process in the background is running.
interrupted() {
    local pid i left
    cat >"$SCRATCH/step" <<SH
#!/bin/bash
sleep 300 & echo \$! >"$SCRATCH/child"
wait
SH
    chmod +x "$SCRATCH/step"
    rm -f "$SCRATCH/child"
    steps "step one exit $SCRATCH/step"
    # A shell's background job ignores SIGINT from its start; Python's does not.
    "$PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' "$REPO/scripts/check" >"$SCRATCH/out" 2>&1 &
    pid=$!
    for i in $(seq 100); do if [ -s "$SCRATCH/child" ]; then break; fi; sleep 0.1; done
    kill "-$1" $pid
    if wait $pid; then echo "exit status 0 after SIG$1"; fi
    left=$(cat "$SCRATCH/child")
    if kill -0 "$left" 2>/dev/null; then echo "process left behind after SIG$1 ($i)"; kill "$left"; fi
}
# The real steps: each test program of ours has one, whether it is built or not.
steps_of_ours() {
    local f
    new_repo
    (cd "$TOP" && cp -r --parents tests/unit tests/qtest {tests,src}/fuzz "$REPO")
    works "$REPO/scripts/check" --list
    "$TOP/scripts/check" --list | diff - "$SCRATCH/out"
    for f in "$TOP"/tests/unit/test-*.c "$TOP"/tests/qtest/*-test.c; do
        f=$(basename "$f" .c)
        grep -qxE "$f|$f-aarch64|${f%-test}-aarch64" "$SCRATCH/out" || echo "no step runs $f"
    done
}
# A step whose program is not there: nothing that could be counted.
not_built() {
    steps "step one tap qtest aarch64 tests/qtest/vfio-cxl-test"
    mkdir -p "$REPO/build/qemu"
    fails "$REPO/scripts/check"
    last_line "0 passed, 1 failed, 0 skipped"
}

check "tap: passed, skipped with reason" tap_lines
check "tap: a failure and its output" tap_failure
check "tap: a plan that was not kept is a failure" tap_plan
check "tap: no test is a failure" tap_nothing
check "tap: bailing out is a failure" tap_bail
check "tap: an exit status that no line explains is a failure" tap_status
check "gtest: passed, skipped, failed" gtest_lines
check "gtest: a crash is a failure" gtest_crash
check "exit: statuses; steps by name; an unknown name fails" exit_status
check "two steps run at a time" side_by_side
check "a step beside them is no job" beside_the_jobs
check "steps that end at once are all counted" at_once
check "interrupted, nothing is left behind" interrupted INT
check "ended, nothing is left behind" interrupted TERM
check "every test program of ours has a step, built or not" steps_of_ours
check "a step whose program was not built fails" not_built
tap_end
