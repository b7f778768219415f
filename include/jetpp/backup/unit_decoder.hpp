// jetpp/backup/unit_decoder.hpp - the content of data frames, whichever codec each was made with.
//
// Threads  one owner.
// Owns     the worker of the codec that was met last.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <memory>

namespace jetpp::inline v1 {

class unit_decoder {
public:
    // Whatever the unit says, no more than raw.size() is written.
    // Returns: false if the unit is not the stored form of some content of exactly this size.
    // Errors: unsupported (the codec is not among `codecs`), out_of_memory.
    [[nodiscard]] result<bool> decode(
        frame_codec codec, const_bytes unit, bytes raw, codec_list const& codecs
    ) noexcept {
        if (raw.empty() || codec == frame_codec::wrapped) return false;
        if (codec == frame_codec::none) return decode_raw_unit(unit, raw);
        if (worker_ == nullptr || of_ != codec) {
            auto const* const kind = codecs.find(codec);
            if (kind == nullptr) return error{.code = errc::unsupported};
            BOOST_OUTCOME_TRY(worker_, kind->create(kind->level_default));
            of_ = codec;
        }
        return worker_->decode(unit, raw);
    }

private:
    std::unique_ptr<unit_codec> worker_;
    frame_codec of_ = frame_codec::none;
};

} // namespace jetpp::inline v1
