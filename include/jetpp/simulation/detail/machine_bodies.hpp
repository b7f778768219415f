// jetpp/simulation/detail/machine_bodies.hpp - the longer functions of simulated_machine.
//
// Included by simulated_machine.hpp only; the split keeps the declarations on a few screens.
// Threads  one.
#pragma once

#include <jetpp/simulation/simulated_machine.hpp>

namespace jetpp::inline v1 {

template <class Record, class Fail>
result<simulated_machine::passage> simulated_machine::enter(
    seam_call const& at, Record&& record, Fail&& fail
) {
    constexpr auto gone = error{.code = errc::device_gone};
    if (frozen() || at.life != life_) return gone;
    auto crashes = ++calls_ == crash_call_;
    if (storage_calls::changes().has(at.call) && ++changes_ == crash_change_) crashes = true;
    auto passed = passage{};
    if (!faults_.empty()) {
        auto const due = faults_.next(at.call, disk_.node(at.node).name);
        if (due && due->effect == storage_fault::effect_type::fail) {
            fail();
            show(at, describe(due->answer).view());
            trace(static_cast<std::uint64_t>(due->answer.code));
            leave(at, static_cast<std::uint64_t>(due->answer.code));
            return due->answer;
        }
        using enum storage_fault::effect_type;
        if (due) crashes = crashes || due->effect == crash;
        if (due) passed.lost = due->effect == lose;
        if (due && due->effect == misdirect) passed.distance = due->distance;
    }
    auto mine = flight{
        .record = [](void* raw) { (*static_cast<std::remove_reference_t<Record>*>(raw))(); },
        .argument = const_cast<void*>(static_cast<void const*>(&record)),
    };
    flights_.push_back(&mine);
    if (crashes) {
        show(at, "CRASH");
        freeze();
    } else if (hook_.use_device != nullptr) {
        hook_.use_device(hook_.argument);
    }
    std::erase(flights_, &mine);
    if (frozen() || at.life != life_) return gone;
    // A cache dies at a drawn moment; one chance in 16 a call keeps the window open for a while.
    if (any_evicts_)
        for (auto& [id, node] : disk_.nodes())
            if (node.evicts && tape_->chance(1, 16)) node.evict();
    return passed;
}

inline void simulated_machine::leave(seam_call const& at, std::uint64_t answer) {
    trace(static_cast<std::uint64_t>(at.call) << 32 | at.node);
    trace(at.offset);
    trace(at.length ^ answer << 40);
    if (hook_.step != nullptr) hook_.step(hook_.argument);
}

inline void simulated_machine::show(seam_call const& at, std::string_view answer) const {
    if (stream_ == nullptr) return;
    auto const* const task = hook_.task != nullptr ? hook_.task(hook_.argument) : "-";
    auto const call = name_of(at.call);
    std::fprintf(
        stream_,
        "%6llu %-16s %-12.*s %-24s @%llu +%llu %.*s\n",
        static_cast<unsigned long long>(calls_),
        task,
        static_cast<int>(call.size()),
        call.data(),
        disk_.node(at.node).name.c_str(),
        static_cast<unsigned long long>(at.offset),
        static_cast<unsigned long long>(at.length),
        static_cast<int>(answer.size()),
        answer.data()
    );
}

inline void simulated_machine::freeze() {
    if (frozen()) return;
    disk_.set_frozen(true);
    for (auto* const each : flights_) each->record(each->argument);
    // The program goes on storing into its mapping while it closes: what counts is now.
    for (auto const& ring : rings_)
        disk_.ring_copies().emplace_back(
            ring.node, std::vector<std::byte>(ring.memory, ring.memory + ring.size)
        );
    rings_.clear();
    trace(0xDEAD);
}

inline std::vector<crash_unit> simulated_machine::crash_units() {
    auto const image = detail::crash_image{disk_, options.atomic_unit};
    auto units = std::vector<crash_unit>{};
    for (std::size_t i = 0; i < image.size(); ++i) units.push_back(image[i]);
    return units;
}

template <class Keeps>
void simulated_machine::thaw_keeping(Keeps&& keeps) {
    freeze();
    auto image = detail::crash_image{disk_, options.atomic_unit};
    auto fates = std::vector<detail::unit_fate>{};
    for (std::size_t i = 0; i < image.size(); ++i)
        fates.push_back(keeps(image[i]) ? detail::unit_fate::kept : detail::unit_fate::lost);
    image.build(fates, *tape_);
    begin_life();
}

inline void simulated_machine::thaw(crash_policy policy) {
    freeze();
    trace(static_cast<std::uint64_t>(policy));
    if (!is_power_loss(policy)) {
        settle_kill();
        settle_ring_copies();
        begin_life();
        // Scale-free, so that the first calls of a recovery are hit as often as its middle.
        if (policy == crash_policy::kill_then_power)
            crash_at(1 + tape_->pick(std::uint64_t{1} << tape_->pick(9)));
        return;
    }
    if (options.ring_may_persist) settle_ring_copies();
    auto image = detail::crash_image{disk_, options.atomic_unit};
    image.build(image.draw(policy, *tape_), *tape_);
    begin_life();
}

// The process died inside its calls: each has happened, has not, or got as far as some byte.
inline void simulated_machine::settle_kill() {
    for (auto& [id, node] : disk_.nodes()) {
        auto grows = true;
        for (auto& op : node.pending) {
            if (!std::exchange(op.in_flight, false)) continue;
            if (op.is_size()) {
                grows = tape_->chance(1, 2);
                if (!grows) op.size_after = op.size_before = 0;
            } else if (!grows) {
                op.pieces.clear();
            } else {
                op.pieces.resize(static_cast<std::size_t>(tape_->pick(op.pieces.size() + 1)));
            }
            op.apply(node.seen);
        }
        std::erase_if(node.pending, [](detail::file_op const& op) {
            return op.is_size() ? op.size_after == op.size_before : op.pieces.empty();
        });
        node.seen.clip();
        std::erase_if(node.pending_entries, [&](detail::entry_op& op) {
            if (!std::exchange(op.in_flight, false)) return false;
            if (!tape_->chance(1, 2)) return true;
            op.apply(node.entries);
            return false;
        });
    }
}

inline void simulated_machine::settle_ring_copies() {
    for (auto const& [id, memory] : disk_.ring_copies()) absorb(id, memory);
    disk_.ring_copies().clear();
}

inline void simulated_machine::absorb(node_id id, const_bytes memory) {
    auto& node = disk_.node(id);
    auto const size = std::min<std::uint64_t>(memory.size(), node.seen.size());
    detail::file_content::for_each_part(
        0,
        size,
        [&](std::size_t index, std::size_t, std::size_t n) {
            auto const now = memory.subspan(index * detail::chunk_bytes, n);
            if (!node.seen.chunk(index).equals(now))
                node.write(disk_.sequence(), now, index * detail::chunk_bytes);
        }
    );
}

inline void simulated_machine::fail_sync(node_id id) {
    auto& node = disk_.node(id);
    if (node.kind == entry_kind::directory) return; // names stay pending
    absorb_ring_of(id);
    node.pending.clear();
    switch (options.after_failed_sync) {
    case sync_failure::revert: node.evict(); break;
    case sync_failure::keep_clean: break;
    case sync_failure::keep_until_evict: node.evicts = any_evicts_ = true; break;
    }
}

inline void simulated_machine::fail_write(node_id id, const_bytes data, std::uint64_t offset) {
    if (options.after_failed_write == write_failure::old_bytes) return;
    auto& node = disk_.node(id);
    auto garbage = std::vector<std::byte>{};
    while (!data.empty()) {
        auto const to_boundary = options.atomic_unit - offset % options.atomic_unit;
        auto const n = static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), to_boundary));
        if (tape_->chance(1, 2) && offset + n <= node.seen.size()) {
            auto part = data.first(n);
            if (options.after_failed_write == write_failure::garbage && tape_->chance(1, 2)) {
                garbage.assign(n, {});
                for (auto& byte : garbage) byte = static_cast<std::byte>(tape_->entropy());
                part = garbage;
            }
            node.write(disk_.sequence(), part, offset);
        }
        offset += n;
        data = data.subspan(n);
    }
}

