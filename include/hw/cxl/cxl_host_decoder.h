/*
 * HDM decoders of a CXL host bridge that firmware committed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef CXL_HOST_DECODER_H
#define CXL_HOST_DECODER_H

#include "qemu/notify.h"

/*
 * One decoder as firmware leaves it: committed, locked and with a single
 * target.  It outlives resets, as firmware would program it again after each.
 */
typedef struct CXLHostFirmwareDecoder {
    uint64_t base;      /* guest physical address */
    uint64_t size;      /* in bytes, 0: the decoder is the guest's */
    uint8_t target;     /* port number of the root port */
    uint32_t ctrl;      /* granularity, target type and BI of the control */
} CXLHostFirmwareDecoder;

typedef struct CXLHost CXLHost;

/*
 * May firmware have decoder @n of @host?  Not where the guest has committed it.
 * @n is less than CXL_HDM_DECODER_COUNT here and below.
 */
bool cxl_host_decoder_is_free(const CXLHost *host, unsigned n);

/*
 * Commit and lock decoder @n of @host as @decoder says, now and after every
 * reset to come, whatever the guest has made of it.  Base and size have to be
 * multiples of 256 MiB.
 * CXL r3.1 Section 8.2.4.20
 */
void cxl_host_firmware_commit(CXLHost *host, unsigned n,
                              const CXLHostFirmwareDecoder *decoder);

/* Give decoder @n back to the guest, empty; nothing if it is the guest's */
void cxl_host_firmware_release(CXLHost *host, unsigned n);

/* To be called once a reset has initialised the bridge's registers */
void cxl_host_firmware_restore(CXLHost *host);

/*
 * Does @host lead each access to [@base, @base + @size) to the root port with
 * number @target?  So it does where one committed decoder covers all of it and
 * has this port as its only target.  Not to be asked of a bridge that passes
 * everything through.
 * CXL r3.1 Section 8.2.4.20
 */
bool cxl_host_decodes(const CXLHost *host, uint64_t base, uint64_t size,
                      uint8_t target);

/*
 * @notifier is called when what cxl_host_decodes() answers may have changed,
 * until notifier_remove().
 */
void cxl_host_add_decode_notifier(CXLHost *host, Notifier *notifier);

#endif /* CXL_HOST_DECODER_H */
