// tools/demo_catalogue.hpp - real rows for the demo: what this machine's Debian knows of packages.
//
// A package is a stanza of text. Long stanzas are cut into rows of at most row_bytes_max bytes:
// "name version architecture/0", "/1" ... The rows are sorted by key and never change.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp_tool {

struct catalogue {
    static constexpr std::size_t row_bytes_max = 1500;

    struct row {
        std::string key{};
        std::string text{};
    };

    std::string source{};
    std::uint64_t packages = 0;
    std::uint64_t bytes = 0; // of all keys and texts
    std::vector<row> rows{}; // sorted by key
};

class catalogue_reader {
public:
    // The apt lists, else what dpkg has installed.
    [[nodiscard]] static catalogue read() {
        constexpr auto enough = std::uint64_t{1000};
        auto found = catalogue_reader{};
        found.read_command("apt-cache dumpavail 2>/dev/null");
        if (found.packages_ >= enough) return found.finish("apt-cache dumpavail");
        found = {};
        found.read_file("/var/lib/dpkg/status");
        if (found.packages_ != 0) return found.finish("/var/lib/dpkg/status");
        throw std::runtime_error{
            "no Debian package catalogue: neither apt-cache nor /var/lib/dpkg/status tells of any"
        };
    }

private:
    void read_command(char const* command) {
        auto const close = [](std::FILE* f) { ::pclose(f); };
        auto const pipe = std::unique_ptr<std::FILE, decltype(close)>{::popen(command, "r"), close};
        if (pipe == nullptr) return;
        auto chunk = std::vector<char>(std::size_t{1} << 20);
        while (auto const got = std::fread(chunk.data(), 1, chunk.size(), pipe.get()))
            feed({chunk.data(), got});
        end_stanza();
    }
    void read_file(char const* path) {
        auto file = std::ifstream{path};
        for (auto line = std::string{}; std::getline(file, line);) feed(line + "\n");
        end_stanza();
    }

    void feed(std::string_view text) {
        while (!text.empty()) {
            auto const end = text.find('\n');
            line_ += text.substr(0, end);
            if (end == text.npos) return;
            text.remove_prefix(end + 1);
            if (line_.empty())
                end_stanza();
            else
                add_line();
            line_.clear();
        }
    }
    void add_line() {
        constexpr auto fields =
            std::array<std::string_view, 3>{"Package: ", "Version: ", "Architecture: "};
        for (std::size_t i = 0; i < fields.size(); ++i)
            if (line_.starts_with(fields[i])) name_[i] = line_.substr(fields[i].size());
        stanza_ += line_;
        stanza_ += '\n';
    }
    void end_stanza() {
        if (!name_[0].empty()) {
            auto const name = name_[0] + " " + name_[1] + " " + name_[2] + "/";
            auto const is_new = !rows_.contains(name + "0");
            packages_ += is_new ? 1u : 0u;
            for (std::size_t part = 0; is_new && part * catalogue::row_bytes_max < stanza_.size();
                 ++part)
                rows_[name + std::to_string(part)] =
                    stanza_.substr(part * catalogue::row_bytes_max, catalogue::row_bytes_max);
        }
        name_ = {};
        stanza_.clear();
    }

    [[nodiscard]] catalogue finish(std::string source) {
        auto all = catalogue{.source = std::move(source), .packages = packages_};
        all.rows.reserve(rows_.size());
        for (auto& [key, text] : rows_) {
            all.bytes += key.size() + text.size();
            all.rows.push_back({key, std::move(text)});
        }
        return all;
    }

    std::string line_;
    std::string stanza_;
    std::array<std::string, 3> name_{};
    std::uint64_t packages_ = 0;
    std::map<std::string, std::string> rows_;
};

} // namespace jetpp_tool
