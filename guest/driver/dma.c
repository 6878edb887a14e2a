// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device's DMA engine: a ring of descriptors in RAM, worked on in order, and
 * MSI-X. Each copy of the caller's ends with one interrupt, on each vector in
 * turn, and the next copy waits for it: so interrupts can be counted, which
 * would melt into one another otherwise.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "cxl_type2_dma.h"
#include "dma.h"

/* BAR 2: the engine's registers */
#define DMA_BAR			2
#define DMA_OFFSET		0x1000
#define DMA_LENGTH		0x48
#define DMA_ID			0x00
#define   DMA_ID_VALUE		0x32435844
#define DMA_CONTROL		0x0c
#define   DMA_CONTROL_ENABLE	BIT(0)
#define   DMA_CONTROL_RESET	BIT(1)
#define DMA_STATUS		0x10
#define   DMA_STATUS_HALTED	BIT(1)
#define DMA_ERROR		0x14
#define DMA_RING_BASE		0x18
#define DMA_RING_SIZE		0x20
#define DMA_TAIL		0x24
#define DMA_ERROR_VECTOR	0x2c
#define DMA_MEMORY_SIZE		0x40

#define DMA_TO_DEVICE_OP	1
#define DMA_FROM_DEVICE_OP	2
#define DMA_FLAG_INTERRUPT	BIT(0)
#define DMA_FLAG_VECTOR(n)	((n) << 8)

#define RING_SIZE		1024
/* Emulated CPUs and an emulated device, on a machine with other things to do */
#define TIMEOUT			(60 * HZ)
/* No RAM and no BAR is there, and every IOMMU's input range reaches so far */
#define FAULT_READ_IOVA		(1ULL << 38)
/* Another one, so that the two are told apart in an IOMMU's report */
#define FAULT_WRITE_IOVA	(FAULT_READ_IOVA + SZ_1M)

struct dma_descriptor {
	__le32 opcode, flags;
	__le64 source, destination, length;
	__le64 unused[2];
	__le64 bytes;
	__le32 status, reserved;
};
static_assert(sizeof(struct dma_descriptor) == 64);

struct type2_dma {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct dma_descriptor *ring;
	dma_addr_t ring_iova;
	u32 tail;
	int vectors, next_vector;
	struct completion done;
	u64 expected[TYPE2_DMA_VECTORS];
	atomic64_t counted[TYPE2_DMA_VECTORS];
};

static irqreturn_t type2_dma_interrupt(int irq, void *data)
{
	struct type2_dma *dma = data;

	for (int n = 0; n < dma->vectors; n++)
		if (pci_irq_vector(dma->pdev, n) == irq)
			atomic64_inc(&dma->counted[n]);
	complete(&dma->done);
	return IRQ_HANDLED;
}

static void type2_dma_free_vectors(void *pdev)
{
	pci_free_irq_vectors(pdev);
}

static void type2_dma_stop(void *data)
{
	struct type2_dma *dma = data;

	writel(DMA_CONTROL_RESET, dma->regs + DMA_CONTROL);
}

static void type2_dma_start(struct type2_dma *dma)
{
	writel(DMA_CONTROL_RESET, dma->regs + DMA_CONTROL);
	writeq(dma->ring_iova, dma->regs + DMA_RING_BASE);
	writel(RING_SIZE, dma->regs + DMA_RING_SIZE);
	writel(0, dma->regs + DMA_ERROR_VECTOR);
	writel(DMA_CONTROL_ENABLE, dma->regs + DMA_CONTROL);
	dma->tail = 0;
}

/* Appends a descriptor; the engine learns of it by type2_dma_run(). */
static struct dma_descriptor *type2_dma_add(struct type2_dma *dma, bool to_device, u64 iova,
					    u64 offset, u64 length)
{
	struct dma_descriptor *d = &dma->ring[dma->tail];

	dma->tail = (dma->tail + 1) % RING_SIZE;
	*d = (struct dma_descriptor) {
		.opcode = cpu_to_le32(to_device ? DMA_TO_DEVICE_OP : DMA_FROM_DEVICE_OP),
		.source = cpu_to_le64(to_device ? iova : offset),
		.destination = cpu_to_le64(to_device ? offset : iova),
		.length = cpu_to_le64(length),
	};
	return d;
}

