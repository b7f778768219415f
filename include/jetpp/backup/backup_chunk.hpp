// jetpp/backup/backup_chunk.hpp - what travels from the reader of a backup to its writer.
//
// Up to 1 MiB of one file's image, proved, with everything the writer needs to know of it.
// Threads  one owner at a time.
// Owns     its buffer.
#pragma once

#include <jetpp/backup/backup_planner.hpp>
#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_buffer.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

struct chunk_run {
    std::uint64_t first{}; // page numbers or LSNs
    std::uint64_t end{};
    std::size_t offset{}; // in the buffer
    std::size_t bytes{};
    presence_bits presence{};
};

struct backup_chunk {
    aligned_buffer memory;
    backup_step step{};
    stream_about about{};
    std::array<chunk_run, 2> runs{};
    std::size_t run_count = 0;

    // Errors: out_of_memory.
    [[nodiscard]] static result<backup_chunk> create() noexcept {
        auto made = backup_chunk{};
        BOOST_OUTCOME_TRY(
            made.memory, create_large_buffer(static_cast<std::size_t>(chunk_bytes_max))
        );
        return made;
    }
    [[nodiscard]] std::span<chunk_run const> all() const noexcept {
        return {runs.data(), run_count};
    }
    [[nodiscard]] const_bytes raw(chunk_run const& run) const noexcept {
        return memory.all().subspan(run.offset, run.bytes);
    }
};

} // namespace jetpp::inline v1
