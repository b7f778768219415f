// jetpp/recovery/instance_databases.hpp - create, attach and detach, in orders a crash can cut.
//
//   create  temporary file, synced -> db_create durable -> rename, directory synced -> header dirty
//   attach  attach durable -> header names this instance, both copies -> first page write
//   detach  pages home, synced -> header clean, both copies -> detach durable
// and a slot after each. The list of databases that every segment begins with changes in the very
// moment in which the record that says why gets its LSN.
// Included by instance.hpp.
#pragma once

#include <jetpp/recovery/instance.hpp>

namespace jetpp::inline v1 {

template <class Traits>
auto instance<Traits>::find_database(std::string_view name) noexcept -> result<database*> {
    for (auto& known : databases_)
        if (known.file != nullptr && known.name.view() == name) return &known;
    return error{.code = errc::not_found, .file = file_kind::database};
}

template <class Traits>
auto instance<Traits>::database_of(database_id id) noexcept -> result<database*> {
    for (auto& known : databases_)
        if (known.file != nullptr && known.file->id() == id) return &known;
    return error{.code = errc::not_found, .file = file_kind::database};
}

template <class Traits>
auto instance<Traits>::free_place() noexcept -> result<database*> {
    for (auto& known : databases_)
        if (known.file == nullptr) return &known;
    return error{.code = errc::too_many_databases};
}

template <class Traits>
database_id instance<Traits>::next_database_id() noexcept {
    for (;;) {
        ++last_database_id_;
        if (last_database_id_ == 0) continue;
        auto const id = database_id{last_database_id_};
        if (!database_of(id)) return id;
    }
}

template <class Traits>
template <class Body>
result<lsn> instance<Traits>::log_alone(record_header header, Body& body) noexcept {
    auto credit = log_credit{};
    BOOST_OUTCOME_TRY(log_->acquire(credit, static_cast<std::uint32_t>(body.size())));
    header.type = Body::type;
    header.flags = record_flags::system;
    auto const at = log_->append(credit, header, body);
    log_->give_back(credit);
    BOOST_OUTCOME_TRY(log_->wait_durable(at));
    return at;
}

// Views into `room` (attach_entries_size_max bytes) and the databases' names.
template <class Traits>
record::attach_list instance<Traits>::attached_now(
    attach_entry const* added, database const* without, bytes room
) noexcept {
    auto entries = std::array<attach_entry, databases_max>{};
    auto count = std::size_t{0};
    for (auto const& known : databases_)
        if (known.file != nullptr && &known != without) entries[count++] = known.entry();
    if (added != nullptr) entries[count++] = *added;
    auto const used = encode_attach_entries({entries.data(), count}, room);
    return {.count = static_cast<std::uint16_t>(count), .entries = room.first(used)};
}

template <class Traits>
template <class Body>
result<lsn> instance<Traits>::log_change_of_databases(
    database_id id, Body& body, attach_entry const* added, database const* without
) noexcept {
    auto credit = log_credit{};
    BOOST_OUTCOME_TRY(log_->acquire(credit, static_cast<std::uint32_t>(body.size())));
    auto const at = log_->append(
        credit,
        {.type = Body::type, .flags = record_flags::system, .database = id},
        body,
        [&](lsn reserved) noexcept {
            auto room = std::array<std::byte, attach_entries_size_max>{};
            auto record = std::array<std::byte, record::attach_list::size_max>{};
            auto entry = added != nullptr ? *added : attach_entry{};
            entry.attach_lsn = reserved;
            auto const list = attached_now(added != nullptr ? &entry : nullptr, without, room);
            encode_header(record.data(), {.type = list.type, .flags = record_flags::system});
            list.encode(record.data());
            log_->set_attach_list_in_hook({record.data(), list.size()});
        }
    );
    log_->give_back(credit);
    BOOST_OUTCOME_TRY(log_->wait_durable(at));
    return at;
}

// The log says that the database joined, but it did not: it leaves again. Its file stays as it is.
template <class Traits>
void instance<Traits>::give_up_attach(database& place) noexcept {
    if (place.file == nullptr) return;
    transactions_->drop_file(*place.file);
    pool_->detach(*place.file);
    auto body = record::detach{};
    body.id = place.id;
    body.consistent_lsn = log_->tail();
    body.reason = detach_reason::failed;
    if (place.file->mark_clean(body.consistent_lsn))
        (void)log_change_of_databases(place.file->id(), body, nullptr, &place);
    (void)place.file->close();
}

template <class Traits>
result<void> instance<Traits>::attach(std::string_view name, bool create) noexcept {
    auto const held = hold_databases();
    BOOST_OUTCOME_TRY(auto const file, database_file_name(name));
    if (find_database(name)) return ok();
    BOOST_OUTCOME_TRY(auto* const place, free_place());
    auto done = attach_file(*place, file);
    if (!done && done.error().code == errc::not_found && place->file == nullptr && create)
        done = create_database(*place, file);
    if (!done) {
        auto const why = done.error().with_file(file_kind::database);
        give_up_attach(*place);
        *place = {};
        return why;
    }
    return ok();
}

template <class Traits>
result<void> instance<Traits>::create_database(database& place, file_name const& name) noexcept {
    auto& runtime = env_.runtime;
    auto header = database_header{};
    header.page_size = static_cast<std::uint32_t>(page_size);
    header.checksum_id = Traits::checksum::id;
    header.state = database_state::creating;
    header.database = make_uuid(runtime.random(), runtime.random());
    header.instance = id_;
    do header.nonce = runtime.random();
    while (header.nonce == 0);
    header.id = next_database_id();
    follow(header, ancestry_);
    header.created_at = runtime.wall();
    header.pages_hint = initial_database_pages<Traits>;
    header.set_writer("jetpp 1");

    auto const temporary = creation_name(name, header.database);
    BOOST_OUTCOME_TRY(
        auto file,
        paged_file<Traits>::create(env_, *dir_, temporary, header, initial_database_pages<Traits>)
    );
    auto body = record::db_create{
        .id = header.database,
        .nonce = header.nonce,
        .page_size = header.page_size,
        .checksum_id = header.checksum_id,
        .name = as_bytes(name.view()),
    };
    auto const entry = attach_entry{
        .database = header.id,
        .id = header.database,
        .nonce = header.nonce,
        .name = as_bytes(name.view()),
    };
    BOOST_OUTCOME_TRY(auto const at, log_change_of_databases(header.id, body, &entry, nullptr));
    runtime_type::point(point_id::before_rename);
    if (auto moved = dir_->rename(temporary, name, rename_how::no_replace); !moved) {
        // The log says the database began: it must also say that it ended.
        auto end = record::detach{};
        end.id = header.database;
        end.reason = detach_reason::failed;
        (void)log_change_of_databases(header.id, end, nullptr, nullptr);
        (void)dir_->remove(temporary);
        return moved.error();
    }
    runtime_type::point(point_id::after_rename);
    if (!runtime_type::sabotaged(sabotage::skip_dir_sync)) {
        BOOST_OUTCOME_TRY(dir_->sync());
    }
    runtime_type::point(point_id::after_dir_sync);
    file->rename(name);
    auto const now = runtime.wall();
    BOOST_OUTCOME_TRY(file->change_header([&](database_header& h) noexcept {
        h.state = database_state::dirty;
        h.attach_lsn = at;
        h.attached_at = now;
        h.min_required_lsn = at;
        h.max_required_lsn = at;
        h.max_lsn = at;
    }));
    place = {
        .name = name,
        .id = header.database,
        .nonce = header.nonce,
        .attach_lsn = at,
        .file = std::move(file),
    };
    return join(place);
}

template <class Traits>
result<void> instance<Traits>::attach_file(database& place, file_name const& name) noexcept {
    BOOST_OUTCOME_TRY(auto file, paged_file<Traits>::open(env_, *dir_, name));
    // A backup under way would lack the file; a new one it makes again from the log.
    if (is_pinned_locked()) return error{.code = errc::backup_in_progress};
    auto const header = file->header();
    BOOST_OUTCOME_TRY(check_usable(header.state));
    if (header.state != database_state::clean) return error{.code = errc::needs_recovery};
    // Room for a log above it must be left on the axis.
    if (header.max_lsn > lsn_limit - (std::uint64_t{1} << 40))
        return error{.code = errc::bad_header, .at = header.max_lsn};
    for (auto const& known : databases_)
        if (known.file != nullptr && known.id == header.database)
            return error{.code = errc::already_exists};
    // A file from a longer log: ours must begin above everything it has seen.
    if (header.max_lsn >= log_->tail() && !runtime_type::sabotaged(sabotage::attach_younger_log)) {
        BOOST_OUTCOME_TRY(log_->force_switch(header.max_lsn.value / segment_bytes_ + 1));
    }
    auto const foreign = header.instance != id_ || header.timeline != timeline();
    auto const id = next_database_id();
    auto body = record::attach{
        .id = header.database,
        .nonce = header.nonce,
        .consistent_lsn = header.consistent_lsn,
        .highest_lsn = header.max_lsn,
        .timeline = header.timeline,
        .flags = foreign ? record::attach::foreign : std::uint16_t{0},
        .name = as_bytes(name.view()),
    };
    auto const entry = attach_entry{
        .database = id,
        .flags = body.flags,
        .id = header.database,
        .nonce = header.nonce,
        .name = as_bytes(name.view()),
    };
    BOOST_OUTCOME_TRY(auto const at, log_change_of_databases(id, body, &entry, nullptr));
    auto const now = env_.runtime.wall();
    auto const named = file->change_header([&](database_header& h) noexcept {
        h.attached_at = now;
        adopt_header(h, id_, learn_ancestry(h), id, at);
    });
    if (!named) {
        auto gone = record::detach{};
        gone.id = header.database;
        gone.consistent_lsn = header.consistent_lsn;
        gone.reason = detach_reason::failed;
        (void)log_change_of_databases(id, gone, nullptr, nullptr);
        return named;
    }
    place = {
        .name = name,
        .id = header.database,
        .nonce = header.nonce,
        .attach_lsn = at,
        .flags = foreign ? record::attach::foreign : std::uint16_t{0},
        .file = std::move(file),
    };
    return join(place);
}

template <class Traits>
result<void> instance<Traits>::tell_ancestry() noexcept {
    for (auto& known : databases_)
        if (known.file != nullptr) learn_ancestry(known.file->header());
    for (auto& known : databases_) {
        if (known.file == nullptr) continue;
        auto const before = known.file->header();
        auto header = before;
        follow(header, ancestry_);
        if (header == before) continue;
        BOOST_OUTCOME_TRY(known.file->change_header([&](database_header& h) noexcept {
            follow(h, ancestry_);
        }));
    }
    return ok();
}

template <class Traits>
result<void> instance<Traits>::forget_unlogged_regions(paged_file<Traits>& file) noexcept {
    using regions = space_regions<page_size>;
    for (;;) {
        auto const last = regions::region_of({file.page_count() - 1});
        auto const map = regions::map_of_region(last);
        if (last == 0 || map.value < file.header().pages_hint || !pool_->is_absent(file, map))
            return ok();
        auto const loaded = pool_->load(file, map);
        if (loaded) return ok();
        auto const& why = loaded.error();
        if (why.code != errc::page_damaged) return why;
        if (why.reason != damage::zero) return ok(); // whoever needs it will hear of it
        file.forget_pages(map.value);
    }
}

template <class Traits>
result<void> instance<Traits>::join(database& place) noexcept {
    BOOST_OUTCOME_TRY(pool_->attach(*place.file));
    BOOST_OUTCOME_TRY(forget_unlogged_regions(*place.file));
    transactions_->add_file(*place.file);
    return force_slot();
}

template <class Traits>
result<void> instance<Traits>::detach(std::string_view name) noexcept {
    auto const held = hold_databases();
    BOOST_OUTCOME_TRY(auto* const place, find_database(name));
    if (is_pinned_locked()) return error{.code = errc::backup_in_progress};
    // Somebody's undo may still need these pages.
    if (transactions_->people().writers() != 0) return error{.code = errc::busy};
    auto& file = *place->file;
    BOOST_OUTCOME_TRY(pool_->flush(&file));
    BOOST_OUTCOME_TRY(file.sync_writes());
    // consistent_lsn must not name what a crash can take back.
    BOOST_OUTCOME_TRY(log_->flush_all());
    auto const tail = log_->durable_lsn();
    BOOST_OUTCOME_TRY(file.mark_clean(tail));
    auto body = record::detach{};
    body.id = place->id;
    body.consistent_lsn = tail;
    body.highest_lsn = file.header().max_lsn;
    body.reason = detach_reason::asked;
    BOOST_OUTCOME_TRY(log_change_of_databases(file.id(), body, nullptr, place));
    pool_->detach(file);
    transactions_->drop_file(file);
    auto closed = file.close();
    *place = {};
    BOOST_OUTCOME_TRY(force_slot());
    return closed;
}

template <class Traits>
result<void> instance<Traits>::set_backup_exempt(std::string_view name, bool exempt) noexcept {
    auto const held = hold_databases();
    BOOST_OUTCOME_TRY(auto* const place, find_database(name));
    // It has chosen its databases, and its manifest will say which of them are exempt.
    if (is_pinned_locked()) return error{.code = errc::backup_in_progress};
    auto const now = place->file->header();
    if (now.is_backup_exempt() == exempt) return ok();
    // Marks whose log went while nobody kept it: no set can stand on them any more, and the next
    // incremental is to ask for a full instead of failing for all databases.
    auto const covered =
        later(now.mark(mark_kind::full).end_lsn, now.mark(mark_kind::incremental).end_lsn);
    auto const is_cut_off =
        !exempt && covered &&
        generation_of(covered, segment_bytes_) < generation_of(log_->oldest_kept(), segment_bytes_);
    return place->file->change_header([&](database_header& h) noexcept {
        h.set_backup_exempt(exempt);
        if (is_cut_off) // a copy is stood on by none
            for (auto const kind :
                 {mark_kind::full, mark_kind::incremental, mark_kind::differential})
                h.marks[static_cast<std::size_t>(kind)] = {};
    });
}

template <class Traits>
result<tree_id> instance<Traits>::next_tree_id(database& in) noexcept {
    constexpr auto step = std::uint32_t{64};
    auto const held = hold_databases();
    if (in.next_tree == in.tree_limit) {
        auto const place = in.catalogue();
        auto const key = next_tree_key();
        auto first = first_user_tree.value;
        auto value = system_value{};
        auto const decide = [&](leaf_row const& row) noexcept -> result<row_change> {
            first = first_user_tree.value;
            if (row.present && !row.ghost) {
                BOOST_OUTCOME_TRY(auto const next, decode_tree_id(row.value));
                first = next.value;
            }
            if (first > ~step) return error{.code = errc::resource};
            value = encode_tree_id({first + step});
            return row_change{
                .kind = !row.present ? change_kind::insert
                        : row.ghost  ? change_kind::revive
                                     : change_kind::replace,
                .value = value.view(),
            };
        };
        auto credit = log_credit{};
        BOOST_OUTCOME_TRY(log_->acquire(
            credit, trees_->credit_bound(place, key.view().size(), value.view().size() + 8)
        ));
        auto guard = system_change{in.file->id(), catalogue_tree, credit, decide};
        auto changed = trees_->change(place, key.view(), guard);
        log_->give_back(credit);
        BOOST_OUTCOME_TRY(std::move(changed));
        in.next_tree = first;
        in.tree_limit = first + step;
    }
    return tree_id{in.next_tree++};
}

template <class Traits>
result<void> instance<Traits>::answer_old_ticket(ticket const& receipt) noexcept {
    if (receipt.incarnation == report_.former_incarnation)
        return receipt.at < report_.end ? result<void>{ok()} : error{.code = errc::lost};
    if (!receipt.at) return ok(); // a reader, before the first commit
    // Of an older life: the log itself must still show the record.
    auto log = replay<env>::open(
        env_,
        *dir_,
        {.from = receipt.at,
         .up_to = log_->durable_lsn(),
         .page_size = page_size,
         .instance = id_,
         .segment_bytes = segment_bytes_}
    );
    if (!log) return error{.code = errc::log_missing, .at = receipt.at};
    for (auto const& r : log.assume_value()) {
        if (!r) return r.error();
        auto const& record = r.assume_value();
        if (record.at < receipt.at) continue;
        // A commit, or what a reader's ticket names: the first record of that life. No LSN is ever
        // used for another record.
        if (record.at == receipt.at) return ok();
        break;
    }
    return error{.code = errc::lost};
}

} // namespace jetpp::inline v1
