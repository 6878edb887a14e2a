// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/form.h"

#include <fmt/format.h>

namespace type2::bench {

using nlohmann::json;

namespace {

// A text names a kind of value; "?" before a key: it may be missing; a list: one or more like its
// first; {}: an object with any keys.
constexpr const char *Form = R"({
  "schema": "integer",
  "machine": {"cpu": "text", "cores": "integer", "memory_mib": "integer", "kernel": "text",
              "load": "number", "qemu": "text", "accel": "text", "machine": "text",
              "guest": "text", "smoke": "bool", "rounds": "integer"},
  "memory": {"ram_in_2m_pages": "bool",
             "pieces": [{"bytes": "integer", "ram": "memory", "cxl": "memory",
                         "type3": "memory"}]},
  "ratios": [{"cxl_to": "text", "what": "text", "bytes": "integer", "ratio": "samples"}],
  "registers": {"qemu_ns": "samples", "device_ns": "samples", "device_to_qemu": "samples"},
  "decoder": {"commit_us": "samples", "uncommit_us": "samples",
              "programming_sequence": {"commit": "count", "uncommit": "count"}},
  "hotplug": {"device_add_ms": "samples", "device_del_ms": "samples"},
  "sizes": [{"size": "text", "bytes": "integer", "startup_s": "samples",
             "startup_more_s": "samples", "rss_mib": "samples", "rss_of": {},
             "dirty_bitmaps_mib": "number", "memory_regions": "integer"}],
  "targets": [{"name": "text", "wanted": "number", "found": "number", "met": "bool"}]
})";

constexpr const char *Parts = R"({
  "samples": {"min": "number", "median": "number", "max": "number", "samples": "integer"},
  "memory": {"?read_mb_s": "samples", "?write_mb_s": "samples", "chase_ns": "samples"},
  "count": {"register_accesses": "integer", "device_requests": {}}
})";

bool is_kind(const json &value, const std::string &kind) {
    if (kind == "text") {
        return value.is_string() && !value.get_ref<const std::string &>().empty();
    }
    if (kind == "integer") {
        return value.is_number_integer();
    }
    return kind == "bool" ? value.is_boolean() : value.is_number();
}

std::string differs(const json &value, const json &form, const std::string &where);

std::string object_differs(const json &value, const json &form, const std::string &where) {
    if (!value.is_object()) {
        return fmt::format("{}: not an object", where);
    }
    std::size_t known = 0;
    for (const auto &[key, part] : form.items()) {
        const bool optional = key.starts_with('?');
        const auto name = optional ? key.substr(1) : key;
        if (value.contains(name)) {
            ++known;
            if (auto wrong = differs(value[name], part, fmt::format("{}/{}", where, name));
                !wrong.empty()) {
                return wrong;
            }
        } else if (!optional) {
            return fmt::format("{}/{}: missing", where, name);
        }
    }
    return form.empty() || known == value.size()
               ? std::string()
               : fmt::format("{}: has more than {} does", where, form.dump());
}

std::string differs(const json &value, const json &form, const std::string &where) {
    static const json parts = json::parse(Parts);
    if (form.is_object()) {
        return object_differs(value, form, where);
    }
    if (form.is_array()) {
        if (!value.is_array() || value.empty()) {
            return fmt::format("{}: not a list with something in it", where);
        }
        for (std::size_t i = 0; i < value.size(); ++i) {
            auto wrong = differs(value[i], form[0], fmt::format("{}/{}", where, i));
            if (!wrong.empty()) {
                return wrong;
            }
        }
        return {};
    }
    const auto &kind = form.get_ref<const std::string &>();
    if (const auto part = parts.find(kind); part != parts.end()) {
        return differs(value, *part, where);
    }
    return is_kind(value, kind) ? std::string()
                                : fmt::format("{}: {} is no {}", where, value.dump(), kind);
}

} // namespace

std::string wrong_form(const json &result) {
    return differs(result, json::parse(Form), "");
}

std::string out_of_order(const json &value, const std::string &where) {
    if (value.is_object() && value.contains("median")) {
        const double least = value.at("min");
        const double median = value.at("median");
        const double most = value.at("max");
        const bool fine = least <= median && median <= most && value.at("samples") > 0 &&
                          (least > 0 || where.ends_with("_more_s"));
        return fine ? std::string() : fmt::format("{}: {}", where, value.dump());
    }
    if (value.is_structured()) {
        for (const auto &[key, part] : value.items()) {
            if (auto wrong = out_of_order(part, fmt::format("{}/{}", where, key)); !wrong.empty()) {
                return wrong;
            }
        }
    }
    return {};
}

} // namespace type2::bench
