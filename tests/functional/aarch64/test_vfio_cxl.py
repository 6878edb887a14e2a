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

    def test_shadow(self):
        self.do_test_shadow()

    def test_large(self):
        self.do_test_large('64G')

    def test_reboot(self):
        self.do_test_reboot()

    def test_model_killed(self):
        self.do_test_model_killed()


if __name__ == '__main__':
    VfioCxlTest.main()
