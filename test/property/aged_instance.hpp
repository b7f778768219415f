// test/property/aged_instance.hpp - a small instance with a past, to be damaged and opened again.
//
// Two trees of a few dozen pages, filled by transactions of which each left a state that is known.
// The disk is kept as a value: every case starts from the same one, changes one thing in it, opens
// the engine, reads every row in both directions and checks all structure.
#pragma once

#include <jetpp/core/errc.hpp>
#include <jetpp/core/lsn.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace property {

enum class past : std::uint8_t {
    closed,  // cleanly: nothing to replay
    crashed, // lost its power: two segments to replay, a transaction to undo
    killed,  // the process died: the end of the log stands only in jet.ring
};

struct disk_change {
    enum class kind_type : std::uint8_t { none, flip, cut, zero_from };
    kind_type kind{};
    std::uint32_t file{}; // index into files()
    std::uint64_t offset{};
    std::byte mask{1};
};

enum class outcome : std::uint8_t {
    exact,    // the right rows, all of them
    repaired, // the same, and recovery says that it repaired a page
    shorter,  // an earlier commit, where the damage may have taken the later ones
    refused,  // an error that names damage and place
    vague,    // an error that does not
    wrong,    // rows that never were, or commits lost that nothing can have taken
    crashed,  // the program did not survive it
    hung,
};
inline constexpr std::size_t outcome_count = 8;
[[nodiscard]] constexpr std::string_view name_of(outcome o) noexcept {
    constexpr std::string_view names[outcome_count] = {
        "exact", "repaired", "shorter", "refused", "vague", "WRONG", "CRASHED", "HUNG"
    };
    return names[static_cast<std::size_t>(o)];
}

struct verdict {
    outcome what = outcome::crashed;
    jetpp::errc code{};
    bool page_in_use = false; // the byte lies in a page of a tree
    std::uint32_t commits_lost = 0;
    char text[160] = {};
};

struct aged_file {
    std::string name;
    std::uint64_t size{};
    std::uint64_t used{}; // behind the last byte that is not zero
};

class aged_instance {
public:
    aged_instance(past kind, std::uint64_t seed);
    ~aged_instance();

    [[nodiscard]] std::vector<aged_file> const& files() const noexcept;
    [[nodiscard]] static bool is_log(aged_file const& file) noexcept;
    [[nodiscard]] std::uint64_t commits() const noexcept;
    [[nodiscard]] std::uint64_t pages() const noexcept;
    [[nodiscard]] verdict open_with(disk_change const& change);

private:
    struct body;
    std::unique_ptr<body> body_;
};

} // namespace property
