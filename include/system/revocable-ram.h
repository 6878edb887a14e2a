/*
 * Memory of a device that can be taken away while QEMU has it mapped
 *
 * The owner of such memory, a kernel driver or another process, may close it at
 * any time: a host's administrator resets the device, or it falls off the bus.
 * An access through the mapping is then a SIGBUS of the thread that makes it,
 * and KVM cannot run a vCPU that makes it: KVM_RUN fails with EFAULT.  Neither
 * may cost more than the device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SYSTEM_REVOCABLE_RAM_H
#define SYSTEM_REVOCABLE_RAM_H

typedef struct RevocableRam RevocableRam;

/* A mapping: @size bytes at @host are [@offset, @offset + @size) of @fd */
typedef struct RevocableRamMap {
    void *host;
    size_t size;
    int prot;                   /* PROT_* */
    int fd;
    off_t offset;
} RevocableRamMap;

/* All of these are called with the BQL held */
typedef struct RevocableRamOps {
    /*
     * These are registers: a read may have an effect, and what is not there
     * reads as all-ones.  Other memory reads as zero then.
     */
    bool registers;

    /*
     * Can the memory be accessed at present?  Asks its owner, by a read where
     * there is no other way; does not touch the mapping.
     */
    bool (*reachable)(void *opaque);

    /*
     * The memory cannot be reached although the guest was given it: take it
     * from the guest.  Called from the main loop or from a vCPU.
     */
    void (*lost)(void *opaque);

    /*
     * Lost memory can be reached again: revocable_ram_give() will succeed.
     * Called from the main loop.
     */
    void (*regained)(void *opaque);
} RevocableRamOps;

/*
 * Watch @count mappings @maps, which are copied.  The caller is the thread that
 * runs the main loop; it does not block SIGBUS any more afterwards.  NULL with
 * @errp set where file descriptors run out.
 */
RevocableRam *revocable_ram_new(const RevocableRamMap *maps, unsigned count,
                                const RevocableRamOps *ops, void *opaque,
                                Error **errp);

/* Once nobody can access the mappings; these remain.  NULL is ignored. */
void revocable_ram_free(RevocableRam *ram);

/*
 * Call before the guest is given the memory: puts the device's memory back
 * where something else stands in for it.  False where it is lost: it must not
 * be given to the guest; @regained tells when it can.
 */
bool revocable_ram_give(RevocableRam *ram);

/*
 * Call after the memory was taken from the guest.  Accesses by who is late get
 * what stands in for the memory, and nobody is told.
 */
void revocable_ram_take(RevocableRam *ram);

/*
 * Of memory that is lost, and no registers: call from @lost if the guest is to
 * keep the mapping.  Other memory then stands in for all of it, which takes
 * accesses of any kind: KVM cannot emulate each instruction that traps.  What
 * the guest writes there may be read at other addresses as well, and goes when
 * the memory comes back.  False where the host has no memory for that: take
 * the mapping from the guest.
 */
bool revocable_ram_stand_in(RevocableRam *ram);

/* Has the memory been lost, and not been regained since? */
bool revocable_ram_is_lost(const RevocableRam *ram);

/*
 * For the handler of SIGBUS: if @addr is in a watched mapping, something else
 * stands in for the memory when this returns true, and the access can be made
 * again.  Async-signal-safe.
 */
bool revocable_ram_on_sigbus(void *addr);

/*
 * For the handler of SIGBUS: a hardware error (BUS_MCEERR_AO) has interrupted
 * a thread that does not block SIGBUS because of revocable memory.  Sends it
 * to the thread again and has it blocked when the handler returns, so that the
 * signalfd of the main loop reads it.  @context: the handler's third argument.
 * False where the signal is another.  Async-signal-safe.
 */
bool revocable_ram_defer_sigbus(siginfo_t *siginfo, void *context);

/* The main thread: do not block SIGBUS while there is memory to watch */
void revocable_ram_unblock_sigbus(void);

/*
 * For an accelerator that could not run a vCPU because memory could not be
 * accessed.  Called by the vCPU's thread, without the BQL.  True: run it again;
 * memory that cannot be reached has been taken from the guest, or may be back.
 * False: no such memory is to blame.
 *
 * @attempts: 0 before the first call and after the vCPU has run
 */
bool revocable_ram_on_fault(unsigned *attempts);

#endif /* SYSTEM_REVOCABLE_RAM_H */
