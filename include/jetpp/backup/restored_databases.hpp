// jetpp/backup/restored_databases.hpp - lays databases down: a base, deltas over it, a header.
//
// Which databases, and under which names, is what the log says of the target's moment: one that was
// dropped or detached by then is left out, one that was created in the log begins empty, one that
// was attached and is in no set is an error. While the files are laid their state is `restoring`;
// adopt() makes them ones that crashed at the target, on the new timeline.
// Threads  one owner.
// Owns     the file that is being written.
// Source   backup rules R34, R37, R38, R42, R43, R68.
#pragma once

#include <jetpp/backup/database_walker.hpp>
#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/attached_database.hpp>
#include <jetpp/recovery/database_lives.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// One database that a restore brings back.
struct restored_database {
    struct layer {
        std::size_t set{};   // among the plan's sets
        std::size_t place{}; // in its manifest
    };
    logged_database logged{};
    lsn created{};             // in the log that is replayed: no pages are needed
    std::vector<layer> layers; // the base first
};

// `proved`: of the set that is proved, if none is restored: it may have been asked to carry some
// databases of several, and answers for those alone.
// Errors: database_not_in_sets (database, at: where it was attached), set_mixed (a delta whose base
// lacks the database), history_break (one of the set was never attached), not_found (one of `only` is
// nobody's name), unsafe_name (two of one name: a directory has room for one), out_of_memory.
[[nodiscard]] inline result<std::vector<restored_database>> choose_databases(
    log_analysis const& analysis,
    database_lives const& lives,
    std::span<planned_set const> sets,
    restore_plan const& plan,
    std::span<std::string const> only,
    backup_manifest const* proved = nullptr
) noexcept {
    return guarded([&]() -> result<std::vector<restored_database>> {
        auto const about = [](logged_database const& logged, errc code) {
            return error{
                .code = code,
                .database = logged.id.value,
                .file = file_kind::database,
                .at = logged.attach_lsn
            };
        };
        auto const place_in = [&](std::size_t set, uuid const& id) {
            auto const& all = sets[set].manifest->databases;
            auto place = std::size_t{0};
            while (place < all.size() && all[place].id != id) ++place;
            return place;
        };
        auto chosen = std::vector<restored_database>{};
        auto found = std::size_t{0};
        for (auto const& logged : analysis.databases()) {
            auto const asked = std::count(only.begin(), only.end(), logged.name.view());
            if (asked == 0 && !only.empty()) continue;
            found += static_cast<std::size_t>(asked);
            for (auto const& other : chosen)
                if (other.logged.name == logged.name) return about(logged, errc::unsafe_name);
            auto one = restored_database{.logged = logged, .created = {}, .layers = {}};
            for (auto i = plan.pages.size(); i-- > 0;) {
                auto const set = plan.pages[i];
                auto const place = place_in(set, logged.database);
                auto const& all = sets[set].manifest->databases;
                if (place == all.size()) {
                    if (!one.layers.empty()) return about(logged, errc::set_mixed);
                    break;
                }
                one.layers.push_back({set, place});
                if (!all[place].delta) break;
                if (i == 0) return about(logged, errc::set_mixed);
            }
            std::reverse(one.layers.begin(), one.layers.end());
            if (one.layers.empty()) {
                auto const* const life = lives.find(logged.database);
                if (life == nullptr || !life->created) {
                    if (proved != nullptr && !proved->has_database(logged.database)) continue;
                    return about(logged, errc::database_not_in_sets);
                }
                one.created = life->created;
            }
            chosen.push_back(std::move(one));
        }
        if (found != only.size())
            return error{.code = errc::not_found, .file = file_kind::database};
        for (auto const& one : sets[plan.last_pages()].manifest->databases)
            if (lives.find(one.id) == nullptr)
                return error{
                    .code = errc::history_break,
                    .database = one.place.value,
                    .file = file_kind::database,
                    .at = plan.limit
                };
        return chosen;
    });
}

template <class Traits>
class restored_file {
    using env = typename Traits::env;
    using directory = typename env::directory;
    static constexpr std::size_t page_size = Traits::page_size;

public:
    using progress = std::function<result<void>(std::uint64_t)>;

    // `into`: null lays nothing down. Lifetime: directory and callback outlive it.
    // Errors: out_of_memory.
    [[nodiscard]] static result<restored_file> create(
        env environment, directory* into, progress const& on_read
    ) noexcept {
        BOOST_OUTCOME_TRY(auto out, appended_file<env>::create(environment));
        BOOST_OUTCOME_TRY(auto area, aligned_buffer::create(database_header_area_bytes));
        auto made = restored_file{environment, into, on_read, std::move(out)};
        made.area_ = std::move(area);
        return made;
    }

    // Before each layer's walk. `pages`: of the file in that layer.
    void begin(restored_database const& database, std::uint64_t pages, bool is_base) noexcept {
        name_ = database.logged.name;
        nonce_ = database.logged.nonce;
        bytes_ = pages * page_size;
        is_base_ = is_base;
    }

    // ---- as visitor

