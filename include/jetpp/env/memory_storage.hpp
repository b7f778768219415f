// jetpp/env/memory_storage.hpp - the storage concept in memory: for tests, caches and measurements
// without a device.
//
// The same names, modes, locks and errors as posix_storage, without durability: sync succeeds and
// means nothing, and all ends with the last handle. Copies of a storage share their files. Paths
// form one tree that begins empty; creating a path creates the directories on its way.
// Differences
//   * no alignment is asked for, and io_mode is ignored
//   * a file that was mapped as a ring keeps its size (errc::unsupported)
// Threads  as the concept: files and directories from any thread.
// Owns     handles share the world of files; a removed file lives until it is closed.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/detail/memory_node.hpp>
#include <jetpp/env/double_mapping.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/env/native_runtime.hpp>
#include <jetpp/env/storage.hpp>
#include <jetpp/env/sync.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

template <runtime Runtime>
class basic_memory_directory;

template <runtime Runtime>
class basic_memory_file {
public:
    basic_memory_file() noexcept = default;
    basic_memory_file(basic_memory_file&&) noexcept = default;
    // Swaps: the old node must not outlive the old world.
    basic_memory_file& operator=(basic_memory_file&& other) noexcept {
        std::swap(world_, other.world_);
        std::swap(node_, other.node_);
        std::swap(writable_, other.writable_);
        return *this;
    }

    [[nodiscard]] result<std::size_t> read_some(bytes into, std::uint64_t offset) noexcept {
        if (!node_) return closed();
        auto const hold = holding{node_->latch};
        return node_->content.read(into, offset);
    }
    // Errors: disk_full (the capacity), out_of_memory.
    [[nodiscard]] result<std::size_t> write_some(
        const_bytes from, std::uint64_t offset, write_how = write_how::cached
    ) noexcept {
        if (!node_ || !writable_) return closed();
        auto const hold = holding{node_->latch};
        return node_->content.write(from, offset);
    }
    [[nodiscard]] result<void> sync(sync_how = sync_how::data) noexcept {
        if (!node_) return closed();
        return ok();
    }
    [[nodiscard]] result<std::uint64_t> size() noexcept {
        if (!node_) return closed();
        auto const hold = holding{node_->latch};
        return node_->content.size();
    }
    [[nodiscard]] result<void> allocate(std::uint64_t offset, std::uint64_t length) noexcept {
        if (!node_ || !writable_) return closed();
        if (length == 0) return ok();
        auto const hold = holding{node_->latch};
        return node_->content.allocate(offset, length);
    }
    [[nodiscard]] result<void> truncate(std::uint64_t size) noexcept {
        if (!node_ || !writable_) return closed();
        auto const hold = holding{node_->latch};
        return node_->content.truncate(size);
    }
    [[nodiscard]] result<void> close() noexcept {
        node_ = {};
        world_ = {};
        return ok();
    }
    [[nodiscard]] geometry layout() const noexcept { return {}; }

private:
    friend class basic_memory_directory<Runtime>;
    using world = detail::memory_world<Runtime>;
    using node = detail::memory_node<Runtime>;

    basic_memory_file(detail::counted<world> in, detail::counted<node> what, bool writable) noexcept
        : world_{std::move(in)}, node_{std::move(what)}, writable_{writable} {}

    // Closed, or opened for reading: what the system says of such a descriptor.
    [[nodiscard]] static error closed() noexcept { return detail::os_error(EBADF); }

    detail::counted<world> world_; // first: a node gives its chunks back to its world
    detail::counted<node> node_;
    bool writable_ = false;
};

// Held until destroyed.
template <runtime Runtime>
class basic_memory_lock {
public:
    basic_memory_lock() noexcept = default;
    basic_memory_lock(basic_memory_lock&&) noexcept = default;
    basic_memory_lock& operator=(basic_memory_lock&& other) noexcept {
        std::swap(world_, other.world_);
        std::swap(node_, other.node_);
        std::swap(how_, other.how_);
        return *this;
    }
    ~basic_memory_lock() {
        if (!node_) return;
        auto const hold = holding{world_->names};
        node_->locked.give_back(how_);
    }

private:
    friend class basic_memory_directory<Runtime>;
    using world = detail::memory_world<Runtime>;
    using node = detail::memory_node<Runtime>;

    basic_memory_lock(detail::counted<world> in, detail::counted<node> what, lock_how how) noexcept
        : world_{std::move(in)}, node_{std::move(what)}, how_{how} {}

