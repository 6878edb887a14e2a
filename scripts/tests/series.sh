#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The series' own check finds what it is there to find; export and rebase.
. "$(dirname "$0")/common"

sound() {
    new_series
    works "$REPO/scripts/prepare"
    works "$REPO/scripts/series" check
    said "ok 9 - git am of both by itself: the same tree"
    said "1..12"
}
# broken WORDS...: the check fails and says these words.
broken() {
    fails "$REPO/scripts/series" check
    local w; for w in "$@"; do said "$w"; done
}
file_in_no_patch() { new_series; echo "int x;" >"$REPO/hw/vfio/x.c"; works "$REPO/scripts/prepare"; broken "hw/vfio/x.c: in no patch"; }
file_in_two() { new_series; echo hw/vfio/one.c >>"$REPO/series/second/files"; broken "hw/vfio/one.c: in more than one patch: first second"; }
file_missing() { new_series; echo hw/vfio/nil.c >>"$REPO/series/second/files"; broken "hw/vfio/nil.c"; }
folder_not_in_order() { new_series; mkdir "$REPO/series/third"; broken "series/third is not in series/order"; }
name_twice() { new_series; echo first >>"$REPO/series/order"; broken "first: twice"; }
no_folder() { new_series; echo third >>"$REPO/series/order"; broken "there is no series/third"; }
no_body() { new_series; echo "hw/vfio: only this" >"$REPO/series/first/message"; broken "no body"; }
signed_off() { new_series; printf '\nSigned-off-by: A B <a@b>\n' >>"$REPO/series/first/message"; broken "whoever submits a patch signs it"; }
filled_later() {
    new_series
    echo "int late;" >"$REPO/hw/vfio/late.c"
    echo "hw/vfio/late.c empty" >>"$REPO/series/first/files"
    echo hw/vfio/late.c >>"$REPO/series/second/files"
    works "$REPO/scripts/prepare"
    works "$REPO/scripts/series" check
    local g=(git --git-dir="$REPO/build/series/git")
    [ "$("${g[@]}" cat-file -s series~1:hw/vfio/late.c)" = 0 ] || echo "first does not add it empty"
    [ "$("${g[@]}" show series:hw/vfio/late.c)" = "int late;" ] || echo "second does not fill it"
}
filled_never() { new_series; echo "hw/vfio/nil.c empty" >>"$REPO/series/second/files"; broken "hw/vfio/nil.c: added empty by second, filled by no later patch"; }
empty_patch() { new_series; add_patch third; broken "third: neither new files nor hunks"; }
manual_late() { new_series; echo "int x;" >"$REPO/hw/vfio/cxl.c"; echo hw/vfio/cxl.c >>"$REPO/series/second/files"; broken "second: hw/vfio/cxl.c comes before the manual"; }
tables_early() {
    new_series
    mkdir -p "$REPO/tests/data/acpi"
    echo table >"$REPO/tests/data/acpi/DSDT.cxl"
    echo tests/data/acpi/DSDT.cxl >>"$REPO/series/first/files"
    broken "second: after first, which has the expected ACPI tables"
}
edited_tree() {
    new_series
    works "$REPO/scripts/prepare"
    echo stray >>"$TREE/include/vfio.h"
    echo stray >"$TREE/include/new.h"
    broken "include/vfio.h: in build/src/qemu, not in the series" "include/new.h: in build/src/qemu"
}
not_prepared() { new_series; broken "hw/vfio/one.c: build/src/qemu differs"; }
bad_style() {
    new_series
    echo "badword" >>"$REPO/hw/vfio/one.c"
    works "$REPO/scripts/prepare"
    broken "not ok 11 - checkpatch: first" "ERROR: bad word"
}
forgiven_style() {
    echo "first | bad word | it is quoted" >"$REPO/series/checkpatch-allowed"
    works "$REPO/scripts/series" check
    echo "first | bad word |" >"$REPO/series/checkpatch-allowed"
    fails "$REPO/scripts/series" check
}
same_twice() {
    new_series
    works "$REPO/scripts/prepare"
    works "$REPO/scripts/series" export
    git --git-dir="$REPO/build/series/git" rev-parse series >"$SCRATCH/id"
    works "$REPO/scripts/series" export
    [ "$(cat "$SCRATCH/id")" = "$(git --git-dir="$REPO/build/series/git" rev-parse series)" ] || echo "another branch though nothing changed"
}
letter() {
    local f=$REPO/build/series/blocks/both/0000-cover-letter.patch
    holds "$f" "Subject: [PATCH 0/2] The both block"
    holds "$f" "A letter."
    grep -rn 'Signed-off-by' "$REPO/build/series/blocks" || true
}

