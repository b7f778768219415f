// jetpp - load, read, check and describe directories of jetpp files from the command line.
//
// Exit status: 0 success, 1 damage or failure with one line on standard error, 2 wrong usage.
#include <jetpp/checksum/xxh3.hpp>
#include <jetpp/core/version.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "failure.hpp"
#include "keys.hpp"
#include <CLI/CLI.hpp>

namespace {
namespace main_detail {

// CLI11's own says the whole range of a double.
[[nodiscard]] CLI::Validator positive() {
    return CLI::Validator{
        [](std::string& text) {
            auto const is_number = text.find_first_not_of("0123456789") == std::string::npos;
            auto const is_some = text.find_first_not_of('0') != std::string::npos;
            return is_number && is_some ? std::string{} : text + " is no whole number above 0";
        },
        "NUMBER"
    };
}

// CLI11 takes -1 for the highest of all numbers.
[[nodiscard]] CLI::Validator whole_number() {
    return CLI::Validator{
        [](std::string& text) {
            auto const is_number =
                !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
            return is_number ? std::string{} : text + " is no whole number";
        },
        "NUMBER"
    };
}

using namespace jetpp_tool;

// One subcommand: its options fill `request`, its turn runs `work`.
template <class Request>
CLI::App* add_command(
    CLI::App& app,
    std::string const& name,
    std::string const& meaning,
    Request& request,
    void (*work)(Request const&)
) {
    auto* const command = app.add_subcommand(name, meaning);
    command->callback([&request, work] { work(request); });
    return command;
}

void add_directory(CLI::App& command, std::string& directory) {
    command.add_option("DIR", directory, "the directory of the instance")->required();
}
void add_tree(CLI::App& command, tree_name& name) {
    command.add_option("--database", name.database, "the database")->capture_default_str();
    command.add_option("--tree", name.tree, "the tree")->capture_default_str();
}

// An option whose words stand for values; the first is the default.
template <class Value>
CLI::Option* add_choice(
    CLI::App& command,
    std::string const& name,
    std::string const& meaning,
    Value& into,
    std::vector<std::pair<std::string_view, Value>> const& choices
) {
    auto words = std::vector<std::string>{};
    for (auto const& [word, value] : choices) words.emplace_back(word);
    into = choices.front().second;
    return command
        .add_option_function<std::string>(
            name,
            [&into, choices](std::string const& chosen) {
                for (auto const& [word, value] : choices)
                    if (word == chosen) into = value;
            },
            meaning
        )
        ->check(CLI::IsMember(words))
        ->default_str(words.front());
}

void add_load(CLI::App& app, load_request& request) {
    auto& command = *add_command(
        app,
        "load",
        "put lines of 'key TAB value' into a tree, creating what is missing",
        request,
        load
    );
    add_directory(command, request.directory);
    command.add_option("FILE", request.file, "what to read, - for standard input")
        ->capture_default_str();
    add_tree(command, request.into);
    command.add_option("--batch", request.batch, "lines a commit")
        ->check(positive())
        ->capture_default_str();
    add_choice(
        command,
        "--durability",
        "what a commit survives",
        request.how,
        {{"device", jetpp::durability::device},
         {"process", jetpp::durability::process},
         {"memory", jetpp::durability::memory}}
    );
    command.add_flag(
        "--ack", request.acknowledge, "print 'committed LINES' after each commit has returned"
    );
    auto const created = std::string{"Only where the directory is new"};
    command.add_option("--page-size", request.when_new.page_size, "bytes a page")
        ->check(CLI::IsMember({4096, 8192, 16384, 32768, 65536}))
        ->capture_default_str()
        ->group(created);
    add_choice(
        command,
        "--checksum",
        "of pages",
        request.when_new.checksum_id,
        {{jetpp::crc32c::name, jetpp::crc32c::id}, {jetpp::xxh3_64::name, jetpp::xxh3_64::id}}
    )->group(created);
    add_choice(
        command,
        "--logging",
        "keep all log, or use it again",
        request.when_new.archival,
        {{"archival", true}, {"circular", false}}
    )->group(created);
}

void add_row_command(
    CLI::App& app,
    std::string const& name,
    std::string const& meaning,
    row_request& request,
    void (*work)(row_request const&)
) {
    auto& command = *add_command(app, name, meaning, request, work);
    add_directory(command, request.directory);
    command.add_option("KEY", request.key, "the key, with escapes \\t \\n \\r \\\\ \\xNN")
        ->required();
    add_tree(command, request.from);
}

void add_progress(CLI::App& command, progress_how& progress) {
    add_choice(
        command,
        "--progress",
        "auto is a bar on a terminal; json one object a line on standard error",
        progress,
        {{"auto", progress_how::automatic},
         {"bar", progress_how::bar},
         {"json", progress_how::json},
         {"none", progress_how::none}}
    );
}

// How a set is stored.
void add_writing(CLI::App& command, set_request& request) {
    command.add_option("--compress", request.compress, "zstd[:LEVEL], lz4 or none");
    command.add_option("--jobs", request.jobs, "tasks that compress (default: one a processor)")
        ->check(CLI::Range(1, 16));
    add_choice(
        command,
        "--hash",
        "of what the set holds: sha256 lets who keeps the manifest's hash elsewhere prove all of "
        "it",
        request.sha256,
        {{"xxh3", false}, {"sha256", true}}
    );
    auto& keys = request.keys;
    command.add_option(
        "--encrypt-to",
        keys.key_files,
        "encrypt for the key in this file: 64 hex digits, or a PEM public key of X25519; any number"
    );
    command.add_option(
        "--passphrase-file", keys.passphrase_file, "encrypt for the passphrase in its first line"
    );
    command.add_option("--cipher", keys.cipher, "of encrypted sets")
        ->check(CLI::IsMember({"aes-256-gcm", "xchacha20-poly1305"}))
        ->capture_default_str();
}
// Keys of encrypted sets, for a command that reads them.
void add_reading(CLI::App& command, key_request& request) {
    command.add_option_function<std::vector<std::string>>(
        "--key",
        [&request](std::vector<std::string> const& files) {
            request.key_files = files;
            bring_keys(request);
        },
        "for encrypted sets: 64 hex digits, or a PEM secret key of X25519; any number"
    );
    command.add_option_function<std::string>(
        "--passphrase-file",
        [&request](std::string const& file) {
            request.passphrase_file = file;
            bring_keys(request);
        },
        "for encrypted sets: a file whose first line is the passphrase"
    );
}

void add_scan(CLI::App& app, scan_request& request) {
    auto& command =
        *add_command(app, "scan", "print rows as lines of 'key TAB value'", request, scan);
    add_directory(command, request.directory);
    add_tree(command, request.tree);
    command.add_option("--from", request.from, "the first key, included");
    command.add_option("--to", request.to, "the last key, excluded");
    command.add_flag("--reverse", request.backward, "from the last row to the first");
    command.add_option("--limit", request.limit, "at most so many rows")->check(whole_number());
}

void add_restore(CLI::App& app, restore_request& request, key_request& keys) {
    auto& command = *add_command(
        app,
        "restore",
        "make an instance of sets: the newest, or any moment that their log reaches",
        request,
        restore
    );
    command
        .add_option(
            "SOURCE... DIR",
            request.places,
            "repositories, directories of sets, or - for one set from standard input; what is "
            "damaged "
            "in one is read from the next that holds the same set; or the directory of a closed or "
            "lost "
            "instance, for its log; then an empty or missing directory, or any with --force"
        )
        ->required()
        ->expected(2, 65);
    auto* const set =
        command.add_option("--set", request.set, "the beginning of its id, instead of the newest");
    command
        .add_option(
            "--timeline",
            request.timeline,
            "one history of several, as info and list --json name it: its newest set, or, with a "
            "target, any moment of it"
        )
        ->excludes(set)
        ->type_name("HEX");
    auto* const lsn =
        command.add_option("--to-lsn", request.to_lsn, "all records that begin at or below it")
            ->check(whole_number());
    auto* const time = command.add_option(
        "--to-time", request.to_time, "what was committed by then, as 2025-03-01T12:00:00Z"
    );
    auto* const point = command.add_option(
        "--to-point", request.to_point, "through the restore point LABEL, or LABEL@LSN"
    );
    lsn->excludes(time)->excludes(point);
    time->excludes(point);
    command
        .add_option("--database", request.databases, "only this database of several; any number")
        ->type_name("NAME");
    command.add_option(
        "--scratch", request.scratch, "where - keeps its set meanwhile (default: beside DIR)"
    );
    command.add_flag("--dry-run", request.dry_run, "read and check all of it, and write nothing");
    command
        .add_option(
            "--roll-forward",
            request.roll_forward,
            "live: DIR is an instance that lost databases and not its log; bring them back to its "
            "last commit"
        )
        ->check(CLI::IsMember({"none", "live"}));
    command.add_flag(
        "--force",
        request.force,
        "move what DIR holds into DIR/jet.abandoned-TIMELINE; delete nothing"
    );
    command.add_flag(
        "--delta",
        request.delta,
        "as --force, but write only those pages of DIR's databases that differ; they are of no use "
        "until that has ended"
    );
    add_progress(command, request.progress);
    command.add_flag("--json", request.json, "the report as one JSON object");
    add_reading(command, keys);
}

void add_log(CLI::App& app, log_request& request, key_request& keys) {
    auto& command = *add_command(
        app, "log", "print the log, one record a line, or what was committed", request, print_log
    );
    command.add_option("PATH", request.path, "the directory of an instance, or a set")->required();
    command.add_flag("--json", request.json, "one JSON object a line");
    command.add_flag(
        "--follow", request.follow, "wait for more, also beside a running engine; ends by a signal"
    );
    command.add_flag(
        "--committed", request.committed, "transactions in the order of their commits, with tokens"
    );
    command.add_option("--from", request.from.value, "records from this LSN on")
        ->check(whole_number());
    command.add_option("--after", request.after, "transactions after the one with this token");
    command.add_option("--database", request.database, "changes of this database only");
    command.add_option("--tree", request.tree, "changes of trees of this name only");
    command
        .add_option(
            "--transaction",
            request.transaction.value,
            "records or changes of this one only, by the LSN of its first record"
        )
        ->check(positive())
        ->type_name("LSN");
    add_reading(command, keys);
}

void add_backup(CLI::App& app, set_request& request) {
    auto& command =
        *add_command(app, "backup", "add a backup set to a repository", request, back_up);
    add_directory(command, request.directory);
    command
        .add_option(
            "REPO", request.repository, "a directory, created if missing; - is standard output"
        )
        ->required();
    auto& kinds = *command.add_option_group("Kind", "a full, unless one of these is given");
    kinds.add_flag(
        "--incremental", request.incremental, "the log since the last full or incremental"
    );
    kinds.add_flag("--differential", request.differential, "the log since the last full");
    kinds.add_flag("--copy", request.copy, "as a full, but nothing relies on it");
    kinds
        .add_option(
            "--pages-since",
            request.pages_since,
            "pages changed since SET, a full, copy or pages set of REPO, or, with a slash, the "
            "path of "
            "one or of its manifest"
        )
        ->type_name("SET");
    kinds.require_option(0, 1);
    command
        .add_option(
            "--database",
            request.databases,
            "only this database of several; any number (default: all that are not exempt)"
        )
        ->type_name("NAME");
    command
        .add_option(
            "--base",
            request.bases,
            "a set that does not lie in REPO, or its manifest, for an incremental or differential "
            "to stand on; any number"
        )
        ->type_name("PATH");
    add_writing(command, request);
    command.add_option("--rate", request.bytes_per_second, "bytes a second that are read at most")
        ->check(positive());
    command.add_option("--tag", request.tag, "what list and info shall say of the set")
        ->type_name("TEXT");
    command.add_flag(
        "--trust-receiver",
        request.trust_receiver,
        "who reads standard output keeps the set: the databases rely on it as on one in a "
        "repository, and if it is lost, so is the log that --truncate gives up"
    );
    command.add_flag(
        "--truncate", request.truncate, "afterwards, give up log that nothing needs any more"
    );
    auto& resumption =
        *command.add_option_group("Resumption", "of sets with pages in a repository");
    resumption.add_flag(
        "--resumable", request.resumable, "what an interruption leaves can be gone on with"
    );
    resumption
        .add_option(
            "--resume",
            request.resume,
            "go on with the set that was interrupted; with the options it was begun with"
        )
        ->type_name("SET");
    resumption.add_option("--abandon", request.abandon, "give up a set that was interrupted")
        ->type_name("SET");
    resumption.require_option(0, 1);
    command
        .add_option(
            "--log-cap",
            request.log_cap,
            "bytes of log that the backup may keep before it is given up"
        )
        ->check(positive());
    auto& drill = *command.add_flag(
        "--drill", request.drill, "restore the set before it is published, and throw that away"
    );
    command
        .add_option(
            "--scratch",
            request.scratch,
            "where the drill restores (default: TMPDIR or /var/tmp); as large as the databases"
        )
        ->needs(&drill);
    add_progress(command, request.progress);
    command.add_flag("--json", request.json, "the report as one JSON object");
}

void add_log_commands(
    CLI::App& app,
    truncate_request& to_truncate,
    unpin_request& to_unpin,
    exempt_request& to_exempt,
    point_request& to_mark
) {
    auto& truncating = *add_command(
        app,
        "truncate",
        "give up log that lies in backup sets, and print who holds the rest",
        to_truncate,
        truncate_log
    );
    add_directory(truncating, to_truncate.directory);
    truncating.add_flag("--dry-run", to_truncate.dry_run, "only print");
    truncating.add_flag("--json", to_truncate.json, "the report as one JSON object");
    auto& unpinning = *add_command(
        app,
        "unpin",
        "release a named pin, which keeps the log for an owner that is away",
        to_unpin,
        release_pin
    );
    add_directory(unpinning, to_unpin.directory);
    unpinning.add_option("OWNER", to_unpin.owner, "as info and truncate --dry-run name it")
        ->required();
    auto& exempting = *add_command(
        app,
        "exempt",
        "leave a database out of backups of all databases; it holds no log then",
        to_exempt,
        exempt_database
    );
    add_directory(exempting, to_exempt.directory);
    exempting.add_option("NAME", to_exempt.database, "the database")->required();
    exempting.add_flag("--no", to_exempt.no_longer, "from now on it is backed up again");
    auto& marking = *add_command(
        app, "point", "name this moment in the log; print its LSN", to_mark, mark_point
    );
    add_directory(marking, to_mark.directory);
    marking.add_option("LABEL", to_mark.label, "up to 255 bytes of UTF-8")->required();
}

void add_prune(CLI::App& app, prune_request& request) {
    auto& command = *add_command(
        app, "prune", "remove old sets, and none that what stays needs", request, prune
    );
    command.add_option("REPO", request.repository, "a repository")->required();
    command
        .add_option(
            "--keep",
            request.keep,
            "of each timeline, so many full or copy sets stay, whatever is younger, and what they "
            "need"
        )
        ->required()
        ->check(positive());
    command.add_flag(
        "--orphans", request.orphans, "backups that were never finished go too, resumable or not"
    );
    command.add_flag("--dry-run", request.dry_run, "only print what would go");
    command.add_flag(
        "--despite-damage",
        request.despite_damage,
        "also while the manifest of a set cannot be read, and nobody knows what it stands on"
    );
    command.add_flag("--json", request.json, "the report as one JSON object");
}

int run(int argc, char** argv) {
    auto app = CLI::App{"jetpp - a transactional storage engine", "jetpp"};
    app.require_subcommand(1);
    app.set_version_flag("--version", "jetpp " + std::string{jetpp::version_text});

    auto to_load = load_request{};
    auto to_get = row_request{};
    auto to_erase = row_request{};
    auto to_scan = scan_request{};
    auto to_print = log_request{};
    auto to_back_up = set_request{};
    auto to_truncate = truncate_request{};
    auto to_unpin = unpin_request{};
    auto to_exempt = exempt_request{};
    auto to_mark = point_request{};
    auto to_restore = restore_request{};
    auto to_list = list_request{};
    auto to_prune = prune_request{};
    auto to_read = key_request{};
    auto to_verify = verify_request{};
    auto to_describe = info_request{};
    add_load(app, to_load);
    add_row_command(app, "get", "print the value of one key", to_get, get);
    add_scan(app, to_scan);
    add_row_command(app, "erase", "remove one key", to_erase, erase);
    add_backup(app, to_back_up);
    add_log_commands(app, to_truncate, to_unpin, to_exempt, to_mark);
    add_restore(app, to_restore, to_read);
    add_prune(app, to_prune);
    auto& listing = *add_command(
        app,
        "list",
        "print the sets of a repository, one a line: id, kind, base, "
        "begin LSN, end LSN, time, bytes; in JSON also name, tag, codec, hash, cipher and the last "
        "proof",
        to_list,
        list_repository
    );
    listing.add_option("REPO", to_list.repository, "the repository")->required();
    listing.add_flag("--json", to_list.json, "one JSON object a line");
    auto const places = "the directory of an instance, a repository or a set";
    auto& verifying = *add_command(
        app,
        "verify",
        "check every page, record and structure, and restore every set; change nothing",
        to_verify,
        verify
    );
    verifying
        .add_option(
            "PATH",
            to_verify.path,
            "the directory of an instance, a repository or a set; - for a set from standard input, "
            "which is restored only with --scratch"
        )
        ->required();
    verifying.add_option(
        "--scratch", to_verify.scratch, "where sets are restored and thrown away again"
    );
    verifying.add_flag(
        "--proof", to_verify.proof, "keep, in its repository, the proof that a set was restored"
    );
    add_progress(verifying, to_verify.progress);
    verifying.add_flag("--json", to_verify.json, "the report as one JSON object");
    add_reading(verifying, to_read);
    auto& describing = *add_command(
        app, "info", "print what the files say of themselves", to_describe, print_info
    );
    describing.add_option("PATH", to_describe.path, places)->required();
    describing.add_flag(
        "--json", to_describe.json, "one JSON object; of sets, their manifests as they are"
    );
    add_log(app, to_print, to_read);

    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const& e) {
        if (e.get_exit_code() == 0) return app.exit(e); // help
        std::fprintf(stderr, "jetpp: %s; see jetpp --help\n", e.what());
        return static_cast<int>(exit_status::wrong_usage);
    }
    return static_cast<int>(exit_status::success);
}

} // namespace main_detail
} // namespace

int main(int argc, char** argv) {
    using namespace main_detail;
    // Who reads our output may go away: that is a failed write, not the end of an open engine.
    std::signal(SIGPIPE, SIG_IGN);
    auto const name = argc > 1 && argv[1][0] != '-' ? std::string{"jetpp "} + argv[1] : "jetpp";
    try {
        return run(argc, argv);
    } catch (failure const& e) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
        return static_cast<int>(e.status());
    } catch (std::exception const& e) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
        return static_cast<int>(exit_status::failed);
    }
}
