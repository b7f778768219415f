// jetpp/env/detail/memory_node.hpp - the files and directories behind memory_storage.
//
//     memory_world --root--> memory_node (directory) --children--> memory_node (file | directory)
//                                                                      |
//                                             chunks of 64 KiB, nullptr = a hole that reads as zero
//                                             or the bytes of a mapped ring
//
// Files grow by chunks, so that growing never copies; bytes beyond the size are zero in every
// chunk. Nodes are counted: by the name that leads to them and by each open handle, so that a
// removed file lives until it is closed.
// Threads  memory_world::names guards children and lock marks; memory_node::latch the bytes. The
//          order is names, then latch.
// Owns     a name owns a count of its node; a node owns its chunks.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/detail/posix.hpp>
#include <jetpp/env/double_mapping.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/env/storage.hpp>
#include <jetpp/env/sync.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace jetpp::inline v1::detail {

// A counted pointer. T has retain() and release(), which is true for the last one.
template <class T>
class counted {
public:
    counted() noexcept = default;
    counted(counted const& other) noexcept : counted{share(other.object_)} {}
    counted(counted&& other) noexcept : object_{std::exchange(other.object_, nullptr)} {}
    counted& operator=(counted other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~counted() {
        if (object_ != nullptr && object_->release()) delete object_;
    }
    // One more count.
    [[nodiscard]] static counted share(T* object) noexcept {
        if (object != nullptr) object->retain();
        return adopt(object);
    }
    // The count that the caller has; a new object is born with one.
    [[nodiscard]] static counted adopt(T* object) noexcept {
        auto held = counted{};
        held.object_ = object;
        return held;
    }
    // The count goes to the caller.
    [[nodiscard]] T* hand_over() noexcept { return std::exchange(object_, nullptr); }

    [[nodiscard]] T* get() const noexcept { return object_; }
    [[nodiscard]] T* operator->() const noexcept { return object_; }
    [[nodiscard]] T& operator*() const noexcept { return *object_; }
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }

private:
    T* object_ = nullptr;
};

template <runtime Runtime>
class counts {
public:
    void retain() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
    [[nodiscard]] bool release() noexcept {
        return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    }

private:
    typename Runtime::template atomic<std::uint32_t> count_{1};
};

