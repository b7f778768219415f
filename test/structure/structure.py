#!/usr/bin/env python3
"""The shape of the house, checked from its sources.

Each check prints one line for every fault and exits 1 if there was any:
  ranks       no include climbs the ranks of the rooms, nor goes to a neighbour of the same rank
  system      no room but env/ names the operating system, a thread, a clock or a device of chance
  containers  below the engine no growing std container: a failed allocation would end the process
  shape       a header opens with its path and meaning, is guarded, ASCII and at most 600 lines
  listed      every test source is in the list of test/meson.build
  readme      the programs that README.md shows are examples, to the letter
  alone       every header compiles alone, and twice; core headers without exceptions and RTTI
  together    one translation unit with every header passes the compiler's syntax and warnings
  sources     every test, tool and example passes the compiler's syntax and warnings
  link        two translation units with every header link
  budget      the umbrella header compiles within its memory
  refused     a source does not compile, and the compiler says the sentence of its first line
"""

import argparse
import concurrent.futures
import hashlib
import itertools
import os
import pathlib
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time

RANKS = {
    "core": 0,
    "env": 1, "checksum": 1,
    "simulation": 2, "page": 2, "log": 2,
    "buffer": 3,
    "btree": 4,
    "txn": 5,
    "recovery": 6,
    "engine": 7,
    "table": 8, "backup": 8,
}
# Rooms whose every allocation must be able to fail as a value.
NO_CONTAINERS = {"core", "checksum", "page", "log", "buffer", "btree", "txn", "recovery"}
WARNINGS = ["-std=c++20", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
HEADER_LINES_MAX = 600
UMBRELLA_MEGABYTES_MAX = 130

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.M)
SYSTEM_CODE = re.compile(
    r"(?<![\w>])::(?:open|openat|close|read|pread|write|pwrite|rename|renameat2?|unlink|mkdir|mmap|"
    r"fsync|fdatasync|fallocate|ftruncate|flock|getpid|fork|kill)\s*\("
    r"|\b(?:fsync|fdatasync|sync_file_range|renameat2|fallocate|ftruncate|getenv|secure_getenv)\s*\("
    r"|\bstd::(?:filesystem|thread|jthread|this_thread|(?:recursive_|shared_|timed_)*mutex|lock_guard|"
    r"unique_lock|scoped_lock|condition_variable(?:_any)?|counting_semaphore|latch|barrier|future|"
    r"async|random_device|fopen|ifstream|ofstream|fstream)\b"
    r"|\bthread_local\b|\b\w*_clock::now\b|\brandom_device\b"
)
SYSTEM_HEADERS = re.compile(
    r"^(?:sys/.*|linux/.*|unistd\.h|fcntl\.h|pthread\.h|dirent\.h|filesystem|thread|mutex|"
    r"shared_mutex|condition_variable|future|random|fstream|semaphore|latch|barrier)$"
)
CONTAINERS = re.compile(
    r"\bstd::(?:vector|string|wstring|basic_string|deque|list|forward_list|(?:unordered_)?(?:multi)?map|"
    r"(?:unordered_)?(?:multi)?set|function|any|shared_ptr|make_shared|make_unique|priority_queue)\b"
)


def without_comments(text, keep_strings=False):
    """Blanks comments (and the insides of strings), keeping every line where it was."""
    def blank(match):
        piece = match.group(0)
        if piece[0] in "\"'" and keep_strings:
            return piece
        return re.sub(r"[^\n]", " ", piece)
    return re.sub(
        r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])*\'', blank, text,
        flags=re.S,
    )


