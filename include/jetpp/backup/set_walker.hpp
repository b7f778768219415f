// jetpp/backup/set_walker.hpp - reads a whole set, all its databases and its log, and proves it.
//
// The same walkers restore reads with (database_walker, log_walker), over everything the set has:
// a set that passes is one that restore takes. Not proved here: that replay accepts the pages
// (recovery does that), and that there is a base for a delta.
// Threads  one owner.
// Source   backup rules R19, R56 to R58, R61, R68.
#pragma once

#include <jetpp/backup/database_walker.hpp>
#include <jetpp/backup/log_walker.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/set_part.hpp>
#include <jetpp/core/result.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

// Who is handed a whole set: databases in the order of the manifest, then the log.
template <class V>
concept set_visitor = log_visitor<V> && requires(
                                            V& visitor,
                                            std::size_t database,
                                            database_header const& header,
                                            std::uint64_t at,
                                            const_bytes image,
                                            copy_trailer const& trailer
                                        ) {
    { visitor.begin_database(database, header) } -> std::same_as<result<void>>;
    { visitor.database_bytes(at, image) } -> std::same_as<result<void>>;
    { visitor.end_database(trailer) } -> std::same_as<result<void>>;
};

template <
    any_environment Env,
    std::size_t PageSize,
    checksum_algorithm Checksum,
    set_visitor Visitor>
class set_walker {
public:
    // Lifetime: all of them outlive the walker.
    set_walker(
        typename Env::directory& set,
        backup_manifest const& manifest,
        Visitor& visitor,
        set_access const& access = {}
    ) noexcept
        : set_{&set}, manifest_{&manifest}, access_{access}, between_{&visitor, &manifest} {}

    // Every byte of the set's parts. Errors: those of set_access::for_set and
    // of the walkers; set_mixed (a part of nobody; a begin record or last commit that is not in the
    // log).
    [[nodiscard]] result<set_tally> run() noexcept {
        return guarded([&]() -> result<set_tally> {
            BOOST_OUTCOME_TRY(access_, access_.for_set(*manifest_));
            if (manifest_->has_pages()) {
                BOOST_OUTCOME_TRY(walk_databases());
            }
            BOOST_OUTCOME_TRY(walk_log());
            if (tally_.parts != manifest_->parts.size())
                return error{.code = errc::set_mixed, .file = file_kind::manifest};
            return tally_;
        });
    }

private:
    // Between the walkers and the visitor: knows which database it is, and the set's own records.
    struct passing_on {
        Visitor* to;
        backup_manifest const* manifest;
        std::size_t database = 0;
        bool begun = false;

        [[nodiscard]] result<void> begin_database(database_header const& header) {
            return to->begin_database(database, header);
        }
        [[nodiscard]] result<void> database_bytes(std::uint64_t at, const_bytes image) {
            return to->database_bytes(at, image);
        }
        [[nodiscard]] result<void> end_database(copy_trailer const& trailer) {
            return to->end_database(trailer);
        }
        [[nodiscard]] result<void> begin_segment(segment_header const& segment) {
            return to->begin_segment(segment);
        }
        [[nodiscard]] result<void> segment_bytes(std::uint64_t at, const_bytes image) {
            return to->segment_bytes(at, image);
        }
        [[nodiscard]] result<void> end_segment(segment_header const& segment, lsn end) {
            return to->end_segment(segment, end);
        }
        [[nodiscard]] result<void> see_record(log_record const& record) {
            if (record.at == manifest->begin_lsn) {
                auto const* const started = record.as<record::backup_begin>();
                if (started == nullptr || started->set != manifest->set)
                    return log_error(errc::set_mixed, record.at);
                begun = true;
            }
            return to->see_record(record);
        }
        [[nodiscard]] result<void> read(std::uint64_t count) { return to->read(count); }
    };
    [[nodiscard]] static error log_error(errc code, lsn at) noexcept {
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }

    [[nodiscard]] result<void> walk_databases() {
        for (std::size_t i = 0; i < manifest_->databases.size(); ++i) {
            between_.database = i;
            auto walker = database_walker<Env, PageSize, Checksum, passing_on>{
                *set_, *manifest_, i, between_, tally_, access_
            };
            BOOST_OUTCOME_TRY(walker.run());
        }
        return ok();
    }
    [[nodiscard]] result<void> walk_log() {
        auto const& m = *manifest_;
        BOOST_OUTCOME_TRY(
            auto log, (log_walker<Env, passing_on>::create(PageSize, between_, tally_))
        );
        for (auto const& range : m.log) {
            auto const slice = planned_log{0, range.timeline, range.from, range.to};
            BOOST_OUTCOME_TRY(log.take(*set_, m, slice, access_));
        }
        if (log.next_segment() != m.end_lsn) return log_error(errc::log_gap, m.end_lsn);
        if (!between_.begun && m.begin_lsn >= m.log.front().from)
            return log_error(errc::set_mixed, m.begin_lsn);
        if (log.last_commit() != m.last_commit) return log_error(errc::set_mixed, m.last_commit);
        return ok();
    }

    typename Env::directory* set_;
    backup_manifest const* manifest_;
    set_access access_;
    passing_on between_;
    set_tally tally_{};
};

} // namespace jetpp::inline v1
