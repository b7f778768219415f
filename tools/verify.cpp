// jetpp verify: is every byte that counts what its writer left? Nothing is written.
//
//   1 checkpoint slots, header copies     3 every page of every database
//   2 every record of the log, by replay  4 every tree and space map of a clean directory
//
// In a directory that was not closed a page may be torn that jet.dw or the log will make again:
// that is said, and is no damage. Trees can be walked only when recovery has run. A slot or header
// copy that cannot be read is damage, even if its twin counts: a crash may tear one, but only a loss
// of power inside one write of 4096 bytes, and rot looks the same.
#include <jetpp/buffer/double_write.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/log/structure_parts.hpp>
#include <jetpp/recovery/analysis.hpp>

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "failure.hpp"
#include "place.hpp"
#include "progress_report.hpp"
#include "set_paths.hpp"
#include "sets.hpp"
#include <nlohmann/json.hpp>

namespace jetpp_tool {

namespace {
namespace verify_detail {

using page_key = std::pair<std::uint16_t, std::uint32_t>; // database id, page

class verification {
public:
    explicit verification(verify_request const& request)
        : where_{look_at(request.path, beside_engine::refused)}, clean_{where_.facts.is_clean()},
          json_{request.json}, progress_{"verify", request.progress} {}

    void run() {
        if (where_.facts.is_new()) fail(where_.path, "no jetpp files are here");
        if (where_.facts.is_restoring)
            damaged(where_.file("jet.restore"), "a restore has begun here and did not end");
        check_slots();
        check_log();
        if (clean_) clean_ = is_consistent();
        check_double_write();
        check_databases();
        progress_.end();
        if (json_)
            print_json();
        else if (!clean_)
            std::printf(
                "%s was not closed: the next open recovers it; trees were not walked\n",
                where_.path.c_str()
            );
        if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
        if (damage_count_ == 0) return;
        auto line = first_damage_;
        if (damage_count_ > 1) line += " (and " + std::to_string(damage_count_ - 1) + " more)";
        throw failure{line};
    }

private:
    void damaged(std::string const& file, std::string const& what) {
        tell(findings_, file, what);
        if (damage_count_++ == 0) first_damage_ = file + ": " + what;
    }
    void damaged(jetpp::error const& e) { damaged(place_of(where_, e), text_of(e)); }
    void note(std::string const& file, std::string const& what) { tell(notes_, file, what); }
    // In text at once: a directory may be large, and its damage of interest before the end.
    void tell(nlohmann::ordered_json& among, std::string const& file, std::string const& what) {
        progress_.end();
        if (json_)
            among.push_back({{"file", file}, {"why", what}});
        else
            std::printf("%s: %s\n", file.c_str(), what.c_str());
    }
    void print_json() const {
        auto all = nlohmann::ordered_json::object();
        all["good"] = damage_count_ == 0;
        all["closed"] = clean_;
        all["findings"] = findings_;
        all["notes"] = notes_;
        all["log"] = log_;
        all["databases"] = databases_;
        std::printf(
            "%s\n", all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str()
        );
    }

    // --- 1

    void check_slots() {
        auto const file = where_.file(jetpp::checkpoint_file_name.view());
        if (!where_.facts.has_checkpoint) return damaged(file, "is missing");
        auto const& slots = where_.facts.slots;
        for (auto const& slot : slots) {
            if (slot.content || slot.is_empty) continue;
            auto what = "slot " + std::to_string(&slot - slots.data()) + ": " + text_of(slot.why);
            if (where_.facts.newest_slot() != nullptr) what += "; the other slot counts";
            damaged(file, what);
        }
        if (slots[0].is_empty && slots[1].is_empty)
            note(file, "is empty: the instance was being created");
    }

    void check_header_copies(jetpp::probed_database const& one) {
        for (auto i = std::size_t{0}; i < 2; ++i) {
            auto const& copy = one.copies[i];
            if (copy.content) continue;
            auto what = std::string{"header copy "} + (i == 0 ? "A" : "B") + ": " +
                        (copy.is_empty ? "all zero" : text_of(copy.why));
            if (one.newest) what += "; the other copy counts";
            damaged(where_.file(one.name.view()), what);
        }
    }

    // --- 2

