// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/contract/contract.h"
#include "vfio/uapi.h"

#include <cerrno>
#include <fmt/format.h>

namespace type2::contract {

namespace uapi = vfio::uapi;

namespace {

class Shadow final : public Contract {
  public:
    explicit Shadow(const Hardware &hardware)
        : hardware_(hardware), snapshot_(hardware.registers->registers()),
          hdm_(hardware.registers->hdm()) {
        restored();
    }

    const char *name() const override { return "shadow"; }

    std::vector<vfio_user::InfoCap> device_caps() const override {
        uapi::CapDeviceCxl body = {};
        body.hdm_regs_bar_index = static_cast<std::uint8_t>(hardware_.component_bar);
        body.flags = (hardware_.firmware_committed ? uapi::FlagFirmwareCommitted : 0) |
                     (hardware_.cache_capable ? uapi::FlagCacheCapable : 0);
        body.hdm_regs_offset = hardware_.cm_offset();
        body.dpa_region_index = MemoryRegion;
        body.comp_regs_region_index = CompRegsRegion;
        vfio_user::InfoCap cap = {uapi::CapDeviceCxlId, uapi::CapDeviceCxlVersion, {}};
        append(cap.body, body);
        return {cap};
    }

    std::vector<vfio_user::InfoCap> comp_regs_caps() const override {
        return {type_cap(uapi::SubtypeCompRegs)};
    }

    std::uint64_t comp_regs_size() const override { return hardware_.registers->end(); }

    std::vector<Area> component_areas() const override {
        return areas_around(hardware_.bar_size, hardware_.component_offset, cxl::ComponentBlockSize,
                            hardware_.page_size);
    }

    bool comp_regs_are_live() const override { return false; }
    bool dvsec_can_be_locked() const override { return true; }

    Result<std::size_t> read_comp_regs(std::uint64_t offset, ByteSpan into) const override {
        if (auto refused = check(offset, into.size()); !refused) {
            return tl::unexpected(refused.error());
        }
        if (offset >= cxl::HdmOffset) {
            hdm_.read(offset - cxl::HdmOffset, into);
        } else {
            snapshot_.read(offset, into);
        }
        return into.size();
    }

    Result<std::size_t> write_comp_regs(std::uint64_t offset, ByteView from) override {
        if (auto refused = check(offset, from.size()); !refused) {
            return tl::unexpected(refused.error());
        }
        if (offset >= cxl::HdmOffset) {
            write_shadow(static_cast<std::uint32_t>(offset - cxl::HdmOffset),
                         load<std::uint32_t>(from));
        }
        return from.size();
    }

    // The BAR's fd reaches hardware; only mmap is kept away from the block.
    void read_cachemem(std::uint64_t offset, ByteSpan into) const override {
        hardware_.registers->read(offset, into);
    }
    void write_cachemem(std::uint64_t offset, ByteView from) override {
        hardware_.registers->write(offset, from);
    }

    /// Snapshot of the hardware; a decoder that firmware committed loses LOCK and BASE, because
    /// the VMM puts the guest's address there.
    void restored() override {
        snapshot_.copy_values(hardware_.registers->registers());
        hdm_.registers().copy_values(hardware_.registers->hdm().registers());
        for (unsigned i = 0; i < hdm_.count(); ++i) {
            const std::uint32_t control = hdm_.control(i);
            if ((control & cxl::hdm::Committed) != 0) {
                hdm_.set_control(i, control & ~cxl::hdm::LockOnCommit);
                const std::uint32_t at = cxl::hdm::decoder_offset(i);
                hdm_.registers().set(at + cxl::hdm::BaseLow, std::uint32_t{0});
                hdm_.registers().set(at + cxl::hdm::BaseHigh, std::uint32_t{0});
            }
        }
    }

    const cxl::HdmBlock &visible_hdm() const override { return hdm_; }

  private:
    Result<void> check(std::uint64_t offset, std::size_t length) const {
        if (length != 4 || offset % 4 != 0 || !fits(offset, length, comp_regs_size())) {
            return fail(EINVAL, fmt::format("COMP_REGS access of {} bytes at {:#x}: 4 bytes, "
                                            "4-aligned, below {:#x} only",
                                            length, offset, comp_regs_size()));
        }
        return {};
    }

    /// The kernel's shadow is a set of values with its own rules, not a decoder: COMMITTED
    /// follows COMMIT at once and a commit never fails.
    void write_shadow(std::uint32_t offset, std::uint32_t value) {
        namespace hdm = cxl::hdm;
        if (offset < hdm::FirstDecoder) {
            hdm_.registers().write(offset, std::as_bytes(std::span(&value, 1)));
            return;
        }
        const unsigned index = (offset - hdm::FirstDecoder) / hdm::DecoderStride;
        const std::uint32_t within = (offset - hdm::FirstDecoder) % hdm::DecoderStride;
        const std::uint32_t before = hdm_.control(index);
        const bool locked = (before & hdm::LockOnCommit) != 0;
        if (within != hdm::Control) {
            // Base and size are the guest's, what is skipped stays the host's.
            if (!locked && within <= hdm::SizeHigh) {
                hdm_.registers().write(offset, std::as_bytes(std::span(&value, 1)));
            }
            return;
        }
        if (locked) {
            if ((value & hdm::LockOnCommit) == 0) {
                hdm_.set_control(index, before & ~hdm::LockOnCommit);
            }
            return;
        }
        hdm_.registers().write(offset, std::as_bytes(std::span(&value, 1)));
        // An error of the hardware's that the snapshot showed ends here, too.
        const std::uint32_t written =
            hdm_.control(index) & ~(hdm::Committed | hdm::ErrorNotCommitted);
        hdm_.set_control(index, written | ((written & hdm::Commit) != 0 ? hdm::Committed : 0));
    }

    Hardware hardware_;
    RegisterFile snapshot_; ///< of what is in front of the decoders
    cxl::HdmBlock hdm_;
};

} // namespace

std::unique_ptr<Contract> make_shadow(const Hardware &hardware) {
    return std::make_unique<Shadow>(hardware);
}

} // namespace type2::contract
