// jetpp/backup/set_copies.hpp - one set that lies in several places, read as if it lay in one.
//
//     /repo     0 1 2 x 4 5 6      a part, frame by frame; x: damaged, or not there
//     /mirror   0 1 2 3 4 x        frame 3 is read here, all others there
// Copies of a set (the hashes of their manifests are equal) are the same bytes, so that a frame lies
// at the same place in each. It is taken from the first copy in which it is what its header and its
// hash say; what was wrong with it in those before is noted. That the whole part is the one of the
// manifest is proved behind its last frame, wherever its frames came from.
// Threads  one owner.
// Owns     of each copy that was asked: the open file of the part, and 1 MiB.
// Source   backup rules R12 and R46.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// Frames of a part that were of no use in one place.
struct bad_frames {
    std::string where; // directory of the set
    std::string part;  // name of the file
    std::uint64_t first{};
    std::uint64_t count{};
    error why{}; // of the first of them
};

// Adjoining frames become one entry; what was noted before is not noted again, unless much else was
// since. Throws: bad_alloc.
inline void note_bad_frames(std::vector<bad_frames>& all, bad_frames one) {
    constexpr auto looked_at = std::size_t{1024};
    auto const oldest = all.size() > looked_at ? all.size() - looked_at : std::size_t{0};
    for (auto i = all.size(); i-- > oldest;) {
        auto& known = all[i];
        if (known.where != one.where || known.part != one.part || one.first < known.first ||
            known.first + known.count < one.first)
            continue;
        auto const end = one.first + one.count;
        if (known.first + known.count < end) known.count = end - known.first;
        return;
    }
    all.push_back(std::move(one));
}

// Where one set lies. A view: of directories and names that outlive it.
template <any_environment Env>
class set_copies {
public:
    using directory = typename Env::directory;
    struct copy {
        directory* where{};
        std::string_view name; // as reports call it
    };

    // Of one place only, and nothing is noted.
    set_copies(directory& only) noexcept : first_{&only, {}} {}
    // `noted`: takes what was wrong in a copy; null: nobody wants to know.
    set_copies(directory& first, std::string_view name, std::vector<bad_frames>* noted) noexcept
        : first_{&first, name}, noted_{noted} {}

    // One more, to be asked after those before. Throws: bad_alloc.
    void add(directory& where, std::string_view name) { others_.push_back({&where, name}); }

    [[nodiscard]] std::size_t size() const noexcept { return 1 + others_.size(); }
    [[nodiscard]] copy const& operator[](std::size_t i) const noexcept {
        return i == 0 ? first_ : others_[i - 1];
    }
    // Throws: bad_alloc.
    void note(
        std::size_t i,
        std::string_view part,
        std::uint64_t first,
        std::uint64_t count,
        error const& why
    ) const {
        if (noted_ == nullptr) return;
        note_bad_frames(
            *noted_, {std::string{(*this)[i].name}, std::string{part}, first, count, why}
        );
    }

private:
    copy first_;
    std::vector<copy> others_;
    std::vector<bad_frames>* noted_ = nullptr;
};

// One part in all copies of its set: a source for part_reader that can be asked again.
template <any_environment Env>
class part_copies {
public:
    // Lifetime: the part of the manifest outlives it.
    // Errors: not_found and the others of storage, if no copy can be opened: those of the first.
    [[nodiscard]] static result<part_copies> open(
        set_copies<Env> const& from, manifest_part const& part
    ) noexcept {
        return guarded([&]() -> result<part_copies> {
            BOOST_OUTCOME_TRY(auto const name, file_name::make(part.name));
            auto made = part_copies{from, part, name};
            made.files_.resize(from.size());
            BOOST_OUTCOME_TRY(auto const found, made.ask_from(0, 0, 0));
            if (!found) return *made.first_problem_;
            return made;
        });
    }

    [[nodiscard]] result<std::size_t> read(bytes into) noexcept {
        auto got = files_[asked_].input->read(into);
        is_cut_ = got && got.assume_value() == 0 && !into.empty();
        return got;
    }
    // The frame that begins at byte `at` is no good where it was read. Returns: another copy can be
    // asked, and stands there. Errors: out_of_memory.
    [[nodiscard]] result<bool> turn(
        std::uint64_t frame, std::uint64_t at, error const& why
    ) noexcept {
        return guarded([&]() -> result<bool> {
            // Where a file has ended it holds none of the frames that follow, either.
            if (is_cut_) files_[asked_].is_gone = true;
            note(asked_, frame, is_cut_, why);
            is_cut_ = false;
            return ask_from(asked_ + 1, frame, at);
        });
    }
    // The frame before byte `at` was good. The next one is asked for where all are asked for first.
    void settle(std::uint64_t at) noexcept {
        is_cut_ = false;
        auto first = std::size_t{0};
        while (files_[first].is_gone) ++first; // at most up to the one that was good
        if (first == asked_) return;
        asked_ = first;
        files_[first].input->go_to(at);
    }

private:
    struct opened_file {
        std::optional<file_input<Env>> input;
        bool is_gone = false; // cannot be opened, or has ended
    };

    part_copies(set_copies<Env> const& from, manifest_part const& part, file_name const& name)
        : from_{from}, part_{&part}, name_{name} {}

    [[nodiscard]] result<bool> ask_from(std::size_t i, std::uint64_t frame, std::uint64_t at) {
        for (; i < files_.size(); ++i) {
            auto& one = files_[i];
            if (one.is_gone) continue;
            if (!one.input) {
                auto opened = file_input<Env>::open(*from_[i].where, name_);
                if (!opened) {
                    if (opened.error().code == errc::out_of_memory) return opened.error();
                    one.is_gone = true;
                    note(i, frame, true, opened.error());
                    if (!first_problem_) first_problem_ = opened.error();
                    continue;
                }
                one.input.emplace(std::move(opened).assume_value());
            }
            asked_ = i;
            one.input->go_to(at);
            return true;
        }
        return false;
    }
    void note(std::size_t i, std::uint64_t frame, bool and_all_behind, error const& why) const {
        auto const all = part_->summary.frames;
        auto const count = and_all_behind && all > frame ? all - frame : 1;
        from_.note(i, part_->name, frame, count, why);
    }

    set_copies<Env> from_;
    manifest_part const* part_;
    file_name name_;
    std::vector<opened_file> files_;
    std::size_t asked_ = 0;
    bool is_cut_ = false;                // the last read found the file's end
    std::optional<error> first_problem_; // of opening
};

} // namespace jetpp::inline v1
