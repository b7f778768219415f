#include <jetpp/env/io.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "world.hpp"

namespace jetpp_test::io_cases {

using namespace jetpp;

// A device that answers as its script says: each number is how many bytes the next call moves.
struct scripted_file {
    std::string content;
    std::vector<std::size_t> script{};
    std::vector<std::pair<std::uint64_t, std::size_t>> asked{};
    std::uint32_t alignment = 1;

    std::size_t next(std::size_t wanted, std::uint64_t offset) {
        asked.emplace_back(offset, wanted);
        if (asked.size() > script.size()) return wanted;
        return std::min(wanted, script[asked.size() - 1]);
    }
    result<std::size_t> read_some(bytes into, std::uint64_t offset) noexcept {
        if ((offset | into.size()) % alignment != 0) return error{.code = errc::alignment_mismatch};
        if (offset >= content.size()) return std::size_t{0};
        auto const n = std::min(next(into.size(), offset), content.size() - offset);
        std::memcpy(into.data(), content.data() + offset, n);
        return n;
    }
    result<std::size_t> write_some(const_bytes from, std::uint64_t offset, write_how) noexcept {
        auto const n = next(from.size(), offset);
        if (n == 99) return error{.code = errc::disk_full};
        content.resize(std::max(content.size(), std::size_t(offset) + n));
        std::memcpy(content.data() + offset, from.data(), n);
        return n;
    }
    result<void> sync(sync_how) noexcept { return ok(); }
    result<std::uint64_t> size() noexcept { return content.size(); }
    result<void> allocate(std::uint64_t, std::uint64_t) noexcept { return ok(); }
    result<void> truncate(std::uint64_t) noexcept { return ok(); }
    result<void> close() noexcept { return ok(); }
    geometry layout() noexcept { return {.alignment = alignment}; }
};
static_assert(storage_file<scripted_file>);

TEST_CASE("short reads are continued to the end of the range or the file", "[env][io]") {
    auto f = scripted_file{.content = "0123456789", .script = {1, 2, 3, 1}};
    auto in = std::array<std::byte, 8>{};
    good(read_full(f, in, 1));
    CHECK(as_text(in) == "12345678");
    CHECK(f.asked.size() == 5);
    CHECK(good(read_up_to(f, in, 5)) == 5);
    CHECK(code_of(read_full(f, in, 5)) == errc::io);
    CHECK(read_full(f, in, 5).error().reason == damage::short_file);
}

TEST_CASE("a direct file that ends inside a unit is read to its end", "[env][io]") {
    auto f = scripted_file{.content = "0123456789", .script = {4, 8}, .alignment = 4};
    auto in = std::array<std::byte, 16>{};
    CHECK(good(read_up_to(f, in, 0)) == 10);
    CHECK(as_text(in).substr(0, 10) == "0123456789");
    CHECK(code_of(read_full(f, in, 0)) == errc::io);
}

TEST_CASE("short writes are continued where they stopped", "[env][io]") {
    auto f = scripted_file{.content = "", .script = {3, 0, 0, 2, 0, 0, 1}};
    good(write_full(f, as_bytes("abcdefgh"), 2));
    CHECK(f.content.substr(2) == "abcdefgh");
    CHECK(f.asked.size() == 8);
    CHECK(f.asked.back() == std::pair{std::uint64_t{8}, std::size_t{2}});
}

TEST_CASE("a device without progress three times in a row is an error", "[env][io]") {
    auto f = scripted_file{.content = "", .script = {3, 0, 0, 0}};
    CHECK(code_of(write_full(f, as_bytes("abcdefgh"), 0)) == errc::io);
    CHECK(f.asked.size() == 4);
}

} // namespace jetpp_test::io_cases
