#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
'''A CXL Type-2 device behind vfio on virt with EDK2 and Linux'''

from vfio_cxl import VfioCxlTest


class Aarch64VfioCxl(VfioCxlTest):

    architecture = 'arm64'
    kernel = 'Image'
    firmware = 'QEMU_EFI.fd'
    console = 'ttyAMA0'
    machine_type = 'virt'
    machine_options = ('-cpu', 'max,pauth-impdef=on')

    def test_boot(self):
        self.do_test_boot()

    def test_smmuv3_of_bridge(self):
        self.do_test_iommu(
            r'^smmu3\.', machine=('gic-version=3',),
            options=('-device', 'arm-smmuv3,primary-bus=cxl.0,id=smmu0'))

    def test_smmuv3_of_machine_shadow(self):
        '''And the other generation of the kernel's interface.'''
        self.do_test_iommu(r'^smmu3\.', contract='shadow',
                           machine=('gic-version=3', 'iommu=smmuv3'))

    def test_bars_stay(self):
        self.do_test_bars(patched=True)

    def test_bars_move_unpatched(self):
        self.do_test_bars(patched=False)

    def test_large(self):
        self.do_test_large('256G', bar=8)

    def test_larger(self):
        self.do_test_large('256G', bar=64)

    def test_reboot(self):
        self.do_test_reboot()

    def test_decoders(self):
        self.do_test_decoders()

    def test_bridges(self):
        self.do_test_bridges(core=True)

    def test_bridges_without_core(self):
        self.do_test_bridges(core=False)

    def test_several(self):
        self.do_test_several()

    def test_hotplug(self):
        self.do_test_hotplug()

    def test_hotplug_bar(self):
        self.do_test_hotplug_bar(64, reserve=64)

    def test_hotplug_no_room(self):
        self.do_test_hotplug_no_room()

    def test_sysram(self):
        self.do_test_sysram()

    def test_model_killed(self):
        self.do_test_model_killed()


if __name__ == '__main__':
    VfioCxlTest.main()