    void check_log() {
        auto const* const slot = where_.facts.newest_slot();
        auto options = jetpp::replay_options{.use_ring = true};
        if (slot != nullptr) {
            scan_start_ = jetpp::earlier(slot->redo_lsn, slot->undo_low_lsn);
            options.instance = slot->instance;
            options.segment_bytes = slot->segment_bytes;
            options.proofs = {
                .slot_end = slot->end_lsn,
                .slot_generation = slot->generation,
                .slot_nonce = slot->nonce,
            };
            redo_lsn_ = slot->redo_lsn;
        }
        // A file that is of another history, and not attached, says nothing of this log.
        auto const* const newest = where_.facts.newest_segment();
        for (auto const& one : where_.facts.databases)
            if (one.newest && newest != nullptr &&
                one.newest->header.instance == newest->instance &&
                one.newest->header.timeline == newest->timeline) {
                auto const& header = one.newest->header;
                auto& proofs = options.proofs;
                proofs.max_required = jetpp::later(proofs.max_required, header.max_required_lsn);
                proofs.stamped_end =
                    jetpp::later(proofs.stamped_end, header.stamped_end(header.timeline));
            }
        analysis_ = jetpp::log_analysis{scan_start_};
        auto opened = jetpp::replay<environment>::open({}, where_.directory, options);
        if (!opened) return damaged(opened.error());
        auto& log = opened.assume_value();
        segment_bytes_ = log.segment_bytes();
        auto records = std::uint64_t{0};
        auto first = jetpp::no_lsn;
        for (auto const& r : log) {
            if (!r) {
                damaged(r.error());
                break;
            }
            ++records;
            see(r.assume_value());
            if (!first) first = r.assume_value().at;
            auto const bytes = r.assume_value().next() - first;
            progress_.show({.phase = "log", .bytes_done = bytes});
        }
        auto const& end = log.end_state();
        log_end_ = end.end;
        log_is_sound_ = end.kind != jetpp::end_kind::damage;
        auto const torn = end.kind == jetpp::end_kind::torn_tail;
        tell_log(records, torn);
        if (!log_is_sound_) return;
        if (auto const done = analysis_.finish(); !done) damaged(done.error());
        if (torn && clean_)
            damaged(
                where_.file(
                    jetpp::segment_file_name(jetpp::generation_of(log_end_, segment_bytes_)).view()
                ),
                "the log of a closed instance ends in a torn tail at LSN " +
                    std::to_string(log_end_.value)
            );
    }

    void tell_log(std::uint64_t records, bool torn) {
        auto const segments = where_.facts.segments.size();
        progress_.end();
        if (!json_) {
            std::printf(
                "log: %llu records, %zu segments, ends %s at LSN %llu\n",
                number(records),
                segments,
                !log_is_sound_ ? "in damage"
                : torn         ? "in a torn tail"
                               : "cleanly",
                number(log_end_.value)
            );
            return;
        }
        log_ = nlohmann::ordered_json::object();
        log_["records"] = std::to_string(records);
        log_["segments"] = std::to_string(segments);
        log_["end"] = !log_is_sound_ ? "damage" : torn ? "torn_tail" : "clean";
        log_["end_lsn"] = std::to_string(log_end_.value);
    }

    void see(jetpp::log_record const& record) {
        if (auto const done = analysis_.see(record); !done && analysis_is_sound_) {
            analysis_is_sound_ = false;
            damaged(done.error());
        }
        auto const id = record.header.database.value;
        if (record.as<jetpp::record::db_create>() != nullptr ||
            record.as<jetpp::record::attach>() != nullptr) {
            pages_logged_.erase(id);
            formatted_.erase(formatted_.lower_bound({id, 0}), formatted_.upper_bound({id, ~0u}));
        }
        if (auto const* const grown = record.as<jetpp::record::extend>())
            pages_logged_[id] = grown->new_pages;
        if (clean_) return; // nothing will be redone
        auto const made = [&](jetpp::page_part const& part) {
            if (jetpp::has(part.flags, jetpp::part_flags::format))
                formatted_[{id, part.page.value}] = record.at;
        };
        auto const each_part = [&](jetpp::const_bytes parts, std::size_t n) {
            (void)jetpp::for_each_part(
                parts,
                n,
                [&](jetpp::page_part const& part, std::uint16_t, jetpp::const_bytes) { made(part); }
            );
        };
        if (auto const* const s = record.as<jetpp::record::structure>())
            each_part(s->parts, s->part_count);
        else if (auto const* const t = record.as<jetpp::record::tree_create>())
            each_part(t->parts, t->part_count);
        else if (auto const* const i = record.as<jetpp::record::page_image>())
            made(i->part);
        else if (auto const* const e = record.as<jetpp::record::extend>())
            extended_.push_back({id, e->old_pages, e->new_pages, record.at});
    }

    // As recovery asks before it skips itself.
    [[nodiscard]] bool is_consistent() const {
        auto const* const slot = where_.facts.newest_slot();
        if (slot == nullptr || log_end_ != slot->end_lsn || !analysis_.losers().empty())
            return false;
        for (auto const& logged : analysis_.databases()) {
            auto const* const one = where_.facts.find(logged.name.view());
            if (one == nullptr || !one->newest ||
                one->newest->header.state != jetpp::database_state::clean)
                return false;
        }
        return true;
    }