class House:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.include = self.root / "include"
        self.headers = sorted(
            str(p.relative_to(self.include)) for p in (self.include / "jetpp").rglob("*.hpp")
        )
        self.text = {h: (self.include / h).read_text(encoding="utf-8") for h in self.headers}
        self.includes = {
            h: INCLUDE.findall(without_comments(t, keep_strings=True)) for h, t in self.text.items()
        }
        self.faults = 0

    def fault(self, where, line, what):
        self.faults += 1
        print(f"{where}:{line}: {what}" if line else f"{where}: {what}")

    def room(self, header):
        """The room of jetpp/<room>/...; None for the umbrellas that stand above all rooms."""
        parts = header.split("/")
        return parts[1] if len(parts) > 2 else None

    def closure(self, header, seen=None):
        seen = set() if seen is None else seen
        if header in seen:
            return seen
        seen.add(header)
        for other in self.includes.get(header, []):
            self.closure(other, seen)
        return seen

    def is_core(self, header):
        """All but backup/, and what brings Asio in: it also builds without exceptions and RTTI."""
        if self.room(header) in ("backup", None):
            return False
        return not any(h.startswith("boost/asio") for h in self.closure(header))


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_ranks(house, _):
    for header in house.headers:
        room = house.room(header)
        if room is not None and room not in RANKS:
            house.fault(f"include/{header}", 0, f"room {room} has no rank")
        for match in INCLUDE.finditer(without_comments(house.text[header], keep_strings=True)):
            other = match.group(1)
            line = line_of(house.text[header], match.start())
            if match.group(0).rstrip().endswith('"'):
                house.fault(f"include/{header}", line, f'includes "{other}", not <jetpp/...>')
            if not other.startswith("jetpp/") or room is None:
                continue
            if other not in house.text:
                house.fault(f"include/{header}", line, f"includes {other}, which does not exist")
                continue
            target = house.room(other)
            if target is None:
                # fwd.hpp declares names and includes no room above core: anybody may read it.
                if other != "jetpp/fwd.hpp":
                    house.fault(f"include/{header}", line, f"includes the umbrella {other}")
            elif target != room and RANKS.get(target, 99) >= RANKS.get(room, -1):
                house.fault(f"include/{header}", line, f"includes {other}: {target} does not lie below {room}")
            elif target != room and "/detail/" in other:
                house.fault(f"include/{header}", line, f"includes {other}, an internal of another room")


def check_system(house, _):
    for header in house.headers:
        room = house.room(header)
        if room == "env" or room is None:
            continue
        code = without_comments(house.text[header])
        for match in SYSTEM_CODE.finditer(code):
            house.fault(f"include/{header}", line_of(code, match.start()), f"uses {match.group(0).strip('( ')}")
        for other in house.includes[header]:
            if SYSTEM_HEADERS.match(other):
                house.fault(f"include/{header}", 0, f"includes <{other}>")


def check_containers(house, _):
    for header in house.headers:
        if house.room(header) not in NO_CONTAINERS:
            continue
        code = without_comments(house.text[header])
        for match in CONTAINERS.finditer(code):
            house.fault(f"include/{header}", line_of(code, match.start()), f"uses {match.group(0)}")


def check_shape(house, _):
    for header, text in house.text.items():
        where = f"include/{header}"
        lines = text.split("\n")
        if not lines[0].startswith(f"// {header} - "):
            house.fault(where, 1, f"must open with '// {header} - ' and its meaning")
        if sum(line == "#pragma once" for line in lines) != 1:
            house.fault(where, 0, "lacks its one #pragma once")
        if len(lines) > HEADER_LINES_MAX + 1:
            house.fault(where, 0, f"has {len(lines) - 1} lines: past {HEADER_LINES_MAX} it is two headers")
        if not text.isascii():
            house.fault(where, 0, "is not ASCII")
        if not text.endswith("\n"):
            house.fault(where, 0, "does not end with a line end")
        for number, line in enumerate(lines, 1):
            if line != line.rstrip() or "\t" in line:
                house.fault(where, number, "has a tab or space at the end of a line")
            if re.match(r"\s*#\s*define\s+(?!XXH_INLINE_ALL\b|BOOST_\w+\b)", line):
                house.fault(where, number, "defines a macro")


def listed_sources(house):
    listing = (house.root / "test/meson.build").read_text()
    block = re.search(r"^tests = \[(.*?)^\]", listing, re.S | re.M).group(1)
    return re.findall(r"'([^']+)'", block)


