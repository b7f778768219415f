// test/backup/encode_window.cpp - chunks that are compressed side by side leave in their order.
#include <jetpp/backup/encode_window.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/zstd_codec.hpp>
#include <jetpp/simulation/choice_tape.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "bed.hpp"

namespace jetpp_test::encode_window_cases {

using namespace jetpp;
using namespace std::chrono_literals;

using sim_env = interleaved_environment; // every atomic access is a choice

std::atomic<int> at_work = 0;
std::atomic<int> most_at_work = 0;
constexpr auto refused = std::byte{0xEE};

// The first byte and the size; takes its time, and refuses what begins with 0xEE.
template <class Runtime>
class short_codec final : public unit_codec {
public:
    [[nodiscard]] result<std::size_t> encode(const_bytes raw, bytes into) noexcept override {
        REQUIRE_FALSE(is_busy_.exchange(true)); // one caller at a time
        auto const now = at_work.fetch_add(1) + 1;
        if (most_at_work < now) most_at_work = now;
        auto runtime = Runtime{};
        auto const word = std::uint32_t{0};
        runtime.park(&word, 0, runtime.now() + 1ms * (std::to_integer<int>(raw.front()) % 3));
        into.front() = raw.front();
        store_le<std::uint64_t>(into.data() + 1, raw.size());
        at_work.fetch_sub(1);
        is_busy_ = false;
        if (raw.front() == refused) return error{.code = errc::limit_exceeded};
        return std::size_t{9};
    }
    [[nodiscard]] bool decode(const_bytes, bytes) noexcept override { return false; }

private:
    std::atomic<bool> is_busy_ = false;
};
template <class Runtime>
constexpr auto short_kind = codec_kind{
    .id = frame_codec::zstd,
    .name = "short",
    .create = [](int) noexcept -> result<std::unique_ptr<unit_codec>> {
        return std::unique_ptr<unit_codec>{new short_codec<Runtime>};
    },
};

// A chunk of one or two runs, of which all say `number`.
void fill(backup_chunk& chunk, std::uint64_t number) {
    chunk.step = {.stage = backup_stage::pages, .first = number};
    chunk.run_count = 1 + number % 2;
    for (std::size_t i = 0; i < chunk.run_count; ++i) {
        chunk.runs[i] = {.first = number, .end = number + 1, .offset = i * 4096, .bytes = 4096 - i};
        auto const at = chunk.memory.part(i * 4096, 4096);
        std::memset(at.data(), static_cast<int>(number), at.size());
    }
}

TEST_CASE("chunks leave the window as they came, each run encoded", "[backup][codec]") {
    auto together = 0;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        INFO("seed " << seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        at_work = most_at_work = 0;
        world.run([&] {
            auto const encoders = 1 + seed % 5;
            auto const kind = &short_kind<sim_env::runtime_type>;
            auto window = encode_window<sim_env>::create({}, {kind}, encoders).value();
            auto chunk = backup_chunk::create().value();
            auto left = std::uint64_t{1};
            auto const leave = [&] {
                auto const& oldest = window->oldest();
                REQUIRE(oldest.step.first == left);
                for (auto const& run : oldest.all()) {
                    auto const unit = window->unit();
                    REQUIRE(unit.has_value() == (left != 0xEE));
                    if (!unit) continue;
                    REQUIRE(unit.value().size() == 9);
                    REQUIRE(unit.value().front() == static_cast<std::byte>(left));
                    REQUIRE(load_le<std::uint64_t>(unit.value().data() + 1) == run.bytes);
                }
                window->pop();
                ++left;
            };
            for (std::uint64_t i = 1; i < 250; ++i) {
                if (window->is_full()) leave();
                fill(chunk, i);
                window->push(chunk);
                REQUIRE(chunk.step.first == i);
            }
            while (!window->is_empty()) leave();
            CHECK(left == 250);
            fill(chunk, 7); // what is left in it is dropped
            window->push(chunk);
        });
        CHECK(at_work == 0);
        together += most_at_work > 1 ? 1 : 0;
    }
    CHECK(together > 30);
}

TEST_CASE("any number of encoders writes the same set", "[backup][codec]") {
    auto b = bed{};
    b.work(6000, 31);
    auto sizes = std::map<std::uint32_t, std::uint64_t>{};
    for (auto const encoders : {0U, 1U, 2U, 5U, 40U}) {
        CAPTURE(encoders);
        auto const where = "/by" + std::to_string(encoders);
        auto const done = good(run_backup_to(
            b.db, where, {.kind = backup_kind::copy, .codec = {&zstd_codec}, .encoders = encoders}
        ));
        CHECK(done.image_bytes > (std::uint64_t{2} << 20)); // several chunks
        sizes[encoders] = done.stored_bytes;
        (void)good(run_restore<bed<>::traits>(
            b.env, where, where + "-restored", {}, {.access = {codec_list{{&zstd_codec}}}}
        ));
        expect_rows(b.env, where + "-restored", b.expected);
    }
    // The log grows by what each backup says of itself.
    for (auto const& [encoders, size] : sizes) CHECK(size - sizes[0] < 4096);
}

TEST_CASE("an encoder that fails fails the backup, and nothing stays", "[backup][codec]") {
    // The first page that is no header, of every database, begins a run: this one refuses the log.
    struct late {
        static result<std::unique_ptr<unit_codec>> create(int) noexcept {
            struct refusing final : unit_codec {
                [[nodiscard]] result<std::size_t> encode(
                    const_bytes raw, bytes into
                ) noexcept override {
                    if (raw.size() < run_bytes) return error{.code = errc::limit_exceeded};
                    std::memset(into.data(), 1, 16);
                    return std::size_t{16};
                }
                [[nodiscard]] bool decode(const_bytes, bytes) noexcept override { return false; }
            };
            return std::unique_ptr<unit_codec>{new refusing};
        }
    };
    static constexpr auto kind =
        codec_kind{.id = frame_codec::zstd, .name = "late", .create = &late::create};
    auto b = bed{};
    b.work(6000, 32);
    for (auto const encoders : {0U, 3U}) {
        CAPTURE(encoders);
        CHECK(
            code_of(run_backup_to(b.db, "/repo", {.codec = {&kind}, .encoders = encoders})) ==
            errc::limit_exceeded
        );
        auto sets = good(repository<bed<>::environment_type>::open(b.env, "/repo"));
        CHECK(good(sets.list()).empty());
    }
}

} // namespace jetpp_test::encode_window_cases
