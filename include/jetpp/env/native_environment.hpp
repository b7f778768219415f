// jetpp/env/native_environment.hpp - the environments of production: real threads over real files,
// or over memory that ends with the process.
#pragma once

#include <jetpp/env/environment.hpp>
#include <jetpp/env/memory_storage.hpp>
#include <jetpp/env/native_runtime.hpp>
#include <jetpp/env/posix_storage.hpp>

namespace jetpp::inline v1 {

using native_environment = environment<posix_storage, native_runtime>;
static_assert(any_environment<native_environment>);
static_assert(sizeof(native_environment) == 1, "the production environment costs no memory");

using memory_environment = environment<memory_storage, native_runtime>;
static_assert(any_environment<memory_environment>);

} // namespace jetpp::inline v1
