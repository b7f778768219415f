// The commands about rows: load, get, scan, erase.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "commands.hpp"
#include "escape.hpp"
#include "failure.hpp"
#include "place.hpp"
#include "progress.hpp"
#include <sys/stat.h>
#include <unistd.h>

namespace jetpp_tool {

namespace {
namespace rows_detail {

[[nodiscard]] std::string name_of(tree_name const& name) {
    return "database " + escaped(name.database) + ", tree " + escaped(name.tree);
}

// An engine with its tree, closed whatever happens: a failed command leaves clean files.
class open_tree {
public:
    open_tree(std::string const& path, tree_name const& name, creation const* when_new)
        : path_{path}, where_{path + ": " + name_of(name)}, engine_{open_engine(path, when_new)} {
        auto const used = engine_->use(name, when_new != nullptr);
        if (used) return;
        auto const why = used.error();
        (void)engine_->close();
        fail(where_, why);
    }
    open_tree(open_tree const&) = delete;
    open_tree& operator=(open_tree const&) = delete;
    ~open_tree() {
        if (engine_ != nullptr) (void)engine_->close();
    }

    tool_engine* operator->() { return engine_.get(); }
    [[nodiscard]] std::string const& where() const { return where_; }
    void close() {
        auto const engine = std::move(engine_);
        value_of(engine->close(), path_);
    }

private:
    std::string path_;
    std::string where_;
    std::unique_ptr<tool_engine> engine_;
};

// What one word of the command line says in bytes.
[[nodiscard]] std::string word(std::string_view text) {
    auto raw = unescaped(text);
    if (!raw) wrong_usage("not a key (escapes are \\t \\n \\r \\\\ \\xNN): " + std::string{text});
    return *raw;
}

void write_out(std::string_view bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size())
        fail("standard output", std::strerror(errno));
}
void flush_out() {
    if (std::fflush(stdout) != 0) fail("standard output", std::strerror(errno));
}

// Lines of a file or of standard input, without their ends.
class line_source {
public:
    explicit line_source(std::string const& file)
        : name_{file == "-" ? "standard input" : file},
          stream_{file == "-" ? stdin : std::fopen(file.c_str(), "rb")} {
        if (stream_ == nullptr) fail(name_, std::strerror(errno));
        struct stat about{};
        if (::fstat(::fileno(stream_), &about) == 0 && S_ISREG(about.st_mode))
            bytes_total_ = static_cast<std::uint64_t>(about.st_size);
    }
    line_source(line_source const&) = delete;
    line_source& operator=(line_source const&) = delete;
    ~line_source() {
        if (stream_ != nullptr && stream_ != stdin) std::fclose(stream_);
    }

    // The view lives until the next call.
    bool next(std::string_view& line) {
        for (;;) {
            auto const rest = std::string_view{memory_.data() + begin_, end_ - begin_};
            if (auto const n = rest.find('\n', looked_); n != rest.npos) {
                line = rest.substr(0, n);
                begin_ += n + 1;
                looked_ = 0;
                ++number_;
                return true;
            }
            looked_ = rest.size();
            if (at_end_) {
                if (rest.empty()) return false;
                line = rest;
                begin_ = end_;
                looked_ = 0;
                ++number_;
                return true;
            }
            if (rest.size() > line_bytes_max)
                fail(name_, "line " + std::to_string(number_ + 1) + " is longer than any row");
            fill();
        }
    }

    [[nodiscard]] std::string const& name() const { return name_; }
    [[nodiscard]] std::uint64_t number() const { return number_; }
    [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_ - (end_ - begin_); }
    [[nodiscard]] std::uint64_t bytes_total() const { return bytes_total_; } // 0: unknown

private:
    // The largest row of the largest page, every byte of it escaped.
    static constexpr std::size_t line_bytes_max = std::size_t{4} * 32768;

    void fill() {
        std::memmove(memory_.data(), memory_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
        // read(2), which returns what a pipe has: its writer may wait for an acknowledgement.
        auto count = ::ssize_t{};
        do count = ::read(::fileno(stream_), memory_.data() + end_, memory_.size() - end_);
        while (count < 0 && errno == EINTR);
        if (count < 0) fail(name_, std::strerror(errno));
        if (count == 0) at_end_ = true;
        auto const got = static_cast<std::size_t>(count);
        end_ += got;
        bytes_read_ += got;
    }

    std::string name_;
    std::FILE* stream_;
    std::vector<char> memory_ = std::vector<char>(std::size_t{1} << 20);
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t looked_ = 0; // of the line at begin_, without a line end
    bool at_end_ = false;
    std::uint64_t number_ = 0;
    std::uint64_t bytes_read_ = 0;
    std::uint64_t bytes_total_ = 0;
};

class loader {
public:
    loader(load_request const& request, line_source& source, open_tree& into)
        : request_{request}, source_{source}, into_{into} {}

