/*
 * Threads and SIGBUS
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_THREAD_SIGBUS_H
#define QEMU_THREAD_SIGBUS_H

/*
 * Threads that qemu_thread_create() creates from now on do not block SIGBUS: a
 * handler can mend what they access.  While it is blocked it ends the process.
 */
void qemu_thread_keep_sigbus(void);

#endif /* QEMU_THREAD_SIGBUS_H */
