// One byte of one file is another: the rows are right, or an error names the damage.
#include <algorithm>

#include "sweep.hpp"

namespace jetpp_test::flips_cases {

using namespace property;

// Every byte up to the used end of each file and a little beyond it, lowest and highest bit.
void flip_bytes(past kind, char const* title) {
    auto subject = aged_instance{kind, chosen_seed()};
    auto all = std::vector<disk_change>{};
    for (std::uint32_t f = 0; f < subject.files().size(); ++f) {
        auto const& file = subject.files()[f];
        auto const end = std::min(file.size, file.used + 64);
        for (auto at = std::uint64_t{0}; at < end; ++at)
            for (auto const mask : {std::byte{0x01}, std::byte{0x80}})
                all.push_back({disk_change::kind_type::flip, f, at, mask});
    }
    auto const cases = sample(std::move(all), jetpp_test::rounds(1500), budget_at_least(50));
    tell(title, subject, cases, sweep(subject, cases));
}

TEST_CASE("a flipped byte of a cleanly closed instance is never believed", "[property]") {
    flip_bytes(past::closed, "flips, closed");
}
TEST_CASE("a flipped byte of an instance that lost its power is never believed", "[property]") {
    flip_bytes(past::crashed, "flips, crashed");
}
TEST_CASE("a flipped byte of an instance whose process died is never believed", "[property]") {
    flip_bytes(past::killed, "flips, killed");
}

} // namespace jetpp_test::flips_cases
