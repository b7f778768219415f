// A sink of your own: a backup that goes where you say, and is proved to have come there whole.
//
// A sink is any type with seven functions (jetpp/backup/sink.hpp). It is handed finished frames,
// part after part, and the manifest last. This one keeps a set as numbered blocks, as a store of
// objects would, and can be told to be full. What it kept is fed back as one stream of frames,
// received into a repository, and restored. docs/writing-a-sink.md tells each rule with its reason.
#include <jetpp/backup.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "example.hpp"

using engine = jetpp::engine<>;
using native = engine::environment_type;

// Somebody else's service: it takes blocks under names, and may run out of room.
struct block_store {
    std::map<std::string, std::vector<std::byte>> blocks;
    std::size_t blocks_max = 1'000'000;

    jetpp::result<void> put(std::string const& name, jetpp::const_bytes content) {
        if (blocks.size() >= blocks_max) return jetpp::error{.code = jetpp::errc::disk_full};
        blocks[name].assign(content.begin(), content.end());
        return jetpp::ok();
    }
};

class block_sink {
public:
    explicit block_sink(block_store& to) : to_{&to} {}

    // The truth about what finish() will mean. This store has its blocks in memory: they are gone
    // with the process, so the engine must not rely on the set, and it does not.
    jetpp::backup_receipt receipt() const { return jetpp::backup_receipt::discarded; }

    jetpp::result<void> begin(jetpp::set_name const& name) {
        prefix_ = jetpp::text_of(name.set) + "/";
        count_ = 0;
        return jetpp::ok();
    }
    jetpp::result<void> open_part(std::string_view) { return jetpp::ok(); }
    // One whole frame a call: a natural block.
    jetpp::result<void> write(jetpp::const_bytes frame) { return put(frame); }
    jetpp::result<void> close_part() { return jetpp::ok(); }
    // The manifest makes the set exist, so it goes last, and alone.
    jetpp::result<jetpp::backup_receipt> finish(jetpp::const_bytes manifest) {
        BOOST_OUTCOME_TRY(to_->put(prefix_ + "manifest", manifest));
        return receipt();
    }
    // Nothing of a set that failed stays.
    void abandon() {
        std::erase_if(to_->blocks, [&](auto const& one) { return one.first.starts_with(prefix_); });
    }

    [[nodiscard]] std::string const& prefix() const { return prefix_; }

private:
    jetpp::result<void> put(jetpp::const_bytes content) {
        auto digits = std::to_string(count_++);
        digits.insert(0, 8 - digits.size(), '0');
        return to_->put(prefix_ + digits, content);
    }

    block_store* to_;
    std::string prefix_;
    std::size_t count_ = 0;
};
static_assert(jetpp::backup_sink<block_sink>); // says at once what is missing

// The way back: the blocks of a set, in order, as bytes. The manifest becomes the last frame.
struct joined_blocks {
    std::vector<std::byte> all;
    std::size_t at = 0;

    jetpp::result<std::size_t> read(jetpp::bytes into) noexcept {
        auto const n = std::min(into.size(), all.size() - at);
        std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(at), n, into.begin());
        at += n;
        return n;
    }
    jetpp::result<void> write(jetpp::const_bytes content) {
        all.insert(all.end(), content.begin(), content.end());
        return jetpp::ok();
    }
};
static jetpp::result<joined_blocks> fetch(block_store const& from, block_sink const& sink) {
    auto joined = joined_blocks{};
    auto stream = jetpp::stream_sink{joined};
    auto named = jetpp::set_name{};
    if (!jetpp::detail::parse_hex(sink.prefix().substr(0, 32), named.set.raw))
        return jetpp::error{.code = jetpp::errc::invalid_argument};
    BOOST_OUTCOME_TRY(stream.begin(named));
    for (auto const& [name, block] : from.blocks) { // in the order of their names
        if (name == sink.prefix() + "manifest") {
            BOOST_OUTCOME_TRY(stream.finish(block));
            continue;
        }
        auto const head = jetpp::frame_header::decode(block);
        if (!head) return head.error();
        if (head.assume_value().sequence == 0) {
            BOOST_OUTCOME_TRY(stream.open_part({}));
        }
        BOOST_OUTCOME_TRY(stream.write(block));
    }
    return joined;
}

static jetpp::result<void> run() {
    auto const place = scratch_directory{};
    BOOST_OUTCOME_TRY(auto db, engine::open(place / "db"));
    BOOST_OUTCOME_TRY(db.attach("library"));
    BOOST_OUTCOME_TRY(auto const books, db.open_tree("library", "books"));
    for (auto n = 0; n < 1000; ++n) {
        BOOST_OUTCOME_TRY(db.put(books, "book" + std::to_string(n), std::string(200, 'x')));
    }

    // A sink that fails: the backup says so, and nothing is left of it.
    auto small = block_store{.blocks = {}, .blocks_max = 3};
    auto refused = block_sink{small};
    auto const failed = jetpp::run_backup(db, refused);
    claim(!failed && failed.error().code == jetpp::errc::disk_full, "the store was full");
    claim(small.blocks.empty(), "nothing of the failed set stays");

    auto store = block_store{};
    auto sink = block_sink{store};
    BOOST_OUTCOME_TRY(auto const done, jetpp::run_backup(db, sink));
    claim(done.kind == jetpp::backup_kind::copy, "a set that is not durable is a copy");
    BOOST_OUTCOME_TRY(std::move(db).close());

    // Back again: every frame is checked, and the whole against its manifest.
    BOOST_OUTCOME_TRY(auto blocks, fetch(store, sink));
    auto const env = native{};
    BOOST_OUTCOME_TRY(
        auto repository, jetpp::repository<native>::open_or_create(env, place / "repository")
    );
    BOOST_OUTCOME_TRY(auto const got, jetpp::receive_set(env, blocks, repository));
    claim(got.manifest.hash == done.manifest_hash, "what came back is what was sent");
    BOOST_OUTCOME_TRY(jetpp::run_restore<engine::traits>(env, place / "repository", place / "again")
    );
    BOOST_OUTCOME_TRY(auto again, engine::open(place / "again"));
    BOOST_OUTCOME_TRY(auto const restored, again.open_tree("library", "books"));
    auto rows = 0;
    {
        BOOST_OUTCOME_TRY(auto const now, again.read());
        BOOST_OUTCOME_TRY(now.for_each(restored, {}, [&](jetpp::row const&) { ++rows; }));
    }
    claim(rows == 1000, "all rows came through the sink of our own");
    return std::move(again).close();
}

int main() {
    return status_of(run());
}
