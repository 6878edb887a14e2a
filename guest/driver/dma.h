/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TYPE2_DMA_H
#define TYPE2_DMA_H

#include <linux/pci.h>

struct type2_dma;

/* NULL: the device has no engine. All of it is undone with the device. */
struct type2_dma *type2_dma_init(struct pci_dev *pdev);

/* One caller at a time. */
long type2_dma_ioctl(struct type2_dma *dma, unsigned int cmd, void __user *arg);

#endif
