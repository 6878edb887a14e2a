# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by what configures and builds QEMU's tree; after lib.sh.

# qemu_options TARGETS: sets QEMU_OPTIONS to what every build is configured with. Debug
# information would take a fifth of the time.
qemu_options() {
    # shellcheck disable=SC2034 # for the caller
    QEMU_OPTIONS=(--python="$PYTHON" "--target-list=$1" --without-default-features
                  --enable-kvm --enable-tcg --enable-fdt=system --enable-slirp
                  --enable-vhost-kernel --enable-vhost-net --enable-vhost-user
                  --enable-pixman --disable-docs --disable-download --disable-install-blobs
                  --enable-werror --disable-debug-info)
}

# is_configured DIR OPTION...: DIR was configured with these, to the end.
is_configured() { [ "$(cat "$1/.configured" 2>/dev/null)" = "${*:2}" ]; }

# configure_qemu DIR OPTION...: configures build/src/qemu as it stands, in DIR, from
# the start.
configure_qemu() {
    local out=$1 meson; shift
    # QEMU wants a newer meson than Debian 12 has; it is Python and runs from anywhere.
    "$TOP/scripts/debian/unpack-debs" "$BUILD/meson" bookworm-backports meson >/dev/null
    meson=$BUILD/meson/usr/lib/python3/dist-packages
    rm -rf "$out"
    mkdir -p "$out"
    say "configuring QEMU"
    (cd "$out" && PYTHONPATH=$meson "$BUILD/src/qemu/configure" "$@" >configure.log 2>&1) ||
        { tail -n 30 "$out/configure.log" >&2; die "QEMU's configure failed; all of it is in ${out#"$TOP"/}/configure.log"; }
    # So that a ninja called by hand finds the same meson when meson.build changes.
    echo "$meson" >"$(echo "$out"/pyvenv/lib/python3*/site-packages)/meson.pth"
    printf '%s\n' "$*" >"$out/.configured"
}
