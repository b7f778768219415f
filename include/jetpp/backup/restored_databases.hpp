// jetpp/backup/restored_databases.hpp - lays databases down: a base, deltas over it, a header.
//
// Which databases, and under which names, is what the log says of the target's moment: one that was
// dropped or detached by then is left out, one that was created in the log begins empty, one that
// was attached and is in no set is an error, unless it is exempt from backups. While the files are
// laid their state is `restoring`; adopt() makes them ones that crashed at the target, on the new
// timeline.
// A file that is there already may be laid over: its header says `restoring`, durably, before another
// byte of it changes; then, from the newest layer down to the base, each page that differs is
// written, and no other.
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
#include <jetpp/env/large_buffer.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/timeline_ancestry.hpp>
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

// `left_out`: takes the names of those that the newest pages were taken without on purpose: exempt
// from backups, not asked for by name, and not covered again by then: no set younger than those
// pages, be it damaged, tells of them at the target's moment. Null: such a one is an error as any
// other.
// `proved`: of the set that is proved, if none is restored: it may have been asked to carry some
// databases of several, and answers for those alone.
// Errors: database_not_in_sets (database, at: where it was attached), set_mixed (a delta whose base
// lacks the database), history_break (one of the set was never attached), not_found (one of `only` is
// nobody's name), unsafe_name (two of one name: a directory has room for one; or one of the instance's
// own files), out_of_memory.
[[nodiscard]] inline result<std::vector<restored_database>> choose_databases(
    log_analysis const& analysis,
    database_lives const& lives,
    std::span<planned_set const> sets,
    restore_plan const& plan,
    std::span<std::string const> only,
    std::vector<std::string>* left_out = nullptr,
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
        auto const is_left_out = [&](uuid const& id) {
            auto const& pages = *sets[plan.last_pages()].manifest;
            if (left_out == nullptr || !only.empty() || !pages.has_exempt(id)) return false;
            auto const& head = *sets[plan.head].manifest;
            auto const line = lineage::of(head);
            for (auto const& [m, hash, usable, wanted] : sets) {
                auto const from = m->has_pages() ? m->copy_end_lsn : m->log_start;
                if (m->instance == head.instance && line.find(m->timeline) &&
                    m->end_lsn > pages.end_lsn && from <= plan.limit && m->has_database(id))
                    return false;
            }
            return true;
        };
        auto chosen = std::vector<restored_database>{};
        auto found = std::size_t{0};
        for (auto const& logged : analysis.databases()) {
            auto const asked = std::count(only.begin(), only.end(), logged.name.view());
            if (asked == 0 && !only.empty()) continue;
            found += static_cast<std::size_t>(asked);
            // No engine made such a name: a file of the instance shall not be laid over.
            if (!database_file_name(logged.name.view())) return about(logged, errc::unsafe_name);
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
                    if (is_left_out(logged.database)) {
                        left_out->emplace_back(logged.name.view());
                        continue;
                    }
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
        over_ = false;
    }
    // The same of a file that is laid over: the newest layer first. Takes a bit of memory for each
    // page. Throws: bad_alloc.
    void begin_over(restored_database const& database, std::uint64_t pages, bool is_newest) {
        begin(database, pages, false);
        over_ = true;
        is_newest_ = is_newest;
        if (!is_newest) return;
        given_.assign(static_cast<std::size_t>(pages), false);
    }
    // Pages of files that were laid over.
    [[nodiscard]] std::uint64_t written_pages() const noexcept { return written_; }
    [[nodiscard]] std::uint64_t equal_pages() const noexcept { return equal_; }

    // ---- as visitor

    [[nodiscard]] result<void> begin_database(database_header const& frozen) {
        if (frozen.nonce != nonce_) return error{.code = errc::set_mixed}.with_database(frozen.id);
        if (over_ && !is_newest_) return ok(); // the file is open, and its header is the newest's
        header_ = frozen;
        header_.state = database_state::restoring;
        if (into_ == nullptr) return ok();
        return of_target(over_ ? open_over() : open_new());
    }
    [[nodiscard]] result<void> database_bytes(std::uint64_t at, const_bytes image) {
        if (into_ == nullptr) return ok();
        if (over_) return of_target(lay_over(at, image));
        return of_target(is_base_ ? out_.append(image) : write_full(*file_, image, at));
    }
    [[nodiscard]] result<void> end_database(copy_trailer const& trailer) {
        if (over_ && !is_newest_) return ok();
        copy_end_ = trailer.copy_end_lsn;
        if (into_ == nullptr || over_) return ok();
        return of_target(is_base_ ? out_.close() : close_layer());
    }
    [[nodiscard]] result<void> read(std::uint64_t count) {
        return *on_read_ ? (*on_read_)(count) : result<void>{ok()};
    }

    // ---- after the last layer

    // Of a file that is laid over: what it has too many is cut, all of it is durable.
    [[nodiscard]] result<void> end_over() noexcept {
        auto const bytes_in_all = std::uint64_t{given_.size()} * page_size;
        auto const page = there_.part(0, page_size);
        for (auto i = database_header_area_bytes / page_size; i < given_.size(); ++i) {
            if (given_[i]) continue; // else it is free, in all layers
            auto const got = read_up_to(*file_, page, i * page_size);
            if (got && all_zero(const_bytes{page}.first(got.assume_value()))) continue;
            std::memset(page.data(), 0, page_size);
            BOOST_OUTCOME_TRY(write_full(*file_, page, i * page_size));
            ++written_;
        }
        BOOST_OUTCOME_TRY(auto const size, file_->size());
        if (size != bytes_in_all) {
            BOOST_OUTCOME_TRY(file_->truncate(bytes_in_all));
        }
        BOOST_OUTCOME_TRY(file_->sync(sync_how::full));
        auto closed = file_->close();
        file_.reset();
        return closed;
    }

    struct fork_of_file {
        timeline_ancestry line{}; // of the timeline that the file goes on with
        lsn log_start{};          // of the plan's pages
        uuid set{};               // that the restore is told to be from
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
            // Its own newest fork may lie below those that the log led over since.
            follow(h, how.line);
            h.clear_marks();
            h.restored_from = how.set;
            h.restore_point = how.limit;
        }
        // What was said of it since is not in the set; to take it once too often does no harm.
        h.set_backup_exempt(false);
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
        follow(h, how.line);
        h.created_at = env_.runtime.wall();
        h.pages_hint = initial_database_pages<Traits>;
        h.set_writer("jetpp 1");
        if (how.forks) {
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

    // The base makes the file; a layer over it goes into it.
    [[nodiscard]] result<void> open_new() noexcept {
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
    [[nodiscard]] result<void> close_layer() noexcept {
        BOOST_OUTCOME_TRY(auto const size, file_->size());
        if (size != bytes_) {
            BOOST_OUTCOME_TRY(file_->truncate(bytes_));
        }
        BOOST_OUTCOME_TRY(file_->sync(sync_how::full));
        auto closed = file_->close();
        file_.reset();
        return closed;
    }

    // The header's state is durable before the first page changes. One copy after the other, that
    // which does not count first: at any moment one of them can be read.
    [[nodiscard]] result<void> open_over() noexcept {
        BOOST_OUTCOME_TRY(auto file, into_->open(name_, {.mode = open_mode::read_write}));
        file_.emplace(std::move(file));
        std::memset(area_.data(), 0, area_.size());
        BOOST_OUTCOME_TRY(read_up_to(*file_, area_.all(), 0));
        auto const copy_at = [&](header_copy copy) {
            return area_.part(static_cast<std::size_t>(offset_of(copy)), database_header::size);
        };
        auto second = header_copy::a;
        if (auto const old = newest_of(copy_at(header_copy::a), copy_at(header_copy::b)); old) {
            auto const& known = old.assume_value();
            header_.sequence = std::max(header_.sequence, known.header.sequence);
            second = known.from;
        }
        for (auto const copy : {other(second), second}) {
            ++header_.sequence;
            header_.encode(copy_at(copy));
            BOOST_OUTCOME_TRY(write_full(*file_, copy_at(copy), offset_of(copy)));
            BOOST_OUTCOME_TRY(file_->sync(sync_how::full));
        }
        if (there_.size() == 0) {
            BOOST_OUTCOME_TRY(there_, create_large_buffer(std::size_t{512} << 10));
        }
        BOOST_OUTCOME_TRY(auto const size, file_->size());
        if (size >= bytes_) return ok();
        return file_->allocate(0, bytes_);
    }
    [[nodiscard]] result<void> lay_over(std::uint64_t at, const_bytes image) noexcept {
        while (!image.empty()) {
            auto const n = std::min(image.size(), there_.size());
            auto const there = there_.part(0, n);
            auto const got = read_up_to(*file_, there, at);
            if (got) {
                std::memset(there.data() + got.assume_value(), 0, n - got.assume_value());
            } else { // what the device does not give back is not what it should be
                for (auto i = std::size_t{0}; i < n; i += page_size) there[i] = ~image[i];
            }
            BOOST_OUTCOME_TRY(lay_piece(at, image.first(n), there));
            at += n;
            image = image.subspan(n);
        }
        return ok();
    }
    [[nodiscard]] result<void> lay_piece(
        std::uint64_t at, const_bytes image, const_bytes there
    ) noexcept {
        auto const first = static_cast<std::size_t>(at / page_size);
        auto const count = image.size() / page_size;
        auto const page = [](const_bytes of, std::size_t i) {
            return of.subspan(i * page_size, page_size);
        };
        // Above the newest layer's end nothing counts; what a newer layer gave, an older one does not.
        auto const differs = [&](std::size_t i) {
            auto const number = first + i;
            if (number >= given_.size() || given_[number]) return false;
            return std::memcmp(page(image, i).data(), page(there, i).data(), page_size) != 0;
        };
        for (auto i = std::size_t{0}; i < count;) {
            auto const begin = i;
            while (i < count && differs(i)) ++i;
            if (i != begin) {
                auto const run = image.subspan(begin * page_size, (i - begin) * page_size);
                BOOST_OUTCOME_TRY(write_full(*file_, run, at + begin * page_size));
                written_ += i - begin;
            } else {
                if (first + i < given_.size() && !given_[first + i]) ++equal_;
                ++i;
            }
        }
        for (auto i = std::size_t{0}; i < count; ++i)
            if (first + i < given_.size()) given_[first + i] = true;
        return ok();
    }

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
    bool over_ = false;       // a file that is there is laid over
    bool is_newest_ = false;  // of its layers
    std::vector<bool> given_; // of its pages: by this layer or a newer one
    aligned_buffer there_;    // what stands in it
    std::uint64_t written_ = 0;
    std::uint64_t equal_ = 0;
    database_header header_{};
    lsn copy_end_{};
};

} // namespace jetpp::inline v1