    [[nodiscard]] result<void> begin_database(database_header const& frozen) {
        if (frozen.nonce != nonce_) return error{.code = errc::set_mixed}.with_database(frozen.id);
        header_ = frozen;
        header_.state = database_state::restoring;
        if (into_ == nullptr) return ok();
        encode_area();
        if (is_base_) {
            BOOST_OUTCOME_TRY(out_.open(*into_, name_, bytes_));
            return out_.append(area_.all());
        }
        BOOST_OUTCOME_TRY(auto file, into_->open(name_, {.mode = open_mode::read_write}));
        file_.emplace(std::move(file));
        BOOST_OUTCOME_TRY(auto const size, file_->size());
        if (size < bytes_) {
            BOOST_OUTCOME_TRY(file_->allocate(0, bytes_));
        }
        return write_full(*file_, area_.all(), 0);
    }
    [[nodiscard]] result<void> database_bytes(std::uint64_t at, const_bytes image) {
        if (into_ == nullptr) return ok();
        return is_base_ ? out_.append(image) : write_full(*file_, image, at);
    }
    [[nodiscard]] result<void> end_database(copy_trailer const& trailer) {
        copy_end_ = trailer.copy_end_lsn;
        if (into_ == nullptr) return ok();
        if (is_base_) return out_.close();
        BOOST_OUTCOME_TRY(auto const size, file_->size());
        if (size != bytes_) {
            BOOST_OUTCOME_TRY(file_->truncate(bytes_));
        }
        BOOST_OUTCOME_TRY(file_->sync(sync_how::full));
        auto closed = file_->close();
        file_.reset();
        return closed;
    }
    [[nodiscard]] result<void> read(std::uint64_t count) {
        return *on_read_ ? (*on_read_)(count) : result<void>{ok()};
    }

    // ---- after the last layer

    struct fork_of_file {
        timeline_id timeline{};
        timeline_id parent{};
        lsn fork_lsn{};
        lsn log_start{}; // of the plan's pages
        uuid set{};      // that the restore is told to be from
        lsn limit{};
        bool forks = true; // false: the file goes on in the live log, with its marks
    };
    // The file becomes one that crashed at the target. The journal stands for both copies: while it
    // is there no crash leaves anything that is read.
    [[nodiscard]] result<void> adopt(
        restored_database const& database, fork_of_file const& how
    ) noexcept {
        auto& h = header_;
        h.id = database.logged.id;
        if (how.forks) {
            h.fork(how.timeline, how.fork_lsn);
            h.clear_marks();
            h.restored_from = how.set;
            h.restore_point = how.limit;
        }
        h.state = database_state::dirty;
        h.source_set = {};
        h.min_required_lsn = how.log_start;
        h.max_required_lsn = copy_end_;
        h.max_lsn = later(h.max_lsn, copy_end_);
        if (into_ == nullptr) return ok();
        return rewrite(database.logged.name);
    }

    // One that the log creates: an empty file, and all its life is redone.
    [[nodiscard]] result<void> make(
        restored_database const& database, uuid const& instance, fork_of_file const& how
    ) noexcept {
        auto const& logged = database.logged;
        if (into_ == nullptr) return ok();
        header_ = {};
        auto& h = header_;
        h.page_size = static_cast<std::uint32_t>(page_size);
        h.checksum_id = Traits::checksum::id;
        h.state = database_state::dirty;
        h.database = logged.database;
        h.instance = instance;
        h.nonce = logged.nonce;
        h.id = logged.id;
        h.attach_lsn = logged.attach_lsn;
        h.timeline = how.forks ? how.parent : how.timeline;
        h.created_at = env_.runtime.wall();
        h.pages_hint = initial_database_pages<Traits>;
        h.set_writer("jetpp 1");
        if (how.forks) {
            h.fork(how.timeline, how.fork_lsn);
            h.restored_from = how.set;
            h.restore_point = how.limit;
        }
        h.min_required_lsn = database.created;
        BOOST_OUTCOME_TRY(
            auto file,
            paged_file<Traits>::create(env_, *into_, logged.name, h, initial_database_pages<Traits>)
        );
        return file->close();
    }

private:
    restored_file(
        env environment, directory* into, progress const& on_read, appended_file<env> out
    ) noexcept
        : env_{environment}, into_{into}, on_read_{&on_read}, out_{std::move(out)} {}

    // Both copies, of rising sequence.
    void encode_area() noexcept {
        std::memset(area_.data(), 0, area_.size());
        for (auto const copy : {header_copy::a, header_copy::b}) {
            ++header_.sequence;
            header_.encode(
                area_.part(static_cast<std::size_t>(offset_of(copy)), database_header::size)
            );
        }
    }
    [[nodiscard]] result<void> rewrite(file_name const& name) noexcept {
        auto const here = [](error const& e) { return e.with_file(file_kind::database); };
        encode_area();
        auto file = into_->open(name, {.mode = open_mode::read_write});
        if (!file) return here(file.error());
        if (auto done = write_full(file.assume_value(), area_.all(), 0); !done)
            return here(done.error());
        if (auto done = file.assume_value().sync(sync_how::data); !done) return here(done.error());
        return file.assume_value().close();
    }

    [[no_unique_address]] env env_;
    directory* into_;
    progress const* on_read_;
    appended_file<env> out_;
    std::optional<typename env::file> file_; // of a layer over the base
    aligned_buffer area_;
    file_name name_{};
    std::uint64_t nonce_ = 0;
    std::uint64_t bytes_ = 0;
    bool is_base_ = true;
    database_header header_{};
    lsn copy_end_{};
};

} // namespace jetpp::inline v1
