// jetpp/engine/probe.hpp - what the files of a directory say of themselves, read without an engine.
//
//     BOOST_OUTCOME_TRY(auto const found, probe(env, directory));
//     found.page_size(), found.checksum_id(), found.is_clean() ...
//
// A program that must open directories of every page size asks here first and chooses the engine
// that fits. Nothing is written, nothing recovered, no lock taken: beside a running engine the facts
// are as of some moment. What cannot be believed is a fact too (a header_error), not a failure.
// Threads  one owner.
// Owns     the facts; not the directory.
#pragma once

#include <jetpp/buffer/double_write.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/log/log_directory.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/attached_database.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

// One header copy or checkpoint slot: what it says, or why it cannot be believed.
template <class Content>
struct probed_copy {
    std::optional<Content> content{};
    error why{};           // of a copy without content that is not empty
    bool is_empty = false; // all zero, or behind the end of the file
};

struct probed_database {
    file_name name{};
    std::uint64_t file_bytes{};
    std::array<probed_copy<database_header>, 2> copies{};
    std::optional<newest_header> newest{};
    error why{}; // of a database without a usable header
};

struct probed_directory {
    std::array<probed_copy<checkpoint_slot>, 2> slots{};
    bool has_checkpoint = false; // the file is there
    bool has_lock_file = false;
    bool is_restoring = false; // jet.restore is there
    std::uint32_t double_write_page_size = 0;
    array_list<log_segment> segments{}; // oldest first, headers read
    std::size_t spare_count = 0;
    array_list<probed_database> databases{};

    // No file of jetpp: an engine would create a new instance here.
    [[nodiscard]] bool is_new() const noexcept {
        return segments.empty() && databases.empty() && newest_slot() == nullptr;
    }
    // The valid slot with the larger sequence; null if none is valid.
    [[nodiscard]] checkpoint_slot const* newest_slot() const noexcept {
        auto const& [a, b] = slots;
        if (!b.content) return a.content ? &*a.content : nullptr;
        return a.content && a.content->sequence > b.content->sequence ? &*a.content : &*b.content;
    }
    // The newest segment whose header can be believed; null if there is none.
    [[nodiscard]] segment_header const* newest_segment() const noexcept {
        for (auto i = segments.size(); i-- > 0;)
            if (segments[i].is_sound()) return &segments[i].header;
        return nullptr;
    }
    // 0 if nothing tells. The checkpoint is asked first: it is what open() compares.
    [[nodiscard]] std::uint32_t page_size() const noexcept {
        if (auto const* slot = newest_slot(); slot != nullptr && slot->page_bytes != 0)
            return slot->page_bytes;
        for (auto const& one : databases)
            if (one.newest) return one.newest->header.page_size;
        return double_write_page_size;
    }
    // Nothing as long as no database was created.
    [[nodiscard]] std::optional<std::uint16_t> checksum_id() const noexcept {
        for (auto const& one : databases)
            if (one.newest) return one.newest->header.checksum_id;
        return std::nullopt;
    }
    [[nodiscard]] std::uint64_t segment_bytes() const noexcept {
        if (auto const* slot = newest_slot(); slot != nullptr) return slot->segment_bytes;
        auto const* const segment = newest_segment();
        return segment != nullptr ? segment->segment_bytes : 0;
    }
    [[nodiscard]] bool is_archival() const noexcept {
        auto const* const segment = newest_segment();
        return segment != nullptr && segment->mode == logging_mode::archival;
    }
    // Was it closed? Recovery asks more (that the log ends where the slot says).
    [[nodiscard]] bool is_clean() const noexcept {
        auto const* const slot = newest_slot();
        return slot != nullptr && slot->clean;
    }
    [[nodiscard]] probed_database const* find(std::string_view name) const noexcept {
        for (auto const& one : databases)
            if (one.name.view() == name) return &one;
        return nullptr;
    }
    [[nodiscard]] probed_database const* find(database_id id) const noexcept {
        for (auto const& one : databases)
            if (one.newest && one.newest->header.id == id) return &one;
        return nullptr;
    }
};

