// A log that ends early: what is left is a prefix of the commits, or an exact error.
#include <algorithm>

#include "sweep.hpp"

namespace jetpp_test::prefixes_cases {

using namespace property;

// Each segment cut or zeroed at every multiple of 8, and at odd lengths between them.
void shorten(past kind, disk_change::kind_type how, char const* title) {
    auto subject = aged_instance{kind, chosen_seed()};
    auto all = std::vector<disk_change>{};
    auto random = std::mt19937_64{chosen_seed()};
    for (std::uint32_t f = 0; f < subject.files().size(); ++f) {
        auto const& file = subject.files()[f];
        if (!aged_instance::is_log(file)) continue;
        auto const end = std::min(file.size, file.used + 64);
        for (auto at = std::uint64_t{0}; at < end; at += 8) {
            all.push_back({how, f, at});
            if (random() % 4 == 0) all.push_back({how, f, at + 1 + random() % 7});
        }
        for (auto at = end; at < file.size; at += 512) all.push_back({how, f, at});
    }
    auto const cases = sample(std::move(all), jetpp_test::rounds(500), budget_at_least(20));
    tell(title, subject, cases, sweep(subject, cases));
}

TEST_CASE("each prefix of a log is a prefix of its commits or an exact error", "[property]") {
    shorten(past::crashed, disk_change::kind_type::cut, "cut, crashed");
    shorten(past::closed, disk_change::kind_type::cut, "cut, closed");
    shorten(past::killed, disk_change::kind_type::cut, "cut, killed");
}
TEST_CASE("a log of zeros from any place on is a prefix or an exact error", "[property]") {
    shorten(past::crashed, disk_change::kind_type::zero_from, "zeroed, crashed");
    shorten(past::closed, disk_change::kind_type::zero_from, "zeroed, closed");
    shorten(past::killed, disk_change::kind_type::zero_from, "zeroed, killed");
}

} // namespace jetpp_test::prefixes_cases
