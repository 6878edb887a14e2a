// SPDX-License-Identifier: GPL-2.0-or-later
// How the kernel maps the function's memory: for the processor, in how many faults; and for
// DMA. What a type1 container says when it is asked to map memory for DMA by its address: the
// program's own memory, a BAR of the function, and the function's CXL memory. In TAP. It looks up
// the physical pages behind a VM_PFNMAP mapping, so it maps all three (iommufd would not).
//
//   type1 BDF GROUP
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/vfio.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::size_t Page = 4096;
constexpr std::size_t LargePage = 2 << 20;
constexpr std::uint32_t CxlType = 0x80001e98;
constexpr std::uint32_t CxlMemory = 1;

[[noreturn]] void die(const char *what) {
    std::printf("Bail out! %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

struct Region {
    std::vector<std::byte> info;
    const vfio_region_info &head() const {
        return *reinterpret_cast<const vfio_region_info *>(info.data());
    }
};

Region region(int device, unsigned index) {
    vfio_region_info head = {};
    head.argsz = sizeof(head);
    head.index = index;
    if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &head) != 0) {
        die("VFIO_DEVICE_GET_REGION_INFO");
    }
    Region whole;
    whole.info.resize(head.argsz);
    std::memcpy(whole.info.data(), &head, sizeof(head));
    if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, whole.info.data()) != 0) {
        die("VFIO_DEVICE_GET_REGION_INFO");
    }
    return whole;
}

bool is_cxl_memory(const Region &region) {
    std::uint32_t at = region.head().cap_offset;
    while (at != 0) {
        const auto *cap = reinterpret_cast<const vfio_region_info_cap_type *>(&region.info[at]);
        if (cap->header.id == VFIO_REGION_INFO_CAP_TYPE) {
            return cap->type == CxlType && cap->subtype == CxlMemory;
        }
        at = cap->header.next;
    }
    return false;
}

// At an address that huge pages can have.
void *map(int device, const Region &region, std::size_t size) {
    void *room = mmap(nullptr, size + LargePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        die("mmap");
    }
    const auto aligned =
        (reinterpret_cast<std::uintptr_t>(room) + LargePage - 1) & ~(LargePage - 1);
    void *at = mmap(reinterpret_cast<void *>(aligned), size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_FIXED, device, static_cast<off_t>(region.head().offset));
    if (at == MAP_FAILED) {
        die("mmap");
    }
    return at;
}

long faults() {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

// Touches every page; how many faults did it take?
long touch(void *at, std::size_t size) {
    const long before = faults();
    for (std::size_t i = 0; i < size; i += Page) {
        static_cast<volatile std::byte *>(at)[i];
    }
    return faults() - before;
}

int dma_map(int container, void *at, std::uint64_t iova, std::size_t size) {
    vfio_iommu_type1_dma_map map = {};
    map.argsz = sizeof(map);
    map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    map.vaddr = reinterpret_cast<std::uintptr_t>(at);
    map.iova = iova;
    map.size = size;
    return ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0 ? 0 : errno;
}

bool failed = false;

void say(bool ok, const char *what, int error) {
    std::printf("%s - type1 %s (%s)\n", ok ? "ok" : "not ok", what,
                error != 0 ? std::strerror(error) : "mapped");
    failed = failed || !ok;
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) {
        std::fputs("usage: type1 BDF GROUP\n", stderr);
        return 2;
    }
    const int container = open("/dev/vfio/vfio", O_RDWR);
    const int group = open((std::string("/dev/vfio/") + argv[2]).c_str(), O_RDWR);
    if (container < 0 || group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) != 0 ||
        ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0) {
        die("container");
    }
    const int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[1]);
    vfio_device_info info = {};
    info.argsz = sizeof(info);
    if (device < 0 || ioctl(device, VFIO_DEVICE_GET_INFO, &info) != 0) {
        die("device");
    }

    void *ram =
        mmap(nullptr, LargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::uint64_t iova = 0x100000000;
    int error = dma_map(container, ram, iova, LargePage);
    say(error == 0, "maps the program's memory", error);

    iova += LargePage;
    error = dma_map(container, map(device, region(device, VFIO_PCI_BAR0_REGION_INDEX), Page), iova,
                    Page);
    say(error == 0, "maps the BAR", error);

    iova += LargePage;
    bool found = false;
    for (unsigned i = VFIO_PCI_NUM_REGIONS; i < info.num_regions; ++i) {
        const Region memory = region(device, i);
        if (is_cxl_memory(memory)) {
            found = true;
            void *at = map(device, memory, LargePage);
            const long taken = touch(at, LargePage);
            std::printf("%s - 2 MiB of CXL memory are one page (%ld faults)\n",
                        taken <= 2 ? "ok" : "not ok", taken);
            failed = failed || taken > 2;
            error = dma_map(container, at, iova, LargePage);
        }
    }
    say(found && error == 0, "maps the CXL memory", error);
    return failed ? 1 : 0;
}
