# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by scripts/series/series: QEMU's own `make check` on the mails, held against the same on
# the base. Debian's source leaves out firmware that some tests insist on, and others
# want what the machine has not: those fail on the base, too, and are only named.

# qemu_check: the mails of all blocks are applied as by whoever gets them. SUITES="unit qtest-aarch64" runs
# these only (`meson test --list` names them). The base's results are kept.
qemu_check() {
    local each=$STATE/each out=$STATE/each/build src=$STATE/each/qemu key results block
    export_series
    prepare_each
    key=$({ g rev-parse 'base^{tree}'; cat "$BUILD/qemu/.configured"; echo "${SUITES:-}"; } | sha256sum | cut -c1-12)
    results=$each/base-$key.json
    if [ ! -s "$results" ]; then
        say "QEMU's own tests on the base"
        git -C "$src" checkout -q --detach base
        own_tests "$results"
    fi
    git -C "$src" checkout -q --detach base
    for block in $(series_blocks); do
        apply_mails "$src" "$block" || die "git am of block $block fails"
    done
    say "QEMU's own tests on the series"
    own_tests "$each/series.json"
    compare_tests "$results" "$each/series.json"
}

# own_tests RESULTS: builds what $src holds, runs its tests, keeps meson's log of them. Without
# the model's programs those of devices would be skipped.
own_tests() {
    local log=$out/meson-logs/testlog.json which=() tests=() s
    configure_each || exit 1
    for s in ${SUITES:-}; do which+=(--suite "$s"); done
    # First, so that meson knows the tests that are there now.
    (cd "$out" && ninja build.ninja >"$each/own.log" 2>&1) || { tail -n 30 "$each/own.log" >&2; die "meson fails"; }
    # By name only what they need is built; without names, everything.
    if [ -n "${SUITES:-}" ]; then
        mapfile -t tests < <(cd "$out" && pyvenv/bin/meson test --list "${which[@]}" 2>"$each/own.log" | sed -n 's|.* / ||p')
        [ ${#tests[@]} -gt 0 ] || { cat "$each/own.log" >&2; die "no test is in the suites $SUITES"; }
    fi
    rm -f "$log"
    # A failing test is for the comparison to judge. Some take long beside others.
    (cd "$out" && CXL_TYPE2_MODEL=$BUILD/bin/cxl-type2-model CXL_TYPE2_CTL=$BUILD/bin/cxl-type2-ctl \
        pyvenv/bin/meson test -t 5 --num-processes "$(nproc)" "${which[@]}" "${tests[@]}" >"$each/own.log" 2>&1) || true
    [ -s "$log" ] || { tail -n 30 "$each/own.log" >&2; die "no test was run; all of it is in ${each#"$TOP"/}/own.log"; }
    cp "$log" "$1"
}

# compare_tests BASE SERIES: two of meson's logs. Fails for what passes on the base and not on
# the series, and for what is new and fails.
compare_tests() {
    "$PYTHON" - "$1" "$2" <<'PY'
import json, re, sys

STATES = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}

def results(name):
    """State of each program, and of each case that it reports in TAP."""
    found = {}
    for line in open(name):
        test = json.loads(line)
        program = test["name"].split(" / ")[-1]
        found[program] = STATES.get(test["result"], "failed")
        for fail, case, skip in re.findall(r"^(not )?ok \d+ (?:- )?(.*?)( # (?:SKIP|TODO).*)?$", test["stdout"] or "", re.M | re.I):
            found[program + ": " + case] = "skipped" if skip else "failed" if fail else "passed"
    return found

base, series = map(results, sys.argv[1:])
for name, all in ("base", base), ("series", series):
    states = list(all.values())
    print("%-7s %5d passed, %d failed, %d skipped" % (name + ":", *map(states.count, ("passed", "failed", "skipped"))))
new = [test for test in series if test not in base]
print("new:    %5d passed, %d failed, %d skipped" % tuple(sum(series[t] == s for t in new) for s in ("passed", "failed", "skipped")))
both = sorted(t for t in base if base[t] == "failed" and series.get(t, "failed") == "failed")
if both:
    print("fails on both:")
    print("\n".join("    " + test for test in both))
bad = ["%s on the series, passed on the base: %s" % (series.get(t, "missing"), t) for t in sorted(base) if base[t] == "passed" and series.get(t) != "passed"]
bad += ["new, and %s: %s" % (series[t], t) for t in sorted(new) if series[t] == "failed"]
# A program of which nothing ran has shown nothing.
bad += ["new, and skipped: %s" % t for t in sorted(new) if series[t] == "skipped" and ": " not in t]
for line in bad:
    print("FAIL  " + line)
if not bad:
    print("ok    nothing that passes on the base fails on the series")
sys.exit(bool(bad))
PY
}