    // --- jet.dw

    void check_double_write() {
        auto const name = where_.file(jetpp::double_write_file_name.view());
        auto opened = where_.directory.open(
            jetpp::double_write_file_name, {.mode = jetpp::open_mode::read_only}
        );
        if (!opened) {
            if (opened.error().code != jetpp::errc::not_found)
                damaged(opened.error().with_file(jetpp::file_kind::double_write));
            return;
        }
        auto& file = opened.assume_value();
        auto const page_size = where_.facts.page_size();
        auto const size = value_of(file.size(), name);
        auto const area_bytes = size / 2;
        for (auto area = std::uint64_t{0}; area < 2; ++area) {
            auto raw = value_of(
                jetpp::aligned_buffer::create(
                    jetpp::round_up(static_cast<std::size_t>(area_bytes), std::size_t{4096})
                ),
                name
            );
            auto const got = value_of(jetpp::read_up_to(file, raw.all(), area * area_bytes), name);
            auto const index =
                got >= jetpp::double_write_index::size
                    ? jetpp::double_write_index::read(raw.part(0, jetpp::double_write_index::size))
                    : jetpp::error{
                          .code = jetpp::errc::bad_header, .file = jetpp::file_kind::double_write
                      };
            auto const what = "area " + std::to_string(area) + ": ";
            if (!index) {
                if (clean_)
                    damaged(name, what + text_of(index.error()));
                else
                    note(name, what + text_of(index.error()) + "; a torn write has no home write");
                continue;
            }
            if (index.assume_value().count != 0 && clean_)
                damaged(name, what + "holds images although the instance was closed");
            if (index.assume_value().page_size == page_size && !clean_)
                collect_images(raw, got, index.assume_value());
        }
    }

    void collect_images(
        jetpp::aligned_buffer& raw, std::size_t got, jetpp::double_write_index const& index
    ) {
        using jetpp::double_write_entry;
        using jetpp::double_write_index;
        auto const* const build =
            find_build(index.page_size, where_.facts.checksum_id().value_or(0));
        if (build == nullptr) return;
        for (auto n = std::size_t{0}; n < index.count; ++n) {
            auto const begin = double_write_index::size + n * index.page_size;
            if (begin + index.page_size > got) return;
            auto const entry = double_write_entry::decode(
                raw.data() + double_write_index::entries_at + n * double_write_entry::size
            );
            if (entry.page_lsn >= redo_lsn_ && entry.page_lsn < log_end_ &&
                build->is_sound(raw.data() + begin, entry.nonce, entry.page))
                images_.insert({entry.nonce, entry.page.value});
        }
    }

    // --- 3, 4

    void check_databases() {
        for (auto const& one : where_.facts.databases) pages_to_read_ += one.file_bytes;
        auto seen = std::set<std::string>{};
        for (auto const& logged : analysis_.databases()) {
            auto const name = std::string{logged.name.view()};
            auto const* const one = where_.facts.find(name);
            if (one == nullptr) {
                // The log of a life that began below the scan start cannot make the file again.
                if (!logged.created || logged.attach_lsn < scan_start_)
                    damaged(where_.file(name), "is missing");
                else
                    note(where_.file(name), "is missing; the next open makes it again");
                continue;
            }
            seen.insert(name);
            if (one->newest && one->newest->header.database != logged.database)
                damaged(where_.file(name), "is another database than the log names");
            check_database(*one);
        }
        for (auto const& one : where_.facts.databases)
            if (!seen.contains(std::string{one.name.view()})) check_database(one);
    }

