// test/page/model.hpp - a page beside the std::map it must agree with.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_editor.hpp>
#include <jetpp/page/page_view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace page_test {

using namespace jetpp;

template <std::size_t PageSize>
class page_memory_block {
public:
    page_memory_block() : page_{new(std::align_val_t{4096}) std::byte[PageSize]{}} {}
    [[nodiscard]] std::byte* data() const { return page_.get(); }
    [[nodiscard]] page_view<PageSize> view() const { return page_view<PageSize>{data()}; }
    [[nodiscard]] page_editor<PageSize> edit() const { return page_editor<PageSize>{data()}; }

private:
    struct give_back {
        void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{4096}); }
    };
    std::unique_ptr<std::byte[], give_back> page_;
};

inline std::string text(const_bytes raw) {
    return std::string{as_text(raw)};
}

struct model_row {
    std::string value;
    row_flags flags = row_flags::none;
    friend bool operator==(model_row const&, model_row const&) = default;
};
using model = std::map<std::string, model_row>;

template <std::size_t PageSize>
model rows_of(page_view<PageSize> page) {
    auto rows = model{};
    auto key = key_buffer<PageSize>{};
    for (auto i = std::uint32_t{0}; i < page.row_count(); ++i)
        rows[text(page.copy_key(i, key.all()))] = {text(page.value(i)), page.row_flags_of(i)};
    return rows;
}

// Keys inside [lower, upper): half of them long and alike, half short and various.
class key_source {
public:
    key_source(std::uint64_t seed, std::string prefix, std::size_t bytes_max)
        : random_{seed}, prefix_{std::move(prefix)}, bytes_max_{bytes_max} {}

    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
    std::string bytes_of(std::size_t n) {
        auto made = std::string(n, '\0');
        for (auto& c : made) c = static_cast<char>(random_());
        return made;
    }
    std::string key() {
        auto made = prefix_;
        switch (below(4)) {
        case 0: made += bytes_of(below(3)); break;
        case 1: made += "same" + std::string(below(6), '\0'); break;
        case 2: made += "number" + std::to_string(below(1000)); break;
        default:
            made += bytes_of(1) + std::string(below(12), 'x') + bytes_of(below(9));
            if (below(20) == 0) made += bytes_of(below(static_cast<std::uint32_t>(bytes_max_)));
        }
        if (made.size() > bytes_max_) made.resize(bytes_max_);
        return made;
    }
    std::string value(std::size_t most) {
        auto const sizes = std::size_t{below(12) == 0 ? most : std::min<std::size_t>(most, 120)};
        return bytes_of(below(static_cast<std::uint32_t>(sizes + 1)));
    }
    row_flags flags() { return static_cast<row_flags>(below(8)); }
    std::mt19937_64& engine() { return random_; }

private:
    std::mt19937_64 random_;
    std::string prefix_;
    std::size_t bytes_max_;
};

} // namespace page_test
