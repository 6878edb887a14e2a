#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What QEMU says when it refuses, what the tests expect and what the manual quotes are
# the same, and the check that says so notices where they are not.
. "$(dirname "$0")/common"

# copy: what the check reads, in a scratch checkout.
copy() {
    rm -rf "$REPO"
    mkdir -p "$REPO"
    (cd "$TOP" && cp -r --parents hw/vfio hw/cxl tests/qtest tests/unit docs/system/devices "$REPO")
}
# changed FILE FROM TO: with FROM for TO in one file it is not the same any more.
changed() {
    copy
    grep -q -- "$2" "$REPO/$1" || echo "$1 does not hold: $2"
    sed -i "s/$2/$3/" "$REPO/$1"
    fails "$BUILD/cpp/check-refusals" "$REPO"
    said "$4"
}
agree() { works "$BUILD/cpp/check-refusals"; }
source_text() { changed hw/vfio/cxl-topology.c 'of one function; set' 'of one; set' "says what is in no table"; }
test_text() { changed tests/qtest/vfio-cxl-test.c '"function; set' '"function, set' "and test refuse/multifunction expects"; }
manual_text() { changed docs/system/devices/vfio-cxl.rst 'multifunction=on below' 'multifunction=on beside' "nothing in hw/vfio or hw/cxl says"; }
new_test() { changed tests/qtest/vfio-cxl-test.c 'name = "no-window"' 'name = "no-pane"' "test refuse/no-pane is in no table"; }
lost_test() { changed tests/qtest/vfio-cxl-test.c '"hotplug\/bridge-in-use"' '"hotplug\/other"' "no test is called hotplug/bridge-in-use"; }

check "sources, tests and manual agree" agree
check "a text of the sources that changed" source_text
check "a text that a test expects" test_text
check "a text of the manual" manual_text
check "a test that the manual has not" new_test
check "a test that is not there any more" lost_test

tap_end
