// jetpp/log/log_record.hpp - one record of the log as replay hands it out: a variant of views.
//
// `record_bodies` is the one list of types; variant, parser table and filter masks are made from
// it. Every consumer visits without a catch-all, so that a new record does not compile in each
// place that must learn of it:
//     r.visit(overload{[&](record::insert const& i) { ... }, ... /* every type */});
// Owns     nothing: all views point into the reader's buffer and live until it advances.
// Threads  pure functions.
#pragma once

#include <jetpp/log/record.hpp>
#include <jetpp/log/records.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace jetpp::inline v1 {

// overload{f, g, ...}: one callable of many.
template <class... F>
struct overload : F... {
    using F::operator()...;
};
template <class... F>
overload(F...) -> overload<F...>;

// Holds a value of one of these types. Over the records std::variant took a seventh of the memory
// and time of compiling the log, for powers that views do without: to throw, to be constant, to
// destroy. A visitor that does not know one of the types does not compile, as with std::visit.
template <class First, class... Rest>
class record_variant {
    static_assert((std::is_trivially_copyable_v<First> && ... && std::is_trivially_copyable_v<Rest>)
    );

public:
    record_variant() noexcept { emplace<First>(); }
    template <class Body>
        requires(std::is_same_v<Body, First> || ... || std::is_same_v<Body, Rest>)
    record_variant(Body const& body) noexcept {
        emplace<Body>() = body;
    }

    // Replaces what is held by an empty Body.
    template <class Body>
    Body& emplace() noexcept {
        index_ = index_of<Body>();
        return *::new (static_cast<void*>(raw_)) Body{};
    }
    template <class Body>
    [[nodiscard]] Body const* get_if() const noexcept {
        return index_ == index_of<Body>() ? &held<Body>() : nullptr;
    }
    template <class Visitor>
    decltype(auto) visit(Visitor&& visitor) const {
        using answer = decltype(std::forward<Visitor>(visitor)(held<First>()));
        using call = answer (*)(record_variant const&, Visitor&&);
        static constexpr call calls[] = {
            &call_with<answer, First, Visitor>, &call_with<answer, Rest, Visitor>...
        };
        return calls[index_](*this, std::forward<Visitor>(visitor));
    }

private:
    template <class Body>
    static constexpr std::uint8_t index_of() noexcept {
        static_assert(
            (std::is_same_v<Body, First> || ... || std::is_same_v<Body, Rest>),
            "jetpp: no such record type"
        );
        auto index = std::uint8_t{0};
        static_cast<void>(
            (std::is_same_v<Body, First> || ... || (++index, std::is_same_v<Body, Rest>))
        );
        return index;
    }
    template <class Answer, class Body, class Visitor>
    static Answer call_with(record_variant const& self, Visitor&& visitor) {
        return std::forward<Visitor>(visitor)(self.template held<Body>());
    }
    template <class Body>
    [[nodiscard]] Body const& held() const noexcept {
        return *std::launder(reinterpret_cast<Body const*>(raw_));
    }

    static constexpr std::size_t room = [] {
        auto widest = sizeof(First);
        ((widest = sizeof(Rest) > widest ? sizeof(Rest) : widest), ...);
        return widest;
    }();
    alignas(First) alignas(Rest...) std::byte raw_[room]{};
    std::uint8_t index_{};
};

template <class... Bodies>
struct record_type_list {
    using variant = record_variant<Bodies...>;
    static constexpr std::size_t size = sizeof...(Bodies);
    static constexpr std::array<record_type, size> types{Bodies::type...};

    template <class Body>
    static constexpr std::uint64_t bit_of = [] {
        auto bit = std::uint64_t{0};
        auto index = unsigned{0};
        ((bit |= std::is_same_v<Body, Bodies> ? std::uint64_t{1} << index : 0, ++index), ...);
        static_assert((std::is_same_v<Body, Bodies> || ...), "jetpp: no such record type");
        return bit;
    }();
};

using record_bodies = record_type_list<
    record::commit,
    record::rollback,
    record::insert,
    record::update,
    record::ghost,
    record::revive,
    record::ghost_remove,
    record::insert_run,
    record::structure,
    record::page_image,
    record::page_free,
    record::page_alloc,
    record::extend,
    record::tree_create,
    record::tree_drop,
    record::tree_rename,
    record::db_create,
    record::attach,
    record::detach,
    record::attach_list,
    record::checkpoint_mark,
    record::backup_begin,
    record::backup_end,
    record::recovery_begin,
    record::recovery_end,
    record::time_mark,
    record::verify,
    record::restore_point,
    record::user,
    record::pad,
    record::segment_end,
    record::unknown>;
static_assert(record_bodies::size <= 64, "jetpp: a filter mask is one word");

using record_body = record_bodies::variant;

struct log_record {
    lsn at{};
    std::uint32_t length{};
    record_header header{};
    record_body body{};
    const_bytes raw{}; // the whole record, header included

    // Where the next record of the segment begins.
    [[nodiscard]] lsn next() const noexcept { return at + length; }
    template <class Visitor>
    decltype(auto) visit(Visitor&& visitor) const {
        return body.visit(std::forward<Visitor>(visitor));
    }
    // The body if it is a Body, else null.
    template <class Body>
    [[nodiscard]] Body const* as() const noexcept {
        return body.template get_if<Body>();
    }
};