    detail::counted<world> world_;
    detail::counted<node> node_;
    lock_how how_ = lock_how::exclusive;
};

template <runtime Runtime>
class basic_memory_storage;

template <runtime Runtime>
class basic_memory_directory {
public:
    using file = basic_memory_file<Runtime>;
    using lock = basic_memory_lock<Runtime>;
    using ring = double_mapping;

    basic_memory_directory() noexcept = default;
    basic_memory_directory(basic_memory_directory&&) noexcept = default;
    // Swaps: the old node must not outlive the old world.
    basic_memory_directory& operator=(basic_memory_directory&& other) noexcept {
        std::swap(world_, other.world_);
        std::swap(node_, other.node_);
        return *this;
    }

    [[nodiscard]] result<file> open(file_name const& name, open_how how) noexcept {
        auto const hold = holding{world_->names};
        BOOST_OUTCOME_TRY(auto found, find_file(name, how.mode));
        return file{world_, std::move(found), how.mode != open_mode::read_only};
    }

    [[nodiscard]] result<void> rename(
        file_name const& from, file_name const& to, rename_how how
    ) noexcept {
        auto old = counted_node{}; // dies after the lock is free
        auto const hold = holding{world_->names};
        auto* const source = node_->find(from);
        if (source == nullptr) return detail::os_error(ENOENT);
        auto* const target = node_->find(to);
        if (target == nullptr) {
            source->name = to;
            return ok();
        }
        if (how == rename_how::no_replace) return detail::os_error(EEXIST);
        if (source == target) return ok();
        BOOST_OUTCOME_TRY(may_replace(*source->node, *target->node));
        old = counted_node::adopt(std::exchange(target->node, source->node));
        (void)node_->take(source).hand_over(); // its count is the target's now
        return ok();
    }

    [[nodiscard]] result<void> link(
        file_name const& from, basic_memory_directory& into, file_name const& to
    ) noexcept {
        if (world_.get() != into.world_.get()) return detail::os_error(EXDEV);
        auto const hold = holding{world_->names};
        auto* const source = node_->find(from);
        if (source == nullptr) return detail::os_error(ENOENT);
        if (source->node->kind != entry_kind::file) return detail::os_error(EPERM);
        if (into.node_->find(to) != nullptr) return detail::os_error(EEXIST);
        return into.node_->add(to, counted_node::share(source->node));
    }

    [[nodiscard]] result<void> remove(file_name const& name) noexcept {
        auto old = counted_node{};
        auto const hold = holding{world_->names};
        auto* const found = node_->find(name);
        if (found == nullptr) return detail::os_error(ENOENT);
        if (!found->node->children.empty()) return detail::os_error(ENOTEMPTY);
        old = node_->take(found);
        return ok();
    }

    [[nodiscard]] result<void> list(array_list<directory_entry>& into) noexcept {
        into.clear();
        auto const hold = holding{world_->names};
        for (auto const& each : node_->children)
            if (!into.push_back({each.name, each.node->kind}))
                return error{.code = errc::out_of_memory};
        return ok();
    }

    [[nodiscard]] result<void> sync() noexcept { return ok(); }

    // Never waits. Errors: in_use.
    [[nodiscard]] result<lock> acquire_lock(
        file_name const& name, lock_how how = lock_how::exclusive
    ) noexcept {
        auto const hold = holding{world_->names};
        BOOST_OUTCOME_TRY(auto found, find_file(name, open_mode::open_or_create));
        if (!found->locked.take(how)) return error{.code = errc::in_use, .os_errno = EWOULDBLOCK};
        return lock{world_, std::move(found), how};
    }

    [[nodiscard]] result<space_info> space() noexcept {
        constexpr auto unit = detail::memory_content<Runtime>::chunk_bytes;
        return space_info{
            .total_bytes = world_->capacity_chunks * unit,
            .free_bytes = world_->budget.left() * unit,
        };
    }

    [[nodiscard]] result<basic_memory_directory> open_dir(
        file_name const& name, directory_how how
    ) noexcept {
        auto const hold = holding{world_->names};
        BOOST_OUTCOME_TRY(auto found, step_into(*world_, *node_, name, how));
        return basic_memory_directory{world_, std::move(found)};
    }

