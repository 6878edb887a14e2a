# SPDX-License-Identifier: GPL-2.0-or-later
# What the QEMU for the nested arm64 host has of devices; QEMU's configure finds it from
# configs/devices/aarch64-softmmu.
CONFIG_ARM_VIRT=y
CONFIG_PXB=y
CONFIG_PCIE_PORT=y
CONFIG_CXL=y
# Not selected by CONFIG_CXL, which does not link without it.
CONFIG_CXL_MEM_DEVICE=y
CONFIG_VFIO_PCI=y
CONFIG_VFIO_CXL=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
