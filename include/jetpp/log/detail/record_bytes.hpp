// jetpp/log/detail/record_bytes.hpp - payloads written and read in order, for the record structs.
//
// record_writer fills a payload from offset 24 and zeroes the padding. record_reader never leaves
// the record: a read past the end yields zero or nothing and makes the record bad, so a parser is
// a list of fields and one question at its end.
// Owns  nothing.
#pragma once

#include <jetpp/env/runtime.hpp>
#include <jetpp/log/record.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace jetpp::inline v1::detail {

class record_writer {
public:
    explicit record_writer(std::byte* record) noexcept
        : record_{record}, at_{record + record_header_size} {}

    record_writer& u8(std::uint8_t value) noexcept {
        *at_++ = static_cast<std::byte>(value);
        return *this;
    }
    record_writer& u16(std::size_t value) noexcept {
        store_le<std::uint16_t>(at_, static_cast<std::uint16_t>(value));
        at_ += 2;
        return *this;
    }
    record_writer& u32(std::size_t value) noexcept {
        store_le<std::uint32_t>(at_, static_cast<std::uint32_t>(value));
        at_ += 4;
        return *this;
    }
    record_writer& u64(std::uint64_t value) noexcept {
        store_le<std::uint64_t>(at_, value);
        at_ += 8;
        return *this;
    }
    record_writer& at(lsn where) noexcept { return u64(where.value); }
    record_writer& time(wall_time when) noexcept {
        return u64(static_cast<std::uint64_t>(when.ns));
    }
    record_writer& id(uuid const& value) noexcept { return raw(value.raw); }
    record_writer& part(page_part const& value) noexcept {
        encode_part(at_, value);
        at_ += page_part_size;
        return *this;
    }
    record_writer& raw(const_bytes value) noexcept {
        if (!value.empty()) std::memcpy(at_, value.data(), value.size());
        at_ += value.size();
        return *this;
    }
    record_writer& zero(std::size_t count) noexcept {
        std::memset(at_, 0, count);
        at_ += count;
        return *this;
    }
    // Zeroes up to the next multiple of 8.
    void pad() noexcept {
        auto const used = static_cast<std::size_t>(at_ - record_);
        zero(padded(used) - used);
    }

private:
    std::byte* record_;
    std::byte* at_;
};

class record_reader {
public:
    // Reads from `from` on; a record shorter than that is bad at once.
    explicit record_reader(const_bytes record, std::size_t from = record_header_size) noexcept
        : record_{record}, at_{from}, bad_{record.size() < from} {}

    [[nodiscard]] std::uint8_t u8() noexcept {
        auto const* p = take(1);
        return p == nullptr ? std::uint8_t{0} : std::to_integer<std::uint8_t>(*p);
    }
    [[nodiscard]] std::uint16_t u16() noexcept {
        auto const* p = take(2);
        return p == nullptr ? std::uint16_t{0} : load_le<std::uint16_t>(p);
    }
    [[nodiscard]] std::uint32_t u32() noexcept {
        auto const* p = take(4);
        return p == nullptr ? 0 : load_le<std::uint32_t>(p);
    }
    [[nodiscard]] std::uint64_t u64() noexcept {
        auto const* p = take(8);
        return p == nullptr ? 0 : load_le<std::uint64_t>(p);
    }
    [[nodiscard]] lsn at() noexcept { return {u64()}; }
    [[nodiscard]] wall_time time() noexcept { return {static_cast<std::int64_t>(u64())}; }
    [[nodiscard]] uuid id() noexcept {
        auto value = uuid{};
        if (auto const* p = take(16); p != nullptr) std::memcpy(value.raw.data(), p, 16);
        return value;
    }
    [[nodiscard]] page_part part() noexcept {
        auto const* p = take(page_part_size);
        return p == nullptr ? page_part{} : decode_part(p);
    }
    [[nodiscard]] const_bytes raw(std::uint64_t count) noexcept {
        auto const* p = take(count);
        return p == nullptr ? const_bytes{} : const_bytes{p, static_cast<std::size_t>(count)};
    }
    // What is left, whole. Ends the reading.
    [[nodiscard]] const_bytes rest() noexcept {
        return bad_ ? const_bytes{} : raw(record_.size() - at_);
    }
    void skip(std::uint64_t count) noexcept { static_cast<void>(take(count)); }
    void refuse_unless(bool condition) noexcept { bad_ = bad_ || !condition; }
    [[nodiscard]] bool bad() const noexcept { return bad_; }

    // Was everything in bounds, and is the record exactly as long as its fields and their padding?
    [[nodiscard]] bool complete() const noexcept { return !bad_ && padded(at_) == record_.size(); }

private:
    [[nodiscard]] std::byte const* take(std::uint64_t count) noexcept {
        if (bad_ || count > record_.size() - at_) {
            bad_ = true;
            return nullptr;
        }
        auto const* p = record_.data() + at_;
        at_ += static_cast<std::size_t>(count);
        return p;
    }

    const_bytes record_;
    std::size_t at_;
    bool bad_;
};

// The `parse` of a struct that has `read`. An object, not a function of the struct: members of a
// template are made when they are called, and a program that includes all the records would pay
// for some forty results that only tests and tools ever hold. Replay reads in place.
template <class Body>
struct record_parse {
    [[nodiscard]] result<Body> operator()(const_bytes record) const noexcept {
        auto body = Body{};
        if (!Body::read(record, body)) return bad_record();
        return body;
    }
    [[nodiscard]] result<Body> operator()(std::uint16_t argument, const_bytes content)
        const noexcept {
        auto body = Body{};
        if (!Body::read(argument, content, body)) return bad_record();
        return body;
    }
};

} // namespace jetpp::inline v1::detail
