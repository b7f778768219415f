// jetpp/simulation/detail/storage_bodies.hpp - the calls of the simulated storage seam.
//
// Included by simulated_storage.hpp only. Every call has the same shape: enter (which may end it),
// look at the disk as it is after others ran, apply, leave. Numbers in os_errno are Linux's.
// Threads  one.
#pragma once

#include <jetpp/simulation/simulated_storage.hpp>

namespace jetpp::inline v1 {
namespace detail {

inline constexpr error no_such_entry{.code = errc::not_found, .os_errno = 2};
inline constexpr error entry_exists{.code = errc::already_exists, .os_errno = 17};
inline constexpr error read_failed{.code = errc::io, .os_errno = 5};
inline constexpr error not_aligned{.code = errc::io, .os_errno = 22};
inline constexpr error quota_reached{.code = errc::disk_full, .os_errno = 28};
inline constexpr error read_only_handle{.code = errc::permission_denied, .os_errno = 9};
inline constexpr error is_a_directory{.code = errc::io, .os_errno = 21};
inline constexpr error not_a_directory{.code = errc::io, .os_errno = 20};
inline constexpr error not_a_file{.code = errc::permission_denied, .os_errno = 1};
inline constexpr error not_empty{.code = errc::io, .os_errno = 39};
inline constexpr error closed_handle{.code = errc::io, .os_errno = 9};

} // namespace detail

// Handles.

inline simulated_handle::simulated_handle(simulated_machine& machine, node_id node) noexcept
    : machine_{&machine}, life_{machine.life_}, node_{node} {
    ++machine.disk_.node(node).open_count;
}

inline bool simulated_handle::is_of_this_life() const noexcept {
    return machine_ != nullptr && life_ == machine_->life_;
}

inline void simulated_handle::release() noexcept {
    if (is_of_this_life()) --machine_->disk_.node(node_).open_count;
    machine_ = nullptr;
}

inline simulated_lock::~simulated_lock() {
    if (is_of_this_life()) machine_->disk_.node(node_).locked.give_back(how_);
}

inline simulated_ring::~simulated_ring() {
    if (machine_ == nullptr) return;
    std::erase_if(machine_->rings_, [&](auto const& ring) {
        if (ring.memory != memory_.header()) return false;
        machine_->absorb(ring.node, {ring.memory, ring.size});
        return true;
    });
    detail::ring_pool::give_back(std::move(memory_));
}

// Files.

inline bool simulated_file::is_aligned(
    void const* memory, std::size_t n, std::uint64_t at
) noexcept {
    if (how_.io != io_mode::direct) return true;
    auto const alignment = std::uint64_t{machine_->options.direct_alignment};
    return (reinterpret_cast<std::uintptr_t>(memory) | n | at) % alignment == 0;
}

inline std::size_t simulated_file::length_of(std::size_t wanted) {
    if (!machine_->draws_short()) return wanted;
    auto const unit = std::size_t{how_.io == io_mode::direct ? layout().alignment : 1};
    if (wanted <= unit) return wanted;
    return unit * static_cast<std::size_t>(1 + machine_->tape().pick(wanted / unit));
}

inline result<std::size_t> simulated_file::read_some(bytes into, std::uint64_t offset) noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const at =
        simulated_machine::seam_call{storage_call::read, life_, node_, offset, into.size()};
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at));
    static_cast<void>(passed);
    if (!is_aligned(into.data(), into.size(), offset)) return detail::not_aligned;
    machine_->absorb_ring_of(node_);
    auto const& node = machine_->disk_.node(node_);
    auto n = std::size_t{0};
    if (offset < node.seen.size()) {
        auto const left = node.seen.size() - offset;
        n = static_cast<std::size_t>(std::min<std::uint64_t>(length_of(into.size()), left));
        for (auto const& [from, to] : node.unreadable)
            if (from < offset + n && offset < to) return detail::read_failed;
        node.seen.read(into.first(n), offset);
    }
    machine_->show(at, "");
    machine_->leave(at, n);
    return n;
}

