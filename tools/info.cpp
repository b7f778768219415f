// jetpp info: what the files of a directory say of themselves.
#include <jetpp/checksum/xxh3.hpp>

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "commands.hpp"
#include "escape.hpp"
#include "failure.hpp"
#include "log_text.hpp"
#include "place.hpp"
#include "sets.hpp"
#include <nlohmann/json.hpp>

namespace jetpp_tool {

namespace {
namespace info_detail {

void say(std::string_view name, std::string const& value) {
    std::printf("  %-18s %s\n", std::string{name}.c_str(), value.c_str());
}
void say(std::string_view name, std::uint64_t value) {
    say(name, std::to_string(value));
}
void say(std::string_view name, jetpp::lsn at) {
    say(name, at ? std::to_string(at.value) : std::string{"-"});
}

[[nodiscard]] std::string checksum_name(std::uint16_t id) {
    if (id == jetpp::crc32c::id) return std::string{jetpp::crc32c::name};
    if (id == jetpp::xxh3_64::id) return std::string{jetpp::xxh3_64::name};
    return "unknown (" + std::to_string(id) + ")";
}

[[nodiscard]] std::string_view name_of(jetpp::database_state state) {
    switch (state) {
    case jetpp::database_state::creating: return "creating";
    case jetpp::database_state::dirty: return "dirty";
    case jetpp::database_state::clean: return "clean";
    case jetpp::database_state::restoring: return "restoring";
    case jetpp::database_state::recovering: return "recovering";
    case jetpp::database_state::failed: return "failed";
    case jetpp::database_state::standby: return "standby";
    case jetpp::database_state::branch: return "branch";
    case jetpp::database_state::backup_copy: return "backup copy";
    }
    return "unknown";
}

[[nodiscard]] std::string_view name_of(jetpp::mark_kind kind) {
    switch (kind) {
    case jetpp::mark_kind::full: return "full";
    case jetpp::mark_kind::incremental: return "incremental";
    case jetpp::mark_kind::copy: return "copy";
    case jetpp::mark_kind::differential: return "differential";
    }
    return "unknown";
}

template <class Content>
[[nodiscard]] std::string state_of(jetpp::probed_copy<Content> const& copy) {
    if (copy.content) return "valid, sequence " + std::to_string(copy.content->sequence);
    return copy.is_empty ? "empty" : text_of(copy.why);
}

void print_checkpoint(place const& where) {
    auto const& facts = where.facts;
    if (!facts.has_checkpoint) return;
    std::printf("jet.ckp\n");
    say("slot 0", state_of(facts.slots[0]));
    say("slot 1", state_of(facts.slots[1]));
    auto const* const slot = facts.newest_slot();
    if (slot == nullptr) return;
    say("instance", jetpp_tool::text_of(slot->instance));
    say("timeline", hex_of(slot->timeline.value));
    say("incarnation", slot->incarnation);
    say("closed cleanly", slot->clean ? std::string{"yes"} : "no");
    say("written", text_of(slot->written_at));
    say("redo LSN", slot->redo_lsn);
    say("undo low LSN", slot->undo_low_lsn);
    say("end LSN", slot->end_lsn);
    say("generation", slot->generation);
    say("segment bytes", slot->segment_bytes);
    say("page bytes", slot->page_bytes);
    say("databases", slot->database_count);
    for (auto const& pin : slot->pins) {
        if (!pin.exists()) continue;
        say("pin",
            std::string{jetpp::name_of(pin.kind)} + " " + escaped(pin.id().text().view()) +
                ", from LSN " + std::to_string(pin.at.value) + ", at most " +
                std::to_string(pin.byte_cap) + " bytes, since " + text_of(pin.created_at) +
                (pin.is_broken() ? ", broken" : ""));
    }
}

void print_log_files(place const& where) {
    auto const& all = where.facts.segments;
    if (all.empty()) return;
    std::printf("log\n");
    say("segments", all.size());
    say("spare files", where.facts.spare_count);
    say("logging", where.facts.is_archival() ? std::string{"archival"} : "circular");
    for (auto const& one : all) {
        auto const name = std::string{jetpp::segment_file_name(one.generation).view()};
        if (!one.is_sound()) {
            say(name, std::string{jetpp::name_of(one.header_error)});
            continue;
        }
        auto line = "from LSN " + std::to_string(one.header.first().value) + ", incarnation " +
                    std::to_string(one.header.incarnation) + ", " + text_of(one.header.created_at);
        if (one.header.cut) line += ", cuts at " + std::to_string(one.header.cut.value);
        say(name, line);
    }
}

void print_database(jetpp::probed_database const& one) {
    std::printf("%s\n", one.name.c_str());
    say("file bytes", one.file_bytes);
    say("header A", state_of(one.copies[0]));
    say("header B", state_of(one.copies[1]));
    if (!one.newest) {
        say("damaged", text_of(one.why));
        return;
    }
    auto const& h = one.newest->header;
    say("state", std::string{name_of(h.state)});
    say("database", jetpp_tool::text_of(h.database));
    say("instance", jetpp_tool::text_of(h.instance));
    say("id in the log", h.id.value);
    say("page bytes", h.page_size);
    say("checksum", checksum_name(h.checksum_id));
    say("created", text_of(h.created_at));
    say("attached", text_of(h.attached_at));
    say("attach LSN", h.attach_lsn);
    say("consistent LSN", h.consistent_lsn);
    say("log from LSN", h.min_required_lsn);
    say("log to LSN", h.max_required_lsn);
    say("highest page LSN", h.max_lsn);
    say("timeline", hex_of(h.timeline.value));
    if (h.is_backup_exempt()) say("backups", std::string{"exempt"});
    for (auto i = std::size_t{0}; i < h.marks.size(); ++i) {
        auto const& mark = h.marks[i];
        if (!mark.exists()) continue;
        say(std::string{name_of(static_cast<jetpp::mark_kind>(i))} + " backup",
            "set " + jetpp_tool::text_of(mark.set) + ", to LSN " +
                std::to_string(mark.end_lsn.value) + ", " + text_of(mark.time));
    }
    if (!h.restored_from.is_nil())
        say("restored from",
            "set " + jetpp_tool::text_of(h.restored_from) + ", at LSN " +
                std::to_string(h.restore_point.value));
    say("written by", std::string{h.writer_text()});
}

// The state in a word of --json, and as a person reads it.
[[nodiscard]] std::pair<std::string, std::string> state_of(place const& where) {
    if (where.facts.is_restoring) return {"restoring", "a restore has begun here"};
    if (where.facts.has_lock_file && !where.lock) return {"in_use", "in use by an engine"};
    if (where.facts.is_clean()) return {"closed", "closed cleanly"};
    return {"to_recover", "the next open recovers"};
}

// --- in JSON: numbers as in log_text.hpp; what no file says is null

using json = nlohmann::ordered_json;

[[nodiscard]] json json_of(jetpp::lsn at) {
    if (!at) return nullptr;
    return std::to_string(at.value);
}
[[nodiscard]] json json_of(jetpp::named_pin const& pin) {
    return {
        {"kind", jetpp::name_of(pin.kind)},
        {"owner", escaped(pin.id().text().view(), high_bytes::escaped)},
        {"from_lsn", json_of(pin.at)},
        {"byte_cap", std::to_string(pin.byte_cap)},
        {"since", text_of(pin.created_at)},
        {"broken", pin.is_broken()}
    };
}
[[nodiscard]] json checkpoint_json(place const& where) {
    auto const* const slot = where.facts.newest_slot();
    if (slot == nullptr) return nullptr;
    auto all = json::object();
    all["instance"] = jetpp_tool::text_of(slot->instance);
    all["timeline"] = hex_of(slot->timeline.value);
    all["clean"] = slot->clean;
    all["written"] = text_of(slot->written_at);
    all["redo_lsn"] = json_of(slot->redo_lsn);
    all["undo_low_lsn"] = json_of(slot->undo_low_lsn);
    all["end_lsn"] = json_of(slot->end_lsn);
    all["generation"] = std::to_string(slot->generation);
    all["segment_bytes"] = std::to_string(slot->segment_bytes);
    all["pins"] = json::array();
    for (auto const& pin : slot->pins)
        if (pin.exists()) all["pins"].push_back(json_of(pin));
    return all;
}
[[nodiscard]] json log_json(place const& where) {
    auto all = json::object();
    all["logging"] = where.facts.is_archival() ? "archival" : "circular";
    all["segments"] = std::to_string(where.facts.segments.size());
    all["first_lsn"] = nullptr;
    for (auto const& one : where.facts.segments)
        if (one.is_sound() && all["first_lsn"].is_null())
            all["first_lsn"] = json_of(one.header.first());
    return all;
}
[[nodiscard]] json json_of(jetpp::probed_database const& one) {
    auto all = json::object();
    all["name"] = one.name.view();
    all["file_bytes"] = std::to_string(one.file_bytes);
    all["damaged"] = nullptr;
    if (!one.newest) {
        all["damaged"] = jetpp_tool::text_of(one.why);
        return all;
    }
    auto const& h = one.newest->header;
    all["state"] = name_of(h.state);
    all["database"] = jetpp_tool::text_of(h.database);
    all["instance"] = jetpp_tool::text_of(h.instance);
    all["timeline"] = hex_of(h.timeline.value);
    all["page_bytes"] = h.page_size;
    all["checksum"] = checksum_name(h.checksum_id);
    all["backup_exempt"] = h.is_backup_exempt();
    all["backups"] = json::object();
    for (auto i = std::size_t{0}; i < h.marks.size(); ++i) {
        auto const& mark = h.marks[i];
        if (mark.exists())
            all["backups"][std::string{name_of(static_cast<jetpp::mark_kind>(i))}] = {
                {"set", jetpp_tool::text_of(mark.set)},
                {"end_lsn", json_of(mark.end_lsn)},
                {"time", text_of(mark.time)}
            };
    }
    all["restored_from"] = nullptr;
    if (!h.restored_from.is_nil())
        all["restored_from"] = {
            {"set", jetpp_tool::text_of(h.restored_from)}, {"lsn", json_of(h.restore_point)}
        };
    return all;
}

void print_json(place const& where) {
    auto all = json::object();
    all["state"] = state_of(where).first;
    all["checkpoint"] = checkpoint_json(where);
    all["log"] = log_json(where);
    all["databases"] = json::array();
    for (auto const& one : where.facts.databases) all["databases"].push_back(json_of(one));
    std::printf("%s\n", all.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
}

} // namespace info_detail
} // namespace

void print_info(info_request const& request) {
    using namespace info_detail;
    auto const& path = request.path;
    if (print_sets(request)) return;
    auto const where = look_at(path, beside_engine::allowed);
    if (where.facts.is_new()) fail(path, "no jetpp files are here");
    if (request.json) return print_json(where);
    std::printf("%s\n", path.c_str());
    say("state", state_of(where).second);
    print_checkpoint(where);
    print_log_files(where);
    for (auto const& one : where.facts.databases) print_database(one);
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
}

} // namespace jetpp_tool
