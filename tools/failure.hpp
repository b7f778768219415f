// tools/failure.hpp - how the command says what went wrong: one line, what and where.
//
// Commands throw a failure; main prints it and exits with its status.
#pragma once

#include <jetpp/core/describe.hpp>
#include <jetpp/core/result.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp_tool {

enum class exit_status : int { success = 0, failed = 1, wrong_usage = 2 };

class failure : public std::runtime_error {
public:
    explicit failure(std::string const& line, exit_status status = exit_status::failed)
        : std::runtime_error{line}, status_{status} {}

    [[nodiscard]] exit_status status() const noexcept { return status_; }

private:
    exit_status status_;
};

[[nodiscard]] inline std::string text_of(jetpp::error const& e) {
    return std::string{jetpp::describe(e).view()};
}

[[noreturn]] inline void fail(std::string_view where, std::string_view what) {
    throw failure{std::string{where} + ": " + std::string{what}};
}
[[noreturn]] inline void fail(std::string_view where, jetpp::error const& e) {
    fail(where, text_of(e));
}
[[noreturn]] inline void wrong_usage(std::string_view what) {
    throw failure{std::string{what}, exit_status::wrong_usage};
}

// The value of a result, or a failure that names `where`.
template <class T>
T value_of(jetpp::result<T>&& outcome, std::string_view where) {
    if (!outcome) fail(where, outcome.error());
    return std::move(outcome).assume_value();
}
inline void value_of(jetpp::result<void>&& outcome, std::string_view where) {
    if (!outcome) fail(where, outcome.error());
}

} // namespace jetpp_tool
