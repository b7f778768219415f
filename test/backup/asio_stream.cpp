// test/backup/asio_stream.cpp - sets through any asynchronous stream of Asio.
#include <jetpp/backup/asio_stream.hpp>
#include <jetpp/backup/stream_source.hpp>
#include <jetpp/env/native_environment.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <thread>

#include "made_set.hpp"

namespace jetpp_test::asio_stream_cases {

using namespace jetpp;
namespace asio = boost::asio;

// Two ends of a socket, whose events another thread handles.
struct socket_pair {
    asio::io_context context;
    asio::executor_work_guard<asio::io_context::executor_type> busy{context.get_executor()};
    asio::local::stream_protocol::socket here{context};
    asio::local::stream_protocol::socket there{context};
    std::thread loop;

    socket_pair() {
        asio::local::connect_pair(here, there);
        loop = std::thread{[this] { context.run(); }};
    }
    ~socket_pair() {
        busy.reset();
        context.stop();
        loop.join();
    }
};

TEST_CASE("a set goes through a socket, block by block", "[backup][stream]") {
    auto const set = make_set(1);
    auto pair = socket_pair{};
    auto sender = std::thread{[&] {
        auto out = asio_output{pair.here, native_environment{}};
        auto sink = stream_sink{out};
        static_assert(backup_sink<decltype(sink)>);
        auto sent = sink.begin({.set = set.manifest.set}).has_value();
        for (auto const& part : set.parts)
            for (auto const& frame : frames_of(part)) sent = sent && sink.write(frame);
        // The number of parts stands in the manifest's frame.
        for (auto i = set.parts.size(); i != 0; --i) sent = sent && sink.open_part("part");
        sent = sent && sink.finish(as_bytes(set.sealed)).has_value();
        if (sent) pair.here.shutdown(asio::socket_base::shutdown_send);
    }};
    auto in = asio_input{pair.there, native_environment{}};
    auto nowhere = no_store{};
    auto const got = read_stream(in, nowhere);
    sender.join();
    REQUIRE(got);
    CHECK(got.value().sealed == set.sealed);
}

TEST_CASE("a receiver that goes away is an error, and so is a sender", "[backup][stream]") {
    auto pair = socket_pair{};
    auto out = asio_output{pair.here, native_environment{}};
    pair.there.close();
    auto failed = result<void>{ok()};
    auto const block = buffer(std::size_t{1} << 20);
    for (auto i = 0; i < 8 && failed; ++i) failed = out.write(block);
    REQUIRE(!failed);
    CHECK(failed.error().code == errc::io);
    CHECK(failed.error().os_errno != 0);

    // The other end goes in the middle of a frame: the stream ends, the set does not.
    auto other = socket_pair{};
    auto cut = asio_output{other.here, native_environment{}};
    REQUIRE(cut.write(buffer(100)));
    other.here.close();
    auto in = asio_input{other.there, native_environment{}};
    auto nowhere = no_store{};
    auto const got = read_stream(in, nowhere);
    REQUIRE(!got);
    CHECK(got.error().code == errc::set_damaged);
}

} // namespace jetpp_test::asio_stream_cases
