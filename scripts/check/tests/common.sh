# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by the tests: a scratch checkout with the real scripts and a QEMU of five
# files, which takes no network and a second.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$HERE/../../lib/lib.sh"
. "$HERE/../../lib/tap.sh"

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
REPO=$SCRATCH/repo
# shellcheck disable=SC2034 # for the tests
TREE=$REPO/build/src/qemu

# Whoever runs this may have set what the scripts look at.
unset QEMU_SRC DEBIAN_MIRROR DEBIAN_KEYRING
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

new_repo() {
    rm -rf "$REPO"
    mkdir -p "$REPO/series"
    cp -r "$HERE/../.." "$REPO/scripts"
    : >"$REPO/series/order"
}

tiny_qemu() {
    mkdir -p "$1/hw/vfio" "$1/scripts" "$1/include"
    : >"$1/configure"
    echo "project('qemu')" >"$1/meson.build"
    seq -f 'line %g' 60 >"$1/hw/vfio/pci.c"
    seq -f 'header %g' 20 >"$1/include/vfio.h"
    printf '*.log\n' >"$1/.gitignore"
    # Stands in for QEMU's judge of style: says nothing, or what a file holds.
    # shellcheck disable=SC2016
    printf '%s\n' 'open(my $f, "<", $ARGV[-1]); while (<$f>) { print "$ARGV[-1]:$.: ERROR: bad word\n" if /^\+.*badword/ }' >"$1/scripts/checkpatch.pl"
}

# new_file PATCH PATH [empty]: a new file of this patch, as the order has it.
new_file() { sed -i "/^$1\$/a + ${*:2}" "$REPO/series/order"; }

# add_patch NAME: message and place in the order; hunks and files are the caller's.
add_patch() {
    mkdir -p "$REPO/series/$1"
    echo "$1" >>"$REPO/series/order"
    printf 'hw/vfio: %s\n\nBecause it is needed.\n' "$1" >"$REPO/series/$1/message"
}

# add_block NAME [on NAME...]: begins one, with a letter.
add_block() {
    mkdir -p "$REPO/series/blocks"
    echo "block $*" >>"$REPO/series/order"
    printf 'The %s block\n\nA letter.\n' "$1" >"$REPO/series/blocks/$1"
}

# new_series: a block of two patches on one file, a new file in each.
new_series() {
    new_repo
    add_block both
    rm -rf "$SCRATCH/qemu"
    tiny_qemu "$SCRATCH/qemu"
    mkdir -p "$REPO/hw/vfio" "$REPO/tests/qtest"
    echo "int one;" >"$REPO/hw/vfio/one.c"
    echo "int two;" >"$REPO/tests/qtest/two.c"
    add_patch first
    new_file first hw/vfio/one.c
    cat >"$REPO/series/first/hunks" <<'H'
diff --git a/hw/vfio/pci.c b/hw/vfio/pci.c
--- a/hw/vfio/pci.c
+++ b/hw/vfio/pci.c
@@ -10,2 +10,3 @@
 line 10
+first was here
 line 11
H
    add_patch second
    new_file second tests/qtest/two.c
    cat >"$REPO/series/second/hunks" <<'H'
diff --git a/hw/vfio/pci.c b/hw/vfio/pci.c
--- a/hw/vfio/pci.c
+++ b/hw/vfio/pci.c
@@ -41,2 +41,3 @@
 line 40
+second was here
 line 41
H
    QEMU_SRC=$SCRATCH/qemu "$REPO/scripts/qemu/fetch" 2>/dev/null
}

# Helpers for checks: each says what is wrong.
fails() { if "$@" >"$SCRATCH/out" 2>&1; then echo "succeeded, should have failed: $*"; fi; }
works() { "$@" >"$SCRATCH/out" 2>&1 || { echo "failed: $*"; cat "$SCRATCH/out"; }; }
said() { grep -qF -- "$1" "$SCRATCH/out" || { echo "did not say: $1"; sed 's/^/  said: /' "$SCRATCH/out"; }; }
absent() { if [ -e "$1" ]; then echo "exists: $1"; fi; }
holds() { grep -qxF -- "$2" "$1" || echo "$1 does not hold: $2"; }
lacks() { if grep -qxF -- "$2" "$1"; then echo "$1 holds: $2"; fi; }
