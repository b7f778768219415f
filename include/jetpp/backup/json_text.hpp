// jetpp/backup/json_text.hpp - writes JSON, so that taking a backup needs no JSON library.
//
//     auto json = json_text{};
//     json.open_object().key("set").text("7f...").key("pages").number(17).close_object();
//
// Commas are its own business. Numbers of 64 bits are written as decimal strings, since readers
// that hold them as doubles would round them. Every key begins a line at the two outer levels.
// Threads  one owner. Throws: std::bad_alloc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

class json_text {
public:
    json_text& open_object() { return open('{'); }
    json_text& close_object() { return close('}'); }
    json_text& open_array() { return open('['); }
    json_text& close_array() { return close(']'); }

    json_text& key(std::string_view name) {
        separate();
        if (depth_ == 1 && first_ == false) out_ += '\n';
        quote(name);
        out_ += ':';
        after_key_ = true;
        return *this;
    }
    json_text& text(std::string_view value) {
        separate();
        quote(value);
        return done();
    }
    // A 64-bit number, as a decimal string; `width` pads with zeros, so that positions sort as text.
    json_text& number(std::uint64_t value, std::size_t width = 1) {
        auto digits = std::to_string(value);
        if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
        return text(digits);
    }
    // A small one, as a JSON number.
    json_text& small(std::uint32_t value) {
        separate();
        out_ += std::to_string(value);
        return done();
    }
    json_text& truth(bool value) {
        separate();
        out_ += value ? "true" : "false";
        return done();
    }
    json_text& null() {
        separate();
        out_ += "null";
        return done();
    }

    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    json_text& open(char bracket) {
        separate();
        out_ += bracket;
        ++depth_;
        first_ = true;
        return *this;
    }
    json_text& close(char bracket) {
        out_ += bracket;
        --depth_;
        return done();
    }
    void separate() {
        if (after_key_) {
            after_key_ = false;
            return;
        }
        if (!first_) out_ += ',';
    }
    json_text& done() {
        first_ = false;
        return *this;
    }
    void quote(std::string_view value) {
        constexpr char digits[] = "0123456789abcdef";
        out_ += '"';
        for (auto const c : value) {
            auto const byte = static_cast<unsigned char>(c);
            if (c == '"' || c == '\\') {
                out_ += '\\';
                out_ += c;
            } else if (byte < 0x20 || byte == 0x7F) {
                out_ += "\\u00";
                out_ += digits[byte >> 4];
                out_ += digits[byte & 15];
            } else {
                out_ += c;
            }
        }
        out_ += '"';
    }

    std::string out_;
    std::size_t depth_ = 0;
    bool first_ = true;
    bool after_key_ = false;
};

} // namespace jetpp::inline v1
