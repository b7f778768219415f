// jetpp/engine/value_buffer.hpp - where get() puts a value: memory that is reused.
//
// After the first few calls no get allocates. The text lives until the next use of the buffer.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <string_view>

namespace jetpp::inline v1 {

class value_buffer {
public:
    [[nodiscard]] std::string_view text() const& noexcept { return as_text(raw()); }
    std::string_view text() const&& = delete;
    [[nodiscard]] const_bytes raw() const& noexcept { return {held_.data(), held_.size()}; }
    const_bytes raw() const&& = delete;

    // Errors: out_of_memory; the buffer is empty then.
    [[nodiscard]] result<void> assign(const_bytes value) noexcept {
        held_.clear();
        if (!held_.append(value)) return error{.code = errc::out_of_memory};
        return ok();
    }
    void clear() noexcept { held_.clear(); }

private:
    array_list<std::byte> held_;
};

} // namespace jetpp::inline v1
