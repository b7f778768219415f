// jetpp/esent_snapshot.hpp - the documented names of ESE's snapshots by the storage below.
//
//     JetOSSnapshotPrepare(&id, 0); JetOSSnapshotFreeze(id, nullptr, nullptr, 0);
//     ... the storage takes its snapshot ...      JetOSSnapshotThaw(id, 0) == JET_errSuccess
//
//     none --Prepare--> prepared --Freeze--> frozen --Thaw--> none, or, with ContinueAfterThaw,
//                           \--Abort--> none  <--Abort--/       thawed --End, Abort--> none
//
// Maps only: engine::freeze and engine::thaw of every registered instance, or of those that were
// named (ExplicitPrepare). One snapshot at a time in a process. The image counts as no backup here:
// nothing is stamped, so nothing is truncated, and JetOSSnapshotTruncateLog is -1001.
// Threads  as the documented functions: the calls of one snapshot one after the other.
// Source   backup rules R69, R70; the pages of JetOSSnapshotPrepare, Freeze, Thaw, Abort, End.
#pragma once

#include <jetpp/esent.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1::esent {

using JET_OSSNAPID = std::uintptr_t;
struct JET_INSTANCE_INFO; // of no use here: names and paths are the program's

inline constexpr JET_ERR JET_errOSSnapshotInvalidSequence = -2401;
inline constexpr JET_ERR JET_errOSSnapshotTimeOut = -2402;
inline constexpr JET_ERR JET_errOSSnapshotNotAllowed = -2403;
inline constexpr JET_ERR JET_errOSSnapshotInvalidSnapId = -2404;

inline constexpr JET_GRBIT JET_bitIncrementalSnapshot = 1;
inline constexpr JET_GRBIT JET_bitCopySnapshot = 2;
inline constexpr JET_GRBIT JET_bitContinueAfterThaw = 4;
inline constexpr JET_GRBIT JET_bitExplicitPrepare = 8;
inline constexpr JET_GRBIT JET_bitAbortSnapshot = 1;

namespace detail {

class os_snapshot {
public:
    enum class stage : std::uint8_t { none, prepared, frozen, thawed };

    [[nodiscard]] static os_snapshot& get() noexcept {
        static auto one = os_snapshot{};
        return one;
    }
    // Asks first whether `id` names the snapshot, then whether it stands where it must.
    template <class F>
    [[nodiscard]] JET_ERR at(JET_OSSNAPID id, bool (*may)(stage), F&& f) noexcept {
        auto const held = holding{lock_};
        if (stage_ == stage::none || id != id_) return JET_errOSSnapshotInvalidSnapId;
        if (!may(stage_)) return JET_errOSSnapshotInvalidSequence;
        return f(*this);
    }

    [[nodiscard]] JET_ERR prepare(JET_OSSNAPID& id, JET_GRBIT grbit) noexcept {
        auto const held = holding{lock_};
        if (stage_ != stage::none) return JET_errOSSnapshotInvalidSequence;
        chosen_ = {};
        stays_ = (grbit & JET_bitContinueAfterThaw) != 0;
        is_explicit_ = (grbit & JET_bitExplicitPrepare) != 0;
        stage_ = stage::prepared;
        id = ++id_;
        return JET_errSuccess;
    }
    [[nodiscard]] JET_ERR choose(JET_INSTANCE instance) noexcept {
        if (!is_explicit_) return JET_errOSSnapshotInvalidSequence;
        if (esent_registry::get().find(instance) == nullptr) return JET_errInvalidParameter;
        chosen_[instance - 1] = true;
        return JET_errSuccess;
    }
    // All or none. What the first that refuses says; those frozen before go on.
    [[nodiscard]] JET_ERR freeze(std::chrono::nanoseconds limit) noexcept {
        frozen_ = {};
        for (std::uintptr_t i = 1; i <= esent_registry::instances_max; ++i) {
            auto* const port = esent_registry::get().find(i);
            auto const wanted = !is_explicit_ || chosen_[i - 1];
            if (port == nullptr || !wanted || !port->is_initialised()) continue;
            if (auto const done = port->freeze(limit); !done) {
                (void)thaw_all();
                return number_of(done);
            }
            frozen_[i - 1] = true;
        }
        stage_ = stage::frozen;
        return JET_errSuccess;
    }
    [[nodiscard]] JET_ERR thaw() noexcept {
        auto const answer = thaw_all();
        stage_ = stays_ ? stage::thawed : stage::none;
        return answer;
    }
    void abort() noexcept {
        (void)thaw_all();
        stage_ = stage::none;
    }

private:
    os_snapshot() noexcept = default;

