// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/device.h"

#include "cxl/dvsec.h"
#include "vfio/uapi.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <linux/vfio.h>

namespace type2::device {

namespace {

constexpr std::uint8_t Revision = 1;
constexpr std::uint32_t SerialOffset = 0x190;
constexpr std::uint32_t AerOffset = 0x1a0;
constexpr std::uint64_t SerialBase = 0x0c0ffee000000000;
constexpr std::uint32_t MsixEntrySize = 16;
constexpr std::uint32_t ReadWrite = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

/// Calls part(inside, offset, first, count) for the bytes of [offset, offset + length) before,
/// within and behind [begin, begin + size).
template <typename Part>
Result<void> split(std::uint64_t offset, std::uint64_t length, std::uint64_t begin,
                   std::uint64_t size, Part part) {
    std::uint64_t done = 0;
    while (done < length) {
        const std::uint64_t at = offset + done;
        const bool inside = at >= begin && at < begin + size;
        const std::uint64_t until = inside ? begin + size : at < begin ? begin : UINT64_MAX;
        const std::uint64_t count = std::min(length - done, until - at);
        if (auto result = part(inside, at, done, count); !result) {
            return result;
        }
        done += count;
    }
    return {};
}

/// `count` where it went well.
Result<std::size_t> all_of(std::size_t count, const Result<void> &done) {
    return done ? Result<std::size_t>(count) : tl::unexpected(done.error());
}

} // namespace

Result<std::unique_ptr<Device>> Device::create(const Config &config, const Quirks &quirks) {
    auto memory = Memory::create("cxl-type2-memory", config.hdm_size);
    if (!memory) {
        return tl::unexpected(memory.error());
    }
    auto bar = Memory::create("cxl-type2-bar0", config.bar_size);
    if (!bar) {
        return tl::unexpected(bar.error());
    }
    std::unique_ptr<Device> device(new Device(config, quirks, std::move(*memory), std::move(*bar)));
    if (const auto ready = device->clear_bar_memory(); !ready) {
        return tl::unexpected(ready.error());
    }
    return device;
}

Device::Device(const Config &config, const Quirks &quirks, Memory memory, Memory bar_memory)
    : config_(config), quirks_(quirks), memory_(std::move(memory)),
      bar_memory_(std::move(bar_memory)),
      config_space_({config.vendor_id, config.device_id, ClassCode, Revision}),
      cachemem_(config.decoders, capacity(config)) {
    program_decoders();
    contract::Hardware hardware;
    hardware.registers = &cachemem_;
    hardware.component_bar = ComponentBar;
    hardware.component_offset = ComponentOffset;
    hardware.bar_size = config_.bar_size;
    hardware.page_size = config_.page_size;
    hardware.firmware_committed = !config_.uncommitted;
    hardware.cache_capable = config_.cache;
    contract_ = contract::make(config_.contract, hardware);
    build_config_space();
    build_engine_bar();
}

void Device::build_config_space() {
    config_space_.add_bar64(ComponentBar, config_.bar_size, true);
    config_space_.add_bar64(EngineBar, EngineBarSize, false);
    config_space_.add_power_management();
    config_space_.add_msix({MsixVectors, EngineBar, MsixTableOffset, EngineBar, MsixPbaOffset});
    config_space_.add_express_endpoint();
    config_space_.add_advanced_features();

    cxl::DvsecSetup setup;
    setup.cache_capable = config_.cache;
    setup.committed = !config_.uncommitted;
    setup.memory_size = config_.hdm_size;
    setup.host_base = config_.host_base;
    setup.component_bar = ComponentBar;
    setup.component_offset = ComponentOffset;
    cxl::add_dvsecs(config_space_, setup);
    const std::uint64_t ids = std::uint64_t{config_.vendor_id} << 16 | config_.device_id;
    config_space_.add_serial_number(SerialOffset, SerialBase | ids);
    config_space_.add_aer(AerOffset);
    if (contract_->dvsec_can_be_locked()) {
        cxl::make_lockable(config_space_);
    }
    if (quirks_.config_space != nullptr) {
        quirks_.config_space(config_space_);
    }
}

void Device::build_engine_bar() {
    for (std::uint32_t i = 0; i < MsixVectors; ++i) {
        const std::uint32_t at = MsixTableOffset + i * MsixEntrySize;
        const auto name = [i](const char *what) { return fmt::format("msix{}_{}", i, what); };
        engine_bar_.add({name("address"), at, 4, 0, 0xfffffffc, 0, "PCIe r6.0 7.7.2.5"});
        engine_bar_.add({name("address_high"), at + 4, 4, 0, 0xffffffff, 0, "PCIe r6.0 7.7.2.6"});
        engine_bar_.add({name("data"), at + 8, 4, 0, 0xffffffff, 0, "PCIe r6.0 7.7.2.7"});
        engine_bar_.add({name("control"), at + 12, 4, 1, 1, 0, "PCIe r6.0 7.7.2.8"});
    }
    engine_bar_.add(DmaEngine::rows(MsixVectors, memory_.size()), engine::Offset);
    engine_bar_.add({"msix_pending", MsixPbaOffset, 8, 0, 0, 0, "PCIe r6.0 7.7.2.9"});
}

void Device::program_decoders() {
    for (unsigned i = 0; i < config_.decoders && !config_.uncommitted; ++i) {
        cachemem_.hdm().program(i, config_.host_base + i * config_.decoder_size,
                                config_.decoder_size, true, config_.decoder_skip);
    }
}

Result<void> Device::clear_bar_memory() {
    if (auto cleared = bar_memory_.clear(); !cleared) {
        return cleared;
    }
    // Whoever maps the register page, against the contract, learns nothing.
    const Bytes ones(cxl::CacheMemSize, std::byte{0xff});
    return bar_memory_.write(ComponentOffset + cxl::CacheMemOffset, ones);
}

vfio_user::DeviceDescription Device::describe_device() {
    return {VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI | vfio::uapi::DeviceFlagsCxl,
            contract::RegionCount, Interrupts::IndexCount, contract_->device_caps()};
}

/// What there is of each region; one that is not here has size 0.
struct Device::Region {
    std::uint32_t index;
    std::uint64_t (*size)(const Device &device);
    std::vector<vfio_user::InfoCap> (*caps)(const Device &device); ///< null: none
    const UniqueFd &(*file)(const Device &device);                 ///< null: not mappable
    Result<void> (*gate)(const Device &device); ///< error EIO: it does not answer now; null: always
    bool bounded; ///< accesses lie within its size; else `read` and `write` say what is wrong
    Result<std::size_t> (Device::*read)(std::uint64_t offset, ByteSpan into);
    Result<std::size_t> (Device::*write)(std::uint64_t offset, ByteView from);
};

const Device::Region *Device::find_region(std::uint32_t index) {
    static constexpr std::array Table = {
        Region{VFIO_PCI_BAR0_REGION_INDEX + ComponentBar,
               [](const Device &device) { return device.config_.bar_size; },
               [](const Device &device) {
                   return std::vector{contract::sparse_cap(device.contract_->component_areas())};
               },
               [](const Device &device) -> const UniqueFd & { return device.bar_memory_.fd(); },
               [](const Device &device) { return device.check_access(); }, true,
               &Device::read_component_bar, &Device::write_component_bar},
        Region{VFIO_PCI_BAR0_REGION_INDEX + EngineBar,
               [](const Device & /*device*/) { return std::uint64_t{EngineBarSize}; }, nullptr,
               nullptr, [](const Device &device) { return device.check_access(); }, true,
               &Device::read_engine_bar, &Device::write_engine_bar},
        Region{VFIO_PCI_CONFIG_REGION_INDEX,
               [](const Device & /*device*/) { return std::uint64_t{pci::ConfigSize}; }, nullptr,
               nullptr, nullptr, true, &Device::read_config, &Device::write_config},
        Region{contract::MemoryRegion, [](const Device &device) { return device.memory_.size(); },
               [](const Device & /*device*/) {
                   return std::vector{contract::type_cap(vfio::uapi::SubtypeMemory)};
               },
               [](const Device &device) -> const UniqueFd & { return device.memory_.fd(); },
               [](const Device &device) { return device.check_memory(); }, true,
               &Device::read_memory, &Device::write_memory},
        Region{contract::CompRegsRegion,
               [](const Device &device) { return device.contract_->comp_regs_size(); },
               [](const Device &device) { return device.contract_->comp_regs_caps(); }, nullptr,
               nullptr, false, &Device::read_comp_regs, &Device::write_comp_regs},
    };
    const auto *found = std::find_if(Table.begin(), Table.end(),
                                     [&](const Region &region) { return region.index == index; });
    return found == Table.end() ? nullptr : found;
}

Result<vfio_user::RegionDescription> Device::describe_region(std::uint32_t index) {
    if (index >= contract::RegionCount) {
        return fail(EINVAL, fmt::format("region {} is not below {}", index, contract::RegionCount));
    }
    vfio_user::RegionDescription description;
    const auto *region = find_region(index);
    if (region == nullptr) {
        return description;
    }
    description.size = region->size(*this);
    description.flags = ReadWrite;
    if (region->caps != nullptr) {
        description.caps = region->caps(*this);
    }
    if (region->file != nullptr) {
        description.flags |= VFIO_REGION_INFO_FLAG_MMAP;
        auto copy = region->file(*this).duplicate();
        if (!copy) {
            return tl::unexpected(copy.error());
        }
        description.fd = std::move(*copy);
    }
    return description;
}

Result<vfio_user::IrqDescription> Device::describe_irq(std::uint32_t index) {
    return interrupts_.describe(index);
}

Result<void> Device::set_irqs(vfio_user::IrqRequest request) {
    return interrupts_.set(std::move(request));
}

Result<void> Device::check_access(bool without_space) const {
    if (gated_) {
        return fail(EIO, "the last reset failed");
    }
    if (busy_) {
        return fail(EIO, "not ready yet");
    }
    if (!without_space && !config_space_.memory_enabled()) {
        return fail(EIO, "memory space is off or the device is not in D0");
    }
    return {};
}

Result<void> Device::check_memory() const {
    // Memory space is a matter of BARs to the kernel's newest generation: D0 is not.
    const bool awake = !config_.memory_follows_space && config_space_.power_state() == 0;
    if (auto refused = check_access(awake); !refused) {
        return refused;
    }
    if (!memory_active()) {
        return fail(EIO, "the memory is not active yet");
    }
    if (config_.memory_without_decoder) {
        return {};
    }
    if (config_.uncommitted) {
        return fail(EIO, "no decoder is committed");
    }
    // A decoder that firmware committed decodes nothing without it.
    if (!cxl::memory_enabled(config_space_)) {
        return fail(EIO, "Mem_Enable of the CXL Device DVSEC is not set");
    }
    return {};
}

bool Device::memory_active() const {
    return !busy_ && std::chrono::steady_clock::now() >= active_at_;
}

Result<const Device::Region *> Device::region_for_access(std::uint32_t index, std::uint64_t offset,
                                                         std::uint64_t count) const {
    const auto *region = find_region(index);
    const auto size = region != nullptr ? region->size(*this) : 0;
    if ((region == nullptr || region->bounded) && !fits(offset, count, size)) {
        return fail(EINVAL, fmt::format("[{:#x}, +{:#x}) is not within region {} of {:#x} bytes",
                                        offset, count, index, size));
    }
    if (region == nullptr) {
        return fail(EINVAL, fmt::format("there is no region {}", index));
    }
    if (region->gate != nullptr) {
        if (const auto open = region->gate(*this); !open) {
            return tl::unexpected(open.error());
        }
    }
    return region;
}

Result<std::size_t> Device::read_region(std::uint32_t index, std::uint64_t offset, ByteSpan into) {
    const auto region = region_for_access(index, offset, into.size());
    return region ? (this->*(*region)->read)(offset, into) : tl::unexpected(region.error());
}

Result<std::size_t> Device::write_region(std::uint32_t index, std::uint64_t offset, ByteView from) {
    const auto region = region_for_access(index, offset, from.size());
    return region ? (this->*(*region)->write)(offset, from) : tl::unexpected(region.error());
}

Result<std::size_t> Device::read_comp_regs(std::uint64_t offset, ByteSpan into) {
    // The shadow is the kernel's own and answers at any time; so do writes, which are absorbed.
    if (contract_->comp_regs_are_live()) {
        if (const auto open = check_access(); !open) {
            return tl::unexpected(open.error());
        }
    }
    return contract_->read_comp_regs(offset, into);
}

Result<std::size_t> Device::write_comp_regs(std::uint64_t offset, ByteView from) {
    return contract_->write_comp_regs(offset, from);
}

Result<std::size_t> Device::read_memory(std::uint64_t offset, ByteSpan into) {
    return all_of(into.size(), memory_.read(offset, into));
}

Result<std::size_t> Device::write_memory(std::uint64_t offset, ByteView from) {
    return all_of(from.size(), memory_.write(offset, from));
}

Result<std::size_t> Device::read_component_bar(std::uint64_t offset, ByteSpan into) {
    const std::uint64_t begin = ComponentOffset + cxl::CacheMemOffset;
    return all_of(into.size(), split(offset, into.size(), begin, cxl::CacheMemSize,
                                     [&](bool inside, std::uint64_t at, std::uint64_t first,
                                         std::uint64_t count) -> Result<void> {
                                         const ByteSpan part = into.subspan(first, count);
                                         if (!inside) {
                                             return bar_memory_.read(at, part);
                                         }
                                         contract_->read_cachemem(at - begin, part);
                                         return {};
                                     }));
}

Result<std::size_t> Device::write_component_bar(std::uint64_t offset, ByteView from) {
    const std::uint64_t begin = ComponentOffset + cxl::CacheMemOffset;
    return all_of(from.size(), split(offset, from.size(), begin, cxl::CacheMemSize,
                                     [&](bool inside, std::uint64_t at, std::uint64_t first,
                                         std::uint64_t count) -> Result<void> {
                                         const ByteView part = from.subspan(first, count);
                                         if (!inside) {
                                             return bar_memory_.write(at, part);
                                         }
                                         contract_->write_cachemem(at - begin, part);
                                         return {};
                                     }));
}

Result<std::size_t> Device::read_engine_bar(std::uint64_t offset, ByteSpan into) {
    engine_bar_.set(MsixPbaOffset, interrupts_.pending());
    engine_bar_.read(offset, into);
    return into.size();
}

Result<std::size_t> Device::write_engine_bar(std::uint64_t offset, ByteView from) {
    engine_bar_.write(offset, from);
    if (overlaps(offset, from.size(), engine::Offset, engine::reg::End)) {
        engine_.written();
    }
    return from.size();
}

Result<std::size_t> Device::read_config(std::uint64_t offset, ByteSpan into) {
    cxl::set_memory_active(config_space_, memory_active());
    config_space_.read(offset, into);
    return into.size();
}

Result<std::size_t> Device::write_config(std::uint64_t offset, ByteView from) {
    const auto before = cxl::begin_write(config_space_);
    config_space_.write(offset, from);
    cxl::enforce_lock(config_space_, before);
    if (config_space_.take_function_reset()) {
        ++counters_.function_resets;
        // A failure shows as access that stays gated; a config write has no other answer.
        (void)full_reset();
    }
    const auto doorbells = cxl::take_doorbells(config_space_);
    if (doorbells.cache_writeback) {
        ++counters_.cache_writebacks;
        if (!busy_) {
            cxl::set_status2(config_space_, cxl::dvsec::CacheInvalid, cxl::dvsec::CacheInvalid);
        }
    }
    if (doorbells.cxl_reset) {
        ++counters_.cxl_resets;
        const bool done = full_reset().has_value();
        cxl::set_status2(config_space_, cxl::dvsec::ResetDone | cxl::dvsec::ResetError,
                         done ? cxl::dvsec::ResetDone : cxl::dvsec::ResetError);
    }
    return from.size();
}

Result<void> Device::map_dma(const vfio_user::DmaRange &range, UniqueFd fd) {
    return dma_.map(range, std::move(fd));
}

Result<std::uint64_t> Device::unmap_dma(std::uint64_t iova, std::uint64_t size, bool all) {
    if (all) {
        return dma_.clear();
    }
    return dma_.unmap(iova, size);
}

Result<void> Device::reset() {
    ++counters_.device_resets;
    return full_reset();
}

Result<void> Device::full_reset() {
    gated_ = true;
    if (config_.cache && !cxl::cache_is_invalid(config_space_)) {
        // What it had cached of the host's memory is gone.
        ++counters_.dirty_resets;
    }
    cxl::set_status2(config_space_, cxl::dvsec::CacheInvalid, 0);
    if (quirks_.resets_fail) {
        return fail(EIO, "the device does not come out of its reset");
    }
    if (auto cleared = memory_.clear(); !cleared) {
        return cleared;
    }
    if (auto cleared = clear_bar_memory(); !cleared) {
        return cleared;
    }
    cachemem_.reset();
    program_decoders();
    engine_.stop();
    engine_bar_.reset();
    interrupts_.reset();
    // Configuration space is saved and restored around a reset by the kernel; D0 comes with it.
    config_space_.set_power_state(0);
    contract_->restored();
    active_at_ = std::chrono::steady_clock::now() + config_.active_after;
    gated_ = false;
    return {};
}

Result<void> Device::engine_read_memory(std::uint64_t offset, ByteSpan into) {
    return memory_.read(offset, into);
}

Result<void> Device::engine_write_memory(std::uint64_t offset, ByteView from) {
    return memory_.write(offset, from);
}

bool Device::engine_may_master() const {
    return config_space_.bus_master() && !gated_;
}

void Device::engine_raise(unsigned vector) {
    if (vector < interrupts_.vectors()) {
        (void)interrupts_.raise(vector);
    }
}

void Device::opened(vfio_user::ClientMemory &client) {
    client_ = &client;
    ++counters_.opens;
    open_ = true;
    config_space_.reset();
    // The kernel enables the function when it is opened, and memory space with it.
    config_space_.set_memory_enabled(true);
    contract_->restored();
}

void Device::closed() {
    open_ = false;
    engine_.stop(); // which takes back what it has asked the client
    client_ = nullptr;
    engine_bar_.reset();
    dma_.clear();
    interrupts_.release();
}

} // namespace type2::device