    void run() {
        auto line = std::string_view{};
        while (source_.next(line)) {
            put(line);
            if (++in_batch_ == request_.batch) commit();
            if (rows_ % 256 == 0) show();
        }
        if (in_batch_ != 0) commit();
        bar_.wipe();
    }
    void tell() const {
        auto const seconds = clock_.seconds();
        std::fprintf(
            stderr,
            "loaded %llu rows, %llu bytes, %.0f rows/s\n",
            static_cast<unsigned long long>(rows_),
            static_cast<unsigned long long>(row_bytes_),
            static_cast<double>(rows_) / (seconds > 0 ? seconds : 1e-9)
        );
    }

private:
    void put(std::string_view line) {
        auto const tab = line.find('\t');
        if (tab == line.npos) refuse("has no TAB between key and value");
        if (!read_escaped(line.substr(0, tab), key_) || !read_escaped(line.substr(tab + 1), value_))
            refuse("has an escape that is none of \\t \\n \\r \\\\ \\xNN");
        if (auto const done = into_->put(key_, value_); !done) refuse(text_of(done.error()));
        ++rows_;
        row_bytes_ += key_.size() + value_.size();
    }
    void commit() {
        if (auto const done = into_->commit(request_.how); !done)
            fail(into_.where(), text_of(done.error()) + "; " + committed_so_far());
        committed_ += in_batch_;
        in_batch_ = 0;
        if (!request_.acknowledge) return;
        write_out("committed " + std::to_string(committed_) + "\n");
        flush_out();
    }
    void show() {
        bar_.show(source_.bytes_read(), source_.bytes_total(), std::to_string(rows_) + " rows");
    }

    [[nodiscard]] std::string committed_so_far() const {
        return std::to_string(committed_) + " lines are committed";
    }
    [[noreturn]] void refuse(std::string const& why) {
        into_->roll_back();
        fail(
            source_.name() + " line " + std::to_string(source_.number()),
            why + "; " + committed_so_far()
        );
    }

    load_request const& request_;
    line_source& source_;
    open_tree& into_;
    progress_bar bar_{"load"};
    stopwatch clock_;
    std::string key_;
    std::string value_;
    std::uint64_t in_batch_ = 0;
    std::uint64_t committed_ = 0;
    std::uint64_t rows_ = 0;
    std::uint64_t row_bytes_ = 0;
};

} // namespace rows_detail
} // namespace

void load(load_request const& request) {
    using namespace rows_detail;
    auto source = line_source{request.file};
    auto into = open_tree{request.directory, request.into, &request.when_new};
    auto work = loader{request, source, into};
    work.run();
    into.close();
    work.tell();
}

void get(row_request const& request) {
    using namespace rows_detail;
    auto const key = word(request.key);
    auto from = open_tree{request.directory, request.from, nullptr};
    auto const value = value_of(from->get(key), from.where());
    auto const where = from.where();
    from.close();
    if (!value) fail(where, "there is no key " + request.key);
    write_out(escaped(*value) + "\n");
    flush_out();
}

void erase(row_request const& request) {
    using namespace rows_detail;
    auto const key = word(request.key);
    auto from = open_tree{request.directory, request.from, nullptr};
    auto const was_there = value_of(from->erase(key), from.where());
    value_of(from->commit(jetpp::durability::device), from.where());
    auto const where = from.where();
    from.close();
    if (!was_there) fail(where, "there is no key " + request.key);
}

void scan(scan_request const& request) {
    using namespace rows_detail;
    auto wanted = row_range{.backward = request.backward};
    if (request.from) wanted.from = word(*request.from);
    if (request.to) wanted.to = word(*request.to);
    auto from = open_tree{request.directory, request.tree, nullptr};
    auto left = request.limit.value_or(~std::uint64_t{0});
    auto line = std::string{};
    if (left != 0) {
        value_of(
            from->scan(
                wanted,
                [&](std::string_view key, std::string_view value) {
                    line.clear();
                    add_escaped(line, key);
                    line += '\t';
                    add_escaped(line, value);
                    line += '\n';
                    write_out(line);
                    return --left != 0;
                }
            ),
            from.where()
        );
    }
    flush_out();
    from.close();
}

} // namespace jetpp_tool
