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
check "a pristine tree is not an edit" nothing_laid_on
check "an edit and a change in series/ come together" both_changed
check "a new file in the tree is pointed out" new_file_is_named
tap_end
