// jetpp/recovery/database_lives.hpp - which database an id means, at each moment of a log.
//
// An id is given anew with each attach, and a file may leave and come back in the stretch of log
// that a restore replays: records are mapped by id and LSN to a uuid, never by id alone. A file that
// comes back must be the one that left: attach names the moment at which the file was last clean,
// and so does the detach before it.
// Threads  one owner.
// Source   backup rules R32 and R34.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

class database_lives {
public:
    struct life {
        uuid database{};
        std::uint64_t nonce{};
        database_id id{}; // of now, or of its last life
        bool attached{};
        lsn created{};        // its db_create, if that was seen
        lsn consistent_lsn{}; // of its last detach, if that was seen
    };

    // Every record, in log order. Errors: history_break (at: the attach), out_of_memory.
    [[nodiscard]] result<void> see(log_record const& record) noexcept {
        if (auto const* list = record.as<record::attach_list>()) return see_list(*list);
        if (auto const* made = record.as<record::db_create>()) {
            BOOST_OUTCOME_TRY(auto* const one, find_or_add(made->id));
            *one = {made->id, made->nonce, record.header.database, true, record.at, no_lsn};
        } else if (auto const* joined = record.as<record::attach>()) {
            auto const* const before = find(joined->id);
            auto const gap = before != nullptr &&
                             (before->attached || before->consistent_lsn != joined->consistent_lsn);
            if (gap)
                return error{
                    .code = errc::history_break,
                    .database = record.header.database.value,
                    .file = file_kind::database,
                    .at = record.at
                };
            BOOST_OUTCOME_TRY(auto* const one, find_or_add(joined->id));
            *one = {joined->id, joined->nonce, record.header.database, true, one->created, no_lsn};
        } else if (auto const* left = record.as<record::detach>()) {
            BOOST_OUTCOME_TRY(auto* const one, find_or_add(left->id));
            one->attached = false;
            one->consistent_lsn = left->consistent_lsn;
        }
        return ok();
    }

    // Null: nobody is called so now.
    [[nodiscard]] life const* attached_as(database_id id) const noexcept {
        for (auto const& one : lives_)
            if (one.attached && one.id == id) return &one;
        return nullptr;
    }
    // Which of `databases` is called so now. Null: none; it is not restored.
    template <class Databases>
    [[nodiscard]] auto find_in(Databases& databases, database_id id) const noexcept
        -> decltype(&databases[0]) {
        auto const* const named = attached_as(id);
        if (named == nullptr) return nullptr;
        for (auto& known : databases)
            if (known.file != nullptr && known.id == named->database) return &known;
        return nullptr;
    }
    // Null: it was never met.
    [[nodiscard]] life const* find(uuid const& database) const noexcept {
        for (auto const& one : lives_)
            if (one.database == database) return &one;
        return nullptr;
    }

private:
    [[nodiscard]] result<life*> find_or_add(uuid const& database) noexcept {
        for (auto& one : lives_)
            if (one.database == database) return &one;
        if (!lives_.push_back({.database = database})) return error{.code = errc::out_of_memory};
        return &lives_[lives_.size() - 1];
    }
    // What a segment begins with is the truth, also where a crash cut the record that said so.
    [[nodiscard]] result<void> see_list(record::attach_list const& list) noexcept {
        for (auto& one : lives_) one.attached = false;
        auto outcome = result<void>{ok()};
        list.for_each([&](attach_entry const& entry) noexcept {
            if (!outcome) return;
            auto const added = find_or_add(entry.id);
            if (!added) {
                outcome = added.error();
                return;
            }
            auto& one = *added.assume_value();
            one.nonce = entry.nonce;
            one.id = entry.database;
            one.attached = true;
        });
        return outcome;
    }

    array_list<life> lives_;
};

} // namespace jetpp::inline v1