inline result<std::size_t> simulated_file::write_some(
    const_bytes from, std::uint64_t offset, write_how how
) noexcept {
    if (!is_open()) return detail::closed_handle;
    if (how_.mode == open_mode::read_only) return detail::read_only_handle;
    auto& disk = machine_->disk_;
    auto const at =
        simulated_machine::seam_call{storage_call::write, life_, node_, offset, from.size()};
    auto const in_flight = [&] {
        if (from.empty()) return;
        auto& node = disk.node(node_);
        if (offset + from.size() > node.seen.size()) {
            node.pending.push_back(node.make_size(++disk.sequence(), offset + from.size()));
            node.pending.back().in_flight = true;
        }
        node.pending.push_back(node.make_write(++disk.sequence(), from, offset));
        node.pending.back().in_flight = true;
    };
    auto const on_failure = [&] { machine_->fail_write(node_, from, offset); };
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at, in_flight, on_failure));
    if (!is_aligned(from.data(), from.size(), offset)) return detail::not_aligned;

    auto n = length_of(from.size());
    auto& node = disk.node(node_);
    if (offset + n > node.seen.size()) { // only what grows counts against the quota
        auto const used = disk.used_bytes() - node.seen.size();
        auto const quota = machine_->options.quota_bytes;
        auto const end_max = quota > used ? quota - used : 0;
        if (end_max <= offset) {
            machine_->show(at, "disk full");
            machine_->leave(at, 28);
            return detail::quota_reached;
        }
        if (offset + n > end_max) {
            auto const unit = std::uint64_t{how_.io == io_mode::direct ? layout().alignment : 1};
            n = static_cast<std::size_t>(round_down(end_max - offset, unit));
            if (n == 0) return detail::quota_reached;
        }
    }
    if (!passed.lost && n != 0) {
        node.write(disk.sequence(), from.first(n), offset + passed.distance);
        if (how == write_how::durable) node.make_newest_durable();
        machine_->show_in_ring_of(node_);
    }
    if (machine_->options.traces_contents) {
        auto sum = std::uint64_t{n};
        for (auto const byte : from.first(n))
            sum = sum * 0x100000001B3u ^ std::to_integer<unsigned>(byte);
        machine_->trace(sum);
    }
    machine_->show(at, how == write_how::durable ? "durable" : "");
    machine_->leave(at, n);
    return n;
}

inline result<void> simulated_file::sync(sync_how) noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const at = simulated_machine::seam_call{storage_call::sync, life_, node_, 0, 0};
    if (!machine_->frozen() && is_of_this_life()) machine_->absorb_ring_of(node_);
    auto const newest = machine_->disk_.sequence();
    auto const on_failure = [&] { machine_->fail_sync(node_); };
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at, [] {}, on_failure));
    if (!passed.lost) machine_->disk_.node(node_).make_durable(newest);
    machine_->show(at, passed.lost ? "lost" : "");
    machine_->leave(at);
    return ok();
}

inline result<std::uint64_t> simulated_file::size() noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const at = simulated_machine::seam_call{storage_call::size, life_, node_, 0, 0};
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at));
    static_cast<void>(passed);
    auto const size = machine_->disk_.node(node_).seen.size();
    machine_->show(at, "");
    machine_->leave(at, size);
    return size;
}

inline result<void> simulated_file::allocate(std::uint64_t offset, std::uint64_t length) noexcept {
    if (!is_open()) return detail::closed_handle;
    if (how_.mode == open_mode::read_only) return detail::read_only_handle;
    auto& disk = machine_->disk_;
    auto const at =
        simulated_machine::seam_call{storage_call::allocate, life_, node_, offset, length};
    auto const in_flight = [&] {
        auto& node = disk.node(node_);
        if (offset + length <= node.seen.size()) return;
        node.pending.push_back(node.make_size(++disk.sequence(), offset + length));
        node.pending.back().in_flight = true;
    };
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at, in_flight, [] {}));
    auto& node = disk.node(node_);
    auto const grows = offset + length > node.seen.size();
    if (grows &&
        disk.used_bytes() - node.seen.size() + offset + length > machine_->options.quota_bytes) {
        machine_->show(at, "disk full");
        machine_->leave(at, 28);
        return detail::quota_reached;
    }
    if (!passed.lost) node.grow(disk.sequence(), offset + length);
    machine_->show(at, "");
    machine_->leave(at);
    return ok();
}

