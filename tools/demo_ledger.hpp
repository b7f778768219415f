// tools/demo_ledger.hpp - the demo's own memory of what was done, beside the engine.
//
// Each writer notes every transaction in a file of its own, by one write(2) before the commit and
// one after it has returned, which a SIGKILL does not undo. So the ledger knows, without asking the
// engine: what was acknowledged and at which LSN, and what may or may not have been committed when
// the process died. From that it computes what every row must say.
//
//     i 17 4711:3 90210:1      transaction 17 writes version 3 of row 4711, version 1 of row 90210
//     c 17 83890176            its commit returned; the commit record is at that LSN
//
// What a transaction does, besides: it adds the row "w<writer> <transaction>" to the history tree,
// and erases that of the transaction history_length before it.
#pragma once

#include <jetpp/core/lsn.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demo_catalogue.hpp"
#include <fcntl.h>
#include <unistd.h>

namespace jetpp_tool {

inline constexpr std::uint64_t history_length = 100;

struct row_version {
    std::uint32_t row{}; // index in the catalogue
    std::uint32_t version{};
};

struct noted_transaction {
    std::uint64_t number{}; // 1, 2, 3 ... of its writer
    std::vector<row_version> writes{};
    jetpp::lsn at{}; // zero: its commit did not return
};

// How the values are spelled, for writers and for the proof.
[[nodiscard]] inline std::string value_of_version(
    std::string_view text, std::uint32_t version, unsigned writer, std::uint64_t transaction
) {
    if (version == 0) return std::string{text};
    return "Jetpp-Update: " + std::to_string(version) + " by writer " + std::to_string(writer) +
           " in transaction " + std::to_string(transaction) + "\n" + std::string{text};
}
[[nodiscard]] inline std::uint32_t version_of_value(std::string_view value) {
    constexpr auto mark = std::string_view{"Jetpp-Update: "};
    auto version = std::uint32_t{0};
    if (value.starts_with(mark))
        std::from_chars(value.data() + mark.size(), value.data() + value.size(), version);
    return version;
}
// Sorts by writer, then by number.
[[nodiscard]] inline std::string history_key(unsigned writer, std::uint64_t transaction) {
    char key[40];
    std::snprintf(
        key, sizeof key, "w%02u %012llu", writer, static_cast<unsigned long long>(transaction)
    );
    return key;
}
[[nodiscard]] inline std::string history_value(std::vector<row_version> const& writes) {
    auto value = std::string{};
    for (auto const& one : writes)
        value += std::to_string(one.row) + ":" + std::to_string(one.version) + " ";
    return value;
}

class ledger_file {
public:
    explicit ledger_file(std::string const& path)
        : fd_{::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)} {
        if (fd_ < 0) throw std::runtime_error{path + ": cannot be created"};
    }
    ledger_file(ledger_file const&) = delete;
    ledger_file& operator=(ledger_file const&) = delete;
    ~ledger_file() { ::close(fd_); }

    void intend(std::uint64_t transaction, std::vector<row_version> const& writes) {
        append("i " + std::to_string(transaction) + " " + history_value(writes) + "\n");
    }
    void acknowledge(std::uint64_t transaction, jetpp::lsn at) {
        append("c " + std::to_string(transaction) + " " + std::to_string(at.value) + "\n");
    }

private:
    void append(std::string const& line) {
        if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
            throw std::runtime_error{"the ledger cannot be written"};
    }

    int fd_;
};

class ledger {
public:
    using expected_rows = std::map<std::string, std::string, std::less<>>;

    ledger(std::string const& path_prefix, unsigned writers) : writers_(writers) {
        for (auto w = 0u; w < writers; ++w) read(path_prefix + std::to_string(w), writers_[w]);
    }

