// jetpp/simulation/simulated_machine.hpp - a disk that forgets what was not synced.
//
// One machine outlives the crashes of the programs that run on it. A program opens files through
// simulated_storage; the test stops the machine, decides what its disk kept, and starts the next
// program on it:
//
//     machine.crash_at(17);              // in the 17th storage call from now on
//     run_the_program();                 // ends by its ordinary error path: device_gone
//     machine.thaw(crash_policy::random);
//     run_it_again();                    // recovery
//
// Invariants
//   * after freeze() every call answers device_gone and nothing reaches the disk any more
//   * handles of a former life answer device_gone for ever
//   * what a completed sync, durable write or directory sync covered is in every later image
// Threads  one operating system thread; tasks of simulated_threads may be inside calls at once.
// Owns     all bytes. Handles and rings must not outlive their machine.
// Source   SQLite's crash VFS, RocksDB's FaultInjectionTestFS, TigerBeetle's storage simulator.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/describe.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/simulation/choice_tape.hpp>
#include <jetpp/simulation/crash_image.hpp>
#include <jetpp/simulation/crash_policy.hpp>
#include <jetpp/simulation/disk_state.hpp>
#include <jetpp/simulation/fault_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

class simulated_machine;

namespace simulation {
// The machine that a default-constructed simulated_storage opens; set by simulated_world.
inline simulated_machine* current_machine = nullptr;
} // namespace simulation

struct machine_options {
    std::uint32_t atomic_unit = 512;      // bytes a crash keeps or loses together: 512 or 4096
    std::uint32_t direct_alignment = 512; // asked of direct calls; 1 switches the check off
    std::uint64_t quota_bytes = std::uint64_t{1} << 40; // beyond it: disk_full
    sync_failure after_failed_sync = sync_failure::keep_clean;
    write_failure after_failed_write = write_failure::mixed;
    std::uint32_t short_num = 0; // chance of a short count: short_num in short_den
    std::uint32_t short_den = 8;
    bool has_rings = true;         // map_ring answers unsupported otherwise
    bool ring_may_persist = false; // a power loss keeps ring pages as it keeps unsynced writes
    bool traces_contents = false;  // what is written goes into trace_hash()
};

// What a scheduler lends to the machine.
struct step_hook {
    void (*step)(void*) = nullptr;              // other tasks may run here
    void (*use_device)(void*) = nullptr;        // the same, inside a call
    char const* (*task)(void const*) = nullptr; // the name of the one that runs now
    void* argument = nullptr;
};

class simulated_machine {
public:
    using node_id = disk_state::node_id;

    explicit simulated_machine(choice_tape& tape, machine_options how = {})
        : options{how}, tape_{&tape} {}
    simulated_machine(simulated_machine const&) = delete;
    simulated_machine& operator=(simulated_machine const&) = delete;
    ~simulated_machine() {
        if (simulation::current_machine == this) simulation::current_machine = nullptr;
    }

    machine_options options; // may be changed at any time

    // Crashes. n counts from now: 1 is the next call. A write, rename ... in flight at that moment
    // may be on the disk afterwards, in part or wholly, as the policy draws.
    void crash_at(std::uint64_t n) noexcept { crash_call_ = n == 0 ? 0 : calls_ + n; }
    // As crash_at, counting only calls that can change what a crash leaves.
    void crash_at_change(std::uint64_t n) noexcept { crash_change_ = n == 0 ? 0 : changes_ + n; }
    void freeze();
    [[nodiscard]] bool frozen() const noexcept { return disk_.frozen(); }
    // Begins the next life. Freezes first, if that did not happen yet. All tasks should have ended.
    void thaw(crash_policy policy);
    // As thaw after a power loss, keeping the units for which keeps(crash_unit) is true.
    template <class Keeps>
    void thaw_keeping(Keeps&& keeps);
    [[nodiscard]] std::vector<crash_unit> crash_units();

    // Calls and changes since the machine was made or thawed.
    [[nodiscard]] std::uint64_t calls() const noexcept { return calls_; }
    [[nodiscard]] std::uint64_t changes() const noexcept { return changes_; }
    [[nodiscard]] std::uint64_t life() const noexcept { return life_; }

    // Faults.
    void inject(storage_fault fault) { faults_.add(std::move(fault)); }
    void fail_call(
        std::uint64_t nth, error answer = {.code = errc::io, .os_errno = 5}, std::uint64_t times = 1
    ) {
        inject({.nth = nth, .times = times, .answer = answer});
    }
    void clear_faults() noexcept { faults_.clear(); }
    [[nodiscard]] std::uint64_t faults_injected_count() const noexcept {
        return faults_.injected_count();
    }