inline result<void> simulated_file::truncate(std::uint64_t size) noexcept {
    if (!is_open()) return detail::closed_handle;
    if (how_.mode == open_mode::read_only) return detail::read_only_handle;
    auto& disk = machine_->disk_;
    auto const at = simulated_machine::seam_call{storage_call::truncate, life_, node_, 0, size};
    auto const in_flight = [&] {
        auto& node = disk.node(node_);
        node.pending.push_back(node.make_size(++disk.sequence(), size));
        node.pending.back().in_flight = true;
    };
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at, in_flight, [] {}));
    auto& node = disk.node(node_);
    if (!passed.lost && size != node.seen.size()) node.set_size(disk.sequence(), size);
    machine_->show(at, "");
    machine_->leave(at);
    return ok();
}

inline result<void> simulated_file::close() noexcept {
    if (!is_open()) return ok();
    auto const at = simulated_machine::seam_call{storage_call::close, life_, node_, 0, 0};
    auto const passed = machine_->enter(at);
    if (passed.has_value()) {
        machine_->show(at, "");
        machine_->leave(at);
    }
    release();
    if (passed.has_error()) return passed.error();
    return ok();
}

inline geometry simulated_file::layout() noexcept {
    auto const direct = how_.io == io_mode::direct;
    if (machine_ == nullptr) return {};
    auto const& options = machine_->options;
    return {
        .alignment = direct ? options.direct_alignment : 1,
        .atomic_unit = options.atomic_unit,
        .direct = direct,
    };
}

// Directories.

template <class Decide, class Applied>
result<void> simulated_directory::change(
    storage_call call, std::string_view what, Decide&& decide, Applied&& applied
) noexcept {
    auto& disk = machine_->disk_;
    auto const at = simulated_machine::seam_call{call, life_, node_, 0, 0};
    auto const in_flight = [&] {
        result<std::optional<entry_op>> late = decide();
        if (late.has_error() || !late.value()) return;
        late.value()->in_flight = true;
        late.value()->sequence = ++disk.sequence();
        disk.node(node_).pending_entries.push_back(*std::move(late).value());
    };
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at, in_flight, [] {}));
    BOOST_OUTCOME_TRY(std::optional<entry_op> op, decide());
    if (op && !passed.lost) disk.change_entry(node_, *std::move(op));
    applied();
    machine_->show(at, what);
    machine_->leave(at);
    return ok();
}

inline result<simulated_handle> simulated_directory::find_or_create(
    storage_call call, file_name const& name, entry_kind kind, open_mode mode
) noexcept {
    auto& disk = machine_->disk_;
    auto found = node_id{0};
    auto const decide = [&]() -> result<std::optional<entry_op>> {
        found = disk.entry(node_, name.view());
        if (found != 0) {
            if (mode == open_mode::create_new) return detail::entry_exists;
            if (disk.node(found).kind != kind)
                return kind == entry_kind::file ? detail::is_a_directory : detail::not_a_directory;
            return std::optional<entry_op>{};
        }
        if (mode == open_mode::read_only || mode == open_mode::read_write)
            return detail::no_such_entry;
        found = disk.make_node(kind, name.view());
        return std::optional{entry_op{
            .kind = entry_op::kind_type::create, .node = found, .name = std::string{name.view()}
        }};
    };
    // Held at once: others run before the call returns, and may remove the name.
    auto opened = simulated_handle{};
    auto const hold = [&] { opened = simulated_handle{*machine_, found}; };
    BOOST_OUTCOME_TRY(change(call, name.view(), decide, hold));
    return opened;
}

