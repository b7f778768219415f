// jetpp/recovery/detail/open_changes.hpp - the changes of transactions that have not ended yet.
//
// Records are copied whole into chunks of the transaction they belong to; changes view them.
// Threads  one owner. Owns: all of it.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/recovery/logged_change.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace jetpp::inline v1::detail {

struct held_change {
    logged_change change{};
    tree_id tree{};    // of the record: for trees that come and go, the catalogue
    const_bytes key{}; // of the record
    bool gone = false; // compensated
};

class open_transaction {
public:
    explicit open_transaction(lsn first) noexcept : first_{first} {}
    open_transaction(open_transaction const&) = delete;
    open_transaction& operator=(open_transaction const&) = delete;
    ~open_transaction() {
        for (auto* chunk : chunks_) ::operator delete(chunk);
    }

    [[nodiscard]] lsn first() const noexcept { return first_; }
    // Never falls.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return chunk_bytes_ + changes_.capacity() * sizeof(held_change);
    }
    [[nodiscard]] array_list<held_change> const& changes() const noexcept { return changes_; }

    // A copy that lives as long as this. Returns: nothing if memory is out.
    [[nodiscard]] const_bytes copy(const_bytes raw) noexcept {
        if (raw.size() > room_) {
            auto const size = raw.size() > chunk_size_ ? raw.size() : chunk_size_;
            auto* const made = static_cast<std::byte*>(::operator new(size, std::nothrow));
            if (made == nullptr) return {};
            if (!chunks_.push_back(made)) {
                ::operator delete(made);
                return {};
            }
            next_ = made;
            room_ = size;
            chunk_bytes_ += size;
            if (chunk_size_ < 256 * 1024) chunk_size_ *= 2;
        }
        auto* const at = next_;
        std::memcpy(at, raw.data(), raw.size());
        next_ += raw.size();
        room_ -= raw.size();
        return {at, raw.size()};
    }
    [[nodiscard]] bool add(held_change const& change) noexcept {
        return changes_.push_back(change);
    }
    // Takes out the changes of that key at and above undo_lsn. Returns: whether there was one.
    bool undo(database_id database, tree_id tree, const_bytes key, lsn undo_lsn) noexcept {
        auto found = false;
        for (auto i = changes_.size(); i-- > 0 && changes_[i].change.at >= undo_lsn;) {
            auto& one = changes_[i];
            if (one.gone || one.tree != tree || one.change.database != database ||
                one.key.size() != key.size() || compare_bytes(one.key, key) != 0)
                continue;
            one.gone = true;
            found = true;
        }
        // Undo goes backwards: so the next one finds its change at the end again.
        while (!changes_.empty() && changes_.back().gone) changes_.pop_back();
        return found;
    }

private:
    lsn first_;
    array_list<held_change> changes_;
    array_list<std::byte*> chunks_;
    std::byte* next_ = nullptr;
    std::size_t room_ = 0;
    std::size_t chunk_size_ = 1024;
    std::size_t chunk_bytes_ = 0;
};

class open_changes {
public:
    open_changes() noexcept = default;
    open_changes(open_changes&& other) noexcept
        : open_{std::move(other.open_)}, bytes_{std::exchange(other.bytes_, 0)} {}
    open_changes& operator=(open_changes&& other) noexcept {
        std::swap(open_, other.open_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~open_changes() {
        for (auto* one : open_) delete one;
    }

    [[nodiscard]] std::size_t size() const noexcept { return open_.size(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    // One of them takes so much more memory.
    void grew(std::size_t bytes) noexcept { bytes_ += bytes; }

    // Returns: null if memory is out.
    [[nodiscard]] open_transaction* begin(lsn first) noexcept {
        auto* const made = new (std::nothrow) open_transaction{first};
        if (made == nullptr || open_.push_back(made)) return made;
        delete made;
        return nullptr;
    }
    [[nodiscard]] open_transaction* find(lsn first) const noexcept {
        for (auto i = open_.size(); i-- > 0;) // the newest are the likeliest
            if (open_[i]->first() == first) return open_[i];
        return nullptr;
    }
    [[nodiscard]] std::unique_ptr<open_transaction> take(lsn first) noexcept {
        for (auto i = open_.size(); i-- > 0;) {
            if (open_[i]->first() != first) continue;
            auto taken = std::unique_ptr<open_transaction>{open_[i]};
            open_.erase_at(i);
            bytes_ -= taken->bytes();
            return taken;
        }
        return nullptr;
    }
    // The lowest name of an open one, or `otherwise` if that is lower.
    [[nodiscard]] lsn oldest(lsn otherwise) const noexcept {
        for (auto const* one : open_) otherwise = earlier(otherwise, one->first());
        return otherwise;
    }

private:
    array_list<open_transaction*> open_;
    std::size_t bytes_ = 0;
};

} // namespace jetpp::inline v1::detail