    void check_database(jetpp::probed_database const& one) {
        auto const name = where_.file(one.name.view());
        auto const is_attached = analysis_.database(id_of(one)) != nullptr;
        auto const closed = one.newest &&
                            one.newest->header.state == jetpp::database_state::clean &&
                            (clean_ || !is_attached);
        check_header_copies(one);
        if (!one.newest) return;
        auto const& header = one.newest->header;
        auto const* const build = find_build(header.page_size, header.checksum_id);
        if (build == nullptr)
            return damaged(name, "has a page size or checksum that no engine here is built for");
        auto const own = is_attached && log_is_sound_;
        auto const wanted = database_to_check{
            .name = one.name,
            .header = header,
            .is_clean = closed,
            .log_end = own ? log_end_ : jetpp::lsn_limit,
            .segment_bytes = segment_bytes_ != 0 ? segment_bytes_ : jetpp::segment_bytes_default,
            .pages_logged = own ? pages_logged_[header.id.value] : 0,
            .is_made_again = [&](jetpp::page_number page
                             ) { return is_attached && is_made_again(header, page); },
            .on_read =
                [&](std::uint64_t bytes) {
                    pages_read_ += bytes;
                    progress_.show({"pages", one.name.view(), pages_read_, pages_to_read_});
                },
        };
        pages_read_ += jetpp::database_header_area_bytes; // before all pages
        auto const counts = value_of(
            build->check_database(
                where_.directory, wanted, [&](finding const& f) { tell(name, f); }
            ),
            name
        );
        tell_counts(name, one, counts);
    }
    void tell_counts(
        std::string const& name, jetpp::probed_database const& one, database_counts const& counts
    ) {
        progress_.end();
        if (json_) {
            auto said = nlohmann::ordered_json::object();
            said["name"] = one.name.view();
            said["pages"] = std::to_string(counts.pages);
            said["sound"] = std::to_string(counts.pages_sound);
            said["free"] = std::to_string(counts.pages_free);
            said["made_again"] = std::to_string(counts.pages_made_again);
            said["trees"] = nullptr; // not walked
            said["rows"] = nullptr;
            if (counts.trees_checked) said["trees"] = std::to_string(counts.trees);
            if (counts.trees_checked) said["rows"] = std::to_string(counts.rows);
            databases_.push_back(std::move(said));
            return;
        }
        std::printf(
            "%s: %llu pages, %llu sound, %llu free",
            name.c_str(),
            number(counts.pages),
            number(counts.pages_sound),
            number(counts.pages_free)
        );
        if (counts.pages_made_again != 0)
            std::printf(", %llu that recovery makes again", number(counts.pages_made_again));
        if (counts.trees_checked)
            std::printf(
                "; %llu %s with %llu rows",
                number(counts.trees),
                counts.trees == 1 ? "tree" : "trees",
                number(counts.rows)
            );
        std::printf("\n");
    }

    void tell(std::string const& name, finding const& f) {
        auto what = std::string{};
        if (f.page != jetpp::no_page) what = "page " + std::to_string(f.page.value);
        if (f.reason != jetpp::damage::none)
            what += (what.empty() ? "" : ": ") + std::string{jetpp::name_of(f.reason)};
        if (!f.text.empty()) what += (what.empty() ? "" : ", ") + f.text;
        damaged(name, what);
    }

    [[nodiscard]] static jetpp::database_id id_of(jetpp::probed_database const& one) {
        return one.newest ? one.newest->header.id : jetpp::no_database;
    }

    // Redo will write this page from nothing, or jet.dw holds it.
    [[nodiscard]] bool is_made_again(jetpp::database_header const& header, jetpp::page_number page)
        const {
        if (images_.contains({header.nonce, page.value})) return true;
        auto const from = jetpp::earlier(redo_lsn_, header.min_required_lsn);
        if (auto const at = formatted_.find({header.id.value, page.value});
            at != formatted_.end() && at->second >= from)
            return true;
        // An extend formats the maps of the regions that begin in it.
        for (auto const& one : extended_)
            if (one.database == header.id.value && page.value >= one.old_pages &&
                page.value < one.new_pages && one.at >= from)
                return true;
        return false;
    }

    struct extension {
        std::uint16_t database{};
        std::uint32_t old_pages{};
        std::uint32_t new_pages{};
        jetpp::lsn at{};
    };

    place where_;
    bool clean_;
    bool json_;
    progress_report progress_;
    std::uint64_t pages_read_ = 0; // bytes of them
    std::uint64_t pages_to_read_ = 0;
    nlohmann::ordered_json findings_ = nlohmann::ordered_json::array();
    nlohmann::ordered_json notes_ = nlohmann::ordered_json::array();
    nlohmann::ordered_json log_{}; // null: it could not be opened
    nlohmann::ordered_json databases_ = nlohmann::ordered_json::array();
    std::uint64_t damage_count_ = 0;
    std::string first_damage_;
    jetpp::log_analysis analysis_{jetpp::no_lsn};
    bool analysis_is_sound_ = true;
    bool log_is_sound_ = false;
    jetpp::lsn log_end_{};
    jetpp::lsn scan_start_{}; // of a recovery
    jetpp::lsn redo_lsn_{};
    std::uint64_t segment_bytes_ = 0;
    std::map<std::uint16_t, std::uint32_t> pages_logged_;
    std::map<page_key, jetpp::lsn> formatted_;
    std::vector<extension> extended_;
    std::set<std::pair<std::uint64_t, std::uint32_t>> images_; // nonce, page
};

} // namespace verify_detail
} // namespace

void verify(verify_request const& request) {
    using namespace verify_detail;
    if (verify_sets(request)) return;
    if (request.proof) wrong_usage("--proof is about sets: a directory of an instance has none");
    verification{request}.run();
}

} // namespace jetpp_tool
