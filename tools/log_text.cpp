// Descriptions of log records: every type by its name, every field by its name.
#include "log_text.hpp"

#include <jetpp/log/structure_parts.hpp>

#include <array>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>

#include "escape.hpp"

namespace jetpp_tool {

std::string text_of(jetpp::uuid const& id) {
    auto const hex = jetpp::hex_of(id);
    return {hex.data(), hex.size()};
}
std::string hex_of(std::uint64_t number) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
    return text;
}
std::string text_of(jetpp::wall_time when) {
    constexpr auto second = std::int64_t{1'000'000'000};
    auto const whole =
        static_cast<std::time_t>((when.ns - (when.ns % second + second) % second) / second);
    auto parts = std::tm{};
    if (::gmtime_r(&whole, &parts) == nullptr) return std::to_string(when.ns) + "ns";
    char text[64];
    auto const size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    char fraction[16];
    std::snprintf(
        fraction,
        sizeof fraction,
        ".%06dZ",
        static_cast<int>((when.ns % second + second) % second / 1000)
    );
    return std::string{text, size} + fraction;
}

namespace {
namespace log_text_detail {

using json = nlohmann::ordered_json;

[[nodiscard]] std::string text(jetpp::lsn at) {
    return std::to_string(at.value);
}
[[nodiscard]] std::string text(jetpp::const_bytes raw) {
    return escaped(jetpp::as_text(raw), high_bytes::escaped);
}
[[nodiscard]] std::string hex(jetpp::const_bytes raw) {
    constexpr auto digits = std::string_view{"0123456789abcdef"};
    auto all = std::string{};
    for (auto const byte : raw) {
        all += digits[std::to_integer<unsigned>(byte >> 4)];
        all += digits[std::to_integer<unsigned>(byte & std::byte{15})];
    }
    return all;
}
[[nodiscard]] std::string fence(std::optional<jetpp::const_bytes> const& key) {
    return key ? text(*key) : "infinite";
}

void add_part(json& into, jetpp::page_part const& part) {
    into["page"] = part.page.value;
    if (part.slot != jetpp::no_slot) into["slot"] = part.slot;
    if (jetpp::has(part.flags, jetpp::part_flags::format))
        into["format"] = true;
    else
        into["prev_page_lsn"] = text(part.prev_page_lsn);
    if (part.undo_lsn) into["undo_lsn"] = text(part.undo_lsn);
}

void add_ranges(json& into, jetpp::record::update const& update) {
    into["old_size"] = update.old_size;
    into["new_size"] = update.new_size;
    into["ranges"] = json::array();
    update.for_each_range([&](jetpp::changed_range const& range) {
        into["ranges"].push_back(
            {{"offset", range.offset},
             {"old", text(range.old_bytes)},
             {"new", text(range.new_bytes)}}
        );
    });
}

[[nodiscard]] std::string_view name_of(jetpp::structure_op op) {
    switch (op) {
    case jetpp::structure_op::split: return "split";
    case jetpp::structure_op::merge: return "merge";
    case jetpp::structure_op::root_grow: return "root_grow";
    case jetpp::structure_op::root_shrink: return "root_shrink";
    case jetpp::structure_op::rebalance: return "rebalance";
    case jetpp::structure_op::move: return "move";
    case jetpp::structure_op::drop_batch: return "drop_batch";
    case jetpp::structure_op::blob_free: return "blob_free";
    }
    return "unknown";
}

[[nodiscard]] json describe_runs(jetpp::map_runs const& runs) {
    auto all = json::array();
    for (std::size_t i = 0; i < runs.count; ++i)
        all.push_back({{"first", runs[i].first}, {"count", runs[i].count}, {"set", runs[i].set}});
    return all;
}

// An action whose bytes cannot be read is named with its size: the record was proven by its CRC,
// so this is a record of a later version.
[[nodiscard]] json describe_action(
    jetpp::action_kind kind, std::uint16_t argument, jetpp::const_bytes raw
) {
    auto one = json::object();
    auto const unknown = [&](std::string_view name) {
        one["action"] = name;
        one["argument"] = argument;
        one["bytes"] = raw.size();
        return one;
    };
    switch (kind) {
    case jetpp::action_kind::format: {
        auto const a = jetpp::format_action::parse(argument, raw);
        if (!a) return unknown("format");
        auto const& f = a.assume_value();
        one["action"] = "format";
        one["kind"] = f.kind;
        one["level"] = f.level;
        one["tree"] = f.tree.value;
        one["lower"] = fence(f.lower_fence);
        one["upper"] = fence(f.upper_fence);
        one["rows"] = f.rows.count;
        return one;
    }
    case jetpp::action_kind::cut_right: {
        auto const a = jetpp::cut_right_action::parse(argument, raw);
        if (!a) return unknown("cut_right");
        one["action"] = "cut_right";
        one["first_slot"] = a.assume_value().first_slot;
        one["upper"] = fence(a.assume_value().upper_fence);
        return one;
    }
    case jetpp::action_kind::add_child: {
        auto const a = jetpp::add_child_action::parse(argument, raw);
        if (!a) return unknown("add_child");
        one["action"] = "add_child";
        one["slot"] = a.assume_value().slot;
        one["child"] = a.assume_value().child.value;
        one["separator_suffix"] = text(a.assume_value().separator_suffix);
        return one;
    }
    case jetpp::action_kind::set_child: {
        auto const a = jetpp::set_child_action::parse(argument, raw);
        if (!a) return unknown("set_child");
        one["action"] = "set_child";
        one["slot"] = a.assume_value().slot;
        one["child"] = a.assume_value().child.value;
        return one;
    }
    case jetpp::action_kind::drop_children: {
        auto const a = jetpp::drop_children_action::parse(argument, raw);
        if (!a) return unknown("drop_children");
        one["action"] = "drop_children";
        one["children"] = json::array();
        for (std::size_t i = 0; i < a.assume_value().count; ++i)
            one["children"].push_back(a.assume_value()[i].child.value);
        return one;
    }
    case jetpp::action_kind::append: {
        auto const a = jetpp::append_action::parse(argument, raw);
        if (!a) return unknown("append");
        one["action"] = "append";
        one["upper"] = fence(a.assume_value().upper_fence);
        one["rows"] = a.assume_value().rows.count;
        return one;
    }
    case jetpp::action_kind::map_bits: {
        auto const runs = jetpp::map_runs::parse(argument, raw);
        if (!runs) return unknown("map_bits");
        one["action"] = "map_bits";
        one["runs"] = describe_runs(runs.assume_value());
        return one;
    }
    case jetpp::action_kind::empty_inner: one["action"] = "empty_inner"; return one;
    }
    return unknown("unknown");
}

[[nodiscard]] json describe_parts(jetpp::const_bytes parts, std::size_t count) {
    auto all = json::array();
    (void)jetpp::for_each_part(
        parts,
        count,
        [&](jetpp::page_part const& part, std::uint16_t n, jetpp::const_bytes actions) {
            auto one = json::object();
            add_part(one, part);
            one["actions"] = json::array();
            (void)jetpp::for_each_action(
                actions,
                n,
                [&](jetpp::action_kind kind, std::uint16_t argument, jetpp::const_bytes raw) {
                    one["actions"].push_back(describe_action(kind, argument, raw));
                }
            );
            all.push_back(std::move(one));
        }
    );
    return all;
}
[[nodiscard]] json describe_map_parts(jetpp::const_bytes parts, std::size_t count) {
    auto all = json::array();
    (void)jetpp::for_each_map_part(
        parts,
        count,
        [&](jetpp::page_part const& part, jetpp::map_runs const& runs) {
            auto one = json::object();
            add_part(one, part);
            one["runs"] = describe_runs(runs);
            all.push_back(std::move(one));
        }
    );
    return all;
}

[[nodiscard]] std::string_view name_of(jetpp::detach_reason reason) {
    switch (reason) {
    case jetpp::detach_reason::asked: return "asked";
    case jetpp::detach_reason::abandoned: return "abandoned";
    case jetpp::detach_reason::failed: return "failed";
    }
    return "unknown";
}
[[nodiscard]] std::string_view name_of(jetpp::recovery_reason reason) {
    switch (reason) {
    case jetpp::recovery_reason::crash: return "crash";
    case jetpp::recovery_reason::restore: return "restore";
    case jetpp::recovery_reason::forced: return "forced";
    }
    return "unknown";
}
[[nodiscard]] std::string_view name_of(jetpp::backup_status status) {
    switch (status) {
    case jetpp::backup_status::published: return "published";
    case jetpp::backup_status::aborted: return "aborted";
    }
    return "unknown";
}

// Adds the fields of each type; every type has its own line, none is caught by another.
class field_writer {
public:
    explicit field_writer(json& into) : j_{into} {}

    void operator()(jetpp::record::commit const& r) const {
        j_["wall"] = text_of(r.wall);
        j_["durable_hint"] = text(r.durable_hint);
        if (!r.tag.empty()) j_["tag"] = text(r.tag);
    }
    void operator()(jetpp::record::rollback const& r) const { j_["wall"] = text_of(r.wall); }
    void operator()(jetpp::record::insert const& r) const {
        add_part(j_, r.part);
        j_["key"] = text(r.key);
        j_["value"] = text(r.value);
    }
    void operator()(jetpp::record::update const& r) const {
        add_part(j_, r.part);
        j_["key"] = text(r.key);
        add_ranges(j_, r);
    }
    void operator()(jetpp::record::ghost const& r) const {
        add_part(j_, r.part);
        j_["key"] = text(r.key);
        j_["value"] = text(r.value);
    }
    void operator()(jetpp::record::revive const& r) const {
        add_part(j_, r.part);
        j_["key"] = text(r.key);
        j_["old_value"] = text(r.old_value);
        j_["new_value"] = text(r.new_value);
    }
    void operator()(jetpp::record::ghost_remove const& r) const {
        add_part(j_, r.part);
        j_["ghosts"] = json::array();
        r.for_each([&](jetpp::removed_ghost const& one) {
            j_["ghosts"].push_back({{"slot", one.slot}, {"key", text(one.key)}});
        });
    }
    void operator()(jetpp::record::insert_run const& r) const {
        add_part(j_, r.part);
        j_["rows"] = json::array();
        r.for_each([&](jetpp::key_value const& one) {
            j_["rows"].push_back({{"key", text(one.key)}, {"value", text(one.value)}});
        });
    }
    void operator()(jetpp::record::structure const& r) const {
        j_["op"] = name_of(r.op);
        j_["parts"] = describe_parts(r.parts, r.part_count);
    }
    void operator()(jetpp::record::page_image const& r) const {
        add_part(j_, r.part);
        j_["kind"] = r.kind;
        j_["level"] = r.level;
        j_["bytes"] = r.page_header.size() + r.head.size() + r.tail.size();
    }
    void operator()(jetpp::record::page_free const& r) const {
        j_["parts"] = describe_map_parts(r.parts, r.part_count);
    }
    void operator()(jetpp::record::page_alloc const& r) const {
        j_["parts"] = describe_map_parts(r.parts, r.part_count);
    }
    void operator()(jetpp::record::extend const& r) const {
        j_["old_pages"] = r.old_pages;
        j_["new_pages"] = r.new_pages;
    }
    void operator()(jetpp::record::tree_create const& r) const {
        j_["name"] = text(r.name);
        j_["root"] = r.root.value;
        j_["parts"] = describe_parts(r.parts, r.part_count);
    }
    void operator()(jetpp::record::tree_drop const& r) const {
        j_["name"] = text(r.name);
        j_["root"] = r.root.value;
    }
    void operator()(jetpp::record::tree_rename const& r) const {
        j_["name"] = text(r.name);
        j_["new_name"] = text(r.new_name);
        j_["root"] = r.root.value;
    }
    void operator()(jetpp::record::db_create const& r) const {
        j_["name"] = text(r.name);
        j_["id"] = jetpp_tool::text_of(r.id);
        j_["nonce"] = hex_of(r.nonce);
        j_["page_size"] = r.page_size;
        j_["checksum"] = r.checksum_id;
    }
    void operator()(jetpp::record::attach const& r) const {
        j_["name"] = text(r.name);
        j_["id"] = jetpp_tool::text_of(r.id);
        j_["nonce"] = hex_of(r.nonce);
        j_["consistent_lsn"] = text(r.consistent_lsn);
        j_["highest_lsn"] = text(r.highest_lsn);
        j_["timeline"] = hex_of(r.timeline.value);
        j_["foreign"] = (r.flags & jetpp::record::attach::foreign) != 0;
    }
    void operator()(jetpp::record::detach const& r) const {
        j_["id"] = jetpp_tool::text_of(r.id);
        j_["consistent_lsn"] = text(r.consistent_lsn);
        j_["highest_lsn"] = text(r.highest_lsn);
        j_["reason"] = name_of(r.reason);
    }
    void operator()(jetpp::record::attach_list const& r) const {
        j_["databases"] = json::array();
        r.for_each([&](jetpp::attach_entry const& one) {
            j_["databases"].push_back(
                {{"db", one.database.value},
                 {"name", text(one.name)},
                 {"id", jetpp_tool::text_of(one.id)},
                 {"attach_lsn", text(one.attach_lsn)}}
            );
        });
    }
    void operator()(jetpp::record::checkpoint_mark const& r) const {
        j_["redo_lsn"] = text(r.redo_lsn);
        j_["undo_low_lsn"] = text(r.undo_low_lsn);
        j_["oldest_snapshot"] = text(r.oldest_snapshot);
    }
    void operator()(jetpp::record::backup_begin const& r) const {
        j_["set"] = jetpp_tool::text_of(r.set);
        j_["kind"] = r.kind;
        j_["redo_lsn"] = text(r.redo_lsn);
        j_["undo_low_lsn"] = text(r.undo_low_lsn);
        j_["log_start"] = text(r.log_start);
        j_["databases"] = json::array();
        for (std::size_t i = 0; i < r.count; ++i)
            j_["databases"].push_back(jetpp_tool::text_of(r.member(i).id));
    }
    void operator()(jetpp::record::backup_end const& r) const {
        j_["set"] = jetpp_tool::text_of(r.set);
        j_["status"] = name_of(r.status);
        j_["kind"] = r.kind;
        j_["redo_lsn"] = text(r.redo_lsn);
        j_["log_start"] = text(r.log_start);
        j_["end_lsn"] = text(r.end_lsn);
        j_["time"] = text_of(r.time);
        j_["timeline"] = hex_of(r.timeline.value);
        j_["manifest_hash"] = hex_of(r.manifest_hash);
        j_["databases"] = json::array();
        for (std::size_t i = 0; i < r.count; ++i)
            j_["databases"].push_back(jetpp_tool::text_of(r.member(i)));
    }
    void operator()(jetpp::record::recovery_begin const& r) const {
        j_["scan_start"] = text(r.scan_start);
        j_["end"] = text(r.end);
        j_["losers"] = r.losers;
        j_["reason"] = name_of(r.reason);
    }
    void operator()(jetpp::record::recovery_end const& r) const {
        j_["cut"] = text(r.cut);
        j_["incarnation"] = r.incarnation;
        j_["losers"] = r.losers;
        j_["records_redone"] = std::to_string(r.records_redone);
        j_["wall"] = text_of(r.wall);
    }
    void operator()(jetpp::record::time_mark const& r) const {
        j_["wall"] = text_of(r.wall);
        j_["durable_hint"] = text(r.durable_hint);
        j_["clock_stepped_back"] = (r.flags & jetpp::record::time_mark::clock_stepped_back) != 0;
    }
    void operator()(jetpp::record::verify const& r) const {
        j_["page"] = r.page.value;
        j_["page_lsn"] = text(r.page_lsn);
        j_["hash"] = hex(r.hash);
    }
    void operator()(jetpp::record::restore_point const& r) const {
        j_["wall"] = text_of(r.wall);
        j_["label"] = text(r.label);
    }
    void operator()(jetpp::record::user const& r) const {
        j_["kind"] = r.kind;
        j_["payload"] = text(r.payload);
    }
    void operator()(jetpp::record::pad const&) const {}
    void operator()(jetpp::record::segment_end const& r) const {
        j_["next_generation"] = std::to_string(r.next_generation);
        j_["next_nonce"] = hex_of(r.next_nonce);
        j_["durable_hint"] = text(r.durable_hint);
        j_["content_crc"] = r.content_crc;
    }
    void operator()(jetpp::record::unknown const& r) const {
        j_["number"] = jetpp::number_of(r.actual);
        j_["payload"] = text(r.payload);
    }

private:
    json& j_;
};

void add_value(std::string& line, json const& value) {
    constexpr auto shown_max = std::size_t{64};
    if (value.is_string()) {
        auto const& word = value.get_ref<std::string const&>();
        line.append(word, 0, shown_max);
        if (word.size() > shown_max) line += "...(" + std::to_string(word.size()) + ")";
        return;
    }
    if (!value.is_structured()) {
        line += value.dump();
        return;
    }
    line += value.is_array() ? '[' : '{';
    auto first = true;
    for (auto const& [name, one] : value.items()) {
        if (!first) line += ' ';
        first = false;
        if (value.is_object()) line += name + "=";
        add_value(line, one);
    }
    line += value.is_array() ? ']' : '}';
}

} // namespace log_text_detail
} // namespace

nlohmann::ordered_json describe_record(jetpp::log_record const& record) {
    using namespace log_text_detail;
    auto const& h = record.header;
    auto j = json::object();
    j["lsn"] = text(record.at);
    j["type"] = record.as<jetpp::record::unknown>() != nullptr
                    ? "unknown"
                    : std::string{jetpp::name_of(h.type)};
    j["length"] = record.length;
    if (h.database != jetpp::no_database) j["db"] = h.database.value;
    if (h.tree != jetpp::no_tree) j["tree"] = h.tree.value;
    if (h.transaction) j["transaction"] = text(h.transaction);
    if (jetpp::has(h.flags, jetpp::record_flags::system)) j["system"] = true;
    if (jetpp::has(h.flags, jetpp::record_flags::compensation)) j["compensation"] = true;
    record.visit(field_writer{j});
    return j;
}

nlohmann::ordered_json describe_transaction(
    jetpp::committed_transaction const& done, jetpp::change_token const& token
) {
    using namespace log_text_detail;
    auto const word = token.text();
    auto j = json::object();
    j["lsn"] = text(done.at);
    j["type"] = "transaction";
    j["transaction"] = text(done.first);
    j["wall"] = text_of(done.wall);
    j["timeline"] = hex_of(done.timeline.value);
    if (!done.tag.empty()) j["tag"] = text(done.tag);
    j["token"] = std::string{word.data(), word.size()};
    return j;
}

nlohmann::ordered_json describe_change(jetpp::logged_change const& change) {
    using namespace log_text_detail;
    auto j = json::object();
    j["lsn"] = text(change.at);
    j["type"] = jetpp::name_of(change.type);
    j["database"] = text(jetpp::as_bytes(change.database_name));
    j["tree"] = change.tree.value;
    if (!change.tree_name.empty()) j["tree_name"] = text(jetpp::as_bytes(change.tree_name));
    if (!change.is_row()) return j;
    j["key"] = text(change.key);
    if (change.type == jetpp::change_type::insert) j["new"] = text(change.new_value);
    if (change.type == jetpp::change_type::erase) j["old"] = text(change.old_value);
    if (change.type == jetpp::change_type::update) add_ranges(j, change.patch);
    return j;
}

std::string line_of(nlohmann::ordered_json const& described) {
    using namespace log_text_detail;
    auto line = std::string{};
    for (auto const& [name, value] : described.items()) {
        if (!line.empty()) line += ' ';
        if (name != "lsn" && name != "type") line += name + "=";
        if (name == "token")
            line += value.get<std::string>(); // to be copied: whole
        else
            add_value(line, value);
    }
    return line;
}

} // namespace jetpp_tool