    // From outside, without a call and without a crash. Paths are "db/jet.log".
    [[nodiscard]] bool exists(std::string_view path) const { return disk_.find(path) != 0; }
    [[nodiscard]] std::vector<std::string> file_names(std::string_view directory) const;
    [[nodiscard]] std::vector<std::byte> contents(std::string_view file) const;
    [[nodiscard]] std::vector<std::byte> durable_contents(std::string_view file) const;
    // Durably, creating directories and file as needed.
    void put(std::string_view file, const_bytes content);
    void remove(std::string_view path);
    void resize(std::string_view file, std::uint64_t size);
    // Flips the bits of `mask`, on the device and in the cache. Requires: offset < size.
    void corrupt(std::string_view file, std::uint64_t offset, std::byte mask = std::byte{1});
    // Reads of that range answer io until it is written again.
    void make_unreadable(std::string_view file, std::uint64_t offset, std::uint64_t length);

    // The whole disk as a value, pending operations included: keep it, and crash or recover from it
    // more than once. restore() makes all handles stale; a disk saved frozen is frozen again.
    [[nodiscard]] disk_state save();
    void restore(disk_state const& saved);

    // A number that two equal runs share, and that all others do not.
    [[nodiscard]] std::uint64_t trace_hash() const noexcept { return trace_; }
    void trace(std::uint64_t value) noexcept {
        trace_ = (trace_ ^ value) * 0x9E3779B97F4A7C15u;
        trace_ ^= trace_ >> 29;
    }
    // One line for each call; nullptr ends that.
    void print_calls_to(std::FILE* stream) noexcept { stream_ = stream; }

    [[nodiscard]] choice_tape& tape() noexcept { return *tape_; }
    void set_hook(step_hook hook) noexcept { hook_ = hook; }

private:
    friend class simulated_storage;
    friend class simulated_handle;
    friend class simulated_directory;
    friend class simulated_file;
    friend class simulated_lock;
    friend class simulated_ring;

    // A call that has begun and not returned: `record` writes down what a crash may keep of it.
    struct flight {
        void (*record)(void*) = nullptr;
        void* argument = nullptr;
    };
    struct mapped_ring {
        node_id node{};
        std::byte* memory{}; // the file's bytes in a row
        std::size_t size{};
    };
    struct passage {
        bool lost{};
        std::uint64_t distance{};
    };
    struct seam_call {
        storage_call call{};
        std::uint64_t life{};
        node_id node{};
        std::uint64_t offset{};
        std::uint64_t length{};
    };

    // The way into a call: counts it, crashes or fails it if that is due, lets others run. After a
    // passage nothing else runs until the caller has applied the call and says leave().
    template <class Record, class Fail>
    result<passage> enter(seam_call const& at, Record&& record, Fail&& fail);
    result<passage> enter(seam_call const& at) {
        return enter(at, [] {}, [] {});
    }
    void leave(seam_call const& at, std::uint64_t answer = 0);
    void show(seam_call const& at, std::string_view answer) const;

    void begin_life() noexcept {
        ++life_;
        disk_.set_frozen(false);
        any_evicts_ = false;
        calls_ = changes_ = crash_call_ = crash_change_ = 0;
        for (auto& [id, node] : disk_.nodes()) {
            node.open_count = 0;
            node.locked = {};
        }
        rings_.clear();
        disk_.ring_copies().clear();
        disk_.collect();
    }
    void settle_kill();
    void settle_ring_copies();
    // What a program stored through a mapping becomes what reads of the file show.
    void absorb(node_id id, const_bytes memory);
    void absorb_ring_of(node_id id) {
        for (auto const& ring : rings_)
            if (ring.node == id) absorb(id, {ring.memory, ring.size});
    }
    // The other way round: what a call wrote into a mapped file shows in the mapping.
    void show_in_ring_of(node_id id) {
        for (auto const& ring : rings_) {
            if (ring.node != id) continue;
            auto const& seen = disk_.node(id).seen;
            auto const size = std::min<std::uint64_t>(ring.size, seen.size());
            seen.read({ring.memory, static_cast<std::size_t>(size)}, 0);
        }
    }
    void fail_sync(node_id id);
    void fail_write(node_id id, const_bytes data, std::uint64_t offset);
    [[nodiscard]] bool draws_short() {
        return options.short_num != 0 && tape_->chance(options.short_num, options.short_den);
    }
    static std::vector<std::byte> bytes_of(detail::file_content const& content) {
        auto all = std::vector<std::byte>(static_cast<std::size_t>(content.size()));
        content.read(all, 0);
        return all;
    }
    [[nodiscard]] detail::disk_node& file_at(std::string_view path) {
        auto const id = disk_.find(path);
        ensure(id != 0 && disk_.node(id).kind == entry_kind::file, "the path names a file");
        return disk_.node(id);
    }

    choice_tape* tape_;
    disk_state disk_;
    fault_plan faults_;
    std::vector<flight*> flights_;
    std::vector<mapped_ring> rings_;
    step_hook hook_{};
    std::FILE* stream_ = nullptr;
    std::uint64_t calls_ = 0;
    std::uint64_t changes_ = 0;
    std::uint64_t crash_call_ = 0;
    std::uint64_t crash_change_ = 0;
    std::uint64_t life_ = 1;
    std::uint64_t trace_ = 0x243F6A8885A308D3u;
    bool any_evicts_ = false;
};

} // namespace jetpp::inline v1

#include <jetpp/simulation/detail/machine_bodies.hpp>
