// jetpp/simulation/disk_state.hpp - all files and directories of a simulated machine, as a value.
//
// Copies are cheap (chunks are shared), so a test can keep a crashed disk and recover from it again
// and again, each time with another policy.
// Threads  one.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/simulation/disk_node.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

class disk_state {
public:
    using node_id = detail::node_id;
    static constexpr node_id root = 1;

    disk_state() { nodes_[root].kind = entry_kind::directory; }

    [[nodiscard]] detail::disk_node& node(node_id id) {
        auto const found = nodes_.find(id);
        ensure(found != nodes_.end(), "a handle names a node of the disk");
        return found->second;
    }
    [[nodiscard]] detail::disk_node const& node(node_id id) const {
        return const_cast<disk_state*>(this)->node(id);
    }
    [[nodiscard]] auto& nodes() noexcept { return nodes_; }
    [[nodiscard]] auto const& nodes() const noexcept { return nodes_; }
    [[nodiscard]] std::uint64_t& sequence() noexcept { return sequence_; }
    // Bytes of ring mappings at the moment of a crash; a kill gives them to their files.
    [[nodiscard]] auto& ring_copies() noexcept { return ring_copies_; }
    // Did the machine stop in this state?
    [[nodiscard]] bool frozen() const noexcept { return frozen_; }
    void set_frozen(bool frozen) noexcept { frozen_ = frozen; }

    [[nodiscard]] node_id make_node(entry_kind kind, std::string_view name) {
        auto const id = ++newest_node_;
        auto& made = nodes_[id];
        made.kind = kind;
        made.name = name;
        return id;
    }
    // Returns: 0 if there is no such entry.
    [[nodiscard]] node_id entry(node_id directory, std::string_view name) const {
        auto const& entries = node(directory).entries;
        auto const found = entries.find(name);
        return found == entries.end() ? 0 : found->second;
    }
    // Follows "a/b/c" from the root; empty components and "." are skipped.
    [[nodiscard]] node_id find(std::string_view path) const {
        auto at = root;
        for_each_component(path, [&](std::string_view name) {
            if (at != 0) at = node(at).kind == entry_kind::directory ? entry(at, name) : 0;
        });
        return at;
    }
    template <class F>
    static void for_each_component(std::string_view path, F&& f) {
        while (!path.empty()) {
            auto const slash = path.find('/');
            auto const name = path.substr(0, slash);
            path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
            if (!name.empty() && name != ".") f(name);
        }
    }
    // Records an entry of a directory and shows it.
    void change_entry(node_id directory, detail::entry_op op) {
        auto& in = node(directory);
        op.sequence = ++sequence_;
        op.apply(in.entries);
        if (op.kind == detail::entry_op::kind_type::rename) node(op.node).name = op.to;
        in.pending_entries.push_back(std::move(op));
    }
    [[nodiscard]] std::uint64_t used_bytes() const noexcept {
        auto sum = std::uint64_t{0};
        for (auto const& [id, each] : nodes_) sum += each.seen.size();
        return sum;
    }

    // Forgets the nodes that no name, pending entry or open handle leads to.
    void collect() {
        auto reached = std::map<node_id, bool>{};
        auto pending = std::vector<node_id>{root};
        for (auto const& [id, each] : nodes_)
            if (each.open_count != 0) pending.push_back(id);
        while (!pending.empty()) {
            auto const id = pending.back();
            pending.pop_back();
            if (std::exchange(reached[id], true)) continue;
            auto const& each = node(id);
            for (auto const& entry : each.entries) pending.push_back(entry.second);
            for (auto const& entry : each.durable_entries) pending.push_back(entry.second);
            for (auto const& op : each.pending_entries) pending.push_back(op.node);
        }
        std::erase_if(nodes_, [&](auto const& item) { return !reached.contains(item.first); });
        collect_at_ = 2 * nodes_.size() + 32;
    }
    void collect_if_many() {
        if (nodes_.size() > collect_at_) collect();
    }

private:
    std::map<node_id, detail::disk_node> nodes_;
    std::vector<std::pair<node_id, std::vector<std::byte>>> ring_copies_;
    bool frozen_ = false;
    node_id newest_node_ = root;
    std::uint64_t sequence_ = 0;
    std::size_t collect_at_ = 32;
};

} // namespace jetpp::inline v1
