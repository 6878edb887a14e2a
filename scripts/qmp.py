# SPDX-License-Identifier: GPL-2.0-or-later
'''QMP for the scripts: a QEMU that was started with -qmp unix:PATH,server=on.'''

import json
import socket
import time


class QmpError(Exception):
    '''What QEMU answered instead, or that it did not answer.'''


class Qmp:
    '''A connection; with `process`, gives up when that has ended.'''

    def __init__(self, path, process=None, timeout=60):
        self._socket = socket.socket(socket.AF_UNIX)
        self.events = []
        deadline = time.monotonic() + timeout
        while True:
            if process and process.poll() is not None:
                raise QmpError(f'QEMU ended: {process.returncode}')
            try:
                self._socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise QmpError(f'no QMP after {timeout} s') from None
                time.sleep(0.001)
        self._socket.settimeout(timeout)
        # pylint: disable=consider-using-with
        self._file = self._socket.makefile('rw', encoding='utf-8')
        self._receive()
        self.ask('qmp_capabilities')

    def close(self):
        self._file.close()
        self._socket.close()

    def _receive(self):
        try:
            line = self._file.readline()
        except OSError as e:
            raise QmpError(f'QMP: {e}') from e
        if not line:
            raise QmpError('QEMU closed QMP')
        return json.loads(line)

    def ask(self, command, **arguments):
        '''The answer to a command; events are kept.'''
        self._file.write(json.dumps({'execute': command,
                                     'arguments': arguments}) + '\n')
        self._file.flush()
        while True:
            reply = self._receive()
            if 'error' in reply:
                raise QmpError(f"{command}: {reply['error']['desc']}")
            if 'return' in reply:
                return reply['return']
            self.events.append(reply)

    def hmp(self, line):
        return self.ask('human-monitor-command', **{'command-line': line})

    def wait_event(self, name, seconds):
        '''An event that has come or comes within that time; None if not.'''
        deadline = time.monotonic() + seconds
        while True:
            for event in self.events:
                if event['event'] == name:
                    self.events.remove(event)
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            # A read that timed out spoils the file: look first
            self._socket.settimeout(left)
            try:
                if not self._socket.recv(1, socket.MSG_PEEK):
                    return None
            except TimeoutError:
                return None
            finally:
                self._socket.settimeout(60)
            self.events.append(self._receive())
