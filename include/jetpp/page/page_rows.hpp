// jetpp/page/page_rows.hpp - rows on their way between pages: the row list of structure records.
//
// Layout (little-endian), one row after the other, unaligned:
//     {flags u16, suffix length u16, value length u16, zero u16, suffix, value}
// The suffix is the key without the prefix of the page that receives it; the value of an inner row
// is its child, 4 bytes.
// Owns  nothing: a view over bytes of the caller or of a log record.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

struct page_row {
    row_flags flags{};
    const_bytes suffix{};
    const_bytes value{};
};

inline constexpr std::uint32_t row_header_bytes = 8;

// A bounds-checked walk over a row list. next() is false at the end and at the first row that
// leaves the bytes; bad() tells the two apart.
class row_reader {
public:
    explicit row_reader(const_bytes rows) noexcept : rest_{rows} {}

    [[nodiscard]] bool next(page_row& row) noexcept {
        if (rest_.empty() || bad_) return false;
        if (rest_.size() < row_header_bytes) return refuse();
        auto const flags = load_le<std::uint16_t>(rest_.data());
        auto const suffix = std::size_t{load_le<std::uint16_t>(rest_.data() + 2)};
        auto const value = std::size_t{load_le<std::uint16_t>(rest_.data() + 4)};
        if (flags > row_flags_mask || load_le<std::uint16_t>(rest_.data() + 6) != 0 ||
            rest_.size() - row_header_bytes < suffix + value)
            return refuse();
        row.flags = static_cast<row_flags>(flags);
        row.suffix = rest_.subspan(row_header_bytes, suffix);
        row.value = rest_.subspan(row_header_bytes + suffix, value);
        rest_ = rest_.subspan(row_header_bytes + suffix + value);
        return true;
    }
    [[nodiscard]] bool bad() const noexcept { return bad_; }
    [[nodiscard]] const_bytes rest() const noexcept { return rest_; }

private:
    [[nodiscard]] bool refuse() noexcept {
        bad_ = true;
        return false;
    }
    const_bytes rest_;
    bool bad_ = false;
};

// Requires: `out` has room for row_header_bytes + both parts. Returns the bytes written.
// Either part may lie in a page.
inline std::size_t encode_row(
    std::byte* out,
    row_flags flags,
    const_bytes suffix_front,
    const_bytes suffix_back,
    const_bytes value
) noexcept {
    store_le<std::uint16_t>(out, static_cast<std::uint16_t>(flags));
    store_le<std::uint16_t>(
        out + 2, static_cast<std::uint16_t>(suffix_front.size() + suffix_back.size())
    );
    store_le<std::uint16_t>(out + 4, static_cast<std::uint16_t>(value.size()));
    store_le<std::uint16_t>(out + 6, 0);
    auto* at = out + row_header_bytes;
    for (auto const part : {suffix_front, suffix_back, value}) {
        page_memory::load_bytes(at, part.data(), part.size());
        at += part.size();
    }
    return static_cast<std::size_t>(at - out);
}

namespace detail {

// The suffix of a row under another prefix length, in two pieces.
template <std::size_t PageSize>
struct resuffixed {
    const_bytes front;
    const_bytes back;

    resuffixed(page_view<PageSize> page, std::uint32_t slot, std::size_t new_prefix) noexcept
        : front{page.prefix()}, back{page.suffix(slot)} {
        if (new_prefix <= front.size()) {
            front = front.subspan(new_prefix);
        } else {
            back = back.subspan(std::min(new_prefix - front.size(), back.size()));
            front = {};
        }
    }
};

} // namespace detail

// Bytes of the rows [first, last) of a page as a row list under a prefix of `new_prefix` bytes.
// Requires: every key of the range has at least that many bytes.
template <std::size_t PageSize>
[[nodiscard]] std::size_t encoded_rows_bytes(
    page_view<PageSize> page, std::uint32_t first, std::uint32_t last, std::size_t new_prefix
) noexcept {
    auto sum = std::size_t{0};
    for (auto i = first; i < last; ++i) {
        auto const key = detail::resuffixed<PageSize>{page, i, new_prefix};
        sum += row_header_bytes + key.front.size() + key.back.size() + page.value(i).size();
    }
    return sum;
}

// Requires: out.size() >= encoded_rows_bytes(...). Returns the bytes written.
template <std::size_t PageSize>
std::size_t encode_rows(
    page_view<PageSize> page,
    std::uint32_t first,
    std::uint32_t last,
    std::size_t new_prefix,
    bytes out
) noexcept {
    auto at = std::size_t{0};
    for (auto i = first; i < last; ++i) {
        auto const key = detail::resuffixed<PageSize>{page, i, new_prefix};
        auto const value = page.value(i);
        ensure(
            out.size() - at >= row_header_bytes + key.front.size() + key.back.size() + value.size(),
            "encode_rows was given room for its rows"
        );
        at += encode_row(out.data() + at, page.row_flags_of(i), key.front, key.back, value);
    }
    return at;
}

} // namespace jetpp::inline v1
