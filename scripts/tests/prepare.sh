#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Laying our part onto QEMU's tree, and taking it off.
. "$(dirname "$0")/common"

lays_on() {
    new_series
    works "$REPO/scripts/prepare"
    holds "$TREE/hw/vfio/pci.c" "first was here"
    holds "$TREE/hw/vfio/pci.c" "second was here"
    [ "$TREE/tests/qtest/two.c" -ef "$REPO/tests/qtest/two.c" ] || echo "two.c is not a link to ours"
}
second_call_touches_nothing() {
    local before; before=$(stat -c %y%i "$TREE/hw/vfio/pci.c" "$TREE/hw/vfio/one.c")
    works "$REPO/scripts/prepare"
    [ "$(stat -c %y%i "$TREE/hw/vfio/pci.c" "$TREE/hw/vfio/one.c")" = "$before" ] || echo "files were touched"
}
other_hooks_stay() {
    new_series
    works "$REPO/scripts/prepare"
    add_patch third
    printf '%s\n' 'diff --git a/include/vfio.h b/include/vfio.h' '--- a/include/vfio.h' '+++ b/include/vfio.h' \
        '@@ -5,2 +5,3 @@' ' header 5' '+third' ' header 6' >"$REPO/series/third/hunks"
    local before; before=$(stat -c %y%i "$TREE/hw/vfio/pci.c")
    works "$REPO/scripts/prepare"
    holds "$TREE/include/vfio.h" third
    [ "$(stat -c %y%i "$TREE/hw/vfio/pci.c")" = "$before" ] || echo "pci.c was rewritten though its hooks are the same"
}
changed_hook_is_laid_on() {
    sed -i 's/second was here/second has changed/' "$REPO/series/second/hunks"
    works "$REPO/scripts/prepare"
    holds "$TREE/hw/vfio/pci.c" "second has changed"
    lacks "$TREE/hw/vfio/pci.c" "second was here"
}
removed_file_goes() {
    rm -r "$REPO/tests"
    works "$REPO/scripts/prepare"
    absent "$TREE/tests"
}
edit_is_kept() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/^line 20$/line 20, edited/' "$TREE/hw/vfio/pci.c"
    sed -i 's/second was here/second has changed/' "$REPO/series/second/hunks"
    fails "$REPO/scripts/prepare"
    said hw/vfio/pci.c
    said "make refresh"
    holds "$TREE/hw/vfio/pci.c" "line 20, edited"
    fails "$REPO/scripts/prepare" --off
    holds "$TREE/hw/vfio/pci.c" "line 20, edited"
}
discard_drops_it() {
    echo "stray" >>"$TREE/include/vfio.h"
    works "$REPO/scripts/prepare" --discard
    lacks "$TREE/hw/vfio/pci.c" "line 20, edited"
    holds "$TREE/hw/vfio/pci.c" "second has changed"
    lacks "$TREE/include/vfio.h" stray
}
off_restores_the_base() {
    new_series
    works "$REPO/scripts/prepare"
    works "$REPO/scripts/prepare" --off
    diff -r "$SCRATCH/qemu" "$TREE"
}
base_with_symbols() {
    new_series
    echo "config VFIO" >"$SCRATCH/qemu/hw/vfio/Kconfig"
    rm -rf "$REPO/build"
    works env QEMU_SRC="$SCRATCH/qemu" "$REPO/scripts/fetch-qemu"
    add_patch third
    printf '%s\n' 'diff --git a/hw/vfio/Kconfig b/hw/vfio/Kconfig' '--- a/hw/vfio/Kconfig' '+++ b/hw/vfio/Kconfig' \
        '@@ -1 +1,2 @@' ' config VFIO' '+config OURS' >"$REPO/series/third/hunks"
    works "$REPO/scripts/prepare"
    holds "$TREE/hw/vfio/pci.c" "first was here"
    works "$REPO/scripts/prepare" --base
    diff -rq "$SCRATCH/qemu" "$TREE" | grep -v '^Files .*/hw/vfio/Kconfig differ$'
    holds "$TREE/hw/vfio/Kconfig" "config OURS"
    works "$REPO/scripts/prepare"
    holds "$TREE/hw/vfio/pci.c" "first was here"
    works "$REPO/scripts/prepare" --off
    diff -r "$SCRATCH/qemu" "$TREE"
}
qemus_own_name_is_refused() {
    new_series
    echo "int clash;" >"$REPO/hw/vfio/pci.c"
    fails "$REPO/scripts/prepare"
    said "hw/vfio/pci.c exists in QEMU already"
    holds "$TREE/hw/vfio/pci.c" "line 10"
}
hunk_that_does_not_fit() {
    new_series
    sed -i 's/ line 40/ line 99/' "$REPO/series/second/hunks"
    fails "$REPO/scripts/prepare"
    said series/second/hunks
    lacks "$TREE/hw/vfio/pci.c" "first was here"
}
hunk_at_an_offset() {
    new_series
    sed -i 's/-41,2 +41,3/-38,2 +38,3/' "$REPO/series/second/hunks"
    fails "$REPO/scripts/prepare"
    said "only at an offset"
}

check "new files become links, hooks are applied" lays_on
check "a second call touches nothing" second_call_touches_nothing
check "a new hook leaves other files alone" other_hooks_stay
check "a changed hook is laid on" changed_hook_is_laid_on
check "a removed file takes its link and folders along" removed_file_goes
check "a developer's edit is not overwritten" edit_is_kept
check "discard drops edits" discard_drops_it
check "taking off restores the base" off_restores_the_base
check "for the base's build only Kconfig differs" base_with_symbols
check "a file that QEMU has is refused" qemus_own_name_is_refused
check "a hunk that does not fit leaves the tree as it was" hunk_that_does_not_fit
check "a hunk at an offset is refused" hunk_at_an_offset
tap_end
