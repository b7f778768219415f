// jetpp/simulation/simulated_storage.hpp - the storage seam over a simulated_machine.
//
// Small handles; the state is the machine's. Each call is one step of the simulated world: it is
// counted, may be the one that crashes or fails, and lets other tasks run between its beginning and
// its effect. A write reads its memory when it takes effect, as a device does.
// Threads  one operating system thread. A handle must not outlive its machine.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/double_mapping.hpp>
#include <jetpp/env/storage.hpp>
#include <jetpp/simulation/ring_memory.hpp>
#include <jetpp/simulation/simulated_machine.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// What every handle holds: a node of the disk, in the life in which it was opened.
class simulated_handle {
public:
    simulated_handle() noexcept = default;
    simulated_handle(simulated_handle&& other) noexcept
        : machine_{std::exchange(other.machine_, nullptr)}, life_{other.life_}, node_{other.node_} {
    }
    simulated_handle& operator=(simulated_handle&& other) noexcept {
        std::swap(machine_, other.machine_);
        std::swap(life_, other.life_);
        std::swap(node_, other.node_);
        return *this;
    }
    ~simulated_handle() { release(); }

protected:
    friend class simulated_directory;
    using node_id = disk_state::node_id;

    simulated_handle(simulated_machine& machine, node_id node) noexcept;
    [[nodiscard]] bool is_open() const noexcept { return machine_ != nullptr; }
    [[nodiscard]] bool is_of_this_life() const noexcept;
    void release() noexcept;

    simulated_machine* machine_ = nullptr;
    std::uint64_t life_ = 0;
    node_id node_ = 0;
};

class simulated_file : public simulated_handle {
public:
    simulated_file() noexcept = default;

    [[nodiscard]] result<std::size_t> read_some(bytes into, std::uint64_t offset) noexcept;
    [[nodiscard]] result<std::size_t> write_some(
        const_bytes from, std::uint64_t offset, write_how how
    ) noexcept;
    [[nodiscard]] result<void> sync(sync_how how) noexcept;
    [[nodiscard]] result<std::uint64_t> size() noexcept;
    [[nodiscard]] result<void> allocate(std::uint64_t offset, std::uint64_t length) noexcept;
    [[nodiscard]] result<void> truncate(std::uint64_t size) noexcept;
    [[nodiscard]] result<void> close() noexcept;
    [[nodiscard]] geometry layout() noexcept;

private:
    friend class simulated_directory;
    simulated_file(simulated_handle&& opened, open_how how) noexcept
        : simulated_handle{std::move(opened)}, how_{how} {}

    [[nodiscard]] bool is_aligned(void const* memory, std::size_t n, std::uint64_t at) noexcept;
    // Shortened where a short count is drawn or the quota ends.
    [[nodiscard]] std::size_t length_of(std::size_t wanted);

    open_how how_{};
};

class simulated_lock : public simulated_handle {
public:
    simulated_lock() noexcept = default;
    simulated_lock(simulated_lock&&) noexcept = default;
    simulated_lock& operator=(simulated_lock&& other) noexcept {
        simulated_handle::operator=(std::move(other));
        std::swap(how_, other.how_);
        return *this;
    }
    ~simulated_lock();

private:
    friend class simulated_directory;
    simulated_lock(simulated_handle&& opened, lock_how how) noexcept
        : simulated_handle{std::move(opened)}, how_{how} {}

    lock_how how_ = lock_how::exclusive;
};

class simulated_ring {
public:
    simulated_ring() noexcept = default;
    simulated_ring(simulated_ring&& other) noexcept
        : machine_{std::exchange(other.machine_, nullptr)}, memory_{std::move(other.memory_)} {}
    simulated_ring& operator=(simulated_ring&& other) noexcept {
        std::swap(machine_, other.machine_);
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~simulated_ring();

    [[nodiscard]] std::byte* header() noexcept { return memory_.header(); }
    [[nodiscard]] std::byte* ring() noexcept { return memory_.ring(); }
    [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return memory_.ring_bytes(); }

private:
    friend class simulated_directory;

    simulated_machine* machine_ = nullptr;
    double_mapping memory_{};
};

class simulated_directory : public simulated_handle {
public:
    using file = simulated_file;
    using lock = simulated_lock;
    using ring = simulated_ring;

    simulated_directory() noexcept = default;

    [[nodiscard]] result<file> open(file_name const& name, open_how how) noexcept;
    [[nodiscard]] result<void> rename(
        file_name const& from, file_name const& to, rename_how how
    ) noexcept;
    [[nodiscard]] result<void> link(
        file_name const& from, simulated_directory& into, file_name const& to
    ) noexcept;
    [[nodiscard]] result<void> remove(file_name const& name) noexcept;
    [[nodiscard]] result<void> list(array_list<directory_entry>& into) noexcept;
    [[nodiscard]] result<void> sync() noexcept;
    [[nodiscard]] result<lock> acquire_lock(
        file_name const& name, lock_how how = lock_how::exclusive
    ) noexcept;
    [[nodiscard]] result<space_info> space() noexcept;
    [[nodiscard]] result<simulated_directory> open_dir(
        file_name const& name, directory_how how
    ) noexcept;
    [[nodiscard]] result<ring> map_ring(
        file_name const& name, std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) noexcept;

private:
    friend class simulated_storage;
    explicit simulated_directory(simulated_handle&& opened) noexcept
        : simulated_handle{std::move(opened)} {}
    simulated_directory(simulated_machine& machine, node_id node) noexcept
        : simulated_handle{machine, node} {}
    using entry_op = detail::entry_op;

    // One change of an entry. decide() says which one, or that none is needed; it is asked when the
    // call takes effect, or when a crash finds it in flight; applied() comes before others run.
    template <class Decide, class Applied>
    [[nodiscard]] result<void> change(
        storage_call call, std::string_view what, Decide&& decide, Applied&& applied
    ) noexcept;
    [[nodiscard]] result<simulated_handle> find_or_create(
        storage_call call, file_name const& name, entry_kind kind, open_mode mode
    ) noexcept;
};

// Names directories of its machine by path ("/db", "db/logs"). A default-constructed one belongs to
// the current simulated_world. Directories that a path creates are durable at once: their parents
// are outside any handle, so the caller could not sync them.
class simulated_storage {
public:
    using directory = simulated_directory;

    simulated_storage() noexcept : machine_{simulation::current_machine} {}
    explicit simulated_storage(simulated_machine& machine) noexcept : machine_{&machine} {}

    [[nodiscard]] result<directory> open_dir(path_view path, directory_how how) noexcept;

private:
    simulated_machine* machine_;
};

} // namespace jetpp::inline v1

#include <jetpp/simulation/detail/storage_bodies.hpp>

namespace jetpp::inline v1 {
static_assert(storage<simulated_storage>);
} // namespace jetpp::inline v1