# A third patch on the same file, in a block that needs nothing of the first.
two_blocks() {
    new_series
    add_block other
    add_patch third
    cat >"$REPO/series/third/hunks" <<'H'
diff --git a/hw/vfio/pci.c b/hw/vfio/pci.c
--- a/hw/vfio/pci.c
+++ b/hw/vfio/pci.c
@@ -52,2 +52,3 @@
 line 50
+third was here
 line 51
H
}
own_block() {
    two_blocks
    works "$REPO/scripts/prepare"
    works "$REPO/scripts/series" check
    said "git am of other by itself: the same tree"
    local g=(git --git-dir="$REPO/build/series/git")
    [ "$("${g[@]}" rev-list --count base..blocks/other)" = 1 ] || echo "other brings patches of the first block"
    "${g[@]}" show blocks/other:hw/vfio/pci.c >"$SCRATCH/pci.c"
    holds "$SCRATCH/pci.c" "third was here"
    lacks "$SCRATCH/pci.c" "first was here"
}
block_on_another() {
    two_blocks
    sed -i 's/^ line 50$/ second was here/; s/^ line 51$/ line 41/; s/@@ .*/@@ -42,2 +42,3 @@/' "$REPO/series/third/hunks"
    works "$REPO/scripts/prepare"
    broken "series/third/hunks does not apply"
    sed -i 's/^block other$/block other on both/' "$REPO/series/order"
    works "$REPO/scripts/series" check
    said "git am of other by itself: the same tree"
}
bad_blocks() {
    two_blocks
    sed -i '/^block both$/d' "$REPO/series/order"
    broken "first: in no block" "series/blocks/both: no such block"
    two_blocks
    sed -i 's/^block both$/& on other/' "$REPO/series/order"
    broken "block both: on other, which is no block before it"
    two_blocks
    rm "$REPO/series/blocks/other"
    broken "block other: no cover letter"
    two_blocks
    echo "block none of both" >>"$REPO/series/order"
    broken '"block none of both": expected "block NAME" or "block NAME on NAME..."' "block none: no patch"
}
other_qemu() {
    new_series
    cp -r "$SCRATCH/qemu" "$SCRATCH/other"
    sed -i '1i new here' "$SCRATCH/other/hw/vfio/pci.c"
    sed -i 's/^line 40$/line forty/' "$SCRATCH/other/hw/vfio/pci.c"
    fails "$REPO/scripts/series" rebase "$SCRATCH/other"
    said "ok    first"
    said "FAIL  second"
    said "hw/vfio/pci.c: does not apply, line 41"
    said "not in docs/rebasing.md"
    said "1 of 2 patches apply"
    mkdir -p "$REPO/docs"
    # shellcheck disable=SC2016
    printf '| %s | %s | why | %s |\n' '`second`' 12.0 'write it anew' '`first`' 12.1 'it is in QEMU: drop it' >"$REPO/docs/rebasing.md"
    fails "$REPO/scripts/series" rebase "$SCRATCH/other"
    said "docs/rebasing.md: from 12.0 on: write it anew"
    said "ok    first, but see docs/rebasing.md: from 12.1 on: it is in QEMU: drop it"
}

# log NAME LINE...: a log of meson's: "RESULT PROGRAM TAP" each, TAP's lines parted by ";".
log() {
    local name=$1 result program tap line; shift
    for line; do
        read -r result program tap <<<"$line"
        printf '{"name": "qemu:unit / %s", "result": "%s", "stdout": "%s"}\n' "$program" "$result" "${tap//;/\\n}"
    done >"$SCRATCH/$name"
}
compare() { "$REPO/scripts/series" compare "$SCRATCH/base" "$SCRATCH/series"; }
old_failures() {
    new_series
    log base "OK a ok 1 /x;ok 2 /y # SKIP no" "FAIL b not ok 1 /z;ok 2 /w" "ERROR c"
    # Numbers of cases move where one is new.
    log series "OK a ok 1 /new;ok 2 /x;ok 3 /y # SKIP no" "FAIL b not ok 1 /z;ok 2 /w" "ERROR c" "OK d"
    works compare
    said "base:       3 passed, 3 failed, 1 skipped"
    said "new:        2 passed, 0 failed, 0 skipped"
    said "    b: /z"
    said "    c"
}
new_failures() {
    log base "OK a ok 1 /x" "OK b" "OK c ok 1 /one;ok 2 /two"
    log series "FAIL a not ok 1 /x" "SKIP b" "ERROR c ok 1 /one" "FAIL d not ok 1 /e;ok 2 /f" "SKIP g"
    fails compare
    said "FAIL  failed on the series, passed on the base: a: /x"
    said "FAIL  skipped on the series, passed on the base: b"
    said "FAIL  missing on the series, passed on the base: c: /two"
    said "FAIL  new, and failed: d: /e"
    said "FAIL  new, and skipped: g"
}

check "a sound series passes" sound
check "a file in no patch is found" file_in_no_patch
check "a file in two patches is found" file_in_two
check "a listed file that is missing is found" file_missing
check "a folder that is not in the order is found" folder_not_in_order
check "a name that is twice in the order is found" name_twice
check "a name without folder is found" no_folder
check "a message without body is found" no_body
check "a Signed-off-by is found" signed_off
check "a file can be added empty and filled later" filled_later
check "a file that stays empty is found" filled_never
check "an empty patch is found" empty_patch
check "code before the manual is found" manual_late
check "expected tables that are not last are found" tables_early
check "edits in the prepared tree are found" edited_tree
check "a tree that is not prepared is found" not_prepared
check "bad style is found" bad_style
check "bad style is forgiven with a reason only" forgiven_style
check "an unchanged series exports to the same branch" same_twice
check "the letter is the cover's text, nothing is signed" letter
check "a block applies and is mailed by itself" own_block
check "a block that needs another has to say so" block_on_another
check "blocks without patch, letter or base are found" bad_blocks
check "another QEMU: what applies and what does not" other_qemu
check "QEMU's own tests: what fails on the base, too, does not count" old_failures
check "QEMU's own tests: what the series breaks does" new_failures
tap_end
