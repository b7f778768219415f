// jetpp/simulation/disk_node.hpp - a file or a directory of the simulated disk.
//
// A node is an identity; names are entries of directories and point to nodes. Each node knows two
// states: `durable`, what a power loss leaves, and `seen`, what a program reads. Between them lies
// the list of pending operations, in the order in which they happened.
// Invariants
//   * applying all pending operations to `durable` gives `seen`, but for the worlds in which a
//     failed sync dropped some (see sync_failure)
//   * a durable write cuts its bytes out of older pending writes: they can not come back over it
// Threads  one. Owns its bytes; copying a node copies pointers.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/env/storage.hpp>
#include <jetpp/simulation/file_content.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace jetpp::inline v1::detail {

using node_id = std::uint32_t; // 0 names nothing, 1 is the root directory

// What a write put into one chunk.
struct write_piece {
    std::size_t chunk{};
    std::size_t from{};
    std::size_t to{};
    content_chunk after{};
    content_chunk before{}; // of `seen`
    bool whole = true;      // after == before + the bytes of this piece

    void apply(file_content& content) const {
        auto& target = content.own_chunk(chunk);
        if (whole && target == before)
            target = after;
        else
            target.copy(after, from, to);
    }
};

struct file_op {
    enum class kind_type : std::uint8_t { write, size };
    kind_type kind{};
    bool in_flight{};
    std::uint64_t sequence{};
    std::uint64_t size_before{};
    std::uint64_t size_after{};
    std::vector<write_piece> pieces{};

    [[nodiscard]] bool is_size() const noexcept { return kind == kind_type::size; }
    void apply(file_content& content) const {
        if (is_size()) return apply_size(content);
        for (auto const& piece : pieces) piece.apply(content);
    }
    // A size that grew never shrinks what another operation made larger, and the other way round.
    void apply_size(file_content& content) const {
        if (size_after >= size_before)
            content.set_size(std::max(content.size(), size_after));
        else if (size_after < content.size())
            content.resize(size_after);
    }
};

struct entry_op {
    enum class kind_type : std::uint8_t { create, remove, rename };
    kind_type kind{};
    bool in_flight{};
    std::uint64_t sequence{};
    node_id node{};
    std::string name{};
    std::string to{};

    void apply(std::map<std::string, node_id, std::less<>>& entries) const {
        switch (kind) {
        case kind_type::create: entries[name] = node; break;
        case kind_type::remove: entries.erase(name); break;
        case kind_type::rename:
            if (auto const old = entries.find(name); old != entries.end() && old->second == node)
                entries.erase(old);
            entries[to] = node;
            break;
        }
    }
};

struct disk_node {
    using entry_map = std::map<std::string, node_id, std::less<>>;

    entry_kind kind = entry_kind::file;
    std::uint32_t open_count{};
    lock_holders locked{};
    std::string name{}; // the newest, for faults and traces
    // of a file
    file_content seen{};
    file_content durable{};
    std::vector<file_op> pending{};
    std::vector<std::pair<std::uint64_t, std::uint64_t>> unreadable{}; // ranges [from, to)
    bool evicts{}; // its cache will be dropped (sync_failure::keep_until_evict)
    // of a directory
    entry_map entries{};
    entry_map durable_entries{};
    std::vector<entry_op> pending_entries{};