inline std::vector<std::string> simulated_machine::file_names(std::string_view directory) const {
    auto names = std::vector<std::string>{};
    auto const id = disk_.find(directory);
    if (id == 0) return names;
    for (auto const& [name, node] : disk_.node(id).entries)
        if (disk_.node(node).kind == entry_kind::file) names.push_back(name);
    return names;
}

inline std::vector<std::byte> simulated_machine::contents(std::string_view file) const {
    auto const id = disk_.find(file);
    return id == 0 ? std::vector<std::byte>{} : bytes_of(disk_.node(id).seen);
}

inline std::vector<std::byte> simulated_machine::durable_contents(std::string_view file) const {
    auto const id = disk_.find(file);
    return id == 0 ? std::vector<std::byte>{} : bytes_of(disk_.node(id).durable);
}

inline void simulated_machine::put(std::string_view file, const_bytes content) {
    auto const slash = file.rfind('/');
    auto const name = slash == file.npos ? file : file.substr(slash + 1);
    auto at = disk_state::root;
    auto const descend = [&](std::string_view part, entry_kind kind) {
        auto next = disk_.entry(at, part);
        if (next == 0) next = disk_.make_node(kind, part);
        auto& entries = disk_.node(at);
        entries.entries.insert_or_assign(std::string{part}, next);
        entries.durable_entries.insert_or_assign(std::string{part}, next);
        at = next;
    };
    if (slash != file.npos)
        disk_state::for_each_component(file.substr(0, slash), [&](std::string_view part) {
            descend(part, entry_kind::directory);
        });
    descend(name, entry_kind::file);
    auto& node = disk_.node(at);
    node.pending.clear();
    node.seen = {};
    node.seen.resize(content.size());
    node.seen.write(content, 0);
    node.durable = node.seen;
}