    // Errors: invalid_argument (sizes that cannot be mapped), resource, out_of_memory.
    [[nodiscard]] result<ring> map_ring(
        file_name const& name, std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) noexcept {
        if (!ring::sizes_fit(header_bytes, ring_bytes))
            return error{.code = errc::invalid_argument};
        auto const hold = holding{world_->names};
        BOOST_OUTCOME_TRY(auto found, find_file(name, open_mode::open_or_create));
        auto const hold_bytes = holding{found->latch};
        return found->content.map_ring(header_bytes, ring_bytes);
    }

private:
    friend class basic_memory_storage<Runtime>;
    using world = detail::memory_world<Runtime>;
    using node = detail::memory_node<Runtime>;
    using counted_node = detail::counted<node>;

    basic_memory_directory(detail::counted<world> in, counted_node what) noexcept
        : world_{std::move(in)}, node_{std::move(what)} {}

    // Under names.
    [[nodiscard]] result<counted_node> find_file(file_name const& name, open_mode mode) noexcept {
        if (auto* const found = node_->find(name); found != nullptr) {
            if (mode == open_mode::create_new) return detail::os_error(EEXIST);
            if (found->node->kind != entry_kind::file) return detail::os_error(EISDIR);
            return counted_node::share(found->node);
        }
        if (mode == open_mode::read_only || mode == open_mode::read_write)
            return detail::os_error(ENOENT);
        return make_in(*world_, *node_, name, entry_kind::file);
    }
    [[nodiscard]] static result<counted_node> step_into(
        world& in, node& parent, file_name const& name, directory_how how
    ) noexcept {
        if (auto* const found = parent.find(name); found != nullptr) {
            if (found->node->kind != entry_kind::directory) return detail::os_error(ENOTDIR);
            return counted_node::share(found->node);
        }
        if (how == directory_how::must_exist) return detail::os_error(ENOENT);
        return make_in(in, parent, name, entry_kind::directory);
    }
    [[nodiscard]] static result<counted_node> make_in(
        world& in, node& parent, file_name const& name, entry_kind kind
    ) noexcept {
        auto made = in.make(kind);
        if (!made) return error{.code = errc::out_of_memory};
        BOOST_OUTCOME_TRY(parent.add(name, made));
        return made;
    }
    [[nodiscard]] static result<void> may_replace(node const& source, node const& target) noexcept {
        if (source.kind == entry_kind::file && target.kind == entry_kind::directory)
            return detail::os_error(EISDIR);
        if (source.kind == entry_kind::directory && target.kind == entry_kind::file)
            return detail::os_error(ENOTDIR);
        if (!target.children.empty()) return detail::os_error(ENOTEMPTY);
        return ok();
    }

    detail::counted<world> world_;
    counted_node node_;
};

template <runtime Runtime>
class basic_memory_storage {
public:
    using directory = basic_memory_directory<Runtime>;

    static constexpr std::uint64_t no_limit = std::uint64_t{1} << 42;

    basic_memory_storage() noexcept : basic_memory_storage{no_limit} {}
    // Writes beyond the capacity (in whole chunks of 64 KiB) are disk_full. A storage for which
    // there is no memory says so at its first open_dir.
    explicit basic_memory_storage(std::uint64_t capacity_bytes, Runtime runtime = {}) noexcept
        : world_{detail::counted<world>::adopt(new(std::nothrow) world(capacity_bytes, runtime))} {
        if (world_) world_->root = world_->make(entry_kind::directory);
    }

    // Errors: unsafe_name (a component that is no file_name, as ".."), not_found, out_of_memory.
    [[nodiscard]] result<directory> open_dir(path_view path, directory_how how) const noexcept {
        if (!world_ || !world_->root) return error{.code = errc::out_of_memory};
        auto const hold = holding{world_->names};
        auto at = world_->root;
        auto rest = path.view();
        while (!rest.empty()) {
            auto const part = rest.substr(0, rest.find('/'));
            rest.remove_prefix(part.size() < rest.size() ? part.size() + 1 : part.size());
            if (part.empty() || part == ".") continue;
            BOOST_OUTCOME_TRY(auto const name, file_name::make(part));
            BOOST_OUTCOME_TRY(at, directory::step_into(*world_, *at, name, how));
        }
        return directory{world_, std::move(at)};
    }

private:
    using world = detail::memory_world<Runtime>;

    detail::counted<world> world_;
};

using memory_storage = basic_memory_storage<native_runtime>;
static_assert(storage<memory_storage>);

} // namespace jetpp::inline v1