    // Applies to `seen` and records as pending.
    void write(std::uint64_t& sequence, const_bytes data, std::uint64_t offset) {
        if (data.empty()) return;
        grow(sequence, offset + data.size());
        pending.push_back(make_write(++sequence, data, offset));
        for (auto const& piece : pending.back().pieces) seen.own_chunk(piece.chunk) = piece.after;
        heal(offset, data.size());
    }
    void grow(std::uint64_t& sequence, std::uint64_t size) {
        if (size > seen.size()) set_size(sequence, size);
    }
    void set_size(std::uint64_t& sequence, std::uint64_t size) {
        pending.push_back(make_size(++sequence, size));
        seen.resize(size);
    }
    // The operations alone, for a call that a crash caught in flight.
    [[nodiscard]] file_op make_size(std::uint64_t sequence, std::uint64_t size) const {
        return {
            .kind = file_op::kind_type::size,
            .sequence = sequence,
            .size_before = seen.size(),
            .size_after = size,
        };
    }
    [[nodiscard]] file_op make_write(std::uint64_t sequence, const_bytes data, std::uint64_t offset)
        const {
        auto op = file_op{.kind = file_op::kind_type::write, .sequence = sequence};
        op.pieces.reserve(data.size() / chunk_bytes + 2);
        file_content::for_each_part(
            offset,
            data.size(),
            [&](std::size_t index, std::size_t from, std::size_t n) {
                auto const& before = seen.chunk(index);
                op.pieces.push_back(
                    {.chunk = index, .from = from, .to = from + n, .after = before, .before = before
                    }
                );
                op.pieces.back().after.write(data.first(n), from);
                data = data.subspan(n);
            }
        );
        return op;
    }

    // What a sync that began when `sequence` was the newest promises.
    void make_durable(std::uint64_t sequence) {
        auto const kept = std::find_if(pending.begin(), pending.end(), [&](file_op const& op) {
            return op.sequence > sequence;
        });
        for (auto op = pending.begin(); op != kept; ++op) op->apply(durable);
        pending.erase(pending.begin(), kept);
    }
    // What a durable write promises when it is the newest operation: its bytes, and a size that
    // covers them; older writes of the same bytes are over.
    void make_newest_durable() {
        auto const newest = std::move(pending.back());
        pending.pop_back();
        if (newest.pieces.empty()) return;
        auto const& last = newest.pieces.back();
        auto const end = std::uint64_t{last.chunk} * chunk_bytes + last.to;
        auto const shrinks_to = [](std::uint64_t limit) {
            return [limit](file_op const& op) {
                return op.is_size() && op.size_after < op.size_before && op.size_after < limit;
            };
        };
        // A truncation that came before must not take away what is promised now.
        if (std::any_of(pending.begin(), pending.end(), shrinks_to(end)))
            make_durable(newest.sequence);
        for (auto const& piece : newest.pieces) {
            for (auto& older : pending) cut(older, piece);
            piece.apply(durable);
        }
        if (end > durable.size()) durable.set_size(end);
        // Growth that has happened is no unit of a crash; after a truncation it still is one.
        auto const may_shrink =
            std::any_of(pending.begin(), pending.end(), shrinks_to(~std::uint64_t{0}));
        std::erase_if(pending, [&](file_op const& op) {
            if (!op.is_size()) return op.pieces.empty();
            return !may_shrink && op.size_after <= durable.size();
        });
    }
    void make_entries_durable(std::uint64_t sequence) {
        auto const kept =
            std::find_if(pending_entries.begin(), pending_entries.end(), [&](entry_op const& op) {
                return op.sequence > sequence;
            });
        for (auto op = pending_entries.begin(); op != kept; ++op) op->apply(durable_entries);
        pending_entries.erase(pending_entries.begin(), kept);
    }
    // The cache is dropped: what is seen is what the device has, and what is still pending.
    void evict() {
        seen = durable;
        for (auto const& op : pending) op.apply(seen);
        seen.clip();
        for (auto& op : pending)
            for (auto& piece : op.pieces) piece.whole = false;
        evicts = false;
    }

private:
    void heal(std::uint64_t offset, std::uint64_t length) {
        std::erase_if(unreadable, [&](auto const& range) {
            return range.first >= offset && range.second <= offset + length;
        });
    }
    static void cut(file_op& older, write_piece const& by) {
        for (std::size_t i = 0; i < older.pieces.size(); ++i) {
            auto& piece = older.pieces[i];
            if (piece.chunk != by.chunk || piece.to <= by.from || by.to <= piece.from) continue;
            piece.whole = false;
            auto right = piece;
            piece.to = std::max(piece.from, std::min(piece.to, by.from));
            right.from = std::min(right.to, std::max(right.from, by.to));
            if (right.from < right.to) older.pieces.push_back(std::move(right));
        }
        std::erase_if(older.pieces, [](auto const& piece) { return piece.from >= piece.to; });
    }
};

} // namespace jetpp::inline v1::detail
