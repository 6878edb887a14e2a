# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced after lib.sh by what builds modules and initramfs images for Debian's
# kernel, which is unpacked below build/guest-pkgs and not installed.

# newer FILE SOURCE...: is FILE missing, or a source newer?
newer() {
    local file=$1 s; shift
    [ -e "$file" ] || return 0
    for s in "$@"; do if [ "$s" -nt "$file" ]; then return 0; fi; done
    return 1
}

# write_if_changed FILE: standard input; an unchanged file keeps its date.
write_if_changed() {
    cat >"$1.new"
    if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

have() { command -v "$1" >/dev/null || die "$1 is missing: install the package $2 (make setup does)"; }

# kernel_arch ARCH: sets karch, image, triplet.
kernel_arch() {
    # shellcheck disable=SC2034 # for the caller
    case $1 in
        arm64) karch=arm64 image=Image triplet=aarch64-linux-gnu ;;
        amd64) karch=x86 image=bzImage triplet=x86_64-linux-gnu ;;
        *) die "no guest for \"$1\": ARCH= is arm64 or amd64" ;;
    esac
    have "$triplet-g++" "g++-$triplet"
    have cpio cpio
    have modinfo kmod
}

# debian_kernel ARCH|arm64-16k: unpacks Debian's newest kernel, for arm64 also that with pages of
# 16 KiB; sets release, kernel, modules, headers, kbuild and make_where.
debian_kernel() {
    local flavour=$1 arch=${1%-16k} root=$BUILD/guest-pkgs/$1 base
    # What is unpacked stays until `make update` forgets it.
    release=$(sed -n 's/^linux-binary-\([^ ]*\) .*/\1/p' "$root/.packages" 2>/dev/null) || release=
    [ -n "$release" ] || release=$("$TOP/scripts/debian/kernel-release" "$flavour")
    base=${release%-"$flavour"}
    "$TOP/scripts/debian/unpack-debs" "$root" trixie-backports \
        "linux-binary-$release:$arch" "linux-modules-$release:$arch" "linux-headers-$release:$arch" \
        "linux-headers-$base-common" "linux-kbuild-$base" >/dev/null
    kernel=$root/usr/lib/modules/$release/vmlinuz modules=$root/usr/lib/modules/$release
    headers=$root/usr/src/linux-headers-$release kbuild=$root/usr/lib/linux-kbuild-$base
    # The packages' own makefiles expect to be installed below /usr/src.
    # shellcheck disable=SC2034 # for build_module
    make_where=(-f "$root/usr/src/linux-headers-$base-common/Makefile" "KBUILD_OUTPUT=$headers")
    [ -e "$kernel" ] || die "linux-binary-$release no longer brings lib/modules/$release/vmlinuz; name a kernel with GUEST_KERNEL= and GUEST_MODULES="
}

# own_kernel ARCH: likewise, of the kernel that testbed/kernel has built.
own_kernel() {
    local out=$BUILD/testbed/linux-$1
    release=$(cat "$out/include/config/kernel.release") modules=$out headers=$out kbuild=''
    kernel=$out/arch/$karch/boot/$image
    make_where=(-C "$(readlink -f "$out/source")" "O=$out")
}

# Debian's kernel tools for the build machine want a newer C library than it may
# have: they run through the loader of an unpacked one.
host_tool() {  # DIR NAME REAL
    local loader
    own_loader "$BUILD/guest-pkgs/host"
    printf '#!/bin/sh\nexec %s %s "$@"\n' "${loader[*]}" "$3" >"$1/$2"
    chmod +x "$1/$2"
}

# build_module ARCH SRC OUT NAME: the module NAME.ko of the folder SRC, made in
# OUT/module, without debug information in OUT.
build_module() {
    local arch=$1 src=$2 out=$3 name=$4 args
    say "building $name for Linux $release"
    rm -rf "$out/module"
    mkdir -p "$out/module"
    args=("${make_where[@]}" "M=$src" "MO=$out/module" "ARCH=$karch" "CROSS_COMPILE=$triplet-"
          "CC=$triplet-gcc" CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT= CONFIG_DEBUG_INFO_BTF_MODULES=)
    if [ -n "$kbuild" ]; then
        "$TOP/scripts/debian/unpack-debs" "$BUILD/guest-pkgs/host" trixie libc6 libelf1t64 zlib1g libzstd1 >/dev/null
        host_tool "$out/module" modpost "$kbuild/scripts/mod/modpost.real-lsb-64"
        args+=("MODPOST=$out/module/modpost")
        if [ "$arch" = amd64 ]; then
            host_tool "$out/module" objtool "$kbuild/tools/objtool/objtool.real-x86"
            args+=("objtool=$out/module/objtool")
        fi
    fi
    make "${args[@]}" modules >"$out/module.log" 2>&1 ||
        { tail -n 40 "$out/module.log" >&2; die "$name does not build for Linux $release (all of it: $out/module.log)"; }
    "$triplet-strip" --strip-debug -o "$out/$name.ko" "$out/module/$name.ko"
}

# add_module TREE NAME OPTION: copies a module of the kernel into TREE/modules, what
# it needs before it, and their order into TREE/modules/order; built-in ones need
# nothing. OPTION is the kernel's option to be named where it has no such module.
add_module() {
    local tree=$1 name=$2 option=$3 file need
    if grep -sqE "/${name//_/[-_]}\.ko$" "$modules/modules.builtin"; then return; fi
    if grep -sqx "$name" "$tree/modules/order"; then return; fi
    file=$(find "$modules/kernel/" -name "${name//_/[-_]}.ko*" | head -n1)
    [ -n "$file" ] || die "the kernel $release has no module $name: $option must be on"
    case $file in
        *.xz) xz -dc "$file" ;;
        *.zst) zstd -dcq "$file" ;;
        *.gz) gzip -dc "$file" ;;
        *) cat "$file" ;;
    esac >"$tree/modules/$name.ko"
    for need in $(modinfo -F depends "$tree/modules/$name.ko" | tr , ' '); do add_module "$tree" "${need//-/_}" "$option"; done
    echo "$name" >>"$tree/modules/order"
}
