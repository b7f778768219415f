// jetpp/simulation/crash_image.hpp - makes the disk of the next life out of a crashed one.
//
// The units of a crash are listed in the order of their calls, each gets a fate, and the units that
// are kept are laid over what was durable, in that order. A policy is nothing but a way to draw the
// fates.
// Threads  one.
#pragma once

#include <jetpp/simulation/choice_tape.hpp>
#include <jetpp/simulation/crash_policy.hpp>
#include <jetpp/simulation/disk_state.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace jetpp::inline v1::detail {

enum class unit_fate : std::uint8_t { lost, kept, garbage };

class crash_image {
public:
    crash_image(disk_state& disk, std::uint32_t sector_bytes) : disk_{&disk} {
        for (auto& [id, node] : disk.nodes()) {
            for (auto& op : node.pending) add(id, node, op, sector_bytes);
            for (auto& op : node.pending_entries) add(id, node, op);
        }
        std::sort(units_.begin(), units_.end(), [](unit const& a, unit const& b) {
            return std::pair{a.shown.sequence, a.shown.offset} <
                   std::pair{b.shown.sequence, b.shown.offset};
        });
    }

    [[nodiscard]] std::size_t size() const noexcept { return units_.size(); }
    [[nodiscard]] crash_unit const& operator[](std::size_t i) const { return units_[i].shown; }

    // Consumes the pending operations of the disk.
    void build(std::vector<unit_fate> const& fates, choice_tape& tape) {
        for (std::size_t i = 0; i < units_.size(); ++i)
            if (fates[i] != unit_fate::lost) apply(units_[i], fates[i], tape);
        for (auto& [id, node] : disk_->nodes()) {
            node.durable.clip();
            node.seen = node.durable;
            node.pending.clear();
            node.entries = node.durable_entries;
            node.pending_entries.clear();
            node.evicts = false;
        }
    }

    [[nodiscard]] std::vector<unit_fate> draw(crash_policy policy, choice_tape& tape) const {
        using enum crash_policy;
        using kind = crash_unit::kind_type;
        auto const count = units_.size();
        auto fates = std::vector<unit_fate>(count, unit_fate::lost);
        auto const keep_if = [&](auto&& keeps) {
            for (std::size_t i = 0; i < count; ++i)
                if (keeps(i)) fates[i] = unit_fate::kept;
        };
        auto const coin = [&](std::size_t) { return tape.chance(1, 2); };
        switch (policy) {
        case none: break;
        case all: keep_if([](std::size_t) { return true; }); break;
        case prefix: {
            auto const length = tape.pick(count + 1);
            keep_if([&](std::size_t i) { return i < length; });
            break;
        }
        case newest_first: {
            auto const length = tape.pick(count + 1);
            keep_if([&](std::size_t i) { return i + length >= count; });
            break;
        }
        case all_but_one:
        case only_one: {
            if (count == 0) break;
            auto const chosen = tape.pick(count);
            keep_if([&](std::size_t i) { return (i == chosen) == (policy == only_one); });
            break;
        }
        case random: keep_if(coin); break;
        case per_file_random: draw_per_file(fates, tape); break;
        case size_before_data:
            keep_if([&](std::size_t i) { return units_[i].shown.kind != kind::sector; });
            break;
        case data_before_size:
            keep_if([&](std::size_t i) { return units_[i].shown.kind != kind::size; });
            break;
        case names_first:
            keep_if([&](std::size_t i) { return units_[i].shown.kind == kind::name; });
            break;
        case names_last:
            keep_if([&](std::size_t i) { return units_[i].shown.kind != kind::name; });
            break;
        case garbage_in_flight: draw_garbage(fates, tape); break;
        case kill:
        case kill_then_power: ensure(false, "a kill loses no units"); break;
        }
        return fates;
    }

private:
    struct unit {
        crash_unit shown{};
        disk_node* node{};
        file_op const* file{};
        entry_op const* entry{};
        write_piece const* piece{};
        std::size_t from{}; // in the chunk
        std::size_t to{};
    };

    void add(node_id id, disk_node& node, file_op const& op, std::uint32_t sector_bytes) {
        auto made = unit{.node = &node, .file = &op};
        made.shown.in_flight = op.in_flight;
        made.shown.node = id;
        made.shown.sequence = op.sequence;
        if (op.is_size()) {
            made.shown.kind = crash_unit::kind_type::size;
            made.shown.offset = op.size_before;
            made.shown.length = op.size_after;
            units_.push_back(made);
        }
        for (auto const& piece : op.pieces) {
            made.piece = &piece;
            for (auto from = piece.from; from < piece.to; from = made.to) {
                made.from = from;
                made.to = std::min(piece.to, from - from % sector_bytes + sector_bytes);
                made.shown.offset = piece.chunk * chunk_bytes + from;
                made.shown.length = made.to - made.from;
                units_.push_back(made);
            }
        }
    }
    void add(node_id id, disk_node& node, entry_op const& op) {
        auto made = unit{.node = &node, .entry = &op};
        made.shown.kind = crash_unit::kind_type::name;
        made.shown.in_flight = op.in_flight;
        made.shown.node = id;
        made.shown.sequence = op.sequence;
        units_.push_back(made);
    }

    static void apply(unit const& each, unit_fate fate, choice_tape& tape) {
        if (each.entry != nullptr) return each.entry->apply(each.node->durable_entries);
        if (each.piece == nullptr) return each.file->apply_size(each.node->durable);
        auto& chunk = each.node->durable.own_chunk(each.piece->chunk);
        if (fate == unit_fate::kept) return chunk.copy(each.piece->after, each.from, each.to);
        auto const salt = tape.entropy();
        for (auto at = each.from; at < each.to; ++at)
            chunk.flip(at, static_cast<std::byte>(salt >> (at % 57) | (at % 7 == 0 ? 1u : 0u)));
    }

    void draw_per_file(std::vector<unit_fate>& fates, choice_tape& tape) const {
        struct plan {
            std::uint64_t how{};
            std::uint64_t left{};
        };
        auto counts = std::map<node_id, std::uint64_t>{};
        for (auto const& each : units_) ++counts[each.shown.node];
        auto plans = std::map<node_id, plan>{};
        for (auto const& [id, count] : counts) {
            auto const how = tape.pick(4);
            plans[id] = {.how = how, .left = how == 2 ? tape.pick(count + 1) : 0};
        }
        for (std::size_t i = 0; i < units_.size(); ++i) {
            auto& [how, left] = plans[units_[i].shown.node];
            auto const keeps =
                how == 1 || (how == 2 && left != 0) || (how == 3 && tape.chance(1, 2));
            if (how == 2 && left != 0) --left;
            if (keeps) fates[i] = unit_fate::kept;
        }
    }

    void draw_garbage(std::vector<unit_fate>& fates, choice_tape& tape) const {
        auto last = units_.size();
        auto found = false;
        for (std::size_t i = 0; i < units_.size(); ++i) {
            auto const torn =
                units_[i].shown.in_flight && units_[i].shown.kind == crash_unit::kind_type::sector;
            if (torn) last = i;
            auto const drawn = tape.pick(torn ? 3 : 2);
            fates[i] = static_cast<unit_fate>(drawn);
            found = found || fates[i] == unit_fate::garbage;
        }
        if (!found && last != units_.size()) fates[last] = unit_fate::garbage;
    }

    disk_state* disk_;
    std::vector<unit> units_;
};

} // namespace jetpp::inline v1::detail
