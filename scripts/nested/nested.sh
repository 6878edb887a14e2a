# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced after lib.sh by what boots a nested host: a Linux host inside a VM, whose "hardware"
# is the model device.

# nested_host HOST: sets guest and guest_kernel, its guests' architecture and kernel.
nested_host() {
    # shellcheck disable=SC2034 # for the caller
    case $1 in
        amd64 | amd64-iommufd) guest=amd64 guest_kernel=bzImage ;;
        arm64 | arm64-16k) guest=arm64 guest_kernel=Image ;;
        *) die "no nested host for ARCH=$1: amd64, amd64-iommufd, arm64 or arm64-16k" ;;
    esac
}

# nested_initrd HOST FILE FOLDER [GUEST-INITRAMFS]: the host's initramfs, with the jobs as they stand
# now behind it, and, where one is named, an inner guest. FOLDER is for what is temporary.
nested_initrd() {
    local tmp=$3
    pack() { (cd "$1" && cpio -o -L -H newc -R 0:0 --quiet); }
    {
        cat "$BUILD/testbed/$1/initramfs.cpio"
        find "$TOP/testbed/jobs" -printf 'jobs/%P\n' | sed 's:/$::' | pack "$TOP/testbed"
        if [ -n "${4:-}" ]; then
            mkdir "$tmp/guest"
            ln -s "$BUILD/guest/$guest/$guest_kernel" "$tmp/guest/kernel"
            ln -s "$4" "$tmp/guest/initramfs.cpio.gz"
            (cd "$tmp" && find guest) | pack "$tmp"
        fi
    } >"$2"
}

# nested_command HOST FOLDER: sets command and append, the outer machine; FOLDER has initrd and the model's
# sockets, device and control. Of the environment: HDM, MEM, SMP.
nested_command() {
    local machine="cxl=on,memory-backend=mem,cxl-fmw.0.targets.0=cxl.0,cxl-fmw.0.size=$HDM" iommu=()
    # shellcheck disable=SC2054 # the commas are QEMU's
    case $guest in
        amd64)
            # The kernel gives nobody a function without interrupt remapping; an inner guest's
            # window needs 48 bits. First, so that devices find it.
            # With a caching mode QEMU maps for the model what the kernel maps for the function; but
            # not the function's own memory. Without one each DMA is a message, and reaches it.
            local caching=on
            [ "$1" = amd64 ] || caching=off
            command=("$BUILD/bin/qemu-system-x86_64" -machine "q35,$machine"
                -device "intel-iommu,intremap=on,caching-mode=$caching,aw-bits=48"
                -cpu max -bios "$BUILD/guest/firmware/bios-256k.bin")
            # no_timer_check: Linux counts timer ticks against the TSC and panics when too few came,
            # which on a host with other things to do says nothing about the timer.
            append="console=ttyS0 no_timer_check intel_iommu=on" ;;
        arm64)
            command=("$BUILD/bin/qemu-system-aarch64" -machine "virt,virtualization=on,gic-version=3,$machine"
                -cpu "${CPU:-max,pauth-impdef=on}" -bios "$BUILD/guest/firmware/QEMU_EFI.fd")
            append="console=ttyAMA0"
            # It names the bus, which has to be there.
            iommu=(-device arm-smmuv3,primary-bus=cxl.0,id=smmu0) ;;
    esac
    # shellcheck disable=SC2054
    command+=(-smp "$SMP" -m "$MEM" -object "memory-backend-memfd,id=mem,size=$MEM,share=on"
        -L "$BUILD/guest/firmware"
        -device pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=12,hdm_for_passthrough=on "${iommu[@]}"
        -device cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=2
        -device "{\"driver\":\"vfio-user-pci\",\"id\":\"gpu0\",\"bus\":\"rp0\",\"socket\":{\"type\":\"unix\",\"path\":\"$2/device\"}}"
        -kernel "$BUILD/testbed/$1/kernel" -initrd "$2/initrd"
        # /dev/vport0p1: the model's control socket, for tests that look into the device.
        -device virtio-serial-pci,bus=pcie.0 -chardev "socket,id=control,path=$2/control"
        -device virtserialport,nr=1,chardev=control,name=control
        -nodefaults -display none -no-reboot)
    append="rdinit=/init $append loglevel=4 random.trust_cpu=on panic=-1"
}