/* Has the engine work up to @last, and waits for the interrupt that says so. */
static int type2_dma_run(struct type2_dma *dma, struct dma_descriptor *last)
{
	int vector = dma->next_vector;
	u32 error;

	dma->next_vector = (vector + 1) % dma->vectors;
	dma->expected[vector]++;
	last->flags = cpu_to_le32(DMA_FLAG_INTERRUPT | DMA_FLAG_VECTOR(vector));
	reinit_completion(&dma->done);
	/* The descriptors are in memory before the engine is told of them. */
	dma_wmb();
	writel(dma->tail, dma->regs + DMA_TAIL);

	if (!wait_for_completion_timeout(&dma->done, TIMEOUT)) {
		dev_err(&dma->pdev->dev, "no interrupt on vector %d: engine status 0x%x error %u, descriptor status %u\n",
			vector, readl(dma->regs + DMA_STATUS), readl(dma->regs + DMA_ERROR),
			le32_to_cpu(READ_ONCE(last->status)));
		type2_dma_start(dma);
		return -ETIMEDOUT;
	}
	if (readl(dma->regs + DMA_STATUS) & DMA_STATUS_HALTED) {
		error = readl(dma->regs + DMA_ERROR);
		dev_err(&dma->pdev->dev, "the DMA engine halted, error %u\n", error);
		type2_dma_start(dma);
		return -EIO;
	}
	/* What it wrote is read after its interrupt. */
	dma_rmb();
	return 0;
}

static int type2_dma_move(struct type2_dma *dma, struct type2_dma_copy *copy, struct sg_table *sgt)
{
	u32 first = dma->tail;
	struct dma_descriptor *last = NULL;
	struct scatterlist *sg;
	u64 offset = copy->offset;
	int rc, i;

	if (sgt->nents >= RING_SIZE)
		return -E2BIG;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		last = type2_dma_add(dma, copy->to_device, sg_dma_address(sg), offset,
				     sg_dma_len(sg));
		offset += sg_dma_len(sg);
	}
	copy->descriptors = sgt->nents;
	rc = type2_dma_run(dma, last);
	if (rc)
		return rc;
	for (i = 0; i < sgt->nents; i++) {
		struct dma_descriptor *d = &dma->ring[(first + i) % RING_SIZE];
		u32 status = le32_to_cpu(READ_ONCE(d->status));

		if (status == TYPE2_DMA_DONE && d->bytes == d->length)
			continue;
		dev_err(&dma->pdev->dev, "DMA of %llu bytes from 0x%llx to 0x%llx: status %u after %llu bytes\n",
			le64_to_cpu(d->length), le64_to_cpu(d->source),
			le64_to_cpu(d->destination), status, le64_to_cpu(d->bytes));
		return -EIO;
	}
	return 0;
}

static int type2_dma_map_and_move(struct type2_dma *dma, struct type2_dma_copy *copy,
				  struct page **pages, int count)
{
	enum dma_data_direction dir = copy->to_device ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	struct sg_table sgt;
	int rc;

	rc = sg_alloc_table_from_pages(&sgt, pages, count, offset_in_page(copy->address),
				       copy->length, GFP_KERNEL);
	if (rc)
		return rc;
	rc = dma_map_sgtable(&dma->pdev->dev, &sgt, dir, 0);
	if (!rc) {
		rc = type2_dma_move(dma, copy, &sgt);
		dma_unmap_sgtable(&dma->pdev->dev, &sgt, dir, 0);
	}
	sg_free_table(&sgt);
	return rc;
}

static int type2_dma_copy(struct type2_dma *dma, struct type2_dma_copy *copy)
{
	unsigned int flags = copy->to_device ? 0 : FOLL_WRITE;
	struct page **pages;
	int count, pinned, rc;

	if (!copy->length || copy->length > TYPE2_DMA_MAX_COPY)
		return -EINVAL;
	count = DIV_ROUND_UP(offset_in_page(copy->address) + copy->length, PAGE_SIZE);
	pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	pinned = pin_user_pages_fast(copy->address & PAGE_MASK, count, flags, pages);
	rc = pinned < 0 ? pinned : pinned < count ? -EFAULT :
	     type2_dma_map_and_move(dma, copy, pages, count);
	if (pinned > 0)
		unpin_user_pages_dirty_lock(pages, pinned, !copy->to_device);
	kvfree(pages);
	return rc;
}

static bool type2_dma_translated(struct type2_dma *dma)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&dma->pdev->dev);

	return domain && (domain->type & __IOMMU_DOMAIN_PAGING);
}

static int type2_dma_unmapped(struct type2_dma *dma, struct type2_dma_fault *fault)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&dma->pdev->dev);

	fault->iova = fault->to_device ? FAULT_READ_IOVA : FAULT_WRITE_IOVA;
	return type2_dma_translated(dma) && iommu_iova_to_phys(domain, fault->iova) ? -EBUSY : 0;
}

