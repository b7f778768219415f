// jetpp/env/environment.hpp - storage and runtime together: the `Env` parameter of every layer.
//
// Copyable and, with the production types, empty: layers keep one by value with
// [[no_unique_address]].
#pragma once

#include <jetpp/env/runtime.hpp>
#include <jetpp/env/storage.hpp>

namespace jetpp::inline v1 {

template <storage Storage, runtime Runtime>
struct environment {
    using storage_type = Storage;
    using runtime_type = Runtime;
    using directory = typename Storage::directory;
    using file = typename directory::file;
    using lock = typename directory::lock;
    using ring = typename directory::ring;
    template <class T>
    using atomic = typename Runtime::template atomic<T>;

    [[no_unique_address]] Storage storage{};
    [[no_unique_address]] Runtime runtime{};
};

template <class E>
concept any_environment = std::copyable<E> && requires(E& e) {
    requires storage<typename E::storage_type>;
    requires runtime<typename E::runtime_type>;
    e.storage;
    e.runtime;
};

} // namespace jetpp::inline v1
