// jetpp/core/result.hpp - the one way a jetpp function fails.
//
// result<T> is Boost.Outcome's basic_result over jetpp::error: basic_result.hpp compiles in a
// quarter of the time of result.hpp. Looking at the wrong side ends the process (policy
// `terminate`); code moves errors up with BOOST_OUTCOME_TRY. Absence ("no such row") is a value,
// never an error.
#pragma once

#include <jetpp/core/error.hpp>

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <boost/outcome/try.hpp>

namespace jetpp::inline v1 {

template <class T>
using result = boost::outcome_v2::basic_result<T, error, boost::outcome_v2::policy::terminate>;

// The value of a result<void> that succeeded.
[[nodiscard]] constexpr auto ok() noexcept {
    return boost::outcome_v2::success();
}

} // namespace jetpp::inline v1