def check_listed(house, _):
    listed = listed_sources(house)
    for name in listed:
        if listed.count(name) > 1:
            house.fault("test/meson.build", 0, f"lists {name} twice")
    if listed != sorted(listed):
        house.fault("test/meson.build", 0, "the list of tests is not sorted")
    apart = {"structure", "refusals", "embedded", "tools"}  # with a list of their own
    for source in sorted((house.root / "test").glob("*/*.cpp")):
        name = f"{source.parent.name}/{source.stem}"
        if source.parent.name not in apart and name not in listed:
            house.fault(f"test/{name}.cpp", 0, "is not in the list of test/meson.build")
    refusals = (house.root / "test/refusals/meson.build").read_text()
    for source in sorted((house.root / "test/refusals").glob("*.cpp")):
        if f"'{source.stem}'" not in refusals:
            house.fault(f"test/refusals/{source.name}", 0, "is not in the list of test/refusals/meson.build")


def check_readme(house, _):
    """What a newcomer compiles first is compiled here: the programs of README.md are examples."""
    readme = (house.root / "README.md").read_text()
    programs = re.findall(r"^```cpp\n(.*?)^```", readme, re.S | re.M)
    for name, program in itertools.zip_longest(("first", "backup"), programs):
        example = (house.root / f"examples/{name}.cpp").read_text() if name else ""
        if program is None or not example.endswith("// clang-format off\n" + program):
            house.fault("README.md", 0, f"its program is not examples/{name}.cpp")


