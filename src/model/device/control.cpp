// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/device/control.h"

#include "base/size.h"
#include "cxl/dvsec.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <vector>

namespace type2::device {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t MaxPeek = 1 * MiB;
constexpr const char *Help = "commands: peek OFFSET LENGTH, poke OFFSET HEX, state, maps, log, "
                             "irq VECTOR, busy 0|1, help";

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    constexpr std::string_view Blank = " \t\r\n";
    while (true) {
        const auto begin = line.find_first_not_of(Blank);
        if (begin == std::string_view::npos) {
            return words;
        }
        line.remove_prefix(begin);
        const auto end = std::min(line.find_first_of(Blank), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

std::string error(const std::string &text) {
    return "error: " + text;
}

Json decoders_json(const cxl::HdmBlock &hdm) {
    Json list = Json::array();
    for (unsigned i = 0; i < hdm.count(); ++i) {
        const auto control = hdm.control(i);
        list.push_back({{"base", hdm.base(i)},
                        {"size", hdm.length(i)},
                        {"skip", hdm.skip(i)},
                        {"control", control},
                        {"committed", (control & cxl::hdm::Committed) != 0},
                        {"locked", (control & cxl::hdm::LockOnCommit) != 0}});
    }
    return list;
}

std::string state(const Device &device, const Interrupts &irqs) {
    const auto dvsec = [&](std::uint32_t reg) {
        return device.config_space().registers().get<std::uint16_t>(cxl::DeviceDvsecOffset + reg);
    };
    const auto &counters = device.counters();
    Json fired = Json::array();
    for (unsigned i = 0; i < irqs.vectors(); ++i) {
        fired.push_back(irqs.fired(i));
    }
    const Json state = {
        {"contract", device.contract().name()},
        {"open", device.is_open()},
        {"opens", counters.opens},
        {"hdm_size", device.config().hdm_size},
        {"decoders", decoders_json(device.cachemem().hdm())},
        {"visible_decoders", decoders_json(device.contract().visible_hdm())},
        {"dvsec",
         {{"capability", dvsec(cxl::dvsec::Capability)},
          {"control", dvsec(cxl::dvsec::Control)},
          {"status", dvsec(cxl::dvsec::Status)},
          {"control2", dvsec(cxl::dvsec::Control2)},
          {"status2", dvsec(cxl::dvsec::Status2)},
          {"lock", dvsec(cxl::dvsec::Lock)}}},
        {"resets",
         {{"device", counters.device_resets},
          {"function", counters.function_resets},
          {"cxl", counters.cxl_resets},
          {"total", counters.device_resets + counters.function_resets + counters.cxl_resets}}},
        {"cache_writebacks", counters.cache_writebacks},
        {"dirty_resets", counters.dirty_resets},
        {"memory_enabled", device.config_space().memory_enabled()},
        {"power_state", device.config_space().power_state()},
        {"gated", device.gated()},
        {"dma_maps", device.dma().entries().size()},
        {"irqs",
         {{"armed", irqs.armed(VFIO_PCI_MSIX_IRQ_INDEX)},
          {"pending", irqs.pending()},
          {"fired", fired},
          {"total", irqs.total()}}},
    };
    return state.dump();
}

std::string maps(const DmaMap &dma) {
    Json list = Json::array();
    for (const auto &[iova, entry] : dma.entries()) {
        list.push_back({{"iova", iova},
                        {"size", entry.range.size},
                        {"offset", entry.range.offset},
                        {"readable", entry.range.readable},
                        {"writable", entry.range.writable},
                        {"fd", entry.mapping || entry.file}});
        if (entry.file) {
            list.back()["file_io"] = true;
        }
    }
    return list.dump();
}

std::string peek(const Memory &memory, std::string_view offset_text, std::string_view length_text) {
    const auto offset = parse_size(offset_text);
    const auto length = parse_size(length_text);
    if (!offset || !length) {
        return error(!offset ? offset.error().text : length.error().text);
    }
    if (*length > MaxPeek) {
        return error(fmt::format("LENGTH {}: at most {}", *length, format_size(MaxPeek)));
    }
    Bytes bytes(*length);
    const auto done = memory.read(*offset, bytes);
    return done ? format_hex(bytes) : error(done.error().text);
}

std::string poke(Memory &memory, std::string_view offset_text, std::string_view hex) {
    const auto offset = parse_size(offset_text);
    const auto bytes = parse_hex(hex);
    if (!offset || !bytes) {
        return error(!offset ? offset.error().text : bytes.error().text);
    }
    const auto done = memory.write(*offset, *bytes);
    return done ? "ok" : error(done.error().text);
}

std::string irq(Interrupts &interrupts, std::string_view text) {
    const auto vector = parse_size(text);
    if (!vector) {
        return error(vector.error().text);
    }
    const auto done =
        interrupts.raise(static_cast<unsigned>(std::min<std::uint64_t>(*vector, UINT32_MAX)));
    return done ? "ok" : error(done.error().text);
}

Json message_json(const vfio_user::LogEntry &entry) {
    Json json = {{"command", vfio_user::command_name(entry.command)}};
    for (const auto &[key, value] : entry.args) {
        json[key] = value;
    }
    if (entry.fds != 0) {
        json["fds"] = entry.fds;
    }
    if (entry.no_reply) {
        json["no_reply"] = true;
    }
    if (entry.error != 0) {
        json["error"] = entry.error;
        json["reason"] = entry.reason;
    }
    return json;
}

} // namespace

void MessageLog::add(const vfio_user::LogEntry &entry) {
    if (entries_.size() == Capacity) {
        entries_.pop_front();
    }
    entries_.push_back(entry);
}

std::string MessageLog::format(const vfio_user::LogEntry &entry) {
    return message_json(entry).dump();
}

std::string MessageLog::take() {
    Json list = Json::array();
    for (const auto &entry : entries_) {
        list.push_back(message_json(entry));
    }
    entries_.clear();
    return list.dump();
}

std::string run_command(Device &device, MessageLog &log, std::string_view line) {
    const auto words = words_of(line);
    if (words.empty()) {
        return error(Help);
    }
    const auto is = [&](std::string_view name, std::size_t arguments) {
        return words[0] == name && words.size() == arguments + 1;
    };
    if (is("peek", 2)) {
        return peek(device.memory(), words[1], words[2]);
    }
    if (is("poke", 2)) {
        return poke(device.memory(), words[1], words[2]);
    }
    if (is("state", 0)) {
        return state(device, device.interrupts());
    }
    if (is("maps", 0)) {
        return maps(device.dma());
    }
    if (is("log", 0)) {
        return log.take();
    }
    if (is("irq", 1)) {
        return irq(device.interrupts(), words[1]);
    }
    if (is("busy", 1) && (words[1] == "0" || words[1] == "1")) {
        device.set_busy(words[1] == "1");
        return "ok";
    }
    if (is("help", 0)) {
        return Help;
    }
    return error(fmt::format("'{}': {}", std::string(line.substr(0, 80)), Help));
}

} // namespace type2::device
