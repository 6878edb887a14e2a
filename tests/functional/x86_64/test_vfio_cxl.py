#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
'''A CXL Type-2 device behind vfio on q35 with SeaBIOS and Linux'''

from vfio_cxl import VfioCxlTest


class X86VfioCxl(VfioCxlTest):

    architecture = 'amd64'
    kernel = 'bzImage'
    firmware = 'bios-256k.bin'
    # Without no_timer_check Linux panics where a busy host is late with ticks
    console = 'ttyS0 no_timer_check'
    machine_type = 'q35'
    machine_options = ('-cpu', 'max')
    # With two, TCG may run code that the other one has patched away: Linux
    # patches itself at boot, and panics of an int3 that is no more. Other boots
    # stand still, both CPUs waiting.
    cpus = '1'

    def test_boot(self):
        self.do_test_boot()

    def test_intel_iommu(self):
        self.do_test_iommu(
            r'^dmar', append='intel_iommu=on',
            machine=('kernel-irqchip=split',),
            options=('-device', 'intel-iommu,intremap=on'))

    def test_intel_iommu_caching_reboot(self):
        '''Here QEMU is told of mappings and tells the device, or does not.'''
        boot = self.do_test_iommu(
            r'^dmar', append='intel_iommu=on cxl2.action=reboot',
            reported=False, machine=('kernel-irqchip=split',),
            options=('-device', 'intel-iommu,intremap=on,caching-mode=on'))
        self.check_second_boot(boot)

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

    def test_large(self):
        self.do_test_large('256G', bar=8)

    def test_larger(self):
        self.do_test_large('256G', bar=64)

    def test_hotplug_bar(self):
        self.do_test_hotplug_bar(64, reserve=128)

    def test_hotplug_no_room(self):
        self.do_test_hotplug_no_room()

    def test_kexec(self):
        self.do_test_kexec()

    def test_sysram(self):
        self.do_test_sysram()

    def test_model_killed(self):
        self.do_test_model_killed()


if __name__ == '__main__':
    VfioCxlTest.main()