    [[nodiscard]] unsigned writer_count() const { return static_cast<unsigned>(writers_.size()); }
    [[nodiscard]] std::uint64_t acknowledged(unsigned writer) const {
        auto const& all = writers_[writer];
        auto const unknown = !all.empty() && !all.back().at ? 1u : 0u;
        return all.size() - unknown;
    }
    [[nodiscard]] std::uint64_t begun(unsigned writer) const { return writers_[writer].size(); }
    [[nodiscard]] std::uint64_t all_acknowledged() const {
        auto sum = std::uint64_t{0};
        for (auto w = 0u; w < writer_count(); ++w) sum += acknowledged(w);
        return sum;
    }
    // The transactions of a writer whose commit lies below `end`: a prefix, since it did one after
    // the other. Requires: knows_all_below(end).
    [[nodiscard]] std::uint64_t committed_below(unsigned writer, jetpp::lsn end) const {
        auto n = std::uint64_t{0};
        for (auto const& one : writers_[writer])
            if (one.at && one.at < end) ++n;
        return n;
    }
    // Had each writer committed beyond `end` before the process died? Then no commit below it is
    // one of unknown outcome.
    [[nodiscard]] bool knows_all_below(jetpp::lsn end) const {
        return std::all_of(writers_.begin(), writers_.end(), [&](auto const& all) {
            return std::any_of(all.begin(), all.end(), [&](auto const& one) {
                return one.at >= end;
            });
        });
    }
    // Commits in the order of their LSNs made versions 1, 2, 3 ... of each row: no update was lost
    // and none was made on an old version. Returns: the number of updates looked at.
    [[nodiscard]] std::uint64_t check_order() const {
        auto by_lsn = std::vector<noted_transaction const*>{};
        for (auto const& all : writers_)
            for (auto const& one : all)
                if (one.at) by_lsn.push_back(&one);
        std::sort(by_lsn.begin(), by_lsn.end(), [](auto const* a, auto const* b) {
            return a->at < b->at;
        });
        auto versions = std::map<std::uint32_t, std::uint32_t>{};
        auto updates = std::uint64_t{0};
        for (auto const* one : by_lsn) {
            for (auto const& write : one->writes) {
                ++updates;
                auto& version = versions[write.row];
                // A commit of unknown outcome may have made the version in between.
                if (write.version <= version ||
                    (write.version != ++version && !is_unknown(write.row)))
                    throw std::runtime_error{
                        "row " + std::to_string(write.row) + ": version " +
                        std::to_string(write.version) + " was committed at LSN " +
                        std::to_string(one->at.value) + " in the wrong order"
                    };
                version = write.version;
            }
        }
        return updates;
    }

    // What both trees must hold when so many transactions of each writer count.
    [[nodiscard]] expected_rows packages(
        catalogue const& base, std::vector<std::uint64_t> const& counts
    ) const {
        struct newest {
            std::uint32_t version{};
            unsigned writer{};
            std::uint64_t transaction{};
        };
        auto changed = std::map<std::uint32_t, newest>{};
        for (auto w = 0u; w < writer_count(); ++w)
            for (std::uint64_t i = 0; i < counts[w]; ++i)
                for (auto const& write : writers_[w][i].writes)
                    if (auto& known = changed[write.row]; known.version < write.version)
                        known = {write.version, w, writers_[w][i].number};
        auto rows = expected_rows{};
        for (std::uint32_t i = 0; i < base.rows.size(); ++i) {
            auto const last = changed.contains(i) ? changed[i] : newest{};
            rows.emplace_hint(
                rows.end(),
                base.rows[i].key,
                value_of_version(base.rows[i].text, last.version, last.writer, last.transaction)
            );
        }
        return rows;
    }
    [[nodiscard]] expected_rows history(std::vector<std::uint64_t> const& counts) const {
        auto rows = expected_rows{};
        for (auto w = 0u; w < writer_count(); ++w) {
            auto const first = counts[w] > history_length ? counts[w] - history_length : 0;
            for (auto i = first; i < counts[w]; ++i)
                rows[history_key(w, i + 1)] = history_value(writers_[w][i].writes);
        }
        return rows;
    }

private:
    [[nodiscard]] bool is_unknown(std::uint32_t row) const {
        for (auto const& all : writers_)
            if (!all.empty() && !all.back().at)
                for (auto const& write : all.back().writes)
                    if (write.row == row) return true;
        return false;
    }

    static void read(std::string const& path, std::vector<noted_transaction>& into) {
        auto file = std::ifstream{path};
        for (auto line = std::string{}; std::getline(file, line) && !file.eof();) {
            auto at = line.data() + 2;
            auto const end = line.data() + line.size();
            auto const number = [&] {
                auto n = std::uint64_t{0};
                at = const_cast<char*>(std::from_chars(at, end, n).ptr);
                if (at != end) ++at;
                return n;
            };
            if (line.starts_with("i ")) {
                auto one = noted_transaction{.number = number()};
                while (at != end) {
                    auto const row = static_cast<std::uint32_t>(number());
                    one.writes.push_back({row, static_cast<std::uint32_t>(number())});
                }
                into.push_back(std::move(one));
            } else if (line.starts_with("c ") && !into.empty()) {
                if (number() == into.back().number) into.back().at = {number()};
            }
        }
    }

    std::vector<std::vector<noted_transaction>> writers_;
};

} // namespace jetpp_tool
