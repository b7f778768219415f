// jetpp/buffer/detail/paged_file_life.hpp - bodies of paged_file: making and opening one.
#pragma once

#include <jetpp/buffer/paged_file.hpp>

namespace jetpp::inline v1 {

template <class Traits>
result<void> paged_file<Traits>::adopt() noexcept {
    auto const& h = copies_.newest();
    BOOST_OUTCOME_TRY(h.check_policies(static_cast<std::uint32_t>(page_size), Traits::checksum::id)
    );
    auto size = file_.size();
    if (!size) return here(size.error());
    auto const pages = size.value() / page_size;
    if (pages > no_page.value) return here({.code = errc::limit_exceeded});
    page_count_.store(static_cast<std::uint32_t>(pages), std::memory_order_release);
    nonce_ = h.nonce;
    highest_is_exact_ = h.state == database_state::clean || h.state == database_state::creating;
    highest_lsn_.store(h.max_lsn.value, std::memory_order_release);
    take_over();
    return table_.reserve(static_cast<std::uint32_t>(pages));
}

template <class Traits>
result<std::unique_ptr<paged_file<Traits>>> paged_file<Traits>::open(
    env environment, typename env::directory& directory, file_name const& name, open_mode mode
) noexcept {
    auto made = std::unique_ptr<paged_file>{new (std::nothrow) paged_file{environment, name}};
    if (made == nullptr) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(made->copies_.create());
    auto opened = directory.open(name, {.mode = mode});
    if (!opened) return opened.error().with_file(file_kind::database);
    made->file_ = std::move(opened).value();
    BOOST_OUTCOME_TRY(made->copies_.read(made->file_));
    // What is read now may be the cache of a process that was killed: until a first sync nothing
    // of it may be counted on, and no double-write image of it overwritten.
    made->completed_.store(1, std::memory_order_release);
    BOOST_OUTCOME_TRY(made->adopt());
    return made;
}

template <class Traits>
result<std::unique_ptr<paged_file<Traits>>> paged_file<Traits>::create(
    env environment,
    typename env::directory& directory,
    file_name const& name,
    database_header const& header,
    std::uint32_t pages
) noexcept {
    ensure(pages >= limits::new_database_pages, "a new database has its map and two roots");
    auto made = std::unique_ptr<paged_file>{new (std::nothrow) paged_file{environment, name}};
    if (made == nullptr) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(made->copies_.create());
    BOOST_OUTCOME_TRY(auto first, aligned_buffer::create(3 * page_size));
    auto created = directory.open(name, {.mode = open_mode::create_new});
    if (!created) return created.error().with_file(file_kind::database);
    made->file_ = std::move(created).value();
    auto& file = made->file_;
    if (auto done = file.allocate(0, std::uint64_t{pages} * page_size); !done)
        return made->here(done.error());

    auto map = space_map_editor<page_size>{first.data()};
    map.format(limits::first_page);
    ensure(map.set(1, 2, true), "the map of a new database is empty");
    auto const root = [&](std::size_t i, page_number number, tree_id tree) noexcept {
        auto const formatted = page_editor<page_size>{first.data() + i * page_size}.format(
            {.number = number, .tree = tree, .kind = page_kind::leaf, .flags = page_flag::root}
        );
        ensure(formatted, "an empty root has no fences");
    };
    root(1, limits::catalogue_root, catalogue_tree);
    root(2, limits::pending_root, pending_tree);
    for (std::size_t i = 0; i < 3; ++i) codec::seal(first.data() + i * page_size, header.nonce);
    if (auto done = write_full(file, first.all(), offset_of_page(limits::first_page)); !done)
        return made->here(done.error());
    BOOST_OUTCOME_TRY(made->copies_.write_first(file, header));
    if (auto done = file.sync(sync_how::full); !done) return made->here(done.error());
    BOOST_OUTCOME_TRY(made->adopt());
    return made;
}

} // namespace jetpp::inline v1
