#!/usr/bin/env python3
"""The built jetpp command: what scripts rely on.

Every test below is named by the fact it states. A failure prints what the command said.
"""

import argparse
import glob
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

JETPP = "jetpp"
BUILDS = [(size, sum_) for size in (4096, 8192, 16384, 32768, 65536) for sum_ in ("crc32c", "xxh3_64")]


def escaped(raw):
    out = bytearray()
    for byte in raw:
        special = {9: b"\\t", 10: b"\\n", 13: b"\\r", 92: b"\\\\"}.get(byte)
        if special:
            out += special
        elif byte < 32 or byte == 127:
            out += b"\\x%02x" % byte
        else:
            out.append(byte)
    return bytes(out)


def lines_of(rows):
    return b"".join(escaped(k) + b"\t" + escaped(v) + b"\n" for k, v in rows)


def awkward_rows(seed, count, key_max=40, value_max=300):
    chance = random.Random(seed)
    rows = {
        b"": b"the empty key",
        b"\0": b"\0",
        b"\t\n\r\\": b"\\x00 is no escape once escaped",
        b"\xff" * 40: b"\xff\xfe not UTF-8",
        "\u00e4\u2028\u0085".encode(): "line ends of Unicode".encode(),
        b"empty value": b"",
    }
    while len(rows) < count:
        key = bytes(chance.randrange(256) for _ in range(chance.randrange(1, key_max)))
        rows[key] = bytes(chance.randrange(256) for _ in range(chance.randrange(value_max)))
    shuffled = list(rows.items())
    chance.shuffle(shuffled)
    return shuffled


def unescaped(text):
    special = {"t": b"\t", "n": b"\n", "r": b"\r", "\\": b"\\"}
    out, i = bytearray(), 0
    while i < len(text):
        if text[i] != "\\":
            out += text[i].encode()
            i += 1
        elif text[i + 1] == "x":
            out.append(int(text[i + 2:i + 4], 16))
            i += 4
        else:
            out += special[text[i + 1]]
            i += 2
    return bytes(out)


