#include <jetpp/core/describe.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/result.hpp>

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "../catch.hpp"

namespace jetpp_test::error_cases {

using namespace jetpp;

result<int> half(int n) noexcept {
    if (n % 2 != 0) return error{.code = errc::invalid_argument};
    return n / 2;
}

result<int> quarter(int n) noexcept {
    BOOST_OUTCOME_TRY(auto const once, half(n));
    return half(once);
}

result<void> must_be_even(int n) noexcept {
    BOOST_OUTCOME_TRY(half(n));
    return ok();
}

TEST_CASE("every errc has a name and a meaning of its own", "[core]") {
    auto names = std::set<std::string_view>{};
    auto count = std::size_t{0};
    for (std::uint16_t n = 0; n < std::numeric_limits<std::uint16_t>::max(); ++n) {
        auto const code = static_cast<errc>(n);
        auto const named = name_of(code) != "unknown";
        CHECK(named == (meaning_of(code) != "an error of a later version"));
        if (!named) continue;
        ++count;
        names.insert(name_of(code));
    }
    CHECK(count > 60);
    CHECK(names.size() == count);
}

TEST_CASE("an error gathers context on its way up and never loses the first", "[core]") {
    auto const e = error{.code = errc::page_damaged}
                       .with_page(page_number{7})
                       .with_page(page_number{8})
                       .with_database(database_id{2})
                       .with_database(database_id{3})
                       .with_lsn(lsn{100})
                       .with_lsn(lsn{200})
                       .with_file(file_kind::database)
                       .with_file(file_kind::log_segment);
    CHECK(e.code == errc::page_damaged);
    CHECK(e.page == page_number{7});
    CHECK(e.database == 2);
    CHECK(e.at == lsn{100});
    CHECK(e.file == file_kind::database);
}

TEST_CASE("page 0 counts as context, no_page does not", "[core]") {
    CHECK(error{}.with_page(page_number{0}).with_page(page_number{5}).page == page_number{0});
    CHECK(error{}.page == no_page);
}

TEST_CASE("only what leaves durability in doubt is fatal", "[core]") {
    CHECK(is_fatal(error{.code = errc::log_failed}));
    CHECK(is_fatal(error{.code = errc::instance_failed}));
    CHECK_FALSE(is_fatal(error{.code = errc::disk_full}));
    CHECK_FALSE(is_fatal(error{.code = errc::write_conflict}));
    CHECK_FALSE(is_fatal(error{.code = errc::page_damaged}));
}

TEST_CASE("results carry errors up through TRY", "[core]") {
    CHECK(quarter(8).value() == 2);
    CHECK(quarter(6).error().code == errc::invalid_argument);
    CHECK(must_be_even(4).has_value());
    CHECK(must_be_even(3).error().code == errc::invalid_argument);
}

TEST_CASE("describe names the file, page, reason and position of an error", "[core]") {
    auto const damaged = error{
        .code = errc::page_damaged,
        .database = 1,
        .page = page_number{77},
        .file = file_kind::database,
        .reason = damage::checksum,
        .at = lsn{18446744073709551615u}
    };
    CHECK(
        std::string{describe(damaged).c_str()} ==
        "page_damaged: a page fails its verification; reason says how "
        "(database, database 1, page 77, checksum, LSN 18446744073709551615)"
    );
    CHECK(describe(error{.code = errc::not_found}).view().find('(') == std::string_view::npos);
    CHECK(
        std::string{describe(error{.code = errc::io, .os_errno = 5}).c_str()}.find("(errno 5)") !=
        std::string::npos
    );
}

TEST_CASE("describe of a mismatch names both values", "[core]") {
    auto const text = describe(mismatch(errc::page_size_mismatch, file_kind::database, 4096, 8192));
    CHECK(
        std::string_view{text.view()}.find("the files have 4096, the engine 8192") !=
        std::string_view::npos
    );
}

TEST_CASE("a text too long for its line is cut, not overrun", "[core]") {
    auto text = error_text{};
    for (int round = 0; round < 100; ++round) text.add("0123456789");
    CHECK(text.view().size() == 319);
    CHECK(text.c_str()[319] == '\0');
}

} // namespace jetpp_test::error_cases
