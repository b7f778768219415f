// refused: jetpp: a session finishes from its logs phase: to_logs() comes first
#include <jetpp/backup/external_phases.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/env/native_environment.hpp>

using traits = jetpp::core_traits<
    jetpp::environment<jetpp::posix_storage, jetpp::native_runtime>,
    4096,
    jetpp::crc32c>;

jetpp::result<void> end(jetpp::external_databases<traits>&& databases) {
#if defined(REFUSED)
    std::move(databases).finish();
#else
    BOOST_OUTCOME_TRY(auto logs, std::move(databases).to_logs());
    BOOST_OUTCOME_TRY(std::move(logs).finish());
#endif
    return jetpp::ok();
}