def apply_changes(trees, transactions):
    """Rows by tree name, from what `log --committed --json` printed."""
    names = {}
    for transaction in transactions:
        for change in transaction["changes"]:
            name = names.setdefault(change["tree"], change.get("tree_name", "main"))
            rows = trees.setdefault(name, {})
            if change["type"] == "insert":
                assert unescaped(change["key"]) not in rows
                rows[unescaped(change["key"])] = unescaped(change["new"])
            elif change["type"] == "erase":
                assert rows.pop(unescaped(change["key"])) == unescaped(change["old"])
            elif change["type"] == "update":
                key = unescaped(change["key"])
                old, new, at = rows[key], b"", 0
                assert len(old) == change["old_size"]
                for piece in change["ranges"]:
                    gone = unescaped(piece["old"])
                    assert old[piece["offset"]:piece["offset"] + len(gone)] == gone
                    new += old[at:piece["offset"]] + unescaped(piece["new"])
                    at = piece["offset"] + len(gone)
                rows[key] = new + old[at:]
                assert len(rows[key]) == change["new_size"]
    return trees


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="jetpp-command-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def run_jetpp(self, *arguments, given=b"", status=0):
        done = subprocess.run([JETPP, *map(str, arguments)], input=given, capture_output=True)
        said = f"jetpp {' '.join(map(str, arguments))}: {done.returncode}\n{done.stderr.decode(errors='replace')}"
        self.assertEqual(done.returncode, status, said)
        if status != 0:
            self.assertEqual(done.stderr.count(b"\n"), 1, "one line on stderr: " + said)
        return done

    def load(self, directory, rows, *options, status=0):
        return self.run_jetpp("load", directory, "-", *options, given=lines_of(rows), status=status)

    def scan(self, directory, *options):
        return self.run_jetpp("scan", directory, *options).stdout

    def flip(self, path, offset, mask=0x10):
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ mask]))

    def newest_log(self, directory):
        """The segment in which the newest records stand."""
        used = [f for f in sorted(glob.glob(os.path.join(directory, "jet.0*.log"))) if self.has_records(f)]
        return used[-1]

    def has_records(self, path):
        with open(path, "rb") as file:
            file.seek(4096)
            return any(file.read(4096))

    # --- rows

    def test_rows_of_any_bytes_come_back_in_order_for_every_page_size_and_checksum(self):
        for size, checksum in BUILDS:
            with self.subTest(page_size=size, checksum=checksum):
                directory = self.path(f"{size}-{checksum}")
                rows = awkward_rows(size, 2000)
                self.load(directory, rows, "--page-size", size, "--checksum", checksum)
                expected = lines_of(sorted(rows))
                self.assertEqual(self.scan(directory), expected)
                self.run_jetpp("verify", directory)
                facts = self.run_jetpp("info", directory).stdout.decode()
                self.assertRegex(facts, rf"page bytes +{size}\n")
                self.assertRegex(facts, rf"checksum +{checksum}\n")

    def test_what_scan_prints_load_reads(self):
        rows = awkward_rows(7, 3000)
        self.load(self.path("one"), rows)
        printed = self.scan(self.path("one"))
        self.run_jetpp("load", self.path("two"), given=printed)
        self.assertEqual(self.scan(self.path("two")), printed)

    def test_load_reads_a_file_and_a_last_line_without_its_end(self):
        source = self.path("lines")
        with open(source, "wb") as file:
            file.write(b"a\t1\nb\t2\twith a TAB\nc\t")
        done = self.run_jetpp("load", self.path("db"), source)
        self.assertRegex(done.stderr.decode(), r"loaded 3 rows, \d+ bytes, \d+ rows/s\n")
        self.assertEqual(self.scan(self.path("db")), b"a\t1\nb\t2\\twith a TAB\nc\t\n")

    def test_get_and_erase_speak_by_their_exit_status(self):
        directory = self.path("db")
        self.load(directory, [(b"key", b"a\nb"), (b"\0", b"nul")])
        self.assertEqual(self.run_jetpp("get", directory, "key").stdout, b"a\\nb\n")
        self.assertEqual(self.run_jetpp("get", directory, "\\x00").stdout, b"nul\n")
        self.assertIn(b"no key", self.run_jetpp("get", directory, "none", status=1).stderr)
        self.run_jetpp("erase", directory, "key")
        self.run_jetpp("get", directory, "key", status=1)
        self.run_jetpp("erase", directory, "key", status=1)
        self.assertEqual(self.scan(directory), b"\\x00\tnul\n")

    def test_scan_takes_bounds_a_direction_and_a_limit(self):
        directory = self.path("db")
        self.load(directory, [(b"%03d" % i, b"v") for i in range(500)])

        def keys(*options):
            return [line.split(b"\t")[0].decode() for line in self.scan(directory, *options).splitlines()]

        self.assertEqual(keys("--from", "010", "--to", "013"), ["010", "011", "012"])
        self.assertEqual(keys("--from", "010", "--to", "013", "--reverse"), ["012", "011", "010"])
        self.assertEqual(keys("--limit", "2"), ["000", "001"])
        self.assertEqual(keys("--reverse", "--limit", "1"), ["499"])
        self.assertEqual(keys("--limit", "0"), [])
        self.assertEqual(keys("--from", "5"), [])

    def test_databases_and_trees_are_apart(self):
        directory = self.path("db")
        for database in ("one", "two"):
            for tree in ("x", "y"):
                self.load(directory, [(b"where", f"{database}/{tree}".encode())],
                          "--database", database, "--tree", tree)
        for database in ("one", "two"):
            for tree in ("x", "y"):
                value = self.run_jetpp("get", directory, "where", "--database", database, "--tree", tree).stdout
                self.assertEqual(value.decode(), f"{database}/{tree}\n")
        self.run_jetpp("get", directory, "where", status=1)
        self.run_jetpp("get", directory, "where", "--database", "one", "--tree", "z", status=1)
        self.run_jetpp("verify", directory)

    def test_acknowledgements_count_lines_as_they_are_committed(self):
        rows = [(b"%05d" % i, b"v") for i in range(25)]
        done = self.load(self.path("db"), rows, "--batch", "10", "--ack", "--durability", "memory")
        self.assertEqual(done.stdout, b"committed 10\ncommitted 20\ncommitted 25\n")

    def test_a_bad_line_is_named_and_what_was_committed_before_it_stays(self):
        directory = self.path("db")
        bad = {
            b"no tab\n": b"TAB",
            b"key\\q\tvalue\n": b"escape",
            b"key\t" + b"v" * 5000 + b"\n": b"value_too_large",
            b"k" * 2000 + b"\tvalue\n": b"key_too_large",
        }
        for line, word in bad.items():
            given = b"".join(b"%d\tv\n" % i for i in range(4)) + line
            done = self.run_jetpp("load", directory, "--batch", "3", given=given, status=1)
            self.assertIn(b"line 5", done.stderr)
            self.assertIn(b"3 lines are committed", done.stderr)
            self.assertIn(word, done.stderr)
            self.assertEqual(self.scan(directory).count(b"\n"), 3)
        self.run_jetpp("verify", directory)

    def test_what_is_chosen_at_creation_is_only_asked_of_new_directories(self):
        directory = self.path("db")
        self.load(directory, [(b"a", b"1")], "--page-size", "4096", "--logging", "circular")
        self.load(directory, [(b"b", b"2")], "--page-size", "65536", "--logging", "archival")
        facts = self.run_jetpp("info", directory).stdout.decode()
        self.assertRegex(facts, r"page bytes +4096\n")
        self.assertRegex(facts, r"logging +circular\n")
        self.assertEqual(self.scan(directory), b"a\t1\nb\t2\n")

    # --- statuses

    def test_wrong_usage_is_status_2(self):
        directory = self.path("db")
        for arguments in (
            [], ["dance"], ["get", directory], ["load"], ["scan", directory, "--limit", "many"],
            ["load", directory, "--durability", "never"], ["load", directory, "--page-size", "5000"],
            ["load", directory, "--checksum", "md5"], ["load", directory, "--batch", "0"],
            ["get", directory, "bad\\escape"], ["scan", directory, "--from", "\\"], ["verify"],
            ["restore", directory], ["log", directory, "--yaml"],
        ):
            self.run_jetpp(*arguments, status=2)
        self.assertFalse(os.path.exists(directory))

    def test_failures_are_status_1_and_name_the_place(self):
        empty = self.path("empty")
        os.mkdir(empty)
        for command in (["get", "{}", "k"], ["scan", "{}"], ["verify", "{}"], ["info", "{}"], ["log", "{}"]):
            for place in (empty, self.path("missing")):
                done = self.run_jetpp(*[word.format(place) for word in command], status=1)
                self.assertIn(os.fsencode(place), done.stderr)
        self.assertEqual(os.listdir(empty), [])
        done = self.run_jetpp("load", self.path("db"), self.path("no file"), status=1)
        self.assertIn(b"no file", done.stderr)
        self.assertFalse(os.path.exists(self.path("db")))

    def test_a_copy_behind_a_chain_hides_no_moment_of_it(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"a", b"1")])
        self.run_jetpp("backup", directory, repo)
        self.load(directory, [(b"b", b"2")])
        at = self.run_jetpp("point", directory, "here").stdout.decode().strip()
        self.load(directory, [(b"c", b"3")])
        self.run_jetpp("backup", directory, repo, "--incremental")
        # What is logged from here to the copy is in no set.
        self.run_jetpp("point", directory, "lost")
        for i in range(40):
            self.load(directory, [(b"d%d" % i, b"x" * 1000)])
        self.run_jetpp("backup", directory, repo, "--copy")
        said = self.run_jetpp("restore", repo, self.path("no"), "--to-point", "here", status=1).stderr
        self.assertIn(b"ambiguous_label", said)
        self.assertIn(b"--to-point here@" + at.encode() + b"\n", said)
        said = self.run_jetpp("restore", repo, self.path("no"), "--to-point", "lost", status=1).stderr
        self.assertIn(b"log_gap", said)
        self.assertIn(b"may stand in it", said)
        self.run_jetpp("restore", repo, self.path("here"), "--to-point", "here@" + at)
        self.assertEqual(self.scan(self.path("here")), b"a\t1\nb\t2\n")

    def test_the_version_is_that_of_the_project(self):
        build_file = os.path.join(os.path.dirname(__file__), "..", "..", "meson.build")
        with open(build_file) as lines:
            version = re.search(r"version: '([^']+)'", lines.read()).group(1)
        said = self.run_jetpp("--version").stdout.decode().split()
        self.assertEqual(said, ["jetpp", version])

    def test_a_number_below_zero_is_wrong_usage(self):
        directory = self.path("db")
        self.load(directory, [(b"a", b"1")])
        for command in (["scan", directory, "--limit"], ["log", directory, "--from"],
                        ["restore", self.path("repo"), self.path("new"), "--to-lsn"]):
            refused = self.run_jetpp(*command, "-1", status=2)
            self.assertIn(b"whole number", refused.stderr)

    def test_a_directory_in_use_is_refused(self):
        directory = self.path("db")
        self.load(directory, [(b"a", b"1")])
        busy = subprocess.Popen([JETPP, "load", directory, "--ack", "--batch", "1"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        busy.stdin.write(b"b\t2\n")
        busy.stdin.flush()
        self.assertEqual(busy.stdout.readline(), b"committed 1\n")
        for command in (["get", directory, "a"], ["verify", directory], ["log", directory],
                        ["backup", directory, self.path("repo")]):
            self.assertIn(b"in_use", self.run_jetpp(*command, status=1).stderr)
        self.assertIn(b"--follow", self.run_jetpp("log", directory, status=1).stderr)
        self.assertIn(b"in use", self.run_jetpp("info", directory).stdout)
        busy.stdin.close()
        busy.stdout.read()
        self.assertEqual(busy.wait(), 0)
        busy.stdout.close()
        self.assertEqual(self.scan(directory), b"a\t1\nb\t2\n")

    # --- after a kill

    def kill_while_loading(self, directory, durability="device"):
        lines = b"".join(b"k%06d\tvalue %d\n" % (i, i) for i in range(20000))
        source = self.path("kill.lines")
        with open(source, "wb") as file:
            file.write(lines)
        victim = subprocess.Popen([JETPP, "load", directory, source, "--batch", "100", "--ack",
                                   "--durability", durability], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(20):
            victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        rest = victim.stdout.read()
        victim.wait()
        victim.stdout.close()
        acknowledged = 2000 + 100 * rest.count(b"\n")
        return acknowledged

    def test_a_killed_directory_is_sound_before_and_after_its_recovery(self):
        for durability in ("device", "process"):
            directory = self.path(durability)
            acknowledged = self.kill_while_loading(directory, durability)
            before = self.run_jetpp("verify", directory).stdout
            self.assertIn(b"the next open recovers", before)
            self.run_jetpp("log", directory)
            self.assertIn(b"recovers", self.run_jetpp("info", directory).stdout)
            rows = self.scan(directory).count(b"\n")
            self.assertGreaterEqual(rows, acknowledged)
            self.assertEqual(rows % 100, 0)
            self.assertIn(b"1 tree with %d rows" % rows, self.run_jetpp("verify", directory).stdout)

    # --- log

    def test_the_log_is_one_typed_record_a_line(self):
        directory = self.path("db")
        self.load(directory, awkward_rows(3, 500))
        self.run_jetpp("erase", directory, "empty value")
        text = self.run_jetpp("log", directory).stdout.decode().splitlines()
        objects = [json.loads(line) for line in self.run_jetpp("log", directory, "--json").stdout.splitlines()]
        self.assertEqual(len(text), len(objects))
        for line, one in zip(text, objects):
            self.assertIsInstance(one["lsn"], str)
            self.assertTrue(line.startswith(f"{one['lsn']} {one['type']} "), line)
        lsns = [int(one["lsn"]) for one in objects]
        self.assertEqual(lsns, sorted(set(lsns)))
        kinds = {one["type"] for one in objects}
        self.assertLessEqual({"db_create", "tree_create", "insert", "commit", "ghost", "attach_list"}, kinds)
        keys = {one["key"] for one in objects if one["type"] == "insert"}
        self.assertIn("\\t\\n\\r\\\\", keys)

    # --- changes

    def test_committed_changes_rebuild_the_rows(self):
        directory = self.path("db")
        self.load(directory, awkward_rows(3, 600), "--batch", "7")
        self.load(directory, awkward_rows(4, 600), "--batch", "50")
        again = [(key, value[:50] + b"!" + value[50:]) for key, value in awkward_rows(3, 300)]
        self.load(directory, again, "--database", "main", "--tree", "main")
        self.load(directory, [(b"a", b"1")], "--tree", "other")
        self.run_jetpp("erase", directory, "empty value")
        done = self.changes_of(directory)
        lsns = [int(one["lsn"]) for one in done]
        self.assertEqual(lsns, sorted(set(lsns)))
        rows = apply_changes({}, done)
        self.assertEqual(lines_of(sorted(rows["main"].items())), self.scan(directory))
        self.assertEqual(rows["other"], {b"a": b"1"})
        only = self.changes_of(directory, "--tree", "other")
        self.assertEqual([change["type"] for one in only for change in one["changes"]], ["tree_create", "insert"])
        for one in done:
            self.assertRegex(one["lsn"], r"^\d+$")
            self.assertRegex(one["timeline"], r"^[0-9a-f]{16}$")
        text = self.run_jetpp("log", directory, "--committed").stdout.decode().splitlines()
        self.assertEqual([line.split()[0] for line in text if not line.startswith(" ")], [one["lsn"] for one in done])
        self.assertTrue(all(one["token"] in "\n".join(text) for one in done))

    def test_the_log_of_one_transaction_is_read_alone(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, awkward_rows(3, 200), "--batch", "20")
        self.run_jetpp("backup", directory, repo)
        self.load(directory, [(b"one", b"1"), (b"two", b"2")])
        wanted = self.changes_of(directory)[-1]
        self.assertEqual(self.changes_of(directory, "--transaction", wanted["transaction"]), [wanted])
        self.assertEqual(self.changes_of(directory, "--transaction", wanted["transaction"], "--tree", "x"), [])
        all_ = [json.loads(line) for line in self.run_jetpp("log", directory, "--json").stdout.splitlines()]
        mine = [one for one in all_ if one.get("transaction") == wanted["transaction"]]
        self.assertEqual([one["type"] for one in mine], ["insert", "insert", "commit"])
        self.run_jetpp("backup", directory, repo, "--incremental")
        (of_set,) = glob.glob(os.path.join(repo, "sets", "*incremental*"))
        for path in (directory, of_set):
            told = self.run_jetpp("log", path, "--json", "--transaction", wanted["transaction"]).stdout
            self.assertEqual([json.loads(line) for line in told.splitlines()], mine)
        self.assertEqual(self.changes_of(directory, "--transaction", "7"), [])
        for word in ("0", "-1", "x"):
            self.run_jetpp("log", directory, "--transaction", word, status=2)

    def test_a_token_goes_on_behind_its_transaction(self):
        directory = self.path("db")
        self.load(directory, awkward_rows(5, 300), "--batch", "20")
        done = self.changes_of(directory)
        for i, one in enumerate(done):
            rest = self.changes_of(directory, "--after", one["token"])
            self.assertEqual([r["token"] for r in rest], [r["token"] for r in done[i + 1:]])
        self.load(directory, [(b"new", b"row")])
        (new,) = self.changes_of(directory, "--after", done[-1]["token"])
        self.assertEqual([(c["type"], c["key"], c["new"]) for c in new["changes"]], [("insert", "new", "row")])
        self.assertEqual(new["changes"][0]["tree_name"], "main", "a tree is named by its catalogue, too")
        self.assertEqual(self.changes_of(directory, "--after", done[-1]["token"], "--tree", "main"), [new])
        stranger = self.path("stranger")
        self.load(stranger, awkward_rows(5, 300), "--batch", "20")
        refused = self.run_jetpp("log", stranger, "--committed", "--after", done[3]["token"], status=1)
        self.assertRegex(refused.stderr.decode(), "log_foreign|log_gap|history_break")
        self.run_jetpp("log", directory, "--committed", "--after", "x" * 92, status=2)
        self.run_jetpp("log", directory, "--after", done[3]["token"], status=2)
        self.run_jetpp("log", directory, "--committed", "--from", "5", status=2)

    def test_follow_shows_commits_beside_a_running_load(self):
        directory = self.path("db")
        self.load(directory, [(b"a", b"1")])
        busy = subprocess.Popen([JETPP, "load", directory, "--ack", "--batch", "1"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        busy.stdin.write(b"b\t2\n")
        busy.stdin.flush()
        self.assertEqual(busy.stdout.readline(), b"committed 1\n")
        reader = self.follow(directory, "--committed")
        raw = self.follow(directory)
        seen = []
        for i in range(20):  # each is shown before the next is written: by its proof, at most a second old
            busy.stdin.write(b"k%d\tv%d\n" % (i, i))
            busy.stdin.flush()
            self.assertEqual(busy.stdout.readline(), b"committed %d\n" % (i + 2))
            while i % 10 == 9 and (not seen or seen[-1]["changes"][-1].get("key") != f"k{i}"):
                seen.append(json.loads(reader.stdout.readline()))
        busy.stdin.close()
        self.assertEqual(busy.wait(), 0)
        busy.stdout.close()
        rows = apply_changes({}, seen)["main"]
        self.assertEqual(lines_of(sorted(rows.items())), self.scan(directory))
        self.load(directory, [(b"z", b"26")])  # the readers hold no lock
        more = json.loads(reader.stdout.readline())
        self.assertEqual(more["changes"][0]["key"], "z")
        lsns = []
        while not lsns or lsns[-1] < int(more["lsn"]):
            lsns.append(int(json.loads(raw.stdout.readline())["lsn"]))
        self.assertEqual(lsns, sorted(set(lsns)))
        self.stop(reader)
        self.stop(raw)

    def test_a_follower_sees_what_survives_a_kill_and_nothing_else(self):
        directory = self.path("db")
        self.load(directory, [(b"a", b"1")])
        reader = self.follow(directory, "--committed")
        self.kill_while_loading(directory)
        self.run_jetpp("erase", directory, "a")  # recovers, and is the last to be seen
        seen = []
        while not seen or seen[-1]["changes"][0]["type"] != "erase":
            seen.append(json.loads(reader.stdout.readline()))
        self.assertEqual(lines_of(sorted(apply_changes({}, seen)["main"].items())), self.scan(directory))
        self.stop(reader)

    def test_the_log_of_a_set_is_read_without_restoring_it(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, awkward_rows(8, 400), "--batch", "9")
        self.run_jetpp("backup", directory, repo)
        self.load(directory, [(b"later", b"row")])
        (one,) = glob.glob(os.path.join(repo, "sets", "*"))
        # A set's log begins with its backup: what was at home by then is in the pages.
        live, of_set = self.changes_of(directory), self.changes_of(one)
        self.assertEqual([t for t in of_set if t not in live], [])
        raw = [json.loads(line) for line in self.run_jetpp("log", one, "--json").stdout.splitlines()]
        self.assertLessEqual({"attach_list", "backup_begin", "segment_end"}, {r["type"] for r in raw})
        self.assertIn(b"repository", self.run_jetpp("log", repo, status=1).stderr)
        self.run_jetpp("log", one, "--follow", status=2)

    def changes_of(self, path, *options):
        printed = self.run_jetpp("log", path, "--committed", "--json", *options).stdout
        return [json.loads(line) for line in printed.splitlines()]

    def follow(self, directory, *options):
        reader = subprocess.Popen([JETPP, "log", directory, "--follow", "--json", *options],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(reader.kill)
        return reader

    def stop(self, reader):
        reader.send_signal(signal.SIGTERM)
        self.assertEqual(reader.wait(), 0, reader.stderr.read())
        reader.stdout.close()
        reader.stderr.close()

    # --- damage

    def test_verify_names_the_damaged_page(self):
        directory = self.path("db")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        before = {name: os.stat(os.path.join(directory, name)).st_mtime_ns for name in os.listdir(directory)}
        self.run_jetpp("verify", directory)
        for page in (16, 17, 18, 30):
            self.flip(os.path.join(directory, "main"), page * 8192 + 300)
            done = self.run_jetpp("verify", directory, status=1)
            self.assertIn(f"/main: page {page}: checksum\n".encode(), done.stdout)
            self.assertIn(f"page {page}".encode(), done.stderr)
            self.flip(os.path.join(directory, "main"), page * 8192 + 300)
        self.run_jetpp("verify", directory)
        after = {name: os.stat(os.path.join(directory, name)).st_mtime_ns for name in os.listdir(directory)}
        before.pop("main"), after.pop("main")
        self.assertEqual(before, after, "verify writes nothing")

    def test_verify_reports_in_one_object(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        self.run_jetpp("backup", directory, repo)
        (set_,) = glob.glob(os.path.join(repo, "sets", "*"))

        def verify(*arguments, given=b"", status=0):
            return json.loads(self.run_jetpp("verify", *arguments, "--json", given=given, status=status).stdout)

        told = verify(directory)
        self.assertEqual((told["good"], told["closed"], told["findings"], told["notes"]), (True, True, [], []))
        self.assertEqual(told["log"]["end"], "clean")
        self.assertGreater(int(told["log"]["records"]), 5000)
        (main,) = told["databases"]
        self.assertEqual((main["name"], main["trees"], main["rows"]), ("main", "1", "5000"))
        of_repo, of_set = verify(repo, "--proof"), verify(set_)
        self.assertEqual((of_repo["sets"], of_repo["replayed"], of_repo["rows"], of_repo["proofs"]),
                         ("1", "1", "5000", "1"))
        self.assertEqual((of_set["good"], of_set["partial"], of_set["findings"]), (True, False, []))
        stream = self.run_jetpp("backup", directory, "-").stdout
        passing = verify("-", given=stream)
        self.assertEqual((passing["good"], passing["partial"], passing["replayed"]), (True, True, "0"))
        self.assertEqual(verify("-", "--scratch", self.root, given=stream)["replayed"], "1")

        self.flip(os.path.join(directory, "main"), 20 * 8192 + 100)
        told = verify(directory, status=1)
        self.assertFalse(told["good"])
        self.assertEqual(told["findings"][0]["file"], os.path.join(directory, "main"))
        self.assertIn("page", told["findings"][0]["why"])
        part = "part-0000-main.jbs"
        self.flip(os.path.join(set_, part), 9000)
        (found,) = verify(repo, status=1)["findings"]
        self.assertEqual((found["where"], found["file"]), (set_, part))

    def test_verify_names_a_page_that_stands_in_the_place_of_another(self):
        directory = self.path("db")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        with open(os.path.join(directory, "main"), "r+b") as file:
            file.seek(30 * 8192)
            page = file.read(8192)
            file.seek(31 * 8192)
            file.write(page)
        self.assertIn(b"page 31: page number", self.run_jetpp("verify", directory, status=1).stdout)

    def test_verify_names_headers_checkpoint_and_double_write_file(self):
        directory = self.path("db")
        self.load(directory, [(b"a", b"1")])
        for name, offset, word in (
            ("main", 100, b"main: header copy A"), ("main", 65536 + 100, b"main: header copy B"),
            ("main", 5000, b"beside the header copies"),
            ("jet.ckp", 100, b"jet.ckp: slot 0"), ("jet.ckp", 4096 + 100, b"jet.ckp: slot 1"),
            ("jet.dw", 100, b"jet.dw: area 0"),
        ):
            self.flip(os.path.join(directory, name), offset)
            self.assertIn(word, self.run_jetpp("verify", directory, status=1).stdout)
            self.flip(os.path.join(directory, name), offset)
        self.run_jetpp("verify", directory)

    def test_verify_names_the_damaged_or_missing_log(self):
        directory = self.path("db")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        self.load(directory, [(b"x%06d" % i, b"v" * 100) for i in range(5000)])
        first = sorted(glob.glob(os.path.join(directory, "jet.0*.log")))[0]
        self.flip(first, 4096 + 5000)
        done = self.run_jetpp("verify", directory, status=1)
        self.assertIn(os.path.basename(first).encode(), done.stderr)
        self.assertIn(b"LSN", done.stderr)
        self.run_jetpp("log", directory, status=1)
        self.flip(first, 4096 + 5000)
        self.run_jetpp("verify", directory)
        newest = self.newest_log(directory)
        os.rename(newest, self.path("away"))
        self.run_jetpp("verify", directory, status=1)
        os.rename(self.path("away"), newest)
        os.rename(os.path.join(directory, "main"), self.path("away"))
        self.assertIn(b"main: is missing", self.run_jetpp("verify", directory, status=1).stdout)

    def test_a_damaged_page_is_never_read_as_rows(self):
        directory = self.path("db")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        self.flip(os.path.join(directory, "main"), 30 * 8192 + 300)
        done = self.run_jetpp("scan", directory, status=1)
        self.assertIn(b"page 30", done.stderr)
        self.assertIn(b"checksum", done.stderr)

    # --- backup sets

    def test_a_restored_set_is_the_directory_as_it_was(self):
        for size, checksum in ((4096, "xxh3_64"), (8192, "crc32c"), (65536, "crc32c")):
            for logging in ("archival", "circular"):
                with self.subTest(page_size=size, logging=logging):
                    directory = self.path(f"db-{size}-{logging}")
                    repo = directory + "-repo"
                    self.load(directory, awkward_rows(size, 3000), "--page-size", size,
                              "--checksum", checksum, "--logging", logging)
                    first = self.scan(directory)
                    self.run_jetpp("backup", directory, repo)
                    self.load(directory, [(b"later", b"1")])
                    self.run_jetpp("verify", repo)
                    self.run_jetpp("restore", repo, directory + "-first")
                    self.assertEqual(self.scan(directory + "-first"), first)
                    self.run_jetpp("backup", directory, repo)
                    second = self.scan(directory)
                    self.run_jetpp("restore", repo, directory + "-second")
                    self.assertEqual(self.scan(directory + "-second"), second)
                    self.run_jetpp("verify", directory + "-second")
                    self.assertEqual(len(os.listdir(os.path.join(repo, "sets"))), 2)
                    self.run_jetpp("info", repo)
                    for one in glob.glob(os.path.join(repo, "sets", "*")):
                        self.run_jetpp("verify", one)
                        self.run_jetpp("info", one)

    def test_sets_are_listed_and_any_of_them_is_restored(self):
        directory, repo = self.path("db"), self.path("repo")
        states = []
        for i in range(3):
            self.load(directory, [(b"row-%d" % i, b"%d" % i)])
            states.append(self.scan(directory))
            self.run_jetpp("backup", directory, repo)
        lines = self.run_jetpp("list", repo).stdout.decode().splitlines()
        described = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
        self.assertEqual(len(lines), 3)
        ends = []
        for line, one, state in zip(lines, described, states):
            id_, kind, base, begin, end, when, size = line.split(" ")
            self.assertEqual((id_, kind, base), (one["id"], "full", "-"))
            self.assertEqual((begin, end), (one["begin_lsn"], one["end_lsn"]))
            self.assertEqual((when, size), (one["time"], one["bytes"]))
            self.assertIsNone(one["base"])
            self.assertIsNone(one["proved"])
            self.assertLess(int(begin), int(end))
            ends.append(int(end))
            said = self.run_jetpp("restore", repo, self.path("none"), "--set", id_, "--dry-run").stdout
            self.assertIn(end.encode(), said)
            self.assertFalse(os.path.exists(self.path("none")))
            self.run_jetpp("restore", repo, self.path(id_), "--set", id_[:12])
            self.assertEqual(self.scan(self.path(id_)), state)
        self.assertEqual(ends, sorted(set(ends)))
        self.assertIn(b"not_found", self.run_jetpp("restore", repo, self.path("x"), "--set", "zz", status=1).stderr)
        self.assertIn(b"ambiguous", self.run_jetpp("restore", repo, self.path("x"), "--set", "2", status=1).stderr)
        manifest = os.path.join(repo, "sets", described[1]["name"], "manifest.json")
        self.flip(manifest, 40)
        done = self.run_jetpp("list", repo, status=1)
        self.assertEqual(done.stdout.decode().splitlines()[0], described[1]["name"] + " damaged - - - - -")
        self.assertIn(described[1]["name"].encode(), done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 3)

    def test_an_older_history_is_chosen_by_its_timeline(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"a", b"1")])
        self.run_jetpp("backup", directory, repo)
        base = json.loads(self.run_jetpp("list", repo, "--json").stdout)
        self.load(directory, [(b"b", b"2")])
        self.run_jetpp("point", directory, "late")
        self.run_jetpp("backup", directory, repo, "--incremental")
        given_up = self.scan(directory)
        self.run_jetpp("restore", repo, directory, "--force", "--set", base["id"])
        self.load(directory, [(b"c", b"3")])
        now = self.scan(directory)
        self.run_jetpp("backup", directory, repo)
        listed = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
        old, new = base["timeline"], listed[-1]["timeline"]
        self.assertEqual([one["timeline"] for one in listed], [old, old, new])
        refused = self.run_jetpp("restore", repo, self.path("x"), status=1).stderr.decode()
        for one in listed[1:]:
            self.assertIn(f"{one['id']} (timeline {one['timeline']})", refused)
        for timeline, rows, options in ((old, given_up, ()), (new, now, ()),
                                        (old, b"a\t1\n", ("--to-lsn", int(base["end_lsn"]) - 1)),
                                        (old, given_up, ("--to-point", "late"))):
            place = self.path(f"{timeline}-{len(os.listdir(self.root))}")
            self.run_jetpp("restore", repo, place, "--timeline", timeline, *options)
            self.assertEqual(self.scan(place), rows)
        unknown = self.run_jetpp("restore", repo, self.path("x"), "--timeline", "1234", status=1)
        self.assertIn(b"no set is of timeline 1234", unknown.stderr)
        self.run_jetpp("restore", repo, self.path("x"), "--timeline", "0", status=2)
        self.run_jetpp("restore", repo, self.path("x"), "--timeline", "branch", status=2)
        self.run_jetpp("restore", repo, self.path("x"), "--timeline", old, "--set", base["id"], status=2)
        self.assertFalse(os.path.exists(self.path("x")))

    def test_info_tells_in_json_what_scripts_watch(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"a", b"1")])
        made = json.loads(self.run_jetpp("backup", directory, repo, "--json").stdout)
        told = json.loads(self.run_jetpp("info", directory, "--json").stdout)
        self.assertEqual((told["state"], told["checkpoint"]["clean"]), ("closed", True))
        self.assertEqual((told["checkpoint"]["pins"], told["log"]["logging"]), ([], "archival"))
        (main,) = told["databases"]
        self.assertEqual((main["name"], main["state"], main["backup_exempt"]), ("main", "clean", False))
        self.assertEqual(main["file_bytes"], str(os.path.getsize(os.path.join(directory, "main"))))
        self.assertEqual((main["backups"]["full"]["set"], main["backups"]["full"]["end_lsn"]),
                         (made["set"], made["end_lsn"]))
        self.assertIsNone(main["restored_from"])
        set_ = os.path.join(repo, "sets", made["name"])
        with open(os.path.join(set_, "manifest.json"), "rb") as file:
            manifest = json.loads(file.read().rsplit(b"\n", 2)[0])
        self.assertEqual(json.loads(self.run_jetpp("info", set_, "--json").stdout), manifest)
        of_repo = json.loads(self.run_jetpp("info", repo, "--json").stdout)
        self.assertEqual(of_repo, {"sets": [{"name": made["name"], "damaged": None, "manifest": manifest}]})
        self.run_jetpp("restore", repo, self.path("new"))
        (main,) = json.loads(self.run_jetpp("info", self.path("new"), "--json").stdout)["databases"]
        self.assertEqual(main["restored_from"]["set"], made["set"])
        for name, copies in (("main", (0, 65536)), ("jet.ckp", (0, 4096))):
            for copy in copies:
                self.flip(os.path.join(directory, name), copy + 100)
        told = json.loads(self.run_jetpp("info", directory, "--json").stdout)
        self.assertIsNone(told["checkpoint"])
        self.assertIsNotNone(told["databases"][0]["damaged"])

    def test_each_kind_of_set_says_what_it_stands_on(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, awkward_rows(1, 2000))

        def back_up(*options):
            return json.loads(self.run_jetpp("backup", directory, repo, "--json", *options).stdout)

        for kind in ("--incremental", "--differential"):
            said = self.run_jetpp("backup", directory, repo, kind, status=1).stderr
            self.assertIn(b"full_backup_required", said)
            self.assertIn(directory.encode() + b"/main", said)
            self.assertIn(b"take a full backup", said)
        full = back_up()
        self.assertEqual((full["kind"], full["receipt"]), ("full", "durable"))
        self.load(directory, [(b"one", b"1")])
        first = back_up("--incremental")
        self.load(directory, [(b"two", b"2")])
        second = back_up("--incremental")
        both = back_up("--differential")
        pages = back_up("--pages-since", full["set"][:12])
        copy = back_up("--copy")
        self.assertEqual(first["log_start"], full["end_lsn"])
        self.assertEqual(second["log_start"], first["end_lsn"])
        self.assertEqual(both["log_start"], full["end_lsn"])
        self.assertIsNone(first["redo_lsn"])
        self.assertEqual(pages["pages"], copy["pages"])
        self.assertLess(int(first["bytes"]), int(full["bytes"]))
        listed = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
        base_of = {one["id"]: (one["kind"], one["base"]) for one in listed}
        self.assertEqual(base_of[full["set"]], ("full", None))
        self.assertEqual(base_of[first["set"]], ("incremental", full["set"]))
        self.assertEqual(base_of[second["set"]], ("incremental", first["set"]))
        self.assertEqual(base_of[both["set"]], ("differential", full["set"]))
        self.assertEqual(base_of[pages["set"]], ("pages", full["set"]))
        # The chain's sets lie here, and no other place will do.
        said = self.run_jetpp("backup", directory, self.path("elsewhere"), "--incremental", status=1).stderr
        self.assertIn(b"base_not_here", said)
        self.run_jetpp("backup", directory, repo, "--incremental", "--copy", status=2)
        self.run_jetpp("backup", directory, repo, "--copy", "--truncate", status=2)
        self.run_jetpp("backup", directory, repo, "--pages-since", "zz", status=1)
        circular = self.path("circular")
        self.load(circular, [(b"a", b"1")], "--logging", "circular")
        self.run_jetpp("backup", circular, self.path("other"))
        said = self.run_jetpp("backup", circular, self.path("other"), "--incremental", status=1).stderr
        self.assertIn(b"circular_logging", said)

    def test_a_chain_is_restored_to_any_moment_of_its_log(self):
        directory, repo, mirror = self.path("db"), self.path("repo"), self.path("mirror")
        rows, moments = [], []

        def add(count):
            some = [(b"%06d" % i, b"%d" % (i * 7)) for i in range(len(rows), len(rows) + count)]
            rows.extend(some)
            self.load(directory, some, "--batch", 10)

        def back_up(*options):
            made = json.loads(self.run_jetpp("backup", directory, repo, "--json", *options).stdout)
            moments.append((made["set"], len(rows)))
            return made

        add(100)
        full = back_up()
        add(50)
        back_up("--incremental")
        add(50)
        at = int(self.run_jetpp("point", directory, "here").stdout)
        labelled = len(rows)
        add(50)
        back_up("--pages-since", full["set"])
        add(50)
        back_up("--differential")
        add(10)
        newest = back_up("--incremental")
        self.run_jetpp("verify", repo)
        for i, (id_, count) in enumerate(moments):
            self.run_jetpp("restore", repo, self.path(f"set-{i}"), "--set", id_)
            self.assertEqual(self.scan(self.path(f"set-{i}")), lines_of(rows[:count]))
        said = self.run_jetpp("restore", repo, self.path("none"), "--dry-run").stdout
        self.assertIn(b"would restore 1 database to LSN ", said)
        self.assertFalse(os.path.exists(self.path("none")))
        self.run_jetpp("restore", repo, self.path("newest"))
        self.assertEqual(self.scan(self.path("newest")), lines_of(rows))
        self.run_jetpp("restore", repo, self.path("label"), "--to-point", "here")
        self.assertEqual(self.scan(self.path("label")), lines_of(rows[:labelled]))
        self.run_jetpp("restore", repo, self.path("lsn"), "--to-lsn", at)
        self.assertEqual(self.scan(self.path("lsn")), lines_of(rows[:labelled]))
        # A moment before the pages were whole, and one that no log reaches.
        said = self.run_jetpp("restore", repo, self.path("no"), "--to-lsn", 5000, status=1).stderr
        self.assertIn(b"target_before_set_end", said)
        said = self.run_jetpp(
            "restore", repo, self.path("no"), "--to-time", "2200-01-01T00:00:00Z", status=1).stderr
        self.assertIn(b"target_not_reached", said)
        self.run_jetpp("restore", repo, self.path("no"), "--to-lsn", 1, "--to-point", "here", status=2)
        for no_time in ("noon", "2999-01-01T00:00:00Z"):
            self.run_jetpp("restore", repo, self.path("no"), "--to-time", no_time, status=2)
        self.run_jetpp("restore", repo, self.path("no"), "--database", "other", status=1)
        said = self.run_jetpp("restore", repo, self.path("no"), "--to-point", "never", status=1).stderr
        self.assertIn(b"no restore point bears the label never", said)
        self.assertFalse(os.path.exists(os.path.join(self.path("no"), "jet.ckp")))
        # Two places: the pages of one, the log of the other.
        os.makedirs(mirror)
        shutil.copytree(repo, mirror, dirs_exist_ok=True)
        for name in os.listdir(os.path.join(repo, "sets")):
            if "-full-" in name or "-pages-" in name:
                shutil.rmtree(os.path.join(repo, "sets", name))
            else:
                shutil.rmtree(os.path.join(mirror, "sets", name))
        said = self.run_jetpp("restore", repo, self.path("no"), status=1).stderr
        self.assertIn(b"base_not_here", said)
        self.run_jetpp("restore", repo, mirror, self.path("both"), "--set", newest["set"])
        self.assertEqual(self.scan(self.path("both")), lines_of(rows))

    def test_a_backup_keeps_to_its_rate(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"a", b"1")])
        began = time.monotonic()
        self.run_jetpp("backup", directory, repo, "--rate", 32 << 20)
        self.assertGreater(time.monotonic() - began, 0.5)  # a segment of 16 MiB and a database

    def test_progress_is_told_in_lines_of_json(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"%06d" % i, b"v" * 200) for i in range(60000)])

        def phases_of(*arguments, given=b""):
            began = time.monotonic()
            done = self.run_jetpp(*arguments, "--progress", "json", given=given)
            took = time.monotonic() - began
            lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b'{"type":"progress"')]
            phases = []
            for one in lines:
                self.assertEqual(list(one), ["type", "phase", "file", "bytes_done", "bytes_total",
                                             "bytes_per_second", "seconds_left"])
                if not phases or phases[-1][-1]["phase"] != one["phase"]:
                    phases.append([])
                phases[-1].append(one)
            self.assertLessEqual(len(lines), 2 * len(phases) + 10 * took)
            for phase in phases:
                counts = [int(one["bytes_done"]) for one in phase]
                self.assertEqual(counts, sorted(counts))
            return done.stdout, phases

        def ends(phase):  # but for what frames a part: it is in sizes only
            last = phase[-1]
            self.assertAlmostEqual(int(last["bytes_done"]) / int(last["bytes_total"]), 1, delta=0.01)

        def names(phases):
            return [phase[0]["phase"] for phase in phases]

        rate = ("--rate", 60 << 20)
        out, phases = phases_of("backup", directory, repo, "--json", *rate)
        self.assertEqual(names(phases), ["pages", "log", "publish"])
        self.assertGreater(len(phases[0]) + len(phases[1]), 5, "between the ends of a phase, too")
        self.assertEqual((phases[0][-1]["file"], phases[1][-1]["file"]), ("main", "log"))
        self.assertEqual(phases[1][-1]["bytes_done"], phases[1][-1]["bytes_total"])
        self.assertGreaterEqual(int(phases[0][-1]["bytes_done"]), os.path.getsize(os.path.join(directory, "main")))
        self.assertGreater(phases[0][1]["bytes_per_second"], 0)
        self.assertGreater(phases[0][1]["seconds_left"], 0)
        self.assertEqual(json.loads(out)["kind"], "full")
        stream, phases = phases_of("backup", directory, "-")
        self.assertEqual(names(phases), ["pages", "log", "publish"])
        drilled = phases_of("backup", directory, self.path("proved"), "--drill", "--scratch", self.root)[1]
        self.assertEqual(names(drilled), ["pages", "log", "drill", "publish"])

        out, phases = phases_of("restore", repo, self.path("new"), "--json")
        self.assertEqual(names(phases), ["log", "pages", "recover"])
        self.assertEqual(phases[1][-1]["file"], "main")
        ends(phases[1])
        self.assertTrue(json.loads(out)["published"])
        self.assertEqual(names(phases_of("restore", "-", self.path("streamed"), given=stream)[1]),
                         ["receive", "log", "pages", "recover"])
        other, sets = self.path("other"), self.path("sets")
        self.load(other, [(b"a", b"1")])
        self.run_jetpp("backup", other, sets)
        self.run_jetpp("point", other, "here")
        self.run_jetpp("backup", other, sets, "--incremental")
        searched = phases_of("restore", sets, self.path("none"), "--to-point", "here", "--dry-run")[1]
        self.assertEqual(names(searched), ["search", "log", "pages"])
        self.assertEqual((searched[0][-1]["bytes_total"], searched[1][0]["bytes_done"]), (None, "0"))

        (name,) = os.listdir(os.path.join(repo, "sets"))
        out, phases = phases_of("verify", repo, "--json")
        self.assertEqual([(p[-1]["phase"], p[-1]["file"]) for p in phases], [("read", name), ("replay", name)])
        ends(phases[0])
        self.assertTrue(json.loads(out)["good"])
        self.assertEqual(names(phases_of("verify", "-", given=stream)[1]), ["read"])
        out, phases = phases_of("verify", directory)
        self.assertEqual(names(phases), ["log", "pages"])
        self.assertEqual(phases[1][-1]["file"], "main")
        self.assertEqual(phases[1][-1]["bytes_done"], phases[1][-1]["bytes_total"])

        for silent in ("auto", "none"):  # standard error is no terminal
            self.assertEqual(self.run_jetpp("backup", directory, repo, "--progress", silent).stderr, b"")
        self.assertIn(b"[====", self.run_jetpp("backup", directory, repo, "--progress", "bar").stderr)
        self.run_jetpp("backup", directory, repo, "--progress", "often", status=2)

    def test_an_interrupted_backup_goes_on(self):
        directory, repo = self.path("db"), self.path("repo")
        rows = [(b"%06d" % i, b"%06d" % i * 100) for i in range(60000)]
        self.load(directory, rows)
        # A file of the set cannot grow beyond 20 MB: the kernel ends the process there.
        limited = subprocess.run(
            [JETPP, "backup", directory, repo, "--resumable"],
            capture_output=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, 20 << 20)),
        )
        self.assertNotEqual(limited.returncode, 0)
        pin = re.search(rb"pin +backup ([0-9a-f]{32})", self.run_jetpp("info", directory).stdout)
        self.assertIsNotNone(pin)
        name = pin[1].decode()
        (told,) = json.loads(self.run_jetpp("info", directory, "--json").stdout)["checkpoint"]["pins"]
        self.assertEqual((told["kind"], told["owner"], told["broken"]), ("backup", name, False))
        self.assertIn(b"pin: backup " + pin[1], self.run_jetpp("truncate", directory, "--dry-run").stdout)
        more = [(b"later %d" % i, b"x") for i in range(1000)]
        self.load(directory, more)
        self.assertEqual(self.run_jetpp("list", repo).stdout, b"")
        self.run_jetpp("backup", directory, repo, "--resume", name, "--copy", status=1)
        self.run_jetpp("backup", directory, repo, "--resume", "no such id", status=1)
        self.run_jetpp("backup", directory, repo, "--resume", name, "--incremental", status=2)
        report = json.loads(
            self.run_jetpp("backup", directory, repo, "--resume", name[:6], "--json").stdout)
        self.assertEqual(report["set"], name)
        self.assertNotIn(b"pin", self.run_jetpp("info", directory).stdout)
        self.run_jetpp("verify", repo)
        self.run_jetpp("restore", repo, self.path("new"))
        self.assertEqual(self.scan(self.path("new")), self.scan(directory))
        # Or it is given up.
        subprocess.run(
            [JETPP, "backup", directory, repo, "--resumable"],
            capture_output=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, 20 << 20)),
        )
        pin = re.search(rb"pin +backup ([0-9a-f]{32})", self.run_jetpp("info", directory).stdout)
        self.run_jetpp("backup", directory, repo, "--abandon", pin[1].decode())
        self.run_jetpp("backup", directory, repo, "--abandon", pin[1].decode(), status=1)
        self.assertNotIn(b"pin", self.run_jetpp("info", directory).stdout)
        self.run_jetpp("verify", repo)

    def test_log_goes_when_it_lies_in_sets(self):
        directory, repo = self.path("db"), self.path("repo")
        rows = [(b"%06d" % i, b"v" * 200) for i in range(100000)]
        self.load(directory, rows)
        said = self.run_jetpp("truncate", directory).stdout
        self.assertTrue(said.startswith(b"0 segments of 0 bytes"), said)
        self.assertIn(b"never backed up: main", said)
        full = json.loads(self.run_jetpp("backup", directory, repo, "--json").stdout)
        dry = json.loads(self.run_jetpp("truncate", directory, "--dry-run", "--json").stdout)
        self.assertGreater(int(dry["segments"]), 0)
        done = json.loads(self.run_jetpp("truncate", directory, "--json").stdout)
        self.assertEqual(done["segments"], dry["segments"])
        self.assertLessEqual(int(done["oldest_lsn"]), int(full["end_lsn"]) + 4096)
        self.assertIn("last backup", {one["who"] for one in done["holders"]})
        self.load(directory, rows[:30000])
        inc = json.loads(self.run_jetpp(
            "backup", directory, repo, "--incremental", "--truncate", "--json").stdout)
        self.assertIsNotNone(inc["truncated"])
        self.assertEqual(self.scan(directory), lines_of(rows))
        self.run_jetpp("verify", directory)

    def test_old_sets_go_and_what_stays_restores(self):
        directory, repo = self.path("db"), self.path("repo")
        for i, kind in enumerate((None, "--incremental", None, "--incremental", "--copy")):
            self.load(directory, [(b"row-%d" % i, b"%d" % i)])
            self.run_jetpp("backup", directory, repo, *([kind] if kind else []))
        state = self.scan(directory)
        self.run_jetpp("prune", repo, status=2)
        self.run_jetpp("prune", repo, "--keep", "0", status=2)
        dry = json.loads(self.run_jetpp("prune", repo, "--keep", "1", "--dry-run", "--json").stdout)
        self.assertEqual([one["kind"] for one in dry["gone"]], ["incremental", "full"])
        self.assertEqual(len(os.listdir(os.path.join(repo, "sets"))), 5)
        said = self.run_jetpp("prune", repo, "--keep", "1").stdout
        self.assertIn(b"2 sets of " + dry["bytes"].encode() + b" bytes went, 3 stay", said)
        self.assertEqual(len(os.listdir(os.path.join(repo, "sets"))), 3)
        self.run_jetpp("verify", repo)
        self.run_jetpp("restore", repo, self.path("back"))
        self.assertEqual(self.scan(self.path("back")), state)
        self.run_jetpp("backup", directory, repo, "--incremental")
        self.run_jetpp("backup", directory, repo)
        self.run_jetpp("backup", directory, repo, "--incremental")
        # A manifest that cannot be read stands in the way, unless it is said not to.
        first = sorted(os.listdir(os.path.join(repo, "sets")))[0]
        self.flip(os.path.join(repo, "sets", first, "manifest.json"), 40)
        said = self.run_jetpp("prune", repo, "--keep", "1", status=1)
        self.assertIn(b"--despite-damage", said.stderr)
        went = json.loads(self.run_jetpp("prune", repo, "--keep", "1", "--despite-damage", "--json").stdout)
        self.assertEqual(went["damaged"], [first])
        self.assertGreater(len(went["gone"]), 0)
        self.assertTrue(os.path.exists(os.path.join(repo, "sets", first)))

    def test_a_point_in_the_log_has_a_name(self):
        directory = self.path("db")
        self.load(directory, [(b"a", b"1")])
        at = int(self.run_jetpp("point", directory, "before the upgrade").stdout)
        self.assertIn(b"restore_point", self.run_jetpp("log", directory).stdout)
        self.load(directory, [(b"b", b"2")])
        self.assertGreater(int(self.run_jetpp("point", directory, "after it").stdout), at)
        self.run_jetpp("point", directory, "", status=2)

    def test_restore_refuses_a_directory_that_holds_something(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"a", b"1")])
        self.run_jetpp("backup", directory, repo)
        self.load(directory, [(b"b", b"2")])
        self.assertIn(b"would_overwrite", self.run_jetpp("restore", repo, directory, status=1).stderr)
        self.assertEqual(self.scan(directory), b"a\t1\nb\t2\n")
        self.run_jetpp("restore", self.path("none"), self.path("new"), status=1)

    def test_a_damaged_set_is_named_and_not_restored(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        self.run_jetpp("backup", directory, repo)
        (one,) = glob.glob(os.path.join(repo, "sets", "*"))
        for name in sorted(os.listdir(one)):
            path = os.path.join(one, name)
            offset = os.path.getsize(path) // 2
            self.flip(path, offset)
            done = self.run_jetpp("verify", repo, status=1)
            self.assertIn(name.encode(), done.stderr)
            self.run_jetpp("restore", repo, self.path("new"), status=1)
            left = [f for f in os.listdir(self.path("new")) if f != "jet.lock"] \
                if os.path.exists(self.path("new")) else []
            self.assertEqual(left, [])
            self.flip(path, offset)
        self.run_jetpp("verify", repo)
        self.run_jetpp("restore", repo, self.path("new"))

    def test_what_one_repository_lacks_of_a_set_another_has(self):
        directory, repo, mirror = self.path("db"), self.path("repo"), self.path("mirror")
        rows = [(b"%06d" % i, b"v" * 300) for i in range(8000)]
        self.load(directory, rows)
        self.run_jetpp("backup", directory, repo)
        shutil.copytree(repo, mirror)
        parts = sorted(glob.glob(os.path.join(repo, "sets", "*", "*.jbs")))
        theirs = sorted(glob.glob(os.path.join(mirror, "sets", "*", "*.jbs")))
        # Of each part something is damaged or missing in both, and never the same.
        self.flip(parts[0], os.path.getsize(parts[0]) // 2)
        self.flip(theirs[0], 200)
        os.remove(parts[1])
        for source in repo, mirror:
            self.run_jetpp("restore", source, self.path("none"), status=1)
        done = self.run_jetpp("restore", repo, mirror, self.path("new"), "--json")
        report = json.loads(done.stdout)
        self.assertTrue(report["published"])
        self.assertEqual(report["passed_over"], [])
        self.assertEqual([os.path.join(one["where"], one["part"]) for one in report["replaced"]],
                         [parts[1], parts[0]])  # the log is read first
        self.assertEqual(report["replaced"][0]["first_frame"], "0")
        self.assertIn(b"read elsewhere", done.stderr)
        self.assertEqual(self.scan(self.path("new")), lines_of(rows))
        # The same frame in both: named, in both places.
        self.flip(theirs[0], os.path.getsize(parts[0]) // 2)
        said = self.run_jetpp("restore", repo, mirror, self.path("none"), status=1).stderr
        self.assertIn(parts[0].encode(), said)
        self.assertIn(b"no better in " + os.path.dirname(theirs[0]).encode(), said)

    def test_the_log_of_a_lost_directory_leads_beyond_its_sets(self):
        directory, repo = self.path("db"), self.path("repo")
        rows = [(b"%06d" % i, b"v" * 100) for i in range(3000)]
        self.load(directory, rows[:1000])
        self.run_jetpp("backup", directory, repo)
        self.load(directory, rows[1000:2000])
        at = self.run_jetpp("point", directory, "two thirds").stdout.strip()
        self.load(directory, rows[2000:])
        os.remove(os.path.join(directory, "main"))
        before = sorted(os.listdir(directory))
        self.run_jetpp("restore", repo, self.path("set"))
        self.assertEqual(self.scan(self.path("set")), lines_of(rows[:1000]))
        self.run_jetpp("restore", repo, directory, self.path("all"))
        self.assertEqual(self.scan(self.path("all")), lines_of(rows))
        for option, value in ("--to-point", "two thirds"), ("--to-lsn", at.decode()):
            self.run_jetpp("restore", repo, directory, self.path(option), option, value)
            self.assertEqual(self.scan(self.path(option)), lines_of(rows[:2000]))
        self.assertEqual(sorted(os.listdir(directory)), before)
        # Damage below the end is no end: the segment is named.
        segment = self.newest_log(directory)
        self.flip(segment, 5000)
        said = self.run_jetpp("restore", repo, directory, self.path("no"), status=1).stderr
        self.assertIn(os.path.basename(segment).encode(), said)
        self.assertFalse(os.path.exists(self.path("no")))

    def test_a_damaged_database_is_laid_over_by_the_pages_that_differ(self):
        directory, repo = self.path("db"), self.path("repo")
        rows = [(b"%06d" % i, b"v" * 200) for i in range(20000)]
        self.load(directory, rows)
        self.run_jetpp("backup", directory, repo)
        main = os.path.join(directory, "main")
        for page in 40, 41, 200:
            self.flip(main, page * 8192 + 4000)
        size = os.path.getsize(main)
        with open(main, "ab") as file:
            file.write(b"x" * 50000)
        self.run_jetpp("restore", repo, directory, status=1)
        stream = self.run_jetpp("backup", self.path("other"), "-", status=1).stdout
        self.run_jetpp("restore", "-", directory, "--delta", given=stream, status=2)
        report = json.loads(self.run_jetpp("restore", repo, directory, "--delta", "--json").stdout)
        self.assertGreaterEqual(int(report["written_pages"]), 3)
        self.assertGreater(int(report["equal_pages"]), 10 * int(report["written_pages"]))
        self.assertLessEqual(os.path.getsize(main), size)
        self.assertEqual(self.scan(directory), lines_of(rows))
        self.assertNotIn("main", os.listdir(os.path.join(directory, report["moved_aside"])))
        self.run_jetpp("verify", directory)

    def test_some_databases_of_several_are_restored(self):
        directory, repo = self.path("db"), self.path("repo")
        for name in "abc":
            self.load(directory, [(name.encode(), b"1")], "--database", name)
        self.run_jetpp("backup", directory, repo)
        self.run_jetpp("restore", repo, self.path("two"), "--database", "a", "--database", "c")
        for name, status in ("a", 0), ("b", 1), ("c", 0):
            self.run_jetpp("get", self.path("two"), name, "--database", name, status=status)
        self.run_jetpp("restore", repo, self.path("no"), "--database", "a", "--database", "x", status=1)

    def test_an_exempt_database_is_left_out_and_holds_no_log(self):
        directory, repo = self.path("db"), self.path("repo")
        rows = [(b"%06d" % i, b"v" * 200) for i in range(20000)]
        self.load(directory, rows)
        self.load(directory, rows, "--database", "scratch")
        self.assertIn(b"never backed up: scratch", self.run_jetpp("truncate", directory).stdout)
        self.run_jetpp("exempt", directory, status=2)
        said = self.run_jetpp("exempt", directory, "none", status=1).stderr
        self.assertIn(b"no database of that name", said)
        self.run_jetpp("exempt", directory, "scratch")
        self.assertIn(b"exempt", self.run_jetpp("info", directory).stdout)
        self.run_jetpp("backup", directory, repo)
        self.load(directory, [(b"more", b"1")])
        done = json.loads(self.run_jetpp(
            "backup", directory, repo, "--incremental", "--truncate", "--json").stdout)
        self.assertEqual(done["databases"], "1")
        self.assertEqual(done["truncated"]["exempt"], ["scratch"])
        said = self.run_jetpp("truncate", directory).stdout
        self.assertIn(b"exempt from backups: scratch", said)
        self.assertNotIn(b"backed up: scratch", said)
        self.run_jetpp("verify", repo)
        report = json.loads(self.run_jetpp("restore", repo, self.path("new"), "--json").stdout)
        self.assertEqual(report["left_out"], ["scratch"])
        self.run_jetpp("get", self.path("new"), "more")
        self.run_jetpp("get", self.path("new"), "more", "--database", "scratch", status=1)
        said = self.run_jetpp("restore", repo, self.path("again")).stderr
        self.assertIn(b"scratch: left out", said)
        self.run_jetpp("restore", repo, self.path("no"), "--database", "scratch", status=1)
        self.run_jetpp("exempt", directory, "scratch", "--no")
        self.assertNotIn(b"exempt", self.run_jetpp("info", directory).stdout)
        said = self.run_jetpp("backup", directory, repo, "--incremental", status=1).stderr
        self.assertIn(b"take a full backup", said)
        self.run_jetpp("backup", directory, repo)
        self.run_jetpp("backup", directory, repo, "--incremental")
        self.run_jetpp("restore", repo, self.path("both"))
        self.run_jetpp("get", self.path("both"), "000000", "--database", "scratch")

    def test_proofs_of_sets_are_kept_and_listed(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"a", b"1")])
        self.run_jetpp("backup", directory, repo)
        self.run_jetpp("verify", repo)
        self.assertFalse(os.path.exists(os.path.join(repo, "proof")))
        self.assertIn(b"1 proof", self.run_jetpp("verify", repo, "--proof").stdout)
        (proof,) = glob.glob(os.path.join(repo, "proof", "*.json"))
        with open(proof, "rb") as file:
            text, digest, end = file.read().rsplit(b"\n", 2)
        self.assertEqual((hashlib.sha256(text).hexdigest().encode(), end), (digest, b""))
        told = json.loads(text)
        (one,) = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
        self.assertEqual((told["set"], told["result"]), (one["id"], "passed"))
        self.assertEqual(int(told["reached_lsn"]), int(one["end_lsn"]))
        self.assertEqual(told["time"][:19], one["proved"][:19])
        self.flip(proof, 20)
        self.assertIn(b"proof/", self.run_jetpp("verify", repo, status=1).stderr)
        self.run_jetpp("verify", directory, "--proof", status=2)

    def test_a_drill_restores_the_set_before_it_is_one(self):
        directory, repo, scratch = self.path("db"), self.path("repo"), self.path("scratch")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(2000)])
        os.mkdir(scratch)
        drill = ("--drill", "--scratch", scratch, "--json")
        full = json.loads(self.run_jetpp("backup", directory, repo, *drill).stdout)
        self.assertEqual(full["drill"]["reached_lsn"], full["end_lsn"])
        self.assertGreaterEqual(int(full["drill"]["rows"]), 2000)
        self.load(directory, [(b"later", b"1")])
        log = json.loads(self.run_jetpp("backup", directory, repo, "--incremental", *drill).stdout)
        self.assertEqual(log["drill"]["reached_lsn"], log["end_lsn"])
        self.assertEqual(os.listdir(scratch), [])
        self.assertEqual(self.run_jetpp("info", repo).stdout.count(b"drill"), 2)
        self.run_jetpp("verify", repo)
        self.run_jetpp("backup", directory, repo, "--scratch", scratch, status=2)
        stream = self.run_jetpp("backup", directory, "-", *drill).stdout
        self.assertEqual(os.listdir(scratch), [])
        self.run_jetpp("restore", "-", self.path("new"), given=stream)
        self.assertEqual(self.scan(self.path("new")), self.scan(directory))

    def test_a_set_stands_on_one_that_lies_elsewhere(self):
        directory, first, second = self.path("db"), self.path("first"), self.path("second")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(2000)])
        self.run_jetpp("backup", directory, first)
        (full,) = glob.glob(os.path.join(first, "sets", "*"))
        self.load(directory, [(b"later", b"1")])
        refused = self.run_jetpp("backup", directory, second, "--incremental", status=1)
        self.assertIn(b"--base", refused.stderr)
        self.run_jetpp("backup", directory, second, "--incremental", "--base", full)
        self.run_jetpp("restore", first, second, self.path("new"))
        self.assertEqual(self.scan(self.path("new")), self.scan(directory))
        self.run_jetpp("backup", directory, second, "--pages-since", os.path.join(full, "manifest.json"))
        self.run_jetpp("backup", directory, second, "--pages-since", full[-8:] + "/none", status=1)
        self.run_jetpp("backup", directory, second, "--base", full, status=2)
        self.load(directory, [(b"last", b"1")])
        stream = self.run_jetpp("backup", directory, "-", "--differential", "--base", full).stdout
        self.run_jetpp("verify", "-", given=stream)
        # A drill reads them where they lie; a manifest alone proves nothing.
        scratch = self.path("scratch")
        os.mkdir(scratch)
        drill = ("--drill", "--scratch", scratch)
        for how in (("--differential", "--base", full), ("--pages-since", full)):
            stream = self.run_jetpp("backup", directory, "-", *how, *drill).stdout
            self.assertIn(b"partial", self.run_jetpp("verify", "-", given=stream).stdout)
        manifest = os.path.join(full, "manifest.json")
        self.run_jetpp("backup", directory, "-", "--differential", "--base", manifest, *drill, status=1)
        self.assertEqual(os.listdir(scratch), [])

    def test_a_stream_is_verified_while_it_passes(self):
        directory = self.path("db")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(3000)])
        sender = subprocess.Popen([JETPP, "backup", directory, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        taker = subprocess.run([JETPP, "verify", "-"], stdin=sender.stdout, capture_output=True)
        sender.communicate()
        self.assertEqual((sender.returncode, taker.returncode), (0, 0), taker.stderr)
        self.assertIn(b"partial", taker.stdout)
        stream = self.run_jetpp("backup", directory, "-", "--compress", "zstd").stdout
        self.assertIn(b"1 set: 2 parts", self.run_jetpp("verify", "-", given=stream).stdout)
        scratch = self.path("scratch")
        os.mkdir(scratch)
        said = self.run_jetpp("verify", "-", "--scratch", scratch, given=stream).stdout
        self.assertIn(b"1 replayed, 1 tree", said)
        self.assertNotIn(b"partial", said)
        self.assertEqual(os.listdir(scratch), [])
        broken = bytearray(stream)
        broken[len(broken) // 3] ^= 0x10
        self.assertIn(b"set_damaged", self.run_jetpp("verify", "-", given=bytes(broken), status=1).stderr)
        self.run_jetpp("verify", "-", given=stream[:-1], status=1)
        self.run_jetpp("verify", "-", given=b"", status=1)

    # --- sets compressed, encrypted, streamed

    def keys(self):
        """Key files by name, as openssl makes them; None where it is not there."""
        if shutil.which("openssl") is None:
            return None
        made = {name: self.path(name) for name in ("hex", "other", "secret", "public", "word", "wrong")}
        for name in ("hex", "other"):
            with open(made[name], "wb") as file:
                file.write(os.urandom(32).hex().encode() + b"\n")
        for name, word in (("word", b"correct horse\n"), ("wrong", b"correct hose\n")):
            with open(made[name], "wb") as file:
                file.write(word)
        subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", made["secret"]], check=True)
        subprocess.run(["openssl", "pkey", "-in", made["secret"], "-pubout", "-out", made["public"]], check=True)
        return made

    def test_compressed_sets_are_smaller_and_restore(self):
        directory = self.path("db")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        rows, sizes = self.scan(directory), {}
        for codec in ("none", "zstd", "zstd:1", "lz4"):
            repo = self.path("repo-" + codec)
            self.run_jetpp("backup", directory, repo, "--compress", codec)
            (one,) = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
            self.assertEqual(one["codec"], {"zstd": "zstd:3"}.get(codec, codec))
            sizes[codec] = int(one["bytes"])
            self.run_jetpp("verify", repo)
            self.run_jetpp("restore", repo, self.path("db-" + codec))
            self.assertEqual(self.scan(self.path("db-" + codec)), rows)
            if codec == "zstd":
                for jobs in ("1", "5"):
                    again = self.path("repo-jobs-" + jobs)
                    self.run_jetpp("backup", directory, again, "--copy", "--compress", codec, "--jobs", jobs)
                    self.run_jetpp("verify", again)
                self.run_jetpp("backup", directory, repo, "--jobs", "0", status=2)
            if shutil.which("zstd"):
                parts = glob.glob(os.path.join(repo, "sets", "*", "*.jbs"))
                subprocess.run(["zstd", "-tq", *parts], check=True)
        self.assertLess(sizes["zstd"], sizes["none"] // 2)
        self.assertLess(sizes["lz4"], sizes["none"] // 2)
        for codec in ("gzip", "zstd:99", "zstd:", "lz4:3", "zstd:x"):
            self.run_jetpp("backup", directory, self.path("repo"), "--compress", codec, status=2)
        self.assertFalse(os.path.exists(self.path("repo")))

    def test_the_hash_of_a_manifest_covers_a_set_hashed_by_sha256(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"%06d" % i, b"v" * 100) for i in range(5000)])
        made = json.loads(self.run_jetpp("backup", directory, repo, "--hash", "sha256", "--json").stdout)
        (one,) = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
        self.assertEqual(one["hash"], "sha-256")
        self.assertIn(b"sha-256", self.run_jetpp("info", repo).stdout)
        # With nothing but that hash: manifest, digests of the parts, frames.
        (set_,) = glob.glob(os.path.join(repo, "sets", "*"))
        with open(os.path.join(set_, "manifest.json"), "rb") as file:
            text = file.read()[:-66]  # LF, its SHA-256, LF
        self.assertEqual(hashlib.sha256(text).hexdigest(), made["manifest_sha256"])
        for part in json.loads(text)["parts"]:
            heads = hashlib.sha256()
            with open(os.path.join(set_, part["name"]), "rb") as file:
                while head := file.read(160):
                    heads.update(head)
                    self.assertEqual(int.from_bytes(head[128:130], "little"), 2)
                    unit = file.read(int.from_bytes(head[76:80], "little"))
                    self.assertEqual(hashlib.sha256(unit).digest(), head[96:128])
            self.assertEqual(heads.hexdigest(), part["headers_sha256"])
        self.run_jetpp("verify", repo)
        self.run_jetpp("restore", repo, self.path("new"))
        self.assertEqual(self.scan(self.path("new")), self.scan(directory))
        stream = self.run_jetpp("backup", directory, "-", "--hash", "sha256").stdout
        self.run_jetpp("verify", "-", given=stream)
        self.run_jetpp("backup", directory, repo, "--hash", "md5", status=2)

    def test_encrypted_sets_open_with_any_of_their_keys_and_no_other(self):
        keys = self.keys()
        if keys is None:
            self.skipTest("openssl is not installed")
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"%06d" % i, b"a plain value") for i in range(3000)])
        rows = self.scan(directory)
        self.run_jetpp("backup", directory, repo, "--compress", "zstd", "--cipher", "xchacha20-poly1305",
                       "--encrypt-to", keys["hex"], "--encrypt-to", keys["public"],
                       "--passphrase-file", keys["word"])
        (one,) = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
        self.assertEqual(one["cipher"], "xchacha20-poly1305")
        said = self.run_jetpp("info", repo).stdout
        for word in (b"passphrase", b"x25519", b"xchacha20-poly1305"):
            self.assertIn(word, said)
        for path in glob.glob(os.path.join(repo, "sets", "*", "*")):
            with open(path, "rb") as file:
                content = file.read()
            self.assertNotIn(b"a plain value", content)
            for name in ("hex", "word"):
                with open(keys[name], "rb") as file:
                    self.assertNotIn(file.read().strip(), content)
        ways = (("--key", keys["hex"]), ("--key", keys["secret"]), ("--passphrase-file", keys["word"]))
        for i, way in enumerate(ways):
            said = self.run_jetpp("verify", repo, *way).stdout
            self.assertIn(b"authenticity: none" if way[1] == keys["secret"] else b"authenticity: hmac", said)
            proven = "none" if way[1] == keys["secret"] else "hmac"
            report = self.run_jetpp("restore", repo, self.path(f"db-{i}"), *way, "--json").stdout
            self.assertEqual(json.loads(report)["authenticity"], proven)
            said = self.run_jetpp("restore", repo, self.path(f"db-{i}"), *way, "--dry-run").stdout
            self.assertIn(b"authenticity: " + proven.encode(), said)
            self.assertEqual(self.scan(self.path(f"db-{i}")), rows)
        for way in ((), ("--key", keys["other"]), ("--passphrase-file", keys["wrong"])):
            refused = self.run_jetpp("restore", repo, self.path("no"), *way, status=1)
            self.assertIn(b"wrong_key", refused.stderr)
        self.assertEqual([f for f in os.listdir(self.path("no")) if f != "jet.lock"], [])
        self.assertIn(b"frames only", self.run_jetpp("verify", repo).stdout)
        # A public key has no secret to prove by; a key or passphrase alone has.
        for keyed, proven in (("--encrypt-to", keys["hex"]), "hmac"), (("--encrypt-to", keys["public"]), "none"):
            made = self.run_jetpp("backup", directory, self.path("repo-" + proven), *keyed, "--json").stdout
            self.assertEqual(json.loads(made)["authenticity"], proven)
        self.assertIn(b"authenticity: none", self.run_jetpp("backup", directory, self.path("plain")).stdout)
        self.run_jetpp("verify", repo, "--key", keys["public"], status=1)
        self.run_jetpp("backup", directory, repo, "--encrypt-to", keys["word"], status=1)
        # Every file is under the key: a byte anywhere is found with it and without.
        for path in glob.glob(os.path.join(repo, "sets", "*", "*")):
            self.flip(path, os.path.getsize(path) // 2)
            self.run_jetpp("verify", repo, status=1)
            self.run_jetpp("verify", repo, "--key", keys["hex"], status=1)
            self.flip(path, os.path.getsize(path) // 2)
        self.run_jetpp("verify", repo, "--key", keys["hex"])

    def test_a_backup_goes_through_a_pipe(self):
        directory = self.path("db")
        self.load(directory, awkward_rows(21, 3000))
        rows = self.scan(directory)
        sent = self.run_jetpp("backup", directory, "-", "--compress", "lz4").stdout
        self.run_jetpp("restore", "-", self.path("piped"), given=sent)
        self.assertEqual(self.scan(self.path("piped")), rows)
        if shutil.which("zstd"):
            subprocess.run(["zstd", "-tq"], input=sent, check=True)
        # Straight from one into the other.
        sender = subprocess.Popen([JETPP, "backup", directory, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        taker = subprocess.run([JETPP, "restore", "-", self.path("straight"), "--scratch", self.root],
                               stdin=sender.stdout, capture_output=True)
        sender.stdout.close()
        said = sender.stderr.read()
        sender.stderr.close()
        self.assertEqual((sender.wait(), taker.returncode), (0, 0), said + taker.stderr)
        self.assertEqual(self.scan(self.path("straight")), rows)
        # A stream that was cut, or goes on behind its end, is no set, and leaves nothing.
        before = sorted(os.listdir(self.root))
        for broken in (b"", sent[:100], sent[:len(sent) // 2], sent[:-1], sent + b"x"):
            refused = self.run_jetpp("restore", "-", self.path("no"), given=broken, status=1)
            self.assertIn(b"set_damaged", refused.stderr)
        self.assertEqual(sorted(os.listdir(self.root)), before)

    def test_a_receiver_is_trusted_only_if_one_says_so(self):
        directory, repo = self.path("db"), self.path("repo")
        rows = [(b"%06d" % i, b"v" * 200) for i in range(20000)]
        self.load(directory, rows)
        made = self.run_jetpp("backup", directory, "-", "--json")
        said = json.loads(made.stderr)
        self.assertEqual((said["kind"], said["relied_on"]), ("copy", False))
        self.run_jetpp("backup", directory, "-", "--truncate", status=2)
        self.run_jetpp("backup", directory, repo, "--trust-receiver", status=2)
        made = self.run_jetpp("backup", directory, "-", "--trust-receiver", "--truncate", "--json")
        said = json.loads(made.stderr)
        self.assertEqual((said["kind"], said["receipt"], said["relied_on"]), ("full", "handed_over", True))
        self.assertGreater(int(said["truncated"]["segments"]), 0)
        self.run_jetpp("restore", "-", self.path("new"), given=made.stdout)
        self.assertEqual(self.scan(self.path("new")), lines_of(rows))

    def test_a_set_has_a_tag(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"a", b"1")])
        text = "before the \u00fcbung, \"2\""
        self.run_jetpp("backup", directory, repo, "--tag", text)
        (one,) = [json.loads(line) for line in self.run_jetpp("list", repo, "--json").stdout.splitlines()]
        self.assertEqual(one["tag"], text)
        self.assertIn(text.encode(), self.run_jetpp("info", repo).stdout)
        for wrong in ("jet", "t" * 256):
            self.run_jetpp("backup", directory, repo, "--tag", wrong, status=2)

    def test_a_reader_that_goes_away_ends_the_backup_and_harms_nothing(self):
        directory, repo = self.path("db"), self.path("repo")
        self.load(directory, [(b"%06d" % i, os.urandom(100)) for i in range(20000)])
        sender = subprocess.Popen([JETPP, "backup", directory, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        sender.stdout.read(1000)
        sender.stdout.close()
        self.assertIn(b"io", sender.stderr.read())
        sender.stderr.close()
        self.assertEqual(sender.wait(), 1)
        self.run_jetpp("verify", directory)
        self.run_jetpp("backup", directory, repo)
        self.run_jetpp("verify", repo)

    def test_copies_take_the_same_memory_whatever_the_size(self):
        script = ("import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
                  "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); "
                  "sys.exit(done.returncode)")
        measured = [sys.executable, "-c", script, JETPP]
        peaks = []
        for i, count in enumerate((2000, 500000)):
            directory, to, repo = self.path(f"db{i}"), self.path(f"to{i}"), self.path(f"repo{i}")
            chance = random.Random(count)
            # Less than a MB, and 170.
            rows = b"".join(b"%08d\t%b\n" % (n, chance.randbytes(150).hex().encode()) for n in range(count))
            self.run_jetpp("load", directory, "-", given=rows)
            sender = subprocess.Popen([*measured, "backup", directory, "-"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            taker = subprocess.run([*measured, "restore", "-", to],
                                   stdin=sender.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            sender.stdout.close()
            peak = {"backup -": int(sender.stderr.read().split()[-1]), "restore -": int(taker.stderr.split()[-1])}
            sender.stderr.close()
            self.assertEqual((sender.wait(), taker.returncode), (0, 0))
            shutil.rmtree(to)
            for command in (["backup", directory, repo, "--compress", "lz4"], ["verify", repo],
                            ["restore", repo, to], ["verify", to]):
                done = subprocess.run([*measured, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 0, done.stderr)
                peak[command[0] + " " + os.path.basename(command[1])[:-1]] = int(done.stderr.split()[-1])
            peaks.append(peak)
        # Where there is an engine its buffer pool fills with the data, up to its size: 64 MiB.
        for what, small in peaks[0].items():
            self.assertLess(peaks[1][what] - small, 100 * 1024, f"{what}: {peaks}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--jetpp", required=True)
    known, rest = parser.parse_known_args()
    JETPP = os.path.abspath(known.jetpp)
    unittest.main(argv=[sys.argv[0], *rest])
