// jetpp/backup/backup_base.hpp - how a caller names the sets that a new one stands on.
//
// Threads  values.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>

#include <cstdint>
#include <functional>

namespace jetpp::inline v1 {

// The set that a backup of kind `pages` adds to.
struct backup_base {
    backup_manifest manifest{};
    sha256_digest hash{}; // of the manifest
    // The caller sees to it that a restore finds it. False: it lies in the repository that the new
    // set goes to, which is looked at again once no set can go from there any more.
    bool lies_elsewhere = false;
};

// The hash of the manifest of that set, if the set lies where the new one will, or was vouched for.
// `manifest_hash`: as its stamp has it (short_of); a manifest with another hash is another set.
// Errors: base_not_here, those of reading it.
using base_finder =
    std::function<result<sha256_digest>(uuid const& set, std::uint64_t manifest_hash)>;

} // namespace jetpp::inline v1
