#include <jetpp/buffer/page_word.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <thread>

#include "bed.hpp"

namespace jetpp_test::page_word_cases {

using word_type = page_word<memory_traits>;
using bits = jetpp::detail::word_bits;

// A word whose page has been loaded into frame 7.
void bring_in(word_type& word, native_runtime& rt) {
    REQUIRE(word.claim_absent(7));
    word.release(rt, true);
}

static_assert(bits{}.state() == bits::absent && bits{}.frame() == 0);
static_assert(bits::make(1, 2, 3).low() == (2u << 7 | 3u));

TEST_CASE("versions grow with load, change, eviction, and with nothing else", "[buffer][word]") {
    auto rt = native_runtime{};
    auto word = word_type{};
    auto frame = std::uint32_t{};
    CHECK(word.share(rt, frame) == fix::absent);
    bring_in(word, rt);
    CHECK(word.peek().version() == 1);
    CHECK(word.share(rt, frame) == fix::ok);
    CHECK(frame == 7);
    word.unshare();
    CHECK(word.exclude(rt, frame) == fix::ok);
    word.release(rt, false);
    CHECK(word.peek().version() == 1);
    CHECK(word.exclude(rt, frame) == fix::ok);
    word.release(rt, true);
    CHECK(word.peek().version() == 2);
    word.cool_down(7);
    REQUIRE(word.exclude_if_idle(7, false));
    word.release_absent(rt);
    CHECK(word.peek().version() == 3);
    CHECK(word.peek().frame() == 0);
    CHECK(word.exclude(rt, frame) == fix::absent);
}

TEST_CASE("an access warms a cool page, a write-out does not", "[buffer][word]") {
    auto rt = native_runtime{};
    auto word = word_type{};
    bring_in(word, rt);
    word.cool_down(7);
    REQUIRE(word.share_if_free(7));
    word.unshare_as_cool();
    CHECK(word.peek().state() == bits::cool);
    auto frame = std::uint32_t{};
    CHECK(word.share(rt, frame) == fix::ok);
    CHECK_FALSE(word.exclude_if_idle(7, true));
    word.unshare();
    CHECK(word.peek().state() == 0);
    CHECK_FALSE(word.exclude_if_idle(7, false));
    CHECK_FALSE(word.share_if_free(8));
    CHECK(word.exclude_if_idle(7, true));
    CHECK_FALSE(word.share_if_free(7));
    word.release(rt, false, true);
    CHECK(word.peek().state() == bits::cool);
}

TEST_CASE("readers and writers of one word exclude each other", "[buffer][word][threads]") {
    auto word = word_type{};
    {
        auto rt = native_runtime{};
        bring_in(word, rt);
    }
    std::uint64_t guarded[2]{};
    auto wrong = std::atomic<int>{0};
    auto work = [&](bool writes) {
        auto rt = native_runtime{};
        auto frame = std::uint32_t{};
        for (int n = 0; n < 20000; ++n) {
            if (writes && n % 8 == 0) {
                if (word.exclude(rt, frame) != fix::ok) ++wrong;
                ++guarded[0];
                ++guarded[1];
                word.release(rt, true);
            } else {
                if (word.share(rt, frame) != fix::ok) ++wrong;
                if (guarded[0] != guarded[1]) ++wrong;
                word.unshare();
            }
        }
    };
    auto all = std::vector<std::thread>{};
    for (int i = 0; i < 4; ++i) all.emplace_back(work, i % 2 == 0);
    for (auto& t : all) t.join();
    CHECK(wrong == 0);
    CHECK(guarded[0] == 2 * 20000 / 8);
    CHECK(word.peek().state() == 0);
    CHECK(word.peek().version() == 1 + guarded[0]);
}

TEST_CASE("in no interleaving is a waiter forgotten", "[buffer][word][interleave]") {
    using env = interleaved_environment;
    using traits = traits_on<env>;
    struct shared_state {
        page_word<traits> word{};
        int inside = 0;
        int readers = 0;
        bool wrong = false;
    };
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto state = shared_state{};
        world.run([&] {
            auto rt = interleaved_runtime{};
            REQUIRE(state.word.claim_absent(7));
            interleaved_runtime::task tasks[4];
            for (int i = 0; i < 4; ++i)
                tasks[i] = rt.spawn(
                                 i % 2 == 0 ? "writer" : "reader",
                                 i % 2 == 0 ? [](void* raw) {
                                     auto& s = *static_cast<shared_state*>(raw);
                                     auto own = interleaved_runtime{};
                                     auto frame = std::uint32_t{};
                                     for (int n = 0; n < 3; ++n) {
                                         if (s.word.exclude(own, frame) != fix::ok) s.wrong = true;
                                         if (s.inside++ != 0 || s.readers != 0) s.wrong = true;
                                         own.relax(0);
                                         --s.inside;
                                         s.word.release(own, true);
                                     }
                                 }
                                            : [](void* raw) {
                                     auto& s = *static_cast<shared_state*>(raw);
                                     auto own = interleaved_runtime{};
                                     auto frame = std::uint32_t{};
                                     for (int n = 0; n < 3; ++n) {
                                         if (s.word.share(own, frame) != fix::ok) s.wrong = true;
                                         ++s.readers;
                                         if (s.inside != 0) s.wrong = true;
                                         own.relax(0);
                                         --s.readers;
                                         s.word.unshare();
                                     }
                                 },
                                 &state
                )
                               .value();
            // The load takes its time: all of them wait for it.
            for (std::uint32_t n = 0; n < 40; ++n) rt.relax(n);
            state.word.release(rt, true);
            for (auto& t : tasks) t.join();
        });
        REQUIRE_FALSE(state.wrong);
        REQUIRE(state.word.peek().state() == 0);
        REQUIRE(state.word.peek().version() == 7);
    }
}

} // namespace jetpp_test::page_word_cases
