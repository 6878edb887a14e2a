// SPDX-License-Identifier: GPL-2.0-or-later
// The Type-2 device: configuration space, registers, memory, interrupts and DMA mappings put
// together and shown through one generation of the kernel's contract. No sockets.
#pragma once

#include "cxl/component.h"
#include "cxl/dvsec.h"
#include "model/contract/contract.h"
#include "model/device/config.h"
#include "model/device/dma_engine.h"
#include "model/device/dma_map.h"
#include "model/device/interrupts.h"
#include "model/device/memory.h"
#include "pci/config_space.h"
#include "vfio_user/device_ops.h"

#include <cstdint>
#include <memory>

namespace type2::device {

/// Misbehaviour of the device itself, as opposed to what its replies say (model/faults/).
struct Quirks {
    void (*config_space)(pci::ConfigSpace &config) = nullptr; ///< changes what can be written
    bool resets_fail = false;
};

/// How often what happened, since the process started.
struct Counters {
    std::uint64_t device_resets = 0;   ///< VFIO_USER_DEVICE_RESET
    std::uint64_t function_resets = 0; ///< FLR bit in the PCIe capability
    std::uint64_t cxl_resets = 0;      ///< INIT_CXL_RST doorbell
    std::uint64_t cache_writebacks = 0;
    std::uint64_t dirty_resets = 0; ///< of a device whose cache was not written back before
    std::uint64_t opens = 0;
};

class Device : public vfio_user::DeviceOps, private EngineHost {
  public:
    /// config: as validate() returned it. Error: errno of what the memory needs.
    static Result<std::unique_ptr<Device>> create(const Config &config, const Quirks &quirks = {});

    // DeviceOps
    vfio_user::DeviceDescription describe_device() override;
    Result<vfio_user::RegionDescription> describe_region(std::uint32_t index) override;
    Result<vfio_user::IrqDescription> describe_irq(std::uint32_t index) override;
    Result<void> set_irqs(vfio_user::IrqRequest request) override;
    Result<std::size_t> read_region(std::uint32_t index, std::uint64_t offset,
                                    ByteSpan into) override;
    Result<std::size_t> write_region(std::uint32_t index, std::uint64_t offset,
                                     ByteView from) override;
    Result<void> map_dma(const vfio_user::DmaRange &range, UniqueFd fd) override;
    Result<std::uint64_t> unmap_dma(std::uint64_t iova, std::uint64_t size, bool all) override;
    Result<void> reset() override;
    void opened(vfio_user::ClientMemory &client) override;
    void closed() override;

    /// Does a bounded piece of the DMA engine's work. True: call again at once.
    bool work() { return engine_.step(); }

    const Config &config() const { return config_; }
    Memory &memory() { return memory_; }
    Interrupts &interrupts() { return interrupts_; }
    const DmaMap &dma() const { return dma_; }
    const pci::ConfigSpace &config_space() const { return config_space_; }
    const cxl::CacheMemRegisters &cachemem() const { return cachemem_; }
    const RegisterFile &engine_bar() const { return engine_bar_; }
    const contract::Contract &contract() const { return *contract_; }
    const Counters &counters() const { return counters_; }
    /// True after a reset that failed: nothing answers until one succeeds.
    bool gated() const { return gated_; }
    bool is_open() const { return open_; }
    /// Lets the device take its time: while busy it does not answer, and its memory is not active.
    void set_busy(bool busy) { busy_ = busy; }

  private:
    Device(const Config &config, const Quirks &quirks, Memory memory, Memory bar_memory);

    // EngineHost
    Result<void> engine_read_memory(std::uint64_t offset, ByteSpan into) override;
    Result<void> engine_write_memory(std::uint64_t offset, ByteView from) override;
    std::uint64_t engine_memory_size() const override { return memory_.size(); }
    const DmaMap &engine_dma() const override { return dma_; }
    bool engine_may_master() const override;
    void engine_raise(unsigned vector) override;
    vfio_user::ClientMemory *engine_client() override { return client_; }

    void build_config_space();
    void build_engine_bar();
    void program_decoders();
    Result<void> clear_bar_memory();
    Result<void> full_reset();
    /// BARs answer now, or would with memory space on. Error EIO otherwise.
    Result<void> check_access(bool without_space = false) const;
    /// What Memory_Active says (CXL r3.1 section 8.1.3.8.2).
    bool memory_active() const;
    /// Device memory answers now. Error EIO otherwise.
    Result<void> check_memory() const;

    struct Region;
    /// Null: there is nothing at that index.
    static const Region *find_region(std::uint32_t index);
    /// The region, where it takes an access there now. Errors: as DeviceOps has them.
    Result<const Region *> region_for_access(std::uint32_t index, std::uint64_t offset,
                                             std::uint64_t count) const;

    // The regions' accesses, as read_region() and write_region().
    Result<std::size_t> read_component_bar(std::uint64_t offset, ByteSpan into);
    Result<std::size_t> write_component_bar(std::uint64_t offset, ByteView from);
    Result<std::size_t> read_engine_bar(std::uint64_t offset, ByteSpan into);
    Result<std::size_t> write_engine_bar(std::uint64_t offset, ByteView from);
    Result<std::size_t> read_config(std::uint64_t offset, ByteSpan into);
    Result<std::size_t> write_config(std::uint64_t offset, ByteView from);
    Result<std::size_t> read_memory(std::uint64_t offset, ByteSpan into);
    Result<std::size_t> write_memory(std::uint64_t offset, ByteView from);
    Result<std::size_t> read_comp_regs(std::uint64_t offset, ByteSpan into);
    Result<std::size_t> write_comp_regs(std::uint64_t offset, ByteView from);

    Config config_;
    Quirks quirks_;
    Memory memory_;
    Memory bar_memory_; ///< the component BAR; registers are not in it, their page is all ones
    pci::ConfigSpace config_space_;
    cxl::CacheMemRegisters cachemem_;
    RegisterFile engine_bar_{EngineBarSize};
    std::unique_ptr<contract::Contract> contract_;
    Interrupts interrupts_{MsixVectors};
    DmaMap dma_;
    vfio_user::ClientMemory *client_ = nullptr;
    DmaEngine engine_{engine_bar_, *this};
    Counters counters_;
    bool gated_ = false;
    bool busy_ = false;
    std::chrono::steady_clock::time_point active_at_{}; ///< the memory is active from then on
    bool open_ = false;
};

} // namespace type2::device
