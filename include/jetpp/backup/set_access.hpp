// jetpp/backup/set_access.hpp - what a reader of sets brings along: the codecs it was built with.
//
// A value that travels from the options of restore and verify down to the reader of each part.
// Threads  a value.
#pragma once

#include <jetpp/backup/unit_codec.hpp>

#include <string_view>

namespace jetpp::inline v1 {

struct set_access {
    codec_list codecs{};

    // Could frames of this codec be read? `codec`: as a manifest says it.
    [[nodiscard]] bool can_decode(std::string_view codec) const noexcept {
        auto const name = codec_name(codec);
        return name == "none" || (!name.empty() && codecs.find(name) != nullptr);
    }
};

} // namespace jetpp::inline v1
