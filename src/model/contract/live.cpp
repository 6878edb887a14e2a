// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/contract/contract.h"
#include "vfio/uapi.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>

namespace type2::contract {

namespace uapi = vfio::uapi;

namespace {

class Live final : public Contract {
  public:
    explicit Live(const Hardware &hardware) : hardware_(hardware) {}

    const char *name() const override { return "live"; }
    std::vector<vfio_user::InfoCap> device_caps() const override { return {}; }

    std::vector<vfio_user::InfoCap> comp_regs_caps() const override {
        vfio_user::InfoCap cap = {uapi::CapCompRegsId, uapi::CapCompRegsVersion, {}};
        append(cap.body, uapi::CapCompRegs{hardware_.component_bar, 0, hardware_.hdm_offset()});
        return {type_cap(uapi::SubtypeCompRegs), cap};
    }

    std::uint64_t comp_regs_size() const override { return hdm().size(); }

    std::vector<Area> component_areas() const override {
        return areas_around(hardware_.bar_size, hardware_.hdm_offset(), hdm().size(),
                            hardware_.page_size);
    }

    bool comp_regs_are_live() const override { return true; }
    bool dvsec_can_be_locked() const override { return false; }

    Result<std::size_t> read_comp_regs(std::uint64_t offset, ByteSpan into) const override {
        auto length = checked(offset, into.size());
        if (length) {
            hdm().read(offset, into.first(*length));
        }
        return length;
    }

    Result<std::size_t> write_comp_regs(std::uint64_t offset, ByteView from) override {
        // Accepted and discarded: the physical decoder is the host's.
        return checked(offset, from.size());
    }

    void read_cachemem(std::uint64_t offset, ByteSpan into) const override {
        hardware_.registers->read(offset, into);
        for (std::size_t i = 0; i < into.size(); ++i) {
            if (in_block(offset + i)) {
                into[i] = std::byte{0xff};
            }
        }
    }

    void write_cachemem(std::uint64_t offset, ByteView from) override {
        for (std::size_t i = 0; i < from.size(); ++i) {
            if (!in_block(offset + i)) {
                hardware_.registers->write(offset + i, from.subspan(i, 1));
            }
        }
    }

    void restored() override {}
    const cxl::HdmBlock &visible_hdm() const override { return hdm(); }

  private:
    const cxl::HdmBlock &hdm() const { return hardware_.registers->hdm(); }

    bool in_block(std::uint64_t offset) const {
        return offset >= cxl::HdmOffset && offset < hardware_.registers->end();
    }

    /// A long access is cut at the end; one that starts there fails.
    Result<std::size_t> checked(std::uint64_t offset, std::size_t length) const {
        if (offset % 4 != 0 || length % 4 != 0 || offset >= hdm().size()) {
            return fail(EINVAL, fmt::format("COMP_REGS access of {} bytes at {:#x}: multiples of 4 "
                                            "below {:#x} only",
                                            length, offset, hdm().size()));
        }
        return std::min<std::size_t>(length, hdm().size() - offset);
    }

    Hardware hardware_;
};

} // namespace

std::unique_ptr<Contract> make_live(const Hardware &hardware) {
    return std::make_unique<Live>(hardware);
}

} // namespace type2::contract
