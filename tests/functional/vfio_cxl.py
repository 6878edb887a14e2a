# SPDX-License-Identifier: GPL-2.0-or-later
'''
What the tests of a Linux guest on an assigned CXL device share, on any machine

The device is a vfio-user server with a control socket (cxl-type2-model); the
guest is a kernel with an initramfs that uses the device's memory and reports on
the serial console, in TAP and in lines "CXL2: key=value ...".

The environment names them:
  CXL_TYPE2_MODEL     the program cxl-type2-model
  CXL_TYPE2_GUEST     a folder with arm64/ and amd64/, each with a kernel and
                      initramfs.cpio.gz
  CXL_TYPE2_FIRMWARE  a folder with QEMU_EFI.fd, bios-256k.bin and option ROMs
  CXL_TYPE2_UNPATCHED_QEMU
                      an unpatched QEMU for the same target, to compare with
  CXL_TYPE2_HOTPLUG_ROUNDS
                      how often a device is plugged into a guest, 3 by default
'''

import collections
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import zlib

from qemu.qmp import ExecuteError
from qemu_test import QemuSystemTest

DEVICE_ID = 'gpu0'
MIB = 1024 * 1024
# The model's region of device memory
CXL_MEM = 9


class Model:
    '''A running cxl-type2-model.'''

    def __init__(self, program, folder, *options):
        self.socket = os.path.join(folder, 'device')
        self._control = os.path.join(folder, 'control')
        self._process = subprocess.Popen(
            [program, '--socket', self.socket, '--control', self._control,
             *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        line = self._process.stdout.readline()
        if 'listening on' not in line:
            self.kill()
            raise RuntimeError(f'{program} does not listen: {line}')

    def ctl(self, *words):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self._control)
            s.sendall((' '.join(str(w) for w in words) + '\n').encode())
            with s.makefile() as f:
                reply = f.readline().strip()
        if reply.startswith('error'):
            raise RuntimeError(f'{words}: {reply}')
        return reply

    def peek(self, offset):
        return self.ctl('peek', offset, 16).replace(' ', '')

    def poke(self, offset, data):
        self.ctl('poke', offset, data)

    def state(self):
        return json.loads(self.ctl('state'))

    def region_accesses(self, region):
        '''Messages since the last call that read or wrote the region.'''
        return sum(message['command'] in ('REGION_READ', 'REGION_WRITE') and
                   message['region'] == region
                   for message in json.loads(self.ctl('log')))

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Boot:
    '''What one boot of the guest reported, until its verdict.'''

    def __init__(self):
        self.facts = {}
        self.failed = []
        self.passed = 0
        self.planned = None
        self.verdict = None
        self.seconds = None
        self.handshake = False

    def add(self, line):
        if line.startswith('CXL2: '):
            for word in line.split():
                key, equals, value = word.partition('=')
                if equals:
                    self.facts.setdefault(key, value)
            self.verdict = self.facts.get('verdict')
        elif re.match(r'not ok \d', line):
            self.failed.append(line)
        elif re.match(r'ok \d', line):
            self.passed += 1
        elif m := re.match(r'1\.\.(\d+)$', line):
            self.planned = int(m[1])

    def number(self, key):
        return int(self.facts[key], 0)


def facts_of(lines, begin):
    '''Of each line "CXL2: BEGIN..." its words key=value.'''
    return [dict(w.split('=', 1) for w in line.split() if '=' in w)
            for line in lines if line.startswith(f'CXL2: {begin}')]


class VfioCxlTest(QemuSystemTest):
    '''To be completed by: the attributes below.'''

    # The slowest power-on to verdict that is accepted, in seconds
    boot_limit = 120
    architecture = kernel = firmware = console = machine_type = None
    machine_options = ()
    cpus = '2'

    def setUp(self):
        super().setUp()
        self.paths = {}
        for name in ('CXL_TYPE2_MODEL', 'CXL_TYPE2_GUEST',
                     'CXL_TYPE2_FIRMWARE'):
            path = os.environ.get(name)
            if not path:
                self.skipTest(f'{name} is not set')
            if not os.path.exists(path):
                self.skipTest(f'{name}={path} does not exist')
            self.paths[name] = os.path.abspath(path)
        guest = os.path.join(self.paths['CXL_TYPE2_GUEST'], self.architecture)
        self.kernel_path = os.path.join(guest, self.kernel)
        self.initrd_path = os.path.join(guest, 'initramfs.cpio.gz')
        for path in (self.kernel_path, self.initrd_path):
            if not os.path.exists(path):
                self.skipTest(f'{path} does not exist')
        self.require_device('vfio-user-pci')
        self.require_device('pxb-cxl')
        self._pending = b''
        self._recent = collections.deque(maxlen=70)

    def start(self, hdm='256M', window=None, append='', contract='live',
              machine=(), options=(), plugged=True, bar='1M', numa=False,
              port='', model=()):
        '''
        Starts a model, with more options, and a machine whose only CXL device it
        is, or will be; more for -machine, the root port, and other options of
        QEMU's. With numa the RAM is that of a node.
        '''
        self.model = Model(self.paths['CXL_TYPE2_MODEL'],
                           self.socket_dir().name, '--hdm-size', hdm,
                           '--contract', contract, '--bar-size', bar, *model)
        self.addCleanup(self.model.kill)
        self.interrupts = 0
        self.hdm_size = int(hdm[:-1]) * {'M': MIB, 'G': 1024 * MIB}[hdm[-1]]
        device = {'driver': 'vfio-user-pci', 'id': DEVICE_ID, 'bus': 'rp0',
                  'socket': {'type': 'unix', 'path': self.model.socket}}
        self.device = device
        self.launch(
            ','.join(('cxl-fmw.0.targets.0=cxl.0',
                      f'cxl-fmw.0.size={window or hdm}', *machine)),
            [*(['-numa', 'node,memdev=mem'] if numa else []),
             '-device', 'pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=12,'
             'hdm_for_passthrough=on',
             '-device', f'cxl-rp,id=rp0,bus=cxl.0,chassis=0,slot=2{port}',
             *options,
             *(['-device', json.dumps(device)] if plugged else [])], append,
            numa)

    def launch(self, windows, devices, append, numa=False):
        firmware = self.paths['CXL_TYPE2_FIRMWARE']
        self.set_machine(self.machine_type)
        self.vm.set_console()
        self.vm.add_args(
            '-nodefaults', '-smp', self.cpus, '-m', '2G', *self.machine_options,
            '-machine', ','.join(('cxl=on',
                                  *([] if numa else ['memory-backend=mem']),
                                  windows)),
            '-object', 'memory-backend-memfd,id=mem,size=2G,share=on',
            '-L', firmware, '-bios', os.path.join(firmware, self.firmware),
            *devices,
            '-kernel', self.kernel_path, '-initrd', self.initrd_path,
            '-append', f'rdinit=/init console={self.console} loglevel=4 '
            + append)
        self.vm.launch()

    def _next_line(self, deadline):
        '''As read_line(), whatever the line says.'''
        while b'\n' not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.vm.console_socket.settimeout(left)
            try:
                got = self.vm.console_socket.recv(4096)
            except TimeoutError:
                return None
            if not got:
                return None
            self._pending += got
        raw, _, self._pending = self._pending.partition(b'\n')
        line = raw.decode(errors='replace').strip()
        self.log.debug('console: %s', line)
        self._recent.append(line)
        return line

    def read_line(self, deadline):
        '''The guest's next line; None when the deadline passes or it ends.'''
        line = self._next_line(deadline)
        if line is not None and 'Kernel panic' in line:
            # What it says of the place comes before and behind
            behind = time.monotonic() + 5
            while self._next_line(behind) is not None:
                pass
            self.fail('\n'.join(('the guest\'s kernel panicked:',
                                 *self._recent)))
        return line

    def wait_for(self, pattern, seconds):
        '''Skips the guest's lines up to one that matches.'''
        deadline = time.monotonic() + seconds
        while (line := self.read_line(deadline)) is not None:
            if m := re.search(pattern, line):
                return m
        self.fail(f'the guest did not print "{pattern}" within {seconds} s')

    def boot(self):
        '''
        Follows the guest to its verdict; what it wrote must be in the model's
        memory, and what the model got must be seen by the guest.
        '''
        boot = Boot()
        begin = time.monotonic()
        poked = None
        while boot.verdict is None:
            line = self.read_line(begin + self.boot_limit)
            self.assertIsNotNone(
                line, f'no verdict within {self.boot_limit} s')
            boot.add(line)
            if line.startswith('CXL2: wrote '):
                wrote = dict(w.split('=') for w in line.split()[2:])
                self.assertEqual(self.model.peek(0), wrote['first'])
                self.assertEqual(self.model.peek(self.hdm_size - 16),
                                 wrote['last'])
            elif line.startswith('CXL2: waiting-for-host'):
                # No byte 0: the guest takes it for "not yet there".
                poked = [bytes(1 + secrets.randbelow(255)
                               for _ in range(16)).hex() for _ in range(2)]
                self.model.poke(4096, poked[0])
                self.model.poke(self.hdm_size - 4096, poked[1])
            elif line.startswith('CXL2: saw '):
                saw = dict(w.split('=') for w in line.split()[2:])
                self.assertEqual([saw['first'], saw['last']], poked)
                boot.handshake = True
        boot.seconds = time.monotonic() - begin
        self.log.info('verdict %s after %.1f s', boot.verdict, boot.seconds)
        return boot

    def check_boot(self, boot):
        self.assertEqual(boot.failed, [])
        self.assertEqual(boot.planned, boot.passed)
        self.assertEqual(boot.verdict, 'pass')
        facts = boot.facts
        self.assertEqual(facts['driver'], 'loaded')
        self.assertRegex(facts['region'], r'^region\d+$')
        self.assertEqual(facts['base'], facts['window'].split('+')[0])
        self.assertEqual(boot.number('size'), self.hdm_size)
        self.assertEqual(facts['locked'], '1')
        self.assertEqual(facts['iomem'], '1')
        self.assertTrue(boot.handshake, 'the host\'s bytes were not awaited')
        # At memory speed: of the guest's millions of accesses to the memory
        # none came as a message; QEMU's own ask whether it answers
        self.assertIn('share', facts)
        self.assertLess(self.model.region_accesses(CXL_MEM), 100)

    def check_dma(self, boot, size, vectors=8):
        '''So much went there and came back; each interrupt was counted.'''
        facts = boot.facts
        self.assertEqual(boot.number('dma'), size)
        self.assertEqual(facts['sum_to'], facts['sum_from'])
        self.assertEqual(boot.number('interrupts'), 2 * size // (2 * MIB))
        self.assertEqual(facts['expected'], facts['interrupts'])
        self.assertEqual(boot.number('vectors'), vectors)
        # What the device says of the same; faults have their own interrupts. A
        # guest that reboots may have reset it by now, so all of them count.
        total = self.model.state()['irqs']['total']
        self.assertGreaterEqual(total - self.interrupts,
                                boot.number('interrupts'))
        self.interrupts = total
        self.log.info('DMA: %s MB/s to the device, %s back, IOMMU %s',
                      facts['to_mbps'], facts['from_mbps'], facts['iommu'])

    def check_faults(self, boot, reported):
        '''
        DMA to nowhere ended with an error; did the IOMMU tell Linux? Where it
        did, QEMU translates each access, and so the window is within reach.
        Elsewhere CXL memory is not among what the device was told of.
        '''
        self.assertEqual(boot.facts['window_dma'], '1' if reported else '6')
        for access in ('read', 'write'):
            self.assertEqual(boot.facts[f'status_{access}'], '6')
            self.assertEqual(boot.facts[f'reported_{access}'],
                             '1' if reported else '0')

    def qemu_log(self):
        with open(self.log_file('default.log'), encoding='utf-8',
                  errors='replace') as f:
            return f.read()

    def start_several(self, devices, append, options=()):
        '''
        Starts a model, and a host bridge with a window, for each of devices:
        the size of its memory, options of its model, and whether the bridge
        has decoders.
        '''
        options = list(options)
        self.models = []
        for n, (_, model_options, decoders) in enumerate(devices):
            folder = os.path.join(self.socket_dir().name, str(n))
            os.mkdir(folder)
            model = Model(self.paths['CXL_TYPE2_MODEL'], folder,
                          *model_options)
            self.addCleanup(model.kill)
            self.models.append(model)
            bridge = f'pxb-cxl,id=cxl.{n},bus=pcie.0,bus_nr={16 + 16 * n}'
            if decoders:
                bridge += ',hdm_for_passthrough=on'
            device = {'driver': 'vfio-user-pci', 'id': f'gpu{n}',
                      'bus': f'rp{n}',
                      'socket': {'type': 'unix', 'path': model.socket}}
            options += ['-device', bridge, '-device',
                        f'cxl-rp,id=rp{n},bus=cxl.{n},chassis={n},slot={n}',
                        '-device', json.dumps(device)]
        # Not in the order of the devices: a window is found by its target
        windows = ','.join(
            f'cxl-fmw.{w}.targets.0=cxl.{n},cxl-fmw.{w}.size={devices[n][0]}'
            for w, n in enumerate(reversed(range(len(devices)))))
        self.launch(windows, options, f'cxl2.devices={len(devices)} '
                    f'cxl2.locked=0 cxl2.host=0 {append}')

    def lines_to_verdict(self):
        '''What a guest with several devices says, to its verdict.'''
        lines = []
        deadline = time.monotonic() + self.boot_limit
        while not (lines and 'verdict=' in lines[-1]):
            line = self.read_line(deadline)
            self.assertIsNotNone(line, 'no verdict')
            lines.append(line)
        return lines

    def do_test_boot(self):
        self.start(append='cxl2.bars=1 cxl2.dma=64M cxl2.dma_fault=1 '
                   'cxl2.action=active', model=('--active-after', '900'))
        boot = self.boot()
        self.check_boot(boot)
        self.assertEqual(boot.facts['iommu'], 'none')
        self.check_dma(boot, 64 * MIB)
        self.check_faults(boot, reported=False)
        # After a reset it takes its time, and Linux sees how long
        m = self.wait_for(r'CXL2: active at_once=0 ms=(\d+) lost=0 first=(\w+)',
                          30)
        self.assertGreaterEqual(int(m[1]), 800)
        self.assertEqual(self.model.peek(0), m[2])
        self.vm.wait(timeout=30)
        self.assertEqual(self.vm.exitcode(), 0)

    def do_test_iommu(self, iommu, append='', reported=True, **start):
        '''Behind an IOMMU that Linux uses.'''
        self.start(append=f'cxl2.dma=32M cxl2.dma_fault=1 {append}', **start)
        boot = self.boot()
        self.check_boot(boot)
        self.assertRegex(boot.facts['iommu'], iommu)
        self.assertRegex(boot.facts['type'], '^DMA')
        self.assertEqual(boot.facts['translated'], '1')
        self.check_dma(boot, 32 * MIB)
        self.check_faults(boot, reported)
        return boot

    def do_test_bars(self, patched):
        '''
        Three root ports, and more than one way to arrange what is below them:
        with the _DSM of the host bridge Linux keeps the firmware's, without it
        Linux has its own. No CXL.mem: with several ports there is none.
        '''
        options = ['-device', 'cxl-rp,id=rp1,bus=cxl.0,chassis=0,slot=3,port=1',
                   '-device', 'cxl-rp,id=rp2,bus=cxl.0,chassis=0,slot=4,port=2',
                   '-device', 'pci-testdev,bus=rp1,membar=64M,membar-backed=off']
        if patched:
            options += ['-global', 'vfio-user-pci.x-cxl-decoders=off']
        else:
            self.qemu_bin = os.environ.get('CXL_TYPE2_UNPATCHED_QEMU')
            if not self.qemu_bin:
                self.skipTest('CXL_TYPE2_UNPATCHED_QEMU is not set')
        self.start(options=options)
        m = self.wait_for(r'bars_kept=(\d+) bars_moved=(\d+)', self.boot_limit)
        self.log.info('%s of %d BARs and windows moved', m[2],
                      int(m[1]) + int(m[2]))
        self.assertGreater(int(m[1]), 0)
        if patched:
            self.assertEqual(m[2], '0')
        else:
            self.assertGreater(int(m[2]), 0)

    def do_test_large(self, size, bar):
        '''Much memory, and a BAR of so many GiB: it is where firmware put it.'''
        self.start(hdm=size, bar=f'{bar}G', append='cxl2.bars=1')
        boot = self.boot()
        self.check_boot(boot)
        self.assertEqual(boot.number('bars_largest'), bar * 1024 * MIB)

    def disk(self, name, device, size, limit=None):
        '''
        A disk of random bytes: the path of its file, and options for it; limit
        is how many bytes a second it can do.
        '''
        path = self.scratch_file(f'{name}.raw')
        with open(path, 'wb') as f:
            f.write(secrets.token_bytes(size))
        drive = f'if=none,id={name},format=raw,file={path}'
        if limit:
            drive += f',throttling.bps-total={limit}'
        return path, ['-drive', drive,
                      '-device', f'{device},drive={name},bus=pcie.0']

    def vhost_user_disk(self, name, size):
        '''A disk of another process, and options for it.'''
        path = self.scratch_file(f'{name}.raw')
        with open(path, 'wb') as f:
            f.truncate(size)
        where = os.path.join(self.socket_dir().name, name)
        process = subprocess.Popen(
            ['qemu-storage-daemon', '--daemonize',
             '--blockdev', f'file,node-name=file,filename={path}',
             '--export', f'vhost-user-blk,id={name},node-name=file,'
             f'writable=on,addr.type=unix,addr.path={where}',
             '--pidfile', f'{where}.pid'])
        self.assertEqual(process.wait(timeout=30), 0)
        with open(f'{where}.pid', encoding='utf-8') as f:
            pid = int(f.read())
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        return ['-chardev', f'socket,id={name},path={where}',
                '-device', f'vhost-user-blk-pci,id={name},chardev={name},'
                'num-queues=1,bus=pcie.0']

    def check_disks(self, paths, before, told):
        '''
        What the guest read each time was there, and what it wrote is. How fast
        that was is told, not judged. Returns what is there now.
        '''
        after = {}
        for dev, path in paths.items():
            with open(path, 'rb') as f:
                after[dev] = zlib.crc32(f.read())
            was = before[dev]
            for facts in (facts for facts in told if facts['disk'] == dev):
                self.assertEqual(int(facts['read'], 16), was)
                was = int(facts['written'], 16)
                self.log.info('%s: %s MB/s into RAM, %s into CXL.mem: %s',
                              dev, facts['ram_mbps'], facts['cxl_mbps'],
                              facts['share'])
            self.assertEqual(after[dev], was)
        return after

    def lines_to_sysram_verdict(self):
        lines = []
        deadline = time.monotonic() + self.boot_limit
        while not (lines and 'sysram-verdict=' in lines[-1]):
            line = self.read_line(deadline)
            self.assertIsNotNone(line, 'no verdict')
            lines.append(line)
        self.assertEqual([l for l in lines if l.startswith('not ok')], [])
        self.assertIn('sysram-verdict=pass', lines[-1])
        facts = facts_of(lines, 'sysram ')[0]
        self.assertEqual(int(facts['bytes'], 0), self.hdm_size)
        self.assertNotEqual(facts['node'], '0')
        self.assertGreater(int(facts['bytes'], 0), int(facts['ram'], 0))
        m = self.wait_for(r'CXL2: holding node=(\d+) ok=1', 30)
        self.assertEqual(m[1], facts['node'])
        return facts_of(lines, 'disk=')

    def do_test_sysram(self):
        '''
        The memory is Linux's, more than there is RAM, as a node of its own:
        online, used, offline and online again. Disks read into it and write
        from it. The machine is reset with it in use. Then Linux is asked for the
        device while a disk's read into the memory is under way: it does not let
        go before that has ended.

        There is a disk of another process, too, which cannot be given the
        memory: QEMU says so once, when the guest begins to use that disk.
        '''
        disks = {'vda': ('virtio-blk-pci', None),
                 'vdb': ('virtio-blk-pci', 256 * 1024),
                 'nvme0n1': ('nvme,serial=n', None)}
        paths, options = {}, []
        for dev, (device, limit) in disks.items():
            path, more = self.disk(dev, device, (1 if limit else 8) * MIB,
                                   limit)
            options += more
            if not limit:
                paths[dev] = path
        options += self.vhost_user_disk('elsewhere', MIB)
        sums = {}
        for dev, path in paths.items():
            with open(path, 'rb') as f:
                sums[dev] = zlib.crc32(f.read())
        cycles = int(os.environ.get('CXL_TYPE2_SYSRAM_CYCLES', '2'))
        self.start(hdm='3G', numa=True, options=options,
                   append=f'cxl2.sysram=256M cxl2.cycles={cycles} '
                   f'cxl2.disks={",".join(paths)} cxl2.slow=vdb '
                   'cxl2.action=hold')
        told = self.lines_to_sysram_verdict()
        self.assertEqual(len(told), len(paths) * cycles)
        sums = self.check_disks(paths, sums, told)
        said = r'elsewhere/virtio-backend: the back end cannot be given memory ' \
            r"'.*CXL memory.*', which has no file descriptor"
        self.assertEqual(len(re.findall(said, self.qemu_log())), 1)
        self.vm.cmd('system_reset')
        self.check_disks(paths, sums, self.lines_to_sysram_verdict())
        self.assertEqual(len(re.findall(said, self.qemu_log())), 1)
        self.vm.cmd('device_del', id=DEVICE_ID)
        self.wait_for(r'CXL2: asked-to-let-go', 30)
        time.sleep(0.5)
        self.assertIn(DEVICE_ID, [child['name'] for child in self.vm.cmd(
            'qom-list', path='/machine/peripheral')])
        self.wait_for(r'CXL2: read-ended ok=1', 30)
        self.wait_for(r'CXL2: let-go wrong=0 elsewhere=0 total=0', 30)
        self.assertIsNotNone(
            self.vm.event_wait('DEVICE_DELETED', timeout=30.0,
                               match={'data': {'device': DEVICE_ID}}))
        self.vm.cmd('quit')
        self.vm.wait(timeout=30)
        self.assertEqual(self.vm.exitcode(), 0)

    def do_test_reboot(self):
        '''The second boot finds region and decoder, and cleared memory.'''
        self.start(append='cxl2.action=reboot')
        first = self.boot()
        self.check_boot(first)
        self.check_second_boot(first)

    def check_second_boot(self, first):
        resets = self.model.state()
        second = self.boot()
        self.check_boot(second)
        self.assertEqual(second.facts['zero'], '1')
        for fact in ('region', 'base', 'size', 'decoder', 'window'):
            self.assertEqual(first.facts[fact], second.facts[fact])
        self.assertNotEqual(resets, self.model.state())

    def do_test_model_killed(self):
        '''A device that dies costs the guest that device, not the VM.'''
        self.start(append='cxl2.action=stay')
        self.check_boot(self.boot())
        self.wait_for(r'CXL2: alive', 30)
        said = self.qemu_log()
        self.model.kill()
        # Each round reads the device's registers; it may wait for an answer.
        for _ in range(3):
            self.wait_for(r'CXL2: alive', 60)
        self.assertTrue(self.vm.is_running())
        self.assertEqual(self.vm.cmd('query-status')['status'], 'running')
        self.assertRegex(self.qemu_log()[len(said):],
                         rf'{DEVICE_ID}|vfio[-_]user|{self.model.socket}')
        self.vm.cmd('quit')
        self.vm.wait(timeout=30)
        self.assertEqual(self.vm.exitcode(), 0)

    def do_test_several(self):
        '''Four devices of unequal sizes, the guest programs one itself.'''
        sizes = ('256M', '1G', '4G', '16G')
        devices = [(size, ['--hdm-size', size], True) for size in sizes]
        devices[1] = ('1G', ['--hdm-size', '1G', '--uncommitted',
                             '--memory-without-decoder'], False)
        self.start_several(devices, 'cxl2.points=100000')
        lines = self.lines_to_verdict()
        self.assertEqual([l for l in lines if l.startswith('not ok')], [])
        self.assertIn('verdict=pass', lines[-1])
        found = facts_of(lines, 'region=')
        wrote = facts_of(lines, 'wrote ')
        points = [int(f['points']) for f in facts_of(lines, 'initial zero=1')]
        # In the order of the buses, which is that of the models
        bytes_of = [256 * MIB, 1024 * MIB, 4096 * MIB, 16384 * MIB]
        self.assertEqual([int(f['size'], 0) for f in found], bytes_of)
        self.assertEqual([f['locked'] for f in found], ['1', '0', '1', '1'])
        self.assertEqual([f['region'] == 'none' for f in found],
                         [False, True, False, False])
        self.assertEqual(len({f['base'] for f in found}), len(sizes))
        # Both ends of every 2 MiB
        self.assertEqual(points, [size // MIB for size in bytes_of])
        for model, size, marks in zip(self.models, bytes_of, wrote,
                                      strict=True):
            self.assertEqual(model.peek(0), marks['first'])
            self.assertEqual(model.peek(size - 16), marks['last'])
        for f, p in zip(found, points):
            self.log.info('%s: %s at %s, %d points', f['pci'], f['size'],
                          f['base'], p)

    def do_test_decoders(self):
        '''
        Ten committed decoders are more than the host bridge has: the guest
        finds one, and Linux one region over all of the memory. Four are as
        many, and become four regions.
        '''
        each = ['--decoder-size', '256M', '--decoders']
        self.start_several([('2560M', [*each, '10'], True),
                            ('1G', [*each, '4'], True)], 'cxl2.points=100000')
        lines = self.lines_to_verdict()
        self.assertEqual([l for l in lines if l.startswith('not ok')], [])
        self.assertIn('verdict=pass', lines[-1])
        # Of several decoders the driver takes the first
        sizes = [2560 * MIB, 256 * MIB]
        self.assertEqual([int(f['size'], 0)
                          for f in facts_of(lines, 'region=')], sizes)
        for model, size, marks in zip(self.models, sizes,
                                      facts_of(lines, 'wrote '), strict=True):
            self.assertEqual(model.peek(0), marks['first'])
            self.assertEqual(model.peek(size - 16), marks['last'])
        regions = [m[1] for line in lines
                   if (m := re.match(r'# linux: region\d+ at \S+ size (\S+)',
                                     line))]
        self.assertEqual(sorted(int(size, 0) for size in regions),
                         [256 * MIB] * 4 + [2560 * MIB])

    def do_test_bridges(self, core):
        '''
        Which host bridge goes with which decoders: the table in the manual, for
        Linux's CXL core, or for a driver that leaves it out.
        '''
        rows = [(mode, bridge) for mode in ('locked', 'guest')
                for bridge in ('decoders', 'pass-through')]
        options = {'locked': ['--hdm-size', '256M'],
                   'guest': ['--hdm-size', '256M', '--uncommitted',
                             '--memory-without-decoder']}
        self.start_several([('256M', options[mode], bridge == 'decoders')
                            for mode, bridge in rows],
                           f'cxl2.core={int(core)} cxl2.points=8')
        lines = self.lines_to_verdict()
        buses = {f'0000:{17 + 16 * n:02x}:00.0': row
                 for n, row in enumerate(rows)}
        attached = {buses[f['pci']]: f['region'] != 'none'
                    for f in facts_of(lines, 'region=')}
        reached = {row: False for row in attached}
        for line in lines:
            if m := re.match(r'ok \d+ - (\S+): \d+ points', line):
                reached[buses[m[1]]] = True
        wanted = {('locked', 'decoders'): core,
                  ('locked', 'pass-through'): False,
                  ('guest', 'decoders'): False,
                  ('guest', 'pass-through'): False}
        if core:
            # Its driver gives up, and says what the core has said
            del wanted[('locked', 'pass-through')]
            self.assertTrue(any(re.search(r'failed to attach decoder', line)
                                for line in lines))
        self.assertEqual(attached, wanted)
        self.assertEqual(reached, {row: row != ('guest', 'decoders')
                                   for row in wanted})
        # Loaded anew the driver finds what it committed, as one after a kexec
        # does: it has the same range
        again = {}
        deadline = time.monotonic() + self.boot_limit
        while (line := self.read_line(deadline)) is not None:
            if 'CXL2: end' in line:
                break
            if m := re.search(r'again=(\S+) base=(\S+)', line):
                again[buses[m[1]]] = int(m[2], 0)
        for facts in facts_of(lines, 'region='):
            row = buses[facts['pci']]
            if row[0] == 'guest':
                self.assertEqual(again[row], int(facts['base'], 0))

    def do_test_kexec(self):
        '''
        A guest that programs the decoder itself hands over to another kernel:
        no reset comes in between, so that one finds the decoder as it was left,
        and attaches again.
        '''
        disks = []
        for name, path in (('kernel', self.kernel_path),
                           ('initrd', self.initrd_path)):
            copy = self.scratch_file(f'{name}.raw')
            shutil.copyfile(path, copy)
            os.truncate(copy, (os.path.getsize(copy) + 4095) & ~4095)
            disks += ['-drive', f'if=none,id={name},format=raw,file={copy}',
                      '-device', f'virtio-blk-pci,drive={name},bus=pcie.0']
        self.start_several([('256M', ['--hdm-size', '256M', '--uncommitted',
                                      '--memory-without-decoder'], False)],
                           'cxl2.points=1000 cxl2.action=kexec', disks)
        first = self.lines_to_verdict()
        self.assertEqual([l for l in first if l.startswith('not ok')], [])
        resets = self.models[0].state()['resets']
        self.wait_for(r'CXL2: kexec$', 30)
        second = self.lines_to_verdict()
        self.assertEqual([l for l in second if l.startswith('not ok')], [])
        self.assertIn('verdict=pass', second[-1])
        before, after = (facts_of(lines, 'region=')[0]
                         for lines in (first, second))
        self.assertEqual(before, after)
        # What the first kernel wrote was there
        self.assertEqual(facts_of(second, 'initial ')[0]['zero'], '0')
        self.assertEqual(self.models[0].state()['resets'], resets)

    def usage(self, when):
        '''How many MemoryRegions QEMU has, and how many open files.'''
        tree = self.vm.cmd('human-monitor-command',
                           command_line='info qom-tree /')
        regions = tree.count('memory-region)')
        files = len(os.listdir(f'/proc/{self.vm.get_pid()}/fd'))
        self.log.info('%s: %d memory regions, %d files', when, regions, files)
        self.assertGreater(regions, 0)
        return regions, files

    def plug(self, n):
        '''
        Linux notices the device, its drivers attach, and it works as one that
        was there at start, DMA and interrupts included.
        '''
        self.vm.cmd('device_add', **self.device)
        self.wait_for(rf'CXL2: plugged n={n} .* zero=1 region=region\d', 60)
        boot = self.boot()
        self.check_boot(boot)
        self.check_dma(boot, 16 * MIB)
        self.wait_for(r'CXL2: using rounds=\d+ wrong=0$', 30)

    def unplug(self, n):
        '''Asked of Linux, whose programs read and write the memory.'''
        self.vm.cmd('device_del', id=DEVICE_ID)
        m = self.wait_for(rf'CXL2: gone n={n} rounds=(\d+) wrong=0$', 60)
        self.assertGreater(int(m[1]), 1)
        self.assertIsNotNone(
            self.vm.event_wait('DEVICE_DELETED', timeout=30.0,
                               match={'data': {'device': DEVICE_ID}}))
        deadline = time.monotonic() + 10
        while self.model.state()['dma_maps'] and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.model.state()['dma_maps'], 0)
        # The slot is empty, and Linux has yet to look at it: were it filled
        # again by then, Linux could take the button for a second press.
        time.sleep(1)

    def do_test_hotplug_bar(self, bar, reserve):
        '''
        A BAR of so many GiB comes into an empty slot: firmware has made room
        for it, and Linux finds its place.
        '''
        self.start(append='cxl2.action=follow cxl2.devices=0 cxl2.dma=16M '
                   'cxl2.bars=1 pcie_port_pm=off', plugged=False,
                   bar=f'{bar}G', port=f',pref64-reserve={reserve}G')
        self.wait_for(r'CXL2: end', self.boot_limit)
        self.vm.cmd('device_add', **self.device)
        self.wait_for(r'CXL2: plugged n=1 .* zero=1 region=region\d', 60)
        boot = self.boot()
        self.check_boot(boot)
        self.check_dma(boot, 16 * MIB)
        self.assertEqual(boot.number('bars_placed'), bar * 1024 * MIB)
        self.vm.cmd('quit')
        self.vm.wait(timeout=30)
        self.assertEqual(self.vm.exitcode(), 0)

    def do_test_hotplug_no_room(self):
        '''Of 64 MiB, into a port that firmware has made no room behind.'''
        self.start(append='cxl2.action=follow cxl2.devices=0', plugged=False,
                   bar='64M')
        self.wait_for(r'CXL2: end', self.boot_limit)
        with self.assertRaisesRegex(
                ExecuteError, r"BARs need 64M prefetchable and 1M other "
                "memory, expected root port 'rp0' to have that"):
            self.vm.cmd('device_add', **self.device)
        self.vm.cmd('quit')
        self.vm.wait(timeout=30)
        self.assertEqual(self.vm.exitcode(), 0)

    def do_test_hotplug(self):
        '''
        Into an empty slot of a running guest, out while its memory is in use,
        and in again: the guest's drivers attach, and let go when asked.

        Without pcie_port_pm=off Linux on Arm suspends the root port when its
        slot has become empty, and turns off the slot's interrupt: it waits for
        a PME instead, and QEMU's root ports have none.
        '''
        self.start(append='cxl2.action=follow cxl2.devices=0 cxl2.dma=16M '
                   'pcie_port_pm=off', plugged=False)
        self.wait_for(r'CXL2: end', self.boot_limit)
        rounds = int(os.environ.get('CXL_TYPE2_HOTPLUG_ROUNDS', '3'))
        before = self.usage('before')
        counts = []
        for n in range(1, rounds + 1):
            self.plug(n)
            self.usage(f'plugged in {n}')
            self.unplug(n)
            counts.append(self.usage(f'unplugged {n}'))
        self.assertEqual(counts, [before] * rounds)
        # A reset before Linux has noticed: it finds the device at boot
        self.vm.cmd('device_add', **self.device)
        self.vm.cmd('system_reset')
        self.wait_for(r'CXL2: plugged n=1 .* region=region\d',
                      self.boot_limit)
        self.check_boot(self.boot())
        self.wait_for(r'CXL2: using rounds=\d+ wrong=0$', 30)
        self.assertEqual(self.model.state()['opens'], rounds + 1)
        self.vm.cmd('quit')
        self.vm.wait(timeout=30)
        self.assertEqual(self.vm.exitcode(), 0)
