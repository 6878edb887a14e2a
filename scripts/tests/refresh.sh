#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A developer's edits come back into series/.
. "$(dirname "$0")/common"


goes_to_the_last_patch_that_touches_it() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/^line 20$/line 20, edited/' "$TREE/hw/vfio/pci.c"
    cp "$REPO/series/first/hunks" "$SCRATCH/first"
    works "$REPO/scripts/series" refresh
    said "hw/vfio/pci.c -> series/second"
    holds "$REPO/series/second/hunks" "+line 20, edited"
    cmp "$REPO/series/first/hunks" "$SCRATCH/first"
}
round_trip() {
    cp "$TREE/hw/vfio/pci.c" "$SCRATCH/pci.c"
    works "$REPO/scripts/prepare" --off
    lacks "$TREE/hw/vfio/pci.c" "line 20, edited"
    works "$REPO/scripts/prepare"
    cmp "$TREE/hw/vfio/pci.c" "$SCRATCH/pci.c"
}
one_line_of_context() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/^line 20$/line 20\nadded/' "$TREE/hw/vfio/pci.c"
    works "$REPO/scripts/series" refresh
    [ "$(grep -c '^ line' "$REPO/series/second/hunks")" = 4 ] || cat "$REPO/series/second/hunks"
}
into_a_named_earlier_patch() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/^line 20$/line 20, edited/' "$TREE/hw/vfio/pci.c"
    sed -i '1i a new first line' "$TREE/hw/vfio/pci.c"
    cp "$TREE/hw/vfio/pci.c" "$SCRATCH/pci.c"
    works "$REPO/scripts/series" refresh first
    holds "$REPO/series/first/hunks" "+line 20, edited"
    lacks "$REPO/series/second/hunks" "+line 20, edited"
    holds "$REPO/series/second/hunks" "+second was here"
    cmp "$TREE/hw/vfio/pci.c" "$SCRATCH/pci.c"
    works "$REPO/scripts/prepare" --off
    works "$REPO/scripts/prepare"
    cmp "$TREE/hw/vfio/pci.c" "$SCRATCH/pci.c"
}
collision_is_an_error() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/^second was here$/second, edited/' "$TREE/hw/vfio/pci.c"
    cp -r "$REPO/series" "$SCRATCH/series"
    fails "$REPO/scripts/series" refresh first
    said "collides"
    diff -r "$SCRATCH/series" "$REPO/series"
    holds "$TREE/hw/vfio/pci.c" "second, edited"
}
new_hook_needs_a_name() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/^header 5$/&, edited/' "$TREE/include/vfio.h"
    fails "$REPO/scripts/series" refresh
    said "no patch touches include/vfio.h"
    works "$REPO/scripts/series" refresh first
    holds "$REPO/series/first/hunks" "+header 5, edited"
    holds "$TREE/include/vfio.h" "header 5, edited"
}
unknown_patch() {
    fails "$REPO/scripts/series" refresh nosuch
    said "names no patch nosuch"
}
hook_taken_back() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i '/^second was here$/d' "$TREE/hw/vfio/pci.c"
    works "$REPO/scripts/series" refresh
    absent "$REPO/series/second/hunks"
    works "$REPO/scripts/prepare"
    lacks "$TREE/hw/vfio/pci.c" "second was here"
}
offsets_are_mended() {
    new_series
    sed -i 's/-41,2 +41,3/-38,2 +38,3/' "$REPO/series/second/hunks"
    works "$REPO/scripts/series" refresh --offsets
    grep -q '^@@ -41,2 +41,3 @@' "$REPO/series/second/hunks" || cat "$REPO/series/second/hunks"
    holds "$TREE/hw/vfio/pci.c" "second was here"
}
# Through make, as the message says it.
offsets_as_it_is_told() {
    new_series
    cp "$TOP/Makefile" "$REPO"
    printf '#!/bin/sh\n' >"$REPO/scripts/setup"
    sed -i 's/-41,2 +41,3/-38,2 +38,3/' "$REPO/series/second/hunks"
    fails "$REPO/scripts/prepare"
    said "make refresh OFFSETS=1"
    works env -u MAKEFLAGS make -C "$REPO" refresh OFFSETS=1
    grep -q '^@@ -41,2 +41,3 @@' "$REPO/series/second/hunks" || cat "$REPO/series/second/hunks"
    sed -i 's/^line 20$/line 20, edited/' "$TREE/hw/vfio/pci.c"
    works env -u MAKEFLAGS make -C "$REPO" refresh OFFSETS=0 PATCH=first
    said "hw/vfio/pci.c -> series/first"
}
# `sed -i` writes a new file and puts it in the link's place.
link_replaced() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/int one;/long one;/' "$TREE/hw/vfio/one.c"
    [ ! -L "$TREE/hw/vfio/one.c" ] || echo "sed -i left the link"
    fails "$REPO/scripts/prepare"
    said "hw/vfio/one.c"
    said "make refresh"
    works "$REPO/scripts/series" refresh
    said "hw/vfio/one.c: taken back"
    holds "$REPO/hw/vfio/one.c" "long one;"
    [ -L "$TREE/hw/vfio/one.c" ] || echo "it is no link again"
    works "$REPO/scripts/prepare"
    works "$REPO/scripts/series" check
}
link_replaced_both_changed() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/int one;/long one;/' "$TREE/hw/vfio/one.c"
    touch -d '1 minute ago' "$TREE/hw/vfio/one.c"
    echo "short one;" >"$REPO/hw/vfio/one.c"
    fails "$REPO/scripts/series" refresh
    said "hw/vfio/one.c is no link in build/src/qemu any more, and both were changed"
    holds "$REPO/hw/vfio/one.c" "short one;"
    holds "$TREE/hw/vfio/one.c" "long one;"
    works "$REPO/scripts/prepare" --discard
    [ -L "$TREE/hw/vfio/one.c" ] || echo "discarded, it is no link"
    holds "$TREE/hw/vfio/one.c" "short one;"
}
link_replaced_unchanged() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/nothing of it//' "$TREE/hw/vfio/one.c"
    works "$REPO/scripts/prepare" --off
    diff -r "$SCRATCH/qemu" "$TREE"
}
nothing_laid_on() {
    new_series
    cp -r "$REPO/series" "$SCRATCH/before"
    works "$REPO/scripts/series" refresh
    said "nothing edited"
    diff -r "$SCRATCH/before" "$REPO/series"
}
both_changed() {
    new_series
    works "$REPO/scripts/prepare"
    sed -i 's/^line 20$/line 20, edited/' "$TREE/hw/vfio/pci.c"
    sed -i 's/second was here/second has changed/' "$REPO/series/second/hunks"
    works "$REPO/scripts/series" refresh
    holds "$TREE/hw/vfio/pci.c" "line 20, edited"
    holds "$TREE/hw/vfio/pci.c" "second has changed"
    works "$REPO/scripts/series" check
}
lands_in_another_function() {
    new_series
    { for f in a b; do printf 'int %s(void)\n{\n' $f; seq -f '    one(%g);' 8; printf '    same();\n    same();\n}\n'; done; } >"$SCRATCH/qemu/hw/vfio/twice.c"
    rm -rf "$REPO/build"
    QEMU_SRC=$SCRATCH/qemu works "$REPO/scripts/fetch-qemu"
    cat >>"$REPO/series/first/hunks" <<'H'
diff --git a/hw/vfio/twice.c b/hw/vfio/twice.c
--- a/hw/vfio/twice.c
+++ b/hw/vfio/twice.c
@@ -12,2 +12,3 @@ int b(void)
     same();
+    added();
     same();
H
    rm -rf "$SCRATCH/series"
    cp -r "$REPO/series" "$SCRATCH/series"
    fails "$REPO/scripts/series" refresh --offsets
    said "series/first/hunks would land in another function"
    diff -r "$SCRATCH/series" "$REPO/series"
}
new_file_is_named() {
    new_series
    works "$REPO/scripts/prepare"
    echo "int stray;" >"$TREE/hw/vfio/stray.c"
    works "$REPO/scripts/series" refresh
    said "new file in build/src/qemu: hw/vfio/stray.c"
}

check "an edit goes to the last patch that touches the file" goes_to_the_last_patch_that_touches_it
check "off and on again gives the edited file" round_trip
check "hunks carry one line of context" one_line_of_context
check "an edit goes to a named earlier patch, later hunks move" into_a_named_earlier_patch
check "an edit that collides with a later patch changes nothing" collision_is_an_error
check "a file that no patch touches needs a patch named" new_hook_needs_a_name
check "an unknown patch is refused" unknown_patch
check "a hook taken back takes its hunks along" hook_taken_back
check "hunks at an offset are mended on request" offsets_are_mended
check "and so they are by the command that the refusal names" offsets_as_it_is_told
check "a hunk that would land in another function is refused" lands_in_another_function
check "an edit that replaced a link comes back, and the link too" link_replaced
check "where both were changed nothing is overwritten" link_replaced_both_changed
check "a file like ours in a link's place is no edit" link_replaced_unchanged
check "a pristine tree is not an edit" nothing_laid_on
check "an edit and a change in series/ come together" both_changed
check "a new file in the tree is pointed out" new_file_is_named
tap_end