static int type2_dma_fault(struct type2_dma *dma, struct type2_dma_fault *fault)
{
	struct device *dev = &dma->pdev->dev;
	struct dma_descriptor *d;
	int rc = 0;

	if (fault->physical) {
		fault->iova = dma_map_resource(dev, fault->physical, PAGE_SIZE,
					       DMA_BIDIRECTIONAL, 0);
		if (dma_mapping_error(dev, fault->iova))
			return -EIO;
	} else {
		rc = type2_dma_unmapped(dma, fault);
		if (rc)
			return rc;
	}
	/* Not longer: QEMU faults once for every 4 bytes, and Linux tells of ten. */
	d = type2_dma_add(dma, fault->to_device, fault->iova, 0, 8);
	rc = type2_dma_run(dma, d);
	fault->status = le32_to_cpu(READ_ONCE(d->status));
	fault->bytes = le64_to_cpu(d->bytes);
	if (fault->physical)
		dma_unmap_resource(dev, fault->iova, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	return rc;
}

static void type2_dma_info(struct type2_dma *dma, struct type2_dma_info *info)
{
	*info = (struct type2_dma_info) {
		.memory_size = readq(dma->regs + DMA_MEMORY_SIZE),
		.vectors = dma->vectors,
		.translated = type2_dma_translated(dma),
	};
	for (int n = 0; n < TYPE2_DMA_VECTORS; n++) {
		info->expected[n] = dma->expected[n];
		info->counted[n] = atomic64_read(&dma->counted[n]);
	}
}

long type2_dma_ioctl(struct type2_dma *dma, unsigned int cmd, void __user *arg)
{
	union {
		struct type2_dma_copy copy;
		struct type2_dma_info info;
		struct type2_dma_fault fault;
	} u = { };
	int rc = 0;

	if (cmd != TYPE2_DMA_COPY && cmd != TYPE2_DMA_INFO && cmd != TYPE2_DMA_FAULT)
		return -ENOTTY;
	if ((_IOC_DIR(cmd) & _IOC_WRITE) && copy_from_user(&u, arg, _IOC_SIZE(cmd)))
		return -EFAULT;
	switch (cmd) {
	case TYPE2_DMA_COPY:
		rc = type2_dma_copy(dma, &u.copy);
		break;
	case TYPE2_DMA_INFO:
		type2_dma_info(dma, &u.info);
		break;
	case TYPE2_DMA_FAULT:
		rc = type2_dma_fault(dma, &u.fault);
		break;
	}
	if (!rc && copy_to_user(arg, &u, _IOC_SIZE(cmd)))
		rc = -EFAULT;
	return rc;
}

static int type2_dma_setup(struct type2_dma *dma)
{
	struct device *dev = &dma->pdev->dev;
	int rc;

	rc = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (rc)
		return rc;
	dma_set_max_seg_size(dev, 1U << 30);
	dma->ring = dmam_alloc_coherent(dev, RING_SIZE * sizeof(*dma->ring), &dma->ring_iova,
					GFP_KERNEL);
	if (!dma->ring)
		return -ENOMEM;
	dma->vectors = pci_alloc_irq_vectors(dma->pdev, 1, TYPE2_DMA_VECTORS, PCI_IRQ_MSIX);
	if (dma->vectors < 0)
		return dma->vectors;
	rc = devm_add_action_or_reset(dev, type2_dma_free_vectors, dma->pdev);
	for (int n = 0; !rc && n < dma->vectors; n++)
		rc = devm_request_irq(dev, pci_irq_vector(dma->pdev, n), type2_dma_interrupt, 0,
				      "cxl_type2_dma", dma);
	if (rc)
		return rc;
	type2_dma_start(dma);
	return devm_add_action_or_reset(dev, type2_dma_stop, dma);
}

struct type2_dma *type2_dma_init(struct pci_dev *pdev)
{
	struct device *dev = &pdev->dev;
	struct type2_dma *dma;
	int rc;

	if (!(pci_resource_flags(pdev, DMA_BAR) & IORESOURCE_MEM) ||
	    pci_resource_len(pdev, DMA_BAR) < DMA_OFFSET + DMA_LENGTH)
		return NULL;
	dma = devm_kzalloc(dev, sizeof(*dma), GFP_KERNEL);
	if (!dma)
		return ERR_PTR(-ENOMEM);
	dma->pdev = pdev;
	init_completion(&dma->done);
	dma->regs = devm_ioremap(dev, pci_resource_start(pdev, DMA_BAR) + DMA_OFFSET, DMA_LENGTH);
	if (!dma->regs)
		return ERR_PTR(-ENOMEM);
	if (readl(dma->regs + DMA_ID) != DMA_ID_VALUE)
		return NULL;
	rc = type2_dma_setup(dma);
	return rc ? ERR_PTR(rc) : dma;
}