inline result<simulated_file> simulated_directory::open(
    file_name const& name, open_how how
) noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const may_create =
        how.mode == open_mode::create_new || how.mode == open_mode::open_or_create;
    auto const call = may_create ? storage_call::create : storage_call::open;
    BOOST_OUTCOME_TRY(auto opened, find_or_create(call, name, entry_kind::file, how.mode));
    return simulated_file{std::move(opened), how};
}

inline result<void> simulated_directory::rename(
    file_name const& from, file_name const& to, rename_how how
) noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const decide = [&]() -> result<std::optional<entry_op>> {
        auto const& disk = machine_->disk_;
        auto const id = disk.entry(node_, from.view());
        if (id == 0) return detail::no_such_entry;
        if (from == to) return std::optional<entry_op>{};
        if (how == rename_how::no_replace && disk.entry(node_, to.view()) != 0)
            return detail::entry_exists;
        return std::optional{entry_op{
            .kind = entry_op::kind_type::rename,
            .node = id,
            .name = std::string{from.view()},
            .to = std::string{to.view()},
        }};
    };
    return change(storage_call::rename, to.view(), decide, [] {});
}

inline result<void> simulated_directory::link(
    file_name const& from, simulated_directory& into, file_name const& to
) noexcept {
    if (!is_open() || !into.is_open()) return detail::closed_handle;
    auto const decide = [&]() -> result<std::optional<entry_op>> {
        auto const& disk = machine_->disk_;
        auto const id = disk.entry(node_, from.view());
        if (id == 0) return detail::no_such_entry;
        if (disk.node(id).kind != entry_kind::file) return detail::not_a_file;
        if (disk.entry(into.node_, to.view()) != 0) return detail::entry_exists;
        return std::optional{entry_op{
            .kind = entry_op::kind_type::create, .node = id, .name = std::string{to.view()}
        }};
    };
    return into.change(storage_call::link, to.view(), decide, [] {});
}

inline result<void> simulated_directory::remove(file_name const& name) noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const decide = [&]() -> result<std::optional<entry_op>> {
        auto const& disk = machine_->disk_;
        auto const id = disk.entry(node_, name.view());
        if (id == 0) return detail::no_such_entry;
        if (!disk.node(id).entries.empty()) return detail::not_empty;
        return std::optional{entry_op{
            .kind = entry_op::kind_type::remove, .node = id, .name = std::string{name.view()}
        }};
    };
    return change(storage_call::remove, name.view(), decide, [] {});
}

inline result<void> simulated_directory::list(array_list<directory_entry>& into) noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const at = simulated_machine::seam_call{storage_call::list, life_, node_, 0, 0};
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at));
    static_cast<void>(passed);
    auto const& disk = machine_->disk_;
    auto const& entries = disk.node(node_).entries;
    into.clear();
    // Any order is legal: the list begins somewhere.
    auto skipped = entries.empty() ? 0 : machine_->tape().pick(entries.size());
    for (auto round = 0; round < 2; ++round) {
        auto index = std::uint64_t{0};
        for (auto const& [name, id] : entries) {
            auto const is_first_part = index++ < skipped;
            if (is_first_part != (round == 1)) continue;
            auto const listed = file_name::make(name);
            if (listed.has_error()) continue;
            auto const entry = directory_entry{.name = listed.value(), .kind = disk.node(id).kind};
            if (!into.push_back(entry)) return error{.code = errc::out_of_memory};
        }
    }
    machine_->show(at, "");
    machine_->leave(at, into.size());
    return ok();
}

inline result<void> simulated_directory::sync() noexcept {
    if (!is_open()) return detail::closed_handle;
    auto& disk = machine_->disk_;
    auto const at = simulated_machine::seam_call{storage_call::sync_dir, life_, node_, 0, 0};
    auto const newest = disk.sequence();
    auto const on_failure = [&] { machine_->fail_sync(node_); };
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at, [] {}, on_failure));
    if (!passed.lost) disk.node(node_).make_entries_durable(newest);
    disk.collect_if_many();
    machine_->show(at, passed.lost ? "lost" : "");
    machine_->leave(at);
    return ok();
}

