// jetpp/recovery/detail/change_collector_bodies.hpp - the members of change_collector.
//
// Included by change_collector.hpp, which holds the class.
#pragma once

#include <jetpp/recovery/change_collector.hpp>

namespace jetpp::inline v1 {

inline result<bool> change_collector::see(
    segment_header const& segment, log_record const& record
) noexcept {
    let_go();
    BOOST_OUTCOME_TRY(check_history(segment, record));
    BOOST_OUTCOME_TRY(names_.see(record));
    auto const id = record.header.transaction;
    if (!id || record.at < start_) return false;
    if (auto const* const body = record.as<record::commit>()) return commit(segment, record, *body);
    if (record.as<record::rollback>() != nullptr) {
        if (open_.take(id) == nullptr && id >= start_) return bad_record().with_lsn(record.at);
        return false;
    }
    if (id < start_) return false; // its beginning was not read
    auto* open = id == record.at ? open_.begin(id) : open_.find(id);
    if (open == nullptr) {
        if (id == record.at) return error{.code = errc::out_of_memory};
        return bad_record().with_lsn(record.at);
    }
    if (has(record.header.flags, record_flags::compensation)) {
        BOOST_OUTCOME_TRY(compensate(*open, record));
        return false;
    }
    auto const before = open->bytes();
    auto const kept = keep_row(*open, record);
    open_.grew(open->bytes() - before);
    BOOST_OUTCOME_TRY(kept);
    if (open_.bytes() > options_.buffered_bytes_max)
        return problem(errc::limit_exceeded, open->first());
    return false;
}

// The last transaction was dealt with; the trees it dropped have no names any more.
inline void change_collector::let_go() noexcept {
    if (given_ == nullptr) return;
    for (auto const& one : given_->changes())
        if (!one.gone && one.change.type == change_type::tree_drop)
            names_.forget_tree(one.change.database, one.change.tree);
    given_.reset();
    changes_.clear();
    current_ = {};
}

// Is this the history in which the token was given?
inline result<void> change_collector::check_history(
    segment_header const& segment, log_record const& record
) noexcept {
    auto const& after = options_.after;
    if (!started_) {
        started_ = true;
        start_ = after && after->scan ? after->scan : record.at;
        if (after && !after->instance.is_nil() && after->instance != segment.instance)
            return problem(errc::log_foreign, record.at);
        if (after && after->scan && record.at > after->scan)
            return problem(errc::log_gap, after->scan);
        token_.instance = segment.instance;
        if (token_.timeline == timeline_id{}) token_.timeline = segment.timeline;
        if (!token_.scan) token_.scan = start_;
        joined_ = !after || !after->last;
    }
    if (joined_ || record.at < after->last) return ok();
    joined_ = true;
    if (record.at != after->last || record.as<record::commit>() == nullptr ||
        segment.timeline != after->timeline)
        return problem(errc::history_break, after->last);
    return ok();
}

// Rows of user trees that the filter wants, and the rows of the catalogue that name trees.
inline bool change_collector::is_wanted(record_header const& header, const_bytes key)
    const noexcept {
    if (header.tree == catalogue_tree) return key.size() == 5 && key[0] == std::byte{1};
    return header.tree >= first_user_tree &&
           options_.filter.wants(header.database, header.tree, header.transaction);
}

inline result<void> change_collector::keep(
    open_transaction& open, log_record const& record, logged_change const& change
) noexcept {
    auto held =
        detail::held_change{.change = change, .tree = record.header.tree, .key = change.key};
    auto& made = held.change;
    made.at = record.at;
    made.database = record.header.database;
    made.tree = record.header.tree;
    if (made.tree == catalogue_tree) {
        auto const is_new = made.type == change_type::insert;
        if (!is_new && made.type != change_type::erase) return ok(); // no such change is known
        auto const row = decode_tree_row(is_new ? made.new_value : made.old_value);
        if (!row) return problem(errc::unsupported_record, record.at);
        made = {
            .type = is_new ? change_type::tree_create : change_type::tree_drop,
            .at = record.at,
            .database = record.header.database,
            .tree = tree_id{load_be<std::uint32_t>(held.key.data() + 1)},
            .tree_name = row.assume_value().name,
        };
    }
    if (!open.add(held)) return error{.code = errc::out_of_memory};
    return ok();
}

inline result<void> change_collector::keep_row(
    open_transaction& open, log_record const& record
) noexcept {
    auto part = page_part{};
    auto const key = record.visit(overload{
        [&](record::insert const& r) noexcept { return part = r.part, r.key; },
        [&](record::update const& r) noexcept { return part = r.part, r.key; },
        [&](record::ghost const& r) noexcept { return part = r.part, r.key; },
        [&](record::revive const& r) noexcept { return part = r.part, r.key; },
        [&](record::insert_run const& r) noexcept { return part = r.part, const_bytes{}; },
        [](auto const&) noexcept { return const_bytes{}; },
    });
    if (part.page == no_page || !is_wanted(record.header, key)) return ok(); // not of rows
    if (has(part.flags, part_flags::new_indirect) || has(part.flags, part_flags::old_indirect))
        return problem(errc::unsupported_record, record.at); // the value lies elsewhere
    auto const raw = open.copy(record.raw);
    if (raw.empty()) return error{.code = errc::out_of_memory};
    auto copied = log_record{};
    BOOST_OUTCOME_TRY(parse_record(record.at, raw, copied));
    auto const insert = [&](const_bytes of, const_bytes value) noexcept {
        return keep(open, record, {.type = change_type::insert, .key = of, .new_value = value});
    };
    return copied.visit(overload{
        [&](record::insert const& r) noexcept { return insert(r.key, r.value); },
        [&](record::update const& r) noexcept {
            return keep(open, record, {.type = change_type::update, .key = r.key, .patch = r});
        },
        [&](record::ghost const& r) noexcept {
            return keep(
                open, record, {.type = change_type::erase, .key = r.key, .old_value = r.value}
            );
        },
        // What stood under the ghost was nobody's row.
        [&](record::revive const& r) noexcept { return insert(r.key, r.new_value); },
        [&](record::insert_run const& r) noexcept {
            auto outcome = result<void>{ok()};
            r.for_each([&](key_value const& one) noexcept {
                if (outcome) outcome = insert(one.key, one.value);
            });
            return outcome;
        },
        [](auto const&) noexcept { return result<void>{ok()}; },
    });
}

inline result<void> change_collector::compensate(
    open_transaction& open, log_record const& record
) noexcept {
    auto const undo = [&](const_bytes key, page_part const& part) noexcept -> result<void> {
        if (!is_wanted(record.header, key)) return ok();
        auto const found =
            open.undo(record.header.database, record.header.tree, key, part.undo_lsn);
        if (!found && record.header.tree != catalogue_tree) return bad_record().with_lsn(record.at);
        return ok();
    };
    return record.visit(overload{
        [&](record::insert const& r) noexcept { return undo(r.key, r.part); },
        [&](record::update const& r) noexcept { return undo(r.key, r.part); },
        [&](record::ghost const& r) noexcept { return undo(r.key, r.part); },
        [&](record::revive const& r) noexcept { return undo(r.key, r.part); },
        [](auto const&) noexcept -> result<void> { return ok(); },
    });
}

inline result<bool> change_collector::commit(
    segment_header const& segment, log_record const& record, record::commit const& body
) noexcept {
    auto const id = record.header.transaction;
    auto const is_old = options_.after && record.at <= options_.after->last;
    given_ = open_.take(id);
    if (given_ == nullptr) {
        if (id >= start_) return bad_record().with_lsn(record.at);
        if (is_old) return false;
        if (options_.after) return problem(errc::log_gap, id);
        ++skipped_;
    } else {
        BOOST_OUTCOME_TRY(finish(*given_));
    }
    if (is_old) return false; // but its trees have names now
    token_.timeline = segment.timeline;
    token_.last = record.at;
    token_.scan = open_.oldest(record.at);
    if (given_ == nullptr || (changes_.empty() && !options_.empty)) return false;
    current_ = {
        .first = id,
        .at = record.at,
        .wall = body.wall,
        .timeline = segment.timeline,
        .tag = body.tag, // of the record just read
        .changes = {changes_.data(), changes_.size()},
    };
    return true;
}

// Its changes, without those that were undone, under the names of this moment.
inline result<void> change_collector::finish(open_transaction const& done) noexcept {
    for (auto const& one : done.changes()) {
        if (one.gone || one.change.type != change_type::tree_create) continue;
        BOOST_OUTCOME_TRY(
            names_.name_tree(one.change.database, one.change.tree, one.change.tree_name)
        );
    }
    for (auto const& one : done.changes()) {
        if (one.gone) continue;
        auto change = one.change;
        if (!options_.filter.wants(change.database, change.tree, done.first())) continue;
        change.database_name = names_.of(change.database);
        if (change.is_row()) change.tree_name = names_.of(change.database, change.tree);
        if (!changes_.push_back(change)) return error{.code = errc::out_of_memory};
    }
    return ok();
}

} // namespace jetpp::inline v1
