#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetching: what is tampered with, missing or interrupted never becomes a tree.
# A source package and a package made here, and an apt-get that hands them out,
# stand in for the network.
. "$(dirname "$0")/common"

FAKE=$SCRATCH/fake
# fake_apt: an apt-get whose only packages lie in $FAKE. Every download is counted.
fake_apt() {
    mkdir -p "$SCRATCH/bin"
    cat >"$SCRATCH/bin/apt-get" <<SH
#!/bin/bash
[ ! -e "$FAKE/offline" ] || { echo "no network" >&2; exit 100; }
case "\$*" in
    *update*|*indextargets*) ;;
    *--print-uris*)
        echo x >>"$FAKE/asked"
        f=\$(cd "$FAKE" && ls \${!#%%[/:]*}_*.deb) || exit 100
        echo "'http://fake/\$f' \$f 1 SHA256:\$(cat "$FAKE/\$f.sum")" ;;
    *download-only*) echo x >>"$FAKE/fetched"; cp "$FAKE"/*.dsc "$FAKE"/*.tar.xz . ;;
    *download*) echo x >>"$FAKE/fetched"; cp "$FAKE"/\${!#%%[/:]*}_*.deb . ;;
esac
SH
    chmod +x "$SCRATCH/bin/apt-get"
    PATH=$SCRATCH/bin:$PATH
    export DEBIAN_MIRROR=http://fake/ DEBIAN_KEYRING=/dev/null
}
fetches() { cat "$FAKE/fetched" 2>/dev/null | wc -l; }
# two_at_once LOCK COMMAND...: twice at the same time: both have looked whether there is
# anything to do, and wait for the lock, before either goes on.
two_at_once() {
    local lock=$REPO/build/.lock-$1 pids=() i pid; shift
    mkdir -p "$REPO/build"
    exec 7>"$lock"
    flock 7
    for i in 1 2; do "$@" >"$SCRATCH/out$i" 2>&1 7>&- & pids+=($!); done
    for i in $(seq 100); do
        if grep -qs '^waiting' "$SCRATCH/out1" && grep -qs '^waiting' "$SCRATCH/out2"; then break; fi
        sleep 0.1
    done
    exec 7>&-
    for pid in "${pids[@]}"; do wait "$pid" || { echo "one of two failed:"; cat "$SCRATCH"/out[12]; }; done
    [ "$i" -lt 100 ] || { echo "they did not both wait:"; cat "$SCRATCH"/out[12]; }
}

# make_source: a source package of the tiny QEMU, and a pin that names it.
make_source() {
    local d=$SCRATCH/src/qemu-10.2.2+ds
    rm -rf "$SCRATCH/src"
    tiny_qemu "$d"
    tar -C "$SCRATCH/src" -cJf "$SCRATCH/src/qemu_10.2.2+ds.orig.tar.xz" "qemu-10.2.2+ds"
    mkdir -p "$d/debian/source"
    echo "3.0 (quilt)" >"$d/debian/source/format"
    printf 'Source: qemu\nMaintainer: A <a@b>\n\nPackage: qemu\nArchitecture: any\nDescription: none\n' >"$d/debian/control"
    printf 'qemu (1:10.2.2+ds-1) unstable; urgency=low\n\n  * None.\n\n -- A <a@b>  Thu, 01 Jan 2026 00:00:00 +0000\n' >"$d/debian/changelog"
    (cd "$SCRATCH/src" && dpkg-source -q -b "qemu-10.2.2+ds" >/dev/null)
    mkdir -p "$FAKE"
    mv "$SCRATCH"/src/*.dsc "$SCRATCH"/src/*.tar.xz "$FAKE"
}
# make_deb NAME VERSION
make_deb() {
    local d=$SCRATCH/deb/$1
    rm -rf "$d"
    mkdir -p "$d/DEBIAN" "$d/usr/share"
    echo "$1 $2" >"$d/usr/share/$1"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: A <a@b>\nDescription: none\n' "$1" "$2" >"$d/DEBIAN/control"
    rm -f "$FAKE/$1"_*
    dpkg-deb -b "$d" "$FAKE/$1_$2_all.deb" >/dev/null
    sha256_of "$FAKE/$1_$2_all.deb" >"$FAKE/$1_$2_all.deb.sum"
}
fresh() {
    new_repo
    rm -f "$FAKE/offline" "$FAKE/fetched" "$FAKE/asked"
    { echo "version 1:10.2.2+ds-1"; (cd "$FAKE" && sha256sum ./*.dsc ./*.tar.xz | sed 's# \./# #'); } >"$REPO/scripts/qemu-base"
}
no_tree() { absent "$TREE"; }

fetched() {
    fresh
    works "$REPO/scripts/fetch-qemu"
    diff -r -x debian "$SCRATCH/src/qemu-10.2.2+ds" "$TREE"
    [ "$(git --git-dir="$REPO/build/series/git" cat-file -t "base^{tree}")" = tree ] || echo "the base is not remembered"
}
again() {
    touch "$FAKE/offline"
    works "$REPO/scripts/fetch-qemu"
}
tampered_download() {
    fresh
    sed -i '/orig/s/^...../00000/' "$REPO/scripts/qemu-base"
    fails "$REPO/scripts/fetch-qemu"
    said "scripts/qemu-base says 00000"
    no_tree
}
tampered_afterwards() {
    fresh
    works "$REPO/scripts/fetch-qemu"
    rm -rf "$TREE"
    echo x >>"$REPO/build/dl/qemu_10.2.2+ds.orig.tar.xz"
    fails "$REPO/scripts/fetch-qemu"
    said "build/dl/qemu_10.2.2+ds.orig.tar.xz has SHA-256"
    said "Remove the file"
    no_tree
}
missing_file() {
    fresh
    works "$REPO/scripts/fetch-qemu"
    rm -rf "$TREE" "$REPO/build/dl/qemu_10.2.2+ds.orig.tar.xz"
    works "$REPO/scripts/fetch-qemu"
    [ "$(fetches)" = 2 ] || echo "$(fetches) downloads, expected 2"
    holds "$TREE/hw/vfio/pci.c" "line 10"
}
no_network() {
    fresh
    touch "$FAKE/offline"
    fails "$REPO/scripts/fetch-qemu"
    said "could not be fetched"
    no_tree
    rm "$FAKE/offline"
    works "$REPO/scripts/fetch-qemu"
}
interrupted_unpack() {
    fresh
    works "$REPO/scripts/fetch-qemu"
    # As after a power cut: half a tree under the temporary name, no final one.
    mv "$TREE" "$TREE.new"
    rm -r "$TREE.new/hw"
    echo half >"$TREE.new/half"
    rm -rf "$REPO/build/series"
    works "$REPO/scripts/fetch-qemu"
    [ "$(fetches)" = 1 ] || echo "$(fetches) downloads, expected 1"
    holds "$TREE/hw/vfio/pci.c" "line 10"
    absent "$TREE/half"
    absent "$TREE.new"
}
killed_while_unpacking() {
    fresh
    printf '#!/bin/sh\nmkdir -p "$5"; echo half >"$5/half"; kill -9 $PPID\n' >"$SCRATCH/bin/dpkg-source"
    chmod +x "$SCRATCH/bin/dpkg-source"
    fails "$REPO/scripts/fetch-qemu"
    no_tree
    rm "$SCRATCH/bin/dpkg-source"
    works "$REPO/scripts/fetch-qemu"
    absent "$TREE/half"
    holds "$TREE/hw/vfio/pci.c" "line 10"
}
two_fetch() {
    fresh
    two_at_once qemu "$REPO/scripts/fetch-qemu"
    [ "$(fetches)" = 1 ] || echo "$(fetches) downloads, expected 1"
    [ "$(cat "$SCRATCH"/out[12] | grep -c '^unpacking')" = 1 ] || cat "$SCRATCH"/out[12]
    diff -r -x debian "$SCRATCH/src/qemu-10.2.2+ds" "$TREE"
}
other_tree() {
    fresh
    local id; id=$(find "$SCRATCH/src/qemu-10.2.2+ds" -type f -exec stat -c '%n %Y %s' {} + | sort | sha256sum)
    works env QEMU_SRC="$SCRATCH/src/qemu-10.2.2+ds" "$REPO/scripts/fetch-qemu"
    [ "$(fetches)" = 0 ] || echo "it was downloaded all the same"
    echo touched >>"$TREE/hw/vfio/pci.c"
    [ "$(find "$SCRATCH/src/qemu-10.2.2+ds" -type f -exec stat -c '%n %Y %s' {} + | sort | sha256sum)" = "$id" ] || echo "QEMU_SRC was changed"
    fails env QEMU_SRC=/ "$REPO/scripts/fetch-qemu"
    said "build/src/qemu was made from"
}
not_a_tree() {
    fresh
    fails env QEMU_SRC="$SCRATCH/bin" "$REPO/scripts/fetch-qemu"
    said "is not a QEMU source tree"
    no_tree
}

unpacked() {
    fresh
    make_deb alpha 1.0
    make_deb beta 2.0
    works "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha -- trixie-backports beta:arm64
    said "alpha 1.0 all"
    said "beta 2.0 all"
    holds "$REPO/build/x/usr/share/beta" "beta 2.0"
    touch "$FAKE/offline"
    works "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha -- trixie-backports beta:arm64
    said "beta 2.0 all"
}
tampered_deb() {
    fresh
    make_deb alpha 1.0
    echo 0000 >"$FAKE/alpha_1.0_all.deb.sum"
    fails "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha
    said "Debian's signed index says 0000"
    absent "$REPO/build/x"
}
missing_deb_keeps_the_old() {
    fresh
    make_deb alpha 1.0
    works "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha
    fails "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha nosuch
    said "no package nosuch in trixie"
    holds "$REPO/build/x/usr/share/alpha" "alpha 1.0"
    works "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha
}
interrupted_debs() {
    fresh
    make_deb alpha 1.0
    mkdir -p "$REPO/build/x.new/usr/share"
    echo half >"$REPO/build/x.new/usr/share/half"
    works "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha
    absent "$REPO/build/x/usr/share/half"
    holds "$REPO/build/x/usr/share/alpha" "alpha 1.0"
}
two_unpack() {
    fresh
    make_deb alpha 1.0
    two_at_once unpack-x "$REPO/scripts/unpack-debs" "$REPO/build/x" trixie alpha
    holds "$SCRATCH/out1" "alpha 1.0 all"
    holds "$SCRATCH/out2" "alpha 1.0 all"
    [ "$(wc -l <"$FAKE/asked")" = 1 ] || echo "unpacked more than once"
}

fake_apt
make_source
check "QEMU is fetched, unpacked and remembered" fetched
check "a second call needs no network" again
check "a tampered download is refused" tampered_download
check "a download tampered with later is refused" tampered_afterwards
check "a missing file is fetched again" missing_file
check "without network the error is clear, and it resumes" no_network
check "an interrupted unpack resumes" interrupted_unpack
check "killed while unpacking: no half tree, and it resumes" killed_while_unpacking
check "two at once make one tree" two_fetch
check "QEMU_SRC is copied, not changed" other_tree
check "QEMU_SRC that is no QEMU is refused" not_a_tree
check "packages are unpacked once" unpacked
check "a tampered package is refused" tampered_deb
check "a missing package leaves what was there" missing_deb_keeps_the_old
check "an interrupted unpacking of packages resumes" interrupted_debs
check "two at once unpack packages once" two_unpack
tap_end
