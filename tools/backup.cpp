// jetpp backup: one more set in a repository.
#include <cstdio>
#include <string>
#include <string_view>

#include "codecs.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "log_text.hpp"
#include "place.hpp"
#include "progress.hpp"
#include "set_paths.hpp"

namespace jetpp_tool {

namespace {

[[nodiscard]] std::string_view name_of(jetpp::backup_stage stage) {
    switch (stage) {
    case jetpp::backup_stage::pages: return "pages";
    case jetpp::backup_stage::log: return "log";
    default: return "";
    }
}

} // namespace

void back_up(set_request const& request) {
    auto const codec = codec_of(request.compress);
    auto engine = open_engine(request.directory, nullptr);
    auto bar = progress_bar{"backup"};
    auto options = jetpp::backup_options{};
    options.codec = codec;
    options.on_progress = [&](jetpp::backup_progress const& p) -> jetpp::result<void> {
        bar.show(p.bytes_done, p.bytes_total, name_of(p.stage));
        return jetpp::ok();
    };
    auto const done = engine->back_up(request.repository, options);
    bar.wipe();
    auto const closed = engine->close();
    if (!done) {
        auto const of_source = done.error().file == jetpp::file_kind::database ||
                               done.error().file == jetpp::file_kind::log_segment;
        fail(of_source ? request.directory : request.repository, done.error());
    }
    if (!closed) fail(request.directory, closed.error());
    auto const& r = done.assume_value();
    std::printf(
        "%s: %llu pages and %llu log records verified, %llu bytes, up to LSN %llu\n",
        r.name.c_str(),
        number(r.pages),
        number(r.records),
        number(r.stored_bytes),
        number(r.end_lsn.value)
    );
    if (r.masked_pages != 0)
        std::fprintf(
            stderr,
            "%llu pages are damaged in their file, and were copied from memory\n",
            number(r.masked_pages)
        );
    if (r.stamp_problem)
        std::fprintf(
            stderr,
            "the set is whole, but the databases do not name it: %s\n",
            jetpp_tool::text_of(*r.stamp_problem).c_str()
        );
}

} // namespace jetpp_tool
