// jetpp/backup/set_part.hpp - one part of a set, opened, read and compared with its manifest.
//
// What next() hands out is proved by part_reader; that the part as a whole is the one the manifest
// names is known when next() has returned nothing.
// Threads  one owner.
// Owns     the files and the reader.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/set_copies.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

// What was read of sets.
struct set_tally {
    std::uint64_t parts{};
    std::uint64_t frames{};
    std::uint64_t pages{}; // verified; free pages that are zero are not counted
    std::uint64_t records{};
    std::uint64_t bytes{}; // of the parts
};

template <any_environment Env>
class set_part {
public:
    using reader_type = part_reader<part_copies<Env>>;

    // `file`: the ordinal its frames must bear. Lifetime: manifest and part outlive it.
    // Errors: not_found and the others of storage, those of part_reader; set_mixed.
    [[nodiscard]] static result<set_part> open(
        set_copies<Env> const& set,
        backup_manifest const& manifest,
        manifest_part const& part,
        std::size_t file,
        set_access const& access
    ) noexcept {
        auto opened = part_copies<Env>::open(set, part);
        if (!opened)
            return error{
                .code = opened.error().code,
                .os_errno = opened.error().os_errno,
                .page = page_number{part.number},
                .file = file_kind::backup_part
            };
        auto made = set_part{};
        made.part_ = &part;
        made.input_.reset(new (std::nothrow) part_copies<Env>{std::move(opened).assume_value()});
        if (made.input_ == nullptr) return error{.code = errc::out_of_memory};
        BOOST_OUTCOME_TRY(
            auto reader,
            reader_type::open(
                *made.input_,
                {.set = manifest.set, .part = part.number, .file = static_cast<std::uint16_t>(file)
                },
                access
            )
        );
        if (reader.about().content != part.content)
            return frame_error(errc::set_mixed, part.number, 0);
        made.reader_.emplace(std::move(reader));
        return made;
    }

    [[nodiscard]] reader_type const& reader() const noexcept { return *reader_; }

    // The next run; nothing when the part was read and is the one of the manifest.
    // `progress`: its read(bytes) is told. Errors: those of part_reader, set_damaged, of progress.
    template <class Progress>
    [[nodiscard]] result<std::optional<part_run>> next(Progress& progress, set_tally& tally) {
        auto const before = reader_->read_bytes();
        BOOST_OUTCOME_TRY(auto const run, reader_->next());
        BOOST_OUTCOME_TRY(progress.read(reader_->read_bytes() - before));
        if (run) return run;
        if (reader_->summary() != part_->summary)
            return frame_error(errc::set_damaged, part_->number, reader_->sequence());
        ++tally.parts;
        tally.frames += part_->summary.frames;
        tally.bytes += part_->summary.bytes;
        return run;
    }

private:
    set_part() noexcept = default;

    manifest_part const* part_ = nullptr;
    std::unique_ptr<part_copies<Env>> input_; // where it is, the reader points
    std::optional<reader_type> reader_;
};

} // namespace jetpp::inline v1