inline result<simulated_lock> simulated_directory::acquire_lock(
    file_name const& name, lock_how how
) noexcept {
    if (!is_open()) return detail::closed_handle;
    BOOST_OUTCOME_TRY(
        auto opened,
        find_or_create(
            storage_call::acquire_lock, name, entry_kind::file, open_mode::open_or_create
        )
    );
    if (!machine_->disk_.node(opened.node_).locked.take(how))
        return error{.code = errc::in_use, .os_errno = 11};
    return simulated_lock{std::move(opened), how};
}

inline result<space_info> simulated_directory::space() noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const at = simulated_machine::seam_call{storage_call::space, life_, node_, 0, 0};
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at));
    static_cast<void>(passed);
    auto const used = machine_->disk_.used_bytes();
    auto const quota = machine_->options.quota_bytes;
    machine_->leave(at, used);
    return space_info{.total_bytes = quota, .free_bytes = quota > used ? quota - used : 0};
}

inline result<simulated_directory> simulated_directory::open_dir(
    file_name const& name, directory_how how
) noexcept {
    if (!is_open()) return detail::closed_handle;
    auto const mode =
        how == directory_how::create_if_missing ? open_mode::open_or_create : open_mode::read_only;
    BOOST_OUTCOME_TRY(
        auto opened, find_or_create(storage_call::open_dir, name, entry_kind::directory, mode)
    );
    return simulated_directory{std::move(opened)};
}

inline result<simulated_ring> simulated_directory::map_ring(
    file_name const& name, std::uint64_t header_bytes, std::uint64_t ring_bytes
) noexcept {
    if (!is_open()) return detail::closed_handle;
    if (!machine_->options.has_rings) return error{.code = errc::unsupported};
    BOOST_OUTCOME_TRY(
        auto opened,
        find_or_create(storage_call::map_ring, name, entry_kind::file, open_mode::open_or_create)
    );
    auto mapped = simulated_ring{};
    BOOST_OUTCOME_TRY(mapped.memory_, detail::ring_pool::take(header_bytes, ring_bytes));
    if (machine_->frozen()) return error{.code = errc::device_gone};
    auto& node = machine_->disk_.node(opened.node_);
    auto const size = header_bytes + ring_bytes;
    if (node.seen.size() != size) {
        node.set_size(machine_->disk_.sequence(), 0);
        node.set_size(machine_->disk_.sequence(), size);
    }
    auto const shown = bytes{mapped.memory_.header(), static_cast<std::size_t>(size)};
    node.seen.read(shown, 0);
    mapped.machine_ = machine_;
    machine_->rings_.push_back({.node = opened.node_, .memory = shown.data(), .size = shown.size()}
    );
    return mapped;
}

// The namespace.

inline result<simulated_directory> simulated_storage::open_dir(
    path_view path, directory_how how
) noexcept {
    ensure(machine_ != nullptr, "a simulated storage belongs to a machine");
    auto& disk = machine_->disk_;
    auto const at = simulated_machine::seam_call{
        storage_call::open_dir, machine_->life_, disk_state::root, 0, 0
    };
    BOOST_OUTCOME_TRY(auto const passed, machine_->enter(at));
    static_cast<void>(passed);
    auto id = disk_state::root;
    auto failed = error{};
    disk_state::for_each_component(path.view(), [&](std::string_view name) {
        if (failed.code != errc::none) return;
        auto next = disk.entry(id, name);
        if (next == 0 && how == directory_how::must_exist) {
            failed = detail::no_such_entry;
        } else if (next == 0) {
            next = disk.make_node(entry_kind::directory, name);
            auto& in = disk.node(id);
            in.entries.insert_or_assign(std::string{name}, next);
            in.durable_entries.insert_or_assign(std::string{name}, next);
        } else if (disk.node(next).kind != entry_kind::directory) {
            failed = detail::not_a_directory;
        }
        id = next;
    });
    if (failed.code != errc::none) return failed;
    auto opened = simulated_directory{*machine_, id};
    machine_->show(at, path.view());
    machine_->leave(at);
    return opened;
}

} // namespace jetpp::inline v1