inline void simulated_machine::remove(std::string_view path) {
    auto const slash = path.rfind('/');
    auto const in = slash == path.npos ? disk_state::root : disk_.find(path.substr(0, slash));
    if (in == 0) return;
    auto const name = std::string{slash == path.npos ? path : path.substr(slash + 1)};
    auto& node = disk_.node(in);
    node.entries.erase(name);
    node.durable_entries.erase(name);
    std::erase_if(node.pending_entries, [&](detail::entry_op const& op) {
        return op.name == name || op.to == name;
    });
}

inline void simulated_machine::resize(std::string_view file, std::uint64_t size) {
    auto& node = file_at(file);
    node.seen.resize(size);
    node.durable.resize(size);
    node.pending.clear();
}

inline void simulated_machine::corrupt(
    std::string_view file, std::uint64_t offset, std::byte mask
) {
    auto& node = file_at(file);
    ensure(offset < node.seen.size(), "the byte to be damaged lies in the file");
    auto const chunk = static_cast<std::size_t>(offset / detail::chunk_bytes);
    auto const at = static_cast<std::size_t>(offset % detail::chunk_bytes);
    node.seen.own_chunk(chunk).flip(at, mask);
    if (offset < node.durable.size()) node.durable.own_chunk(chunk).flip(at, mask);
}

inline void simulated_machine::make_unreadable(
    std::string_view file, std::uint64_t offset, std::uint64_t length
) {
    file_at(file).unreadable.emplace_back(offset, offset + length);
}

inline disk_state simulated_machine::save() {
    if (!frozen())
        for (auto const& ring : rings_) absorb(ring.node, {ring.memory, ring.size});
    return disk_;
}

inline void simulated_machine::restore(disk_state const& saved) {
    rings_.clear();
    disk_ = saved;
    if (saved.frozen())
        ++life_;
    else
        begin_life();
}

} // namespace jetpp::inline v1