    [[nodiscard]] JET_ERR thaw_all() noexcept {
        auto answer = JET_errSuccess;
        for (std::uintptr_t i = 1; i <= frozen_.size(); ++i) {
            if (!std::exchange(frozen_[i - 1], false)) continue;
            auto* const port = esent_registry::get().find(i);
            auto const done = port != nullptr ? number_of(port->thaw())
                                              : JET_errOSSnapshotTimeOut; // it went meanwhile
            if (answer == JET_errSuccess) answer = done;
        }
        return answer;
    }

    basic_mutex<native_runtime> lock_;
    stage stage_ = stage::none;
    bool stays_ = false;
    bool is_explicit_ = false;
    JET_OSSNAPID id_ = 0;
    std::array<bool, esent_registry::instances_max> chosen_{};
    std::array<bool, esent_registry::instances_max> frozen_{};
};

} // namespace detail

// Flags: what the snapshot is a backup of (1, 2) is taken and changes nothing, for none is counted.
[[nodiscard]] inline JET_ERR JetOSSnapshotPrepare(JET_OSSNAPID* psnapId, JET_GRBIT grbit) noexcept {
    constexpr auto known = JET_bitIncrementalSnapshot | JET_bitCopySnapshot |
                           JET_bitContinueAfterThaw | JET_bitExplicitPrepare;
    if (psnapId == nullptr) return JET_errInvalidParameter;
    if ((grbit & ~known) != 0) return JET_errInvalidGrbit;
    return detail::os_snapshot::get().prepare(*psnapId, grbit);
}
[[nodiscard]] inline JET_ERR JetOSSnapshotPrepareInstance(
    JET_OSSNAPID snapId, JET_INSTANCE instance, JET_GRBIT grbit
) noexcept {
    using detail::os_snapshot;
    if (grbit != 0) return JET_errInvalidGrbit;
    return os_snapshot::get().at(
        snapId,
        [](os_snapshot::stage s) { return s == os_snapshot::stage::prepared; },
        [&](os_snapshot& one) { return one.choose(instance); }
    );
}
// No write to any file of the instances until thaw or 70 s. A backup that runs: -2403.
[[nodiscard]] inline JET_ERR JetOSSnapshotFreeze(
    JET_OSSNAPID snapId,
    std::uint32_t* pcInstanceInfo,
    JET_INSTANCE_INFO** prgInstanceInfo,
    JET_GRBIT grbit
) noexcept {
    using detail::os_snapshot;
    if (grbit != 0) return JET_errInvalidGrbit;
    if (pcInstanceInfo != nullptr || prgInstanceInfo != nullptr) return JET_errFeatureNotAvailable;
    return os_snapshot::get().at(
        snapId,
        [](os_snapshot::stage s) { return s == os_snapshot::stage::prepared; },
        [](os_snapshot& one) { return one.freeze(freeze_options{}.limit); }
    );
}
// The limit was over: -2402, and the image is worth nothing.
[[nodiscard]] inline JET_ERR JetOSSnapshotThaw(JET_OSSNAPID snapId, JET_GRBIT grbit) noexcept {
    using detail::os_snapshot;
    if (grbit != 0) return JET_errInvalidGrbit;
    return os_snapshot::get().at(
        snapId,
        [](os_snapshot::stage s) { return s == os_snapshot::stage::frozen; },
        [](os_snapshot& one) { return one.thaw(); }
    );
}
[[nodiscard]] inline JET_ERR JetOSSnapshotAbort(JET_OSSNAPID snapId, JET_GRBIT grbit) noexcept {
    using detail::os_snapshot;
    if (grbit != 0) return JET_errInvalidGrbit;
    return os_snapshot::get().at(
        snapId,
        [](os_snapshot::stage) { return true; },
        [](os_snapshot& one) {
            one.abort();
            return JET_errSuccess;
        }
    );
}
// Behind a thaw with ContinueAfterThaw.
[[nodiscard]] inline JET_ERR JetOSSnapshotEnd(JET_OSSNAPID snapId, JET_GRBIT grbit) noexcept {
    using detail::os_snapshot;
    if ((grbit & ~JET_bitAbortSnapshot) != 0) return JET_errInvalidGrbit;
    return os_snapshot::get().at(
        snapId,
        [](os_snapshot::stage s) { return s == os_snapshot::stage::thawed; },
        [](os_snapshot& one) {
            one.abort();
            return JET_errSuccess;
        }
    );
}
[[nodiscard]] inline JET_ERR JetOSSnapshotTruncateLog(JET_OSSNAPID snapId, JET_GRBIT) noexcept {
    using detail::os_snapshot;
    return os_snapshot::get().at(
        snapId,
        [](os_snapshot::stage s) { return s == os_snapshot::stage::thawed; },
        [](os_snapshot&) { return JET_errFeatureNotAvailable; }
    );
}

} // namespace jetpp::inline v1::esent
