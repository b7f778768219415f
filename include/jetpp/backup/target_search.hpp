// jetpp/backup/target_search.hpp - what a time and a label mean in a log, told by its records.
//
// A time T means: just before the first commit in log order that is later than T. That something
// later was logged must be seen, or nobody knows whether more commits of T were to come; a time
// mark tells as well as a commit, since times never fall in log order.
// A label means: through the record that bears it. Labels may repeat; then the LSN is told with it.
// Whoever walks a log, of sets or of an external session, shows each record to one of these.
// Threads  one owner.
// Source   backup rule R31.
#pragma once

#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/log/log_record.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

struct time_search {
    wall_time time{};
    lsn limit{
    }; // of the record that was seen last: once one is later, nothing restored may reach it

    // Is this one later than the time? Then the search is over.
    [[nodiscard]] bool is_later(log_record const& record) noexcept {
        auto wall = wall_time{};
        if (auto const* commit = record.template as<record::commit>()) wall = commit->wall;
        if (auto const* mark = record.template as<record::time_mark>()) wall = mark->wall;
        limit = record.at;
        return wall > time;
    }
    // Does it say when it was logged?
    [[nodiscard]] static bool tells(log_record const& record) noexcept {
        return record.template as<record::commit>() != nullptr ||
               record.template as<record::time_mark>() != nullptr;
    }
};

// A label, and perhaps which of those that bear it: L or L@LSN.
struct restore_label {
    std::string said; // which may be a label with an @ in it
    std::string text;
    std::optional<lsn> at{};

    // "L@LSN" where LSN is a number. Throws: std::bad_alloc.
    [[nodiscard]] static restore_label parse(std::string_view said) {
        auto const at = said.rfind('@');
        if (at == std::string_view::npos || at == 0)
            return {std::string{said}, std::string{said}, {}};
        auto const number = detail::parse_decimal(said.substr(at + 1));
        if (!number) return {std::string{said}, std::string{said}, {}};
        return {std::string{said}, std::string{said.substr(0, at)}, lsn{*number}};
    }
};

class label_search {
public:
    // Throws: std::bad_alloc, as see().
    explicit label_search(restore_label label) : label_{std::move(label)} {}

    void see(log_record const& record) {
        auto const* const point = record.template as<record::restore_point>();
        if (point == nullptr) return;
        if (as_text(point->label) == label_.text) labelled_.push_back(record.at);
        if (as_text(point->label) == label_.said) literal_.push_back(record.at);
    }
    // All of the log was seen. Returns: the LSN that nothing restored may reach.
    // Errors: not_found (nothing bears the label), ambiguous_label (at: the first that does).
    [[nodiscard]] result<lsn> limit() const noexcept {
        auto const refused = [](errc code, lsn at = {}) {
            return error{.code = code, .file = file_kind::log_segment, .at = at};
        };
        if (literal_.empty() && label_.at) {
            for (auto const at : labelled_)
                if (at == *label_.at) return at + 1;
            return refused(errc::not_found, *label_.at);
        }
        auto const& found = labelled();
        if (found.empty()) return refused(errc::not_found);
        if (found.size() > 1) return refused(errc::ambiguous_label, found.front());
        return found.front() + 1;
    }
    // Was the LSN told with it, and is it there? Then nothing unseen can change the answer.
    [[nodiscard]] bool is_picked() const noexcept {
        return literal_.empty() && label_.at &&
               std::find(labelled_.begin(), labelled_.end(), *label_.at) != labelled_.end();
    }
    // Where it stands.
    [[nodiscard]] std::vector<lsn> const& labelled() const noexcept {
        return literal_.empty() ? labelled_ : literal_;
    }

private:
    restore_label label_;
    std::vector<lsn> labelled_;
    std::vector<lsn> literal_; // a label with an @ in it
};

} // namespace jetpp::inline v1
