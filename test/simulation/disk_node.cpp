// The simulated file against a model that keeps every byte apart and shares nothing.
#include <jetpp/simulation/disk_node.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "disk.hpp"

namespace jetpp_test::disk_node_cases {

// The same promises, without chunks: durable bytes and a list of operations with all their bytes.
class plain_file {
public:
    struct op {
        std::uint64_t offset{}; // of a size: the size before
        std::uint64_t length{}; // of a size: the size after
        bool is_size{};
        std::vector<std::byte> content{};
        std::vector<bool> dead{}; // overwritten durably since
    };

    std::vector<std::byte> seen;

    void write(std::uint64_t offset, std::vector<std::byte> const& content, bool durable) {
        if (offset + content.size() > seen.size()) resize(offset + content.size());
        std::copy(content.begin(), content.end(), at(seen, offset));
        if (!durable) {
            pending_.push_back(
                {offset, content.size(), false, content, std::vector<bool>(content.size())}
            );
            return;
        }
        auto const end = offset + content.size();
        for (auto const& each : pending_)
            if (each.is_size && each.length < each.offset && each.length < end) {
                sync();
                break;
            }
        for (auto& each : pending_)
            for (std::size_t i = 0; i < each.dead.size(); ++i)
                if (each.offset + i >= offset && each.offset + i < end) each.dead[i] = true;
        if (durable_.size() < end) durable_.resize(end);
        std::copy(content.begin(), content.end(), at(durable_, offset));
    }
    void resize(std::uint64_t size) {
        pending_.push_back({seen.size(), size, true, {}, {}});
        seen.resize(size);
    }
    void sync() {
        crash([](auto const&, std::uint64_t) { return true; });
        durable_ = seen_after_crash;
        pending_.clear();
    }
    // Keeps the sectors and sizes for which keeps(op, first byte) is true.
    template <class Keeps>
    void crash(Keeps&& keeps) {
        auto image = durable_;
        auto size = durable_.size();
        auto const reach = [&](std::uint64_t end) {
            if (image.size() < end) image.resize(end);
        };
        for (auto const& each : pending_) {
            if (each.is_size) {
                if (!keeps(each, 0)) continue;
                if (each.length >= each.offset) {
                    size = std::max<std::size_t>(size, each.length);
                } else if (each.length < size) {
                    size = each.length;
                    image.resize(size);
                }
                continue;
            }
            for (std::size_t i = 0; i < each.content.size(); ++i) {
                auto const to = each.offset + i;
                if (each.dead[i] || !keeps(each, to)) continue;
                reach(to + 1);
                image[to] = each.content[i];
            }
        }
        image.resize(size);
        seen_after_crash = image;
    }
    std::vector<std::byte> seen_after_crash;

private:
    static std::vector<std::byte>::iterator at(std::vector<std::byte>& of, std::uint64_t offset) {
        return of.begin() + static_cast<std::ptrdiff_t>(offset);
    }
    std::vector<std::byte> durable_;
    std::vector<op> pending_;
};

// "12a3.": twelve bytes of a, three zeros.
std::string runs_of(std::vector<std::byte> const& content) {
    auto text = std::string{};
    for (std::size_t i = 0; i < content.size();) {
        auto end = i;
        while (end < content.size() && content[end] == content[i]) ++end;
        text += std::to_string(end - i);
        text += content[i] == std::byte{0} ? '.' : static_cast<char>(content[i]);
        i = end;
    }
    return text;
}

void compare_one_life(std::uint64_t seed) {
    auto draw = choice_tape{seed};
    auto tape = choice_tape{seed};
    auto machine = simulated_machine{tape};
    auto db = open_db(machine);
    auto file = db.open("f", make_new).value();
    REQUIRE(db.sync().has_value());
    auto model = plain_file{};
    auto letter = 'a';
    // Anywhere, or at the edges of sectors.
    auto const offset = [&] {
        auto const unit = draw.chance(1, 2) ? std::uint64_t{512} : std::uint64_t{1};
        auto const limit = draw.chance(1, 2) ? std::uint64_t{20'000} : std::uint64_t{40};
        return draw.pick(limit) * unit % 20'000;
    };
    for (auto left = draw.pick(30); left != 0; --left) {
        letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1);
        switch (draw.pick(8)) {
        case 0: {
            auto const size = offset();
            if (size == model.seen.size()) break;
            REQUIRE(file.truncate(size).has_value());
            model.resize(size);
            break;
        }
        case 1: {
            auto const size = offset();
            REQUIRE(file.allocate(0, size).has_value());
            if (size > model.seen.size()) model.resize(size);
            break;
        }
        case 2:
            REQUIRE(file.sync(sync_how::data).has_value());
            model.sync();
            break;
        default: {
            auto const content = filled(1 + draw.pick(draw.chance(1, 2) ? 9000 : 600), letter);
            auto const durable = draw.chance(1, 3);
            auto const at = offset();
            write(file, at, content, durable ? write_how::durable : write_how::cached);
            model.write(at, content, durable);
        }
        }
        REQUIRE(runs_of(machine.contents("db/f")) == runs_of(model.seen));
    }
    // A crash that keeps all sizes and the sectors of some numbers tells old from new bytes.
    auto const salt = draw.pick(1000);
    auto const keeps_sector = [&](std::uint64_t at) { return (at / 512 * 7 + salt) % 3 != 0; };
    machine.thaw_keeping([&](crash_unit const& unit) {
        return unit.kind == crash_unit::kind_type::size || keeps_sector(unit.offset);
    });
    model.crash([&](plain_file::op const& op, std::uint64_t at) {
        return op.is_size || keeps_sector(at);
    });
    REQUIRE(runs_of(machine.contents("db/f")) == runs_of(model.seen_after_crash));
}

TEST_CASE("a simulated file does what a model without sharing does", "[simulation][property]") {
    auto const rounds = jetpp_test::rounds(1000);
    for (std::uint64_t seed = 0; seed < rounds; ++seed) {
        CAPTURE(seed);
        compare_one_life(seed);
    }
}

} // namespace jetpp_test::disk_node_cases