// How many chunks may still be made.
template <runtime Runtime>
class chunk_budget {
public:
    explicit chunk_budget(std::uint64_t chunks) noexcept : left_{chunks} {}
    [[nodiscard]] bool take() noexcept {
        auto left = left_.load(std::memory_order_relaxed);
        do {
            if (left == 0) return false;
        } while (!left_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed));
        return true;
    }
    void give_back() noexcept { left_.fetch_add(1, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t left() const noexcept {
        return left_.load(std::memory_order_relaxed);
    }

private:
    typename Runtime::template atomic<std::uint64_t> left_;
};

// The bytes of one file. Not thread-safe by itself: its node's latch is held.
template <runtime Runtime>
class memory_content {
public:
    static constexpr std::size_t chunk_bytes = 64 * 1024;
    static constexpr std::uint64_t size_max = std::uint64_t{1} << 42;

    explicit memory_content(chunk_budget<Runtime>& budget) noexcept : budget_{&budget} {}
    memory_content(memory_content const&) = delete;
    memory_content& operator=(memory_content const&) = delete;
    ~memory_content() { drop_chunks_from(0); }

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    [[nodiscard]] std::size_t read(bytes into, std::uint64_t offset) noexcept {
        if (offset >= size_) return 0;
        auto const wanted = std::min<std::uint64_t>(into.size(), size_ - offset);
        auto done = std::size_t{0};
        while (done < wanted) {
            auto const from = run_at(offset + done);
            auto const n = std::min(from.size, static_cast<std::size_t>(wanted) - done);
            if (from.first == nullptr)
                std::memset(into.data() + done, 0, n);
            else
                std::memcpy(into.data() + done, from.first, n);
            done += n;
        }
        return done;
    }

    // Returns: bytes written, fewer than asked for if memory or budget ended on the way.
    [[nodiscard]] result<std::size_t> write(const_bytes from, std::uint64_t offset) noexcept {
        BOOST_OUTCOME_TRY(reach(offset, from.size()));
        auto done = std::size_t{0};
        while (done < from.size()) {
            auto const at = offset + done;
            if (auto made = make_chunk(at); !made) {
                if (done != 0) break;
                return made.error();
            }
            auto const into = run_at(at);
            auto const n = std::min(into.size, from.size() - done);
            std::memcpy(into.first, from.data() + done, n);
            done += n;
            size_ = std::max(size_, at + n);
        }
        return done;
    }

    [[nodiscard]] result<void> allocate(std::uint64_t offset, std::uint64_t length) noexcept {
        BOOST_OUTCOME_TRY(reach(offset, length));
        if (is_ring()) return ok();
        for (auto at = round_down(offset, chunk_bytes); at < offset + length; at += chunk_bytes) {
            BOOST_OUTCOME_TRY(make_chunk(at));
        }
        size_ = std::max(size_, offset + length);
        return ok();
    }

    [[nodiscard]] result<void> truncate(std::uint64_t size) noexcept {
        if (size > size_) {
            BOOST_OUTCOME_TRY(reach(size, 0));
        } else if (size < size_) {
            if (is_ring()) return error{.code = errc::unsupported};
            drop_chunks_from((size + chunk_bytes - 1) / chunk_bytes);
            // What is cut off must read as zero if the file grows again.
            if (auto const tail = run_at(size); size % chunk_bytes != 0 && tail.first != nullptr)
                std::memset(tail.first, 0, tail.size);
        }
        size_ = size;
        return ok();
    }

    // From now on the bytes live in a file that can be mapped; of the old ones, those of a file
    // of the very same size are kept.
    [[nodiscard]] result<double_mapping> map_ring(
        std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) noexcept {
        if (!is_ring() || backing_.header_bytes() != header_bytes ||
            backing_.ring_bytes() != ring_bytes) {
            BOOST_OUTCOME_TRY(auto fresh, ring_backing::create(header_bytes, ring_bytes));
            BOOST_OUTCOME_TRY(auto view, fresh.map());
            auto const total = header_bytes + ring_bytes;
            if (size_ == total) (void)read({view.header(), static_cast<std::size_t>(total)}, 0);
            drop_chunks_from(0);
            backing_ = std::move(fresh);
            view_ = std::move(view);
            size_ = total;
        }
        return backing_.map();
    }

private:
    struct run {
        std::byte* first; // nullptr: a hole
        std::size_t size;
    };

    [[nodiscard]] bool is_ring() const noexcept { return view_.is_mapped(); }

    // The bytes from `at` to the end of what is contiguous in memory.
    [[nodiscard]] run run_at(std::uint64_t at) noexcept {
        if (is_ring()) return {view_.header() + at, static_cast<std::size_t>(size_ - at)};
        auto const chunk = static_cast<std::size_t>(at / chunk_bytes);
        auto const inside = static_cast<std::size_t>(at % chunk_bytes);
        auto* const first = chunk < chunks_.size() ? chunks_[chunk] : nullptr;
        return {first == nullptr ? nullptr : first + inside, chunk_bytes - inside};
    }
    [[nodiscard]] result<void> reach(std::uint64_t offset, std::uint64_t length) const noexcept {
        if (offset > size_max || length > size_max - offset) return os_error(EFBIG);
        if (is_ring() && offset + length > size_) return error{.code = errc::unsupported};
        return ok();
    }
    [[nodiscard]] result<void> make_chunk(std::uint64_t at) noexcept {
        if (is_ring()) return ok();
        auto const chunk = static_cast<std::size_t>(at / chunk_bytes);
        if (chunk >= chunks_.size()) {
            auto const room = std::max(chunk + 1, 2 * chunks_.size());
            if (chunk >= chunks_.capacity() && !chunks_.reserve(room))
                return error{.code = errc::out_of_memory};
            if (!chunks_.resize(chunk + 1)) return error{.code = errc::out_of_memory};
        }
        if (chunks_[chunk] != nullptr) return ok();
        if (!budget_->take()) return os_error(ENOSPC);
        void* const made = ::operator new(chunk_bytes, chunk_alignment, std::nothrow);
        if (made == nullptr) {
            budget_->give_back();
            return error{.code = errc::out_of_memory};
        }
        std::memset(made, 0, chunk_bytes);
        chunks_[chunk] = static_cast<std::byte*>(made);
        return ok();
    }
    void drop_chunks_from(std::uint64_t first) noexcept {
        while (chunks_.size() > first) {
            if (chunks_.back() != nullptr) {
                ::operator delete(chunks_.back(), chunk_alignment);
                budget_->give_back();
            }
            chunks_.pop_back();
        }
    }

    static constexpr std::align_val_t chunk_alignment{4096};

    chunk_budget<Runtime>* budget_;
    array_list<std::byte*> chunks_;
    std::uint64_t size_ = 0;
    ring_backing backing_;
    double_mapping view_;
};

template <runtime Runtime>
struct memory_node : counts<Runtime> {
    struct child {
        file_name name;
        memory_node* node;
    };

    memory_node(entry_kind kind_of, chunk_budget<Runtime>& budget, Runtime runtime) noexcept
        : kind{kind_of}, latch{runtime}, content{budget} {}
    ~memory_node() {
        for (auto const& each : children) (void)counted<memory_node>::adopt(each.node);
    }

    [[nodiscard]] child* find(file_name const& name) noexcept {
        auto* const found = std::find_if(children.begin(), children.end(), [&](child const& each) {
            return each.name == name;
        });
        return found == children.end() ? nullptr : found;
    }
    // Takes the node over. Requires: the name is free.
    [[nodiscard]] result<void> add(file_name const& name, counted<memory_node> node) noexcept {
        if (!children.push_back({name, node.get()})) return error{.code = errc::out_of_memory};
        (void)node.hand_over();
        return ok();
    }
    // Returns: the count that the name held.
    [[nodiscard]] counted<memory_node> take(child* entry) noexcept {
        auto taken = counted<memory_node>::adopt(entry->node);
        children.erase_at(static_cast<std::size_t>(entry - children.begin()));
        return taken;
    }

    entry_kind const kind;
    lock_holders locked{};      // under names
    array_list<child> children; // under names
    basic_mutex<Runtime> latch;
    memory_content<Runtime> content; // under latch
};

template <runtime Runtime>
struct memory_world : counts<Runtime> {
    using node = memory_node<Runtime>;

    memory_world(std::uint64_t capacity_bytes, Runtime runtime_in) noexcept
        : runtime{runtime_in}, names{runtime_in},
          capacity_chunks{capacity_bytes / memory_content<Runtime>::chunk_bytes},
          budget{capacity_chunks} {}

    [[nodiscard]] counted<node> make(entry_kind kind) noexcept {
        return counted<node>::adopt(new (std::nothrow) node(kind, budget, runtime));
    }

    [[no_unique_address]] Runtime runtime;
    basic_mutex<Runtime> names;
    std::uint64_t const capacity_chunks;
    chunk_budget<Runtime> budget;
    counted<node> root; // last: the nodes give their chunks back to the budget
};

} // namespace jetpp::inline v1::detail
