// bench/peers_table.hpp - samples by workload and engine, printed as one aligned table.
//
// A cell is the median of its samples; the last column is jetpp's median over the best peer's.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace peers {

inline constexpr auto engine_names =
    std::array<std::string_view, 4>{"jetpp", "lmdb", "sqlite", "rocksdb"};

class table {
public:
    void add(std::string const& workload, std::string_view engine, double value) {
        line_of(workload).cells[std::string{engine}].samples.push_back(value);
    }
    // In place of numbers: absent, failed, n/a.
    void remark(std::string const& workload, std::string_view engine, std::string const& text) {
        line_of(workload).cells[std::string{engine}].remark = text;
    }

    void print() const {
        auto width = std::size_t{0};
        for (auto const& line : lines_) width = std::max(width, line.workload.size());
        auto const first = static_cast<int>(width);
        std::printf("%-*s", first, "per second, medians");
        for (auto const name : engine_names)
            std::printf(" %9.*s", static_cast<int>(name.size()), name.data());
        std::printf("  jetpp / best peer\n");
        for (auto const& line : lines_) {
            std::printf("%-*s", first, line.workload.c_str());
            auto own = std::optional<double>{};
            auto best = std::optional<double>{};
            auto best_name = std::string_view{};
            for (auto const name : engine_names) {
                auto const found = line.cells.find(std::string{name});
                auto const value =
                    found == line.cells.end() ? std::nullopt : found->second.median();
                if (value)
                    std::printf(" %9s", short_text(*value).c_str());
                else
                    std::printf(
                        " %9s",
                        found == line.cells.end() || found->second.remark.empty()
                            ? "-"
                            : found->second.remark.c_str()
                    );
                if (name == "jetpp")
                    own = value;
                else if (value && (!best || *value > *best))
                    best = value, best_name = name;
            }
            if (own && best)
                std::printf(
                    "  %6.2f  %.*s",
                    *own / *best,
                    static_cast<int>(best_name.size()),
                    best_name.data()
                );
            std::printf("\n");
        }
    }

private:
    struct cell {
        std::vector<double> samples{};
        std::string remark{};

        [[nodiscard]] std::optional<double> median() const {
            if (samples.empty() || !remark.empty()) return std::nullopt;
            auto sorted = samples;
            std::sort(sorted.begin(), sorted.end());
            auto const middle = sorted.size() / 2;
            if (sorted.size() % 2 != 0) return sorted[middle];
            return (sorted[middle - 1] + sorted[middle]) / 2;
        }
    };
    struct workload_line {
        std::string workload{};
        std::map<std::string, cell> cells{};
    };

    // 1.23M, 45.6k, 789: three digits are all that is worth reading.
    [[nodiscard]] static std::string short_text(double value) {
        auto const* unit = "";
        if (value >= 999.5e3)
            value /= 1e6, unit = "M";
        else if (value >= 999.5)
            value /= 1e3, unit = "k";
        auto text = std::array<char, 32>{};
        auto const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
        std::snprintf(text.data(), text.size(), "%.*f%s", digits, value, unit);
        return text.data();
    }
    [[nodiscard]] workload_line& line_of(std::string const& workload) {
        for (auto& known : lines_)
            if (known.workload == workload) return known;
        lines_.push_back({.workload = workload});
        return lines_.back();
    }

    std::vector<workload_line> lines_{};
};

} // namespace peers
