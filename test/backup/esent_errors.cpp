// test/backup/esent_errors.cpp - errc and ESE's numbers: total both ways, and no number twice.
#include <jetpp/backup/esent_errors.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::esent_errors_cases {

using namespace jetpp;

std::vector<errc> all_codes() {
    auto all = std::vector<errc>{};
    for (std::uint16_t i = 0; i < errc_bound; ++i)
        if (name_of(static_cast<errc>(i)) != "unknown") all.push_back(static_cast<errc>(i));
    return all;
}

TEST_CASE(
    "every errc has a number of ESE, and every number given means an errc", "[backup][esent]"
) {
    auto const all = all_codes();
    CHECK(all.size() > 90);
    // Beyond the bound there is none: the search is complete.
    for (std::uint32_t i = errc_bound; i < 65536; ++i)
        REQUIRE(name_of(static_cast<errc>(i)) == "unknown");
    for (auto const during : {jet_activity::backup, jet_activity::restore}) {
        auto meaning = std::map<jet_error, errc>{};
        for (auto const code : all) {
            CAPTURE(std::string{name_of(code)});
            auto const number = jet_error_of(code, during);
            CHECK((number == 0) == (code == errc::none));
            CHECK(number != -107); // nothing falls through to "internal error"
            auto const back = errc_of_jet(number);
            CHECK((code == errc::none || back != errc::none));
            if (jet_meaning_of(code, during).nearest) continue;
            CHECK(meaning.emplace(number, code).second); // it means this and nothing else
            CHECK(back == code);
        }
    }
    CHECK(errc_of_jet(-12345) == errc::invalid_argument);
    CHECK(errc_of_jet(578) == errc::none); // a warning: restored, the target ran
}

TEST_CASE("the numbers of backup and restore are the documented ones", "[backup][esent]") {
    // As the rules list them.
    for (auto const& [code, number] : std::vector<std::pair<errc, jet_error>>{
             {errc::backup_in_progress, -505},
             {errc::no_backup, -520},
             {errc::invalid_backup_sequence, -521},
             {errc::circular_logging, -526},
             {errc::full_backup_required, -560},
             {errc::log_gap, -569},
             {errc::log_missing, -528},
             {errc::log_tail_lost, -543},
             {errc::log_damaged, -612},
             {errc::page_damaged, -1018},
             {errc::needs_restore, -544},
             {errc::history_break, -551},
             {errc::set_mixed, -552},
             {errc::incomplete_copy, -535},
             {errc::page_chain_broken, -566},
             {errc::logs_unread, -616},
             {errc::database_incomplete, -800},
             {errc::backup_aborted, -800},
             {errc::backup_stopped, -801},
             {errc::file_not_listed, -1203},
             {errc::service_stopped, -1329},
             {errc::invalid_argument, -1003},
             {errc::freeze_timeout, -2402},
             {errc::freeze_sequence, -2401},
             {errc::freeze_refused, -2403},
             {errc::would_overwrite, -504},
             {errc::log_not_found, -1811},
             {errc::database_missing, -1216},
             {errc::instance_failed, -1090},
             {errc::terminating, -1000},
             {errc::restoring, -506},
             {errc::not_initialised, -1029},
             {errc::backup_not_allowed, -523}
         }) {
        CAPTURE(std::string{name_of(code)});
        CHECK(jet_error_of(code) == number);
    }
    CHECK(jet_error_of(errc::log_gap, jet_activity::restore) == -611);
    CHECK(jet_error_of(errc::log_damaged, jet_activity::restore) == -501);
    CHECK(errc_of_jet(-611) == errc::log_gap);
    CHECK(errc_of_jet(-501) == errc::log_corrupt);
    CHECK(errc_of_jet(-800) == errc::backup_aborted);
}

} // namespace jetpp_test::esent_errors_cases
