// jetpp log: the records of a directory, from its oldest segment to its end.
#include <jetpp/log/replay.hpp>

#include <cstdio>
#include <string>

#include "commands.hpp"
#include "failure.hpp"
#include "log_text.hpp"
#include "place.hpp"

namespace jetpp_tool {

void print_log(log_request const& request) {
    auto where = look_at(request.directory, beside_engine::refused);
    auto options = jetpp::replay_options{.use_ring = true};
    if (auto const* const slot = where.facts.newest_slot(); slot != nullptr) {
        options.instance = slot->instance;
        options.segment_bytes = slot->segment_bytes;
        options.proofs = {
            .slot_end = slot->end_lsn,
            .slot_generation = slot->generation,
            .slot_nonce = slot->nonce
        };
    }
    auto opened = jetpp::replay<environment>::open({}, where.directory, options);
    if (!opened) fail(place_of(where, opened.error()), opened.error());
    auto& log = opened.assume_value();
    for (auto const& r : log) {
        if (!r) fail(place_of(where, r.error()), r.error());
        auto const described = describe_record(r.assume_value());
        auto line = request.json ? described.dump() : line_of(described);
        line += '\n';
        if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size())
            fail("standard output", "cannot be written");
    }
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
    auto const& end = log.end_state();
    auto const torn = end.kind == jetpp::end_kind::torn_tail;
    std::fprintf(
        stderr,
        "the log ends %s at LSN %llu\n",
        torn ? "in a torn tail" : "cleanly",
        static_cast<unsigned long long>(end.end.value)
    );
}

} // namespace jetpp_tool