namespace detail {

// Into place: a variant copied right after it was written costs more than the parsing.
using record_parser = bool (*)(const_bytes, record_body&) noexcept;

template <class Body>
bool parse_body(const_bytes raw, record_body& into) noexcept {
    return Body::read(raw, into.template emplace<Body>());
}

struct record_parser_entry {
    record_type type{};  // as the table spells it, bit 7 included
    std::uint64_t bit{}; // in filter masks
    record_parser parse{};
};

// By type number (bits 0-6). Made from the one list; two types of one number do not compile.
template <class List>
struct record_parser_table;
template <class... Bodies>
struct record_parser_table<record_type_list<Bodies...>> {
    static constexpr std::array<record_parser_entry, 128> entries = [] {
        auto table = std::array<record_parser_entry, 128>{};
        auto const add = [&]<class Body>(std::type_identity<Body>) {
            if (Body::type == record_type::none) return; // unknown: found by being absent
            auto& entry = table[number_of(Body::type)];
            ensure(entry.parse == nullptr, "two record types share a number");
            entry =
                {Body::type, record_type_list<Bodies...>::template bit_of<Body>, &parse_body<Body>};
        };
        (add(std::type_identity<Bodies>{}), ...);
        return table;
    }();
};
using record_parsers = record_parser_table<record_bodies>;

} // namespace detail

// The bit of filter masks for the type byte of a record.
[[nodiscard]] inline std::uint64_t record_bit_of(record_type type) noexcept {
    auto const& entry = detail::record_parsers::entries[number_of(type)];
    return entry.parse != nullptr ? entry.bit : record_bodies::bit_of<record::unknown>;
}

// What can be said about a header without its payload.
// Errors: unsupported_record (unknown type without bit 7, or flags of a later version),
//         unlogged_changes, log_corrupt (impossible transaction id, or bit 7 lies).
[[nodiscard]] inline result<void> check_header(lsn at, record_header const& header) noexcept {
    auto const refuse = [&](errc code) {
        return error{.code = code, .file = file_kind::log_segment, .at = at};
    };
    if (header.type == record_type::unlogged_range) return refuse(errc::unlogged_changes);
    auto const& entry = detail::record_parsers::entries[number_of(header.type)];
    if (entry.parse == nullptr) {
        if (!may_be_skipped(header.type)) return refuse(errc::unsupported_record);
        return ok();
    }
    if (entry.type != header.type) return refuse(errc::log_corrupt);
    auto const flags = static_cast<std::uint8_t>(header.flags);
    if ((flags & ~record_flags_known) != 0 || has(header.flags, record_flags::encrypted))
        return refuse(errc::unsupported_record);
    auto const first = has(header.flags, record_flags::first_of_transaction);
    if (header.transaction > at || (header.transaction == at) != first)
        return refuse(errc::log_corrupt);
    return ok();
}

// Reads one whole record whose CRC was found right. Arbitrary bytes are safe.
// Errors: those of check_header; log_corrupt where the payload breaks the table of its type. `into`
// means nothing then.
[[nodiscard]] inline result<void> parse_record(lsn at, const_bytes raw, log_record& into) noexcept {
    if (raw.size() < record_header_size || raw.size() % 8 != 0 || raw.size() > record_size_limit ||
        decode_length(raw.data()) != raw.size())
        return bad_record().with_lsn(at);
    into.at = at;
    into.length = static_cast<std::uint32_t>(raw.size());
    into.header = decode_header(raw.data());
    into.raw = raw;
    BOOST_OUTCOME_TRY(check_header(at, into.header));
    auto const known = detail::record_parsers::entries[number_of(into.header.type)].parse;
    auto const parse = known != nullptr ? known : &detail::parse_body<record::unknown>;
    if (!parse(raw, into.body)) return bad_record().with_lsn(at);
    return ok();
}
[[nodiscard]] inline result<log_record> parse_record(lsn at, const_bytes raw) noexcept {
    auto parsed = log_record{};
    BOOST_OUTCOME_TRY(parse_record(at, raw, parsed));
    return parsed;
}

// Which records a reader wants; empty members want all. A filter skips parsing, never checking.
class record_filter {
public:
    constexpr record_filter() noexcept = default;

    [[nodiscard]] constexpr record_filter database(database_id id) const noexcept {
        auto f = *this;
        f.database_ = id;
        return f;
    }
    [[nodiscard]] constexpr record_filter tree(tree_id id) const noexcept {
        auto f = *this;
        f.tree_ = id;
        return f;
    }
    [[nodiscard]] constexpr record_filter transaction(lsn first_record) const noexcept {
        auto f = *this;
        f.transaction_ = first_record;
        return f;
    }
    // Adds these types; without any call all types are wanted.
    template <class... Bodies>
    [[nodiscard]] constexpr record_filter types() const noexcept {
        auto f = *this;
        f.types_ |= (record_bodies::bit_of<Bodies> | ...);
        return f;
    }

    [[nodiscard]] bool wants(record_header const& header) const noexcept {
        if (database_ != no_database && header.database != database_) return false;
        if (tree_ != no_tree && header.tree != tree_) return false;
        if (transaction_ && header.transaction != transaction_) return false;
        return types_ == 0 || (types_ & record_bit_of(header.type)) != 0;
    }

private:
    database_id database_{};
    tree_id tree_{};
    lsn transaction_{};
    std::uint64_t types_{};
};

} // namespace jetpp::inline v1