class Compiler:
    def __init__(self, house, arguments):
        self.command = [c for c in shlex.split(arguments.compiler) if os.path.basename(c) != "ccache"]
        self.house = house
        self.cache = pathlib.Path(arguments.cache)
        self.cache.mkdir(parents=True, exist_ok=True)
        self.jobs = arguments.jobs
        version = subprocess.run([*self.command, "--version"], capture_output=True, text=True, check=True)
        self.version = version.stdout

    def run(self, flags, source, output=None, cwd=None):
        """Feeds `source` to the compiler; returns (status, what it said)."""
        target = ["-c", "-o", output] if output else ["-fsyntax-only"]
        command = [*self.command, *flags, f"-I{self.house.include}", *target, "-x", "c++", "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, cwd=cwd)
        return done.returncode, done.stderr

    def proven(self, key):
        return self.cache / hashlib.sha256(key.encode()).hexdigest()

    def check_all(self, jobs):
        """jobs: (where, flags, source, key). What compiled once and did not change is not repeated."""
        def one(job):
            where, flags, source, key = job
            mark = self.proven("\0".join([self.version, *flags, source, key]))
            if mark.exists():
                return where, 0, ""
            status, said = self.run(flags, source)
            if status == 0:
                mark.touch()
            return where, status, said
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for where, status, said in pool.map(one, jobs):
                if status != 0:
                    self.house.fault(where, 0, "does not compile\n" + said)


def check_alone(house, arguments):
    compiler = Compiler(house, arguments)
    # A header that another one includes before anything else is read there as if it stood alone.
    shown = {includes[0] for includes in house.includes.values() if includes}
    shown_to_core = {house.includes[h][0] for h in house.headers if house.is_core(h) and house.includes[h]}
    jobs = []
    for header in house.headers:
        if header in (shown_to_core if house.is_core(header) else shown):
            continue
        flags = WARNINGS + (["-fno-exceptions", "-fno-rtti"] if house.is_core(header) else [])
        source = f"#include <{header}>\n#include <{header}>\n"
        key = "".join(house.text.get(h, h) for h in sorted(house.closure(header)))
        jobs.append((f"include/{header}", flags, source, key))
    compiler.check_all(jobs)


def check_together(house, arguments):
    compiler = Compiler(house, arguments)
    source = "".join(f"#include <{header}>\n" for header in house.headers)
    status, said = compiler.run(WARNINGS, source)
    if status != 0:
        house.fault("all headers together", 0, "do not compile\n" + said)


def check_sources(house, arguments):
    compiler = Compiler(house, arguments)
    everything = "".join(house.text[h] for h in house.headers)
    for room in ("test", "tools"):
        everything += "".join(p.read_text() for p in sorted((house.root / room).rglob("*.hpp")))
    listed = [house.root / f"test/{name}.cpp" for name in listed_sources(house)]
    # Those of a room can be read as one file (see test/meson.build), and so can those of the command:
    # in a third of the time, of test/backup in a tenth. What has a main of its own stays alone.
    units = [[source for source in listed if source.parent.name == room]
             for room in dict.fromkeys(source.parent.name for source in listed)]
    demo = house.root / "tools/demo.cpp"
    units.append([source for source in sorted((house.root / "tools").glob("*.cpp")) if source != demo])
    units += [[source] for source in [demo, *sorted((house.root / "examples").glob("*.cpp"))]]
    jobs = []
    for unit in units:
        where = str((unit[0] if len(unit) == 1 else unit[0].parent).relative_to(house.root))
        flags = WARNINGS + [f"-I{unit[0].parent}"]
        # Read as an include of a main file, so that "../catch.hpp" is found beside it.
        text = "".join(f'#include "{source}"\n' for source in unit)
        jobs.append((where, flags, text, everything + "".join(source.read_text() for source in unit)))
    compiler.check_all(jobs)


def check_link(house, arguments):
    compiler = Compiler(house, arguments)
    source = "".join(f"#include <{header}>\n" for header in house.headers)
    with tempfile.TemporaryDirectory() as scratch:
        objects = [os.path.join(scratch, name) for name in ("one.o", "two.o")]
        for output in objects:
            status, said = compiler.run(["-std=c++20", "-O0"], source, output)
            if status != 0:
                house.fault("all headers together", 0, "do not compile\n" + said)
                return
        # A relocatable link finds what is defined twice and needs no library.
        done = subprocess.run(
            [*compiler.command, "-r", "-nostdlib", *objects, "-o", os.path.join(scratch, "both.o")],
            capture_output=True, text=True,
        )
        if done.returncode != 0:
            house.fault("two units with all headers", 0, "do not link\n" + done.stderr)


def check_budget(house, arguments):
    umbrella = "jetpp/jetpp.hpp"
    if umbrella not in house.text:
        print(f"there is no {umbrella} yet: nothing to measure")
        sys.exit(77)
    compiler = Compiler(house, arguments)
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.monotonic()
        source = f"#include <{umbrella}>\nint main() {{}}\n"
        status, said = compiler.run(["-std=c++20", "-O0"], source, os.path.join(scratch, "main.o"))
        seconds = time.monotonic() - begin
    if status != 0:
        house.fault(f"include/{umbrella}", 0, "does not compile\n" + said)
        return
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{umbrella}: {seconds:.2f} s and {megabytes:.0f} MB at -O0")
    if megabytes > UMBRELLA_MEGABYTES_MAX:
        house.fault(f"include/{umbrella}", 0, f"needs {megabytes:.0f} MB of {UMBRELLA_MEGABYTES_MAX}")


def check_refused(house, arguments):
    compiler = Compiler(house, arguments)
    source = pathlib.Path(arguments.source)
    text = source.read_text()
    sentence = re.match(r"// refused: (.+)", text)
    where = f"test/refusals/{source.name}"
    if not sentence:
        house.fault(where, 1, "must open with '// refused: ' and our sentence")
        return
    status, said = compiler.run(["-std=c++20"], text)
    if status != 0:
        house.fault(where, 0, "without REFUSED it must compile, or a typo would pass\n" + said)
    status, said = compiler.run(["-std=c++20", "-DREFUSED"], text)
    if status == 0:
        house.fault(where, 0, "compiles, and must not")
    elif sentence.group(1).strip() not in said:
        house.fault(where, 0, f"is refused, but not with '{sentence.group(1)}'\n" + said)


def main():
    checks = {name[6:]: f for name, f in globals().items() if name.startswith("check_")}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--cache", default=os.path.join(tempfile.gettempdir(), "jetpp-structure"))
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("JETPP_JOBS") or os.cpu_count() or 1))
    parser.add_argument("check", choices=sorted(checks))
    parser.add_argument("source", nargs="?")
    arguments = parser.parse_args()
    house = House(arguments.root)
    checks[arguments.check](house, arguments)
    print(f"{arguments.check}: {len(house.headers)} headers, {house.faults} faults")
    sys.exit(1 if house.faults else 0)


if __name__ == "__main__":
    main()