namespace detail {

template <any_environment Env>
class prober {
    using directory = typename Env::directory;

public:
    [[nodiscard]] static result<probed_directory> run(Env env, directory& where) noexcept {
        auto one = prober{};
        BOOST_OUTCOME_TRY(one.block_, aligned_buffer::create(2 * database_header::size));
        auto names = array_list<directory_entry>{};
        if (auto listed = where.list(names); !listed)
            return listed.error().with_file(file_kind::directory);
        for (auto const& entry : names) {
            if (entry.kind != entry_kind::file) continue;
            BOOST_OUTCOME_TRY(one.look_at(where, entry.name));
        }
        BOOST_OUTCOME_TRY(auto log, log_directory<Env>::list(env, where));
        BOOST_OUTCOME_TRY(log.read_from(where, 0));
        for (auto const& segment : log.segments())
            if (!one.found_.segments.push_back(segment)) return error{.code = errc::out_of_memory};
        one.found_.spare_count = log.spares().size();
        return std::move(one.found_);
    }

private:
    [[nodiscard]] result<void> look_at(directory& where, file_name const& name) noexcept {
        if (name == checkpoint_file_name) return read_checkpoint(where);
        if (name == double_write_file_name) return read_double_write(where);
        if (name.view() == "jet.lock") found_.has_lock_file = true;
        if (name.view() == "jet.restore") found_.is_restoring = true;
        if (database_file_name(name.view())) return read_database(where, name);
        return ok();
    }

    // Reads 4096 bytes; what lies behind the end of the file reads as zero.
    [[nodiscard]] result<const_bytes> block_at(
        typename Env::file& file, std::size_t half, std::uint64_t offset
    ) noexcept {
        auto const into = block_.part(half * database_header::size, database_header::size);
        BOOST_OUTCOME_TRY(auto const got, read_up_to(file, into, offset));
        std::memset(into.data() + got, 0, into.size() - got);
        return const_bytes{into};
    }
    template <class Content>
    static void keep(probed_copy<Content>& copy, const_bytes raw) noexcept {
        copy.is_empty = all_zero(raw);
        if (copy.is_empty) return;
        auto decoded = Content::decode(raw);
        if (decoded)
            copy.content = decoded.assume_value();
        else
            copy.why = decoded.assume_error();
    }

    [[nodiscard]] result<void> read_checkpoint(directory& where) noexcept {
        auto const here = [](error const& e) { return e.with_file(file_kind::checkpoint); };
        auto opened = where.open(checkpoint_file_name, {.mode = open_mode::read_only});
        if (!opened) return here(opened.error());
        found_.has_checkpoint = true;
        for (std::size_t i = 0; i < 2; ++i) {
            auto const raw = block_at(opened.assume_value(), i, i * checkpoint_slot::size);
            if (!raw) return here(raw.error());
            keep(found_.slots[i], raw.assume_value());
        }
        return ok();
    }

    [[nodiscard]] result<void> read_double_write(directory& where) noexcept {
        auto const here = [](error const& e) { return e.with_file(file_kind::double_write); };
        auto opened = where.open(double_write_file_name, {.mode = open_mode::read_only});
        if (!opened) return here(opened.error());
        auto const got = read_up_to(opened.assume_value(), block_.all(), 0);
        if (!got) return here(got.error());
        if (got.assume_value() != double_write_index::size) return ok();
        if (auto const index = double_write_index::read(block_.all()))
            found_.double_write_page_size = index.assume_value().page_size;
        return ok();
    }

    [[nodiscard]] result<void> read_database(directory& where, file_name const& name) noexcept {
        auto const here = [](error const& e) { return e.with_file(file_kind::database); };
        auto opened = where.open(name, {.mode = open_mode::read_only});
        if (!opened) return here(opened.error());
        auto& file = opened.assume_value();
        auto one = probed_database{.name = name};
        auto const size = file.size();
        if (!size) return here(size.error());
        one.file_bytes = size.assume_value();
        for (auto const copy : {header_copy::a, header_copy::b}) {
            auto const i = static_cast<std::size_t>(copy);
            auto const raw = block_at(file, i, offset_of(copy));
            if (!raw) return here(raw.error());
            keep(one.copies[i], raw.assume_value());
        }
        auto const newest = newest_of(
            block_.part(0, database_header::size),
            block_.part(database_header::size, database_header::size)
        );
        if (newest)
            one.newest = newest.assume_value();
        else if (newest.assume_error().code == errc::bad_magic)
            return ok(); // somebody else's file
        else
            one.why = here(newest.assume_error());
        if (!found_.databases.push_back(one)) return error{.code = errc::out_of_memory};
        return ok();
    }

    probed_directory found_{};
    aligned_buffer block_{};
};

} // namespace detail

// Errors: those of storage, out_of_memory. Damage is among the facts.
// Complexity: one or two reads of 4096 bytes for each file.
template <any_environment Env>
[[nodiscard]] result<probed_directory> probe(Env env, typename Env::directory& where) noexcept {
    return detail::prober<Env>::run(env, where);
}

} // namespace jetpp::inline v1
