#!/usr/bin/env python3
"""SIGKILLs of the real `jetpp load --ack`, again and again, and what must be there afterwards.

In each round a load is killed at a drawn moment: while the directory is being made, between two
acknowledgements, or, in the next round's beginning, inside recovery. Then the rows are compared:
  * every line up to the last `committed K` is there
  * what is there is a prefix of the lines, in whole batches, and the row that every batch updates
    says the same
  * what earlier rounds left is still there, to the line
JETPP_BUDGET is a factor on the number of rounds. The seed is printed and can be given back.
"""

import argparse
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROUNDS_A_DIRECTORY = 10
LINES_A_ROUND = 6000


class KillLoop:
    def __init__(self, jetpp, root, seed, durability):
        self.jetpp, self.root, self.durability = jetpp, root, durability
        self.chance = random.Random(f"{seed}-{durability}")
        self.kills = self.kills_in_recovery = self.unacknowledged = 0
        self.acknowledged = 0
        self.directory_number = 0
        self.new_directory()

    def new_directory(self):
        self.directory_number += 1
        self.directory = os.path.join(self.root, f"{self.durability}-{self.directory_number}")
        self.kept = {}  # round -> lines that survived

    def fail(self, why):
        print(f"FAILED: {self.durability}, directory {self.directory}: {why}")
        sys.exit(1)

    def may_be_unborn(self, acknowledged=0):
        """Nothing was ever acknowledged or found here, so the instance may have been killed before it
        had its first log segment or its tree; the command then says so and ends with 1."""
        return acknowledged == 0 and not any(count for _, count, _ in self.kept.values())

    @staticmethod
    def says_unborn(complaint):
        return b"not_found" in complaint or b"no jetpp files are here" in complaint

    def run(self, *arguments, unborn=False):
        done = subprocess.run([self.jetpp, *arguments], capture_output=True)
        if done.returncode != 0 and not (unborn and self.says_unborn(done.stderr)):
            self.fail(f"jetpp {' '.join(arguments)} said {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def lines(self, round_, batch):
        """The last line of each batch updates one row of all rounds' own."""
        made = []
        for i in range(1, LINES_A_ROUND + 1):
            if i % batch == 0:
                made.append(f"counter-{round_:06d}\t{i}\n")
            else:
                made.append(f"row-{round_:06d}-{i:06d}\t{i} {'x' * (i * 37 % 400)}\n")
        return made

    def kill_during(self, arguments, acks_wanted, delay, unborn=False):
        """Returns the number of the last acknowledgement; the process is dead."""
        victim = subprocess.Popen([self.jetpp, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = b""
        deadline = time.monotonic() + 60
        while said.count(b"\n") < acks_wanted:
            ready, _, _ = select.select([victim.stdout], [], [], 1.0)
            if ready:
                more = os.read(victim.stdout.fileno(), 65536)
                if not more:
                    break
                said += more
            if time.monotonic() > deadline:
                victim.kill()
                self.fail(f"jetpp {' '.join(arguments)} made no progress for a minute")
        # Spinning, since a sleep is too coarse to meet a moment inside one commit.
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            pass
        victim.send_signal(signal.SIGKILL)
        said += victim.stdout.read()
        complaint = victim.stderr.read()
        victim.wait()
        victim.stdout.close()
        victim.stderr.close()
        if victim.returncode not in (0, -signal.SIGKILL) and not (unborn and self.says_unborn(complaint)):
            self.fail(f"jetpp {' '.join(arguments)} ended by itself: {victim.returncode} {complaint!r}")
        self.kills += victim.returncode == -signal.SIGKILL
        acks = [line for line in said.split(b"\n")[:-1] if line.startswith(b"committed ")]
        return int(acks[-1].split()[1]) if acks else 0

    def round(self, round_):
        batch = self.chance.choice([1, 3, 20, 100, 500])
        lines = self.lines(round_, batch)
        source = os.path.join(self.root, "lines")
        with open(source, "w") as file:
            file.writelines(lines)
        early = self.chance.random() < 0.2
        acks = 0 if early else self.chance.randrange(1, 40)
        delay = self.chance.random() * (0.06 if early else 0.004)
        acknowledged = self.kill_during(
            ["load", self.directory, source, "--ack", "--batch", str(batch), "--durability", self.durability],
            acks, delay)
        self.acknowledged += acknowledged
        if not os.path.exists(os.path.join(self.directory, "jet.ckp")):
            if acknowledged:
                self.fail("the checkpoint file is gone")
            return  # killed before there was anything
        unborn = self.may_be_unborn(acknowledged)
        for _ in range(self.chance.choice([0, 0, 0, 1, 2])):
            before = self.kills
            self.kill_during(["scan", self.directory, "--limit", "1"], 0, self.chance.random() * 0.05, unborn)
            self.kills_in_recovery += self.kills - before
        if self.chance.random() < 0.2:
            self.run("verify", self.directory, unborn=unborn)
        self.check(round_, lines, batch, acknowledged)

    def found(self, round_):
        """Rows of one round, as a set of lines; empty if the tree was never made."""
        done = subprocess.run([self.jetpp, "scan", self.directory], capture_output=True)
        if done.returncode != 0:
            # What this round acknowledged is held against the empty answer by the caller.
            if self.says_unborn(done.stderr) and self.may_be_unborn():
                return {}
            self.fail(f"round {round_}: {done.stderr.decode(errors='replace').strip()}")
        rows = {}
        for line in done.stdout.decode().splitlines():
            key, value = line.split("\t", 1)
            rows[key] = value
        return rows

    def check(self, round_, lines, batch, acknowledged):
        rows = self.found(round_)
        survived = int(rows.get(f"counter-{round_:06d}", 0))
        if survived < acknowledged:
            self.fail(f"round {round_}: {acknowledged} lines were acknowledged, {survived} are there")
        self.kept[round_] = (lines, survived, batch)
        self.unacknowledged += survived > acknowledged
        expected = {}
        for kept_lines, count, _ in self.kept.values():
            for line in kept_lines[:count]:
                key, value = line.rstrip("\n").split("\t", 1)
                expected[key] = value
        if rows != expected:
            wrong = sorted(set(rows.items()) ^ set(expected.items()))[:3]
            self.fail(f"round {round_}: not a prefix in whole batches of {batch}; differs at {wrong}")

    def loop(self, rounds):
        for round_ in range(1, rounds + 1):
            self.round(round_)
            if round_ % ROUNDS_A_DIRECTORY == 0 or round_ == rounds:
                if os.path.exists(self.directory):
                    self.run("verify", self.directory, unborn=self.may_be_unborn())
                    shutil.rmtree(self.directory)
                self.new_directory()
        print(f"{self.durability}: {rounds} rounds, {self.kills} kills, {self.kills_in_recovery} of them inside "
              f"recovery; {self.acknowledged} acknowledged lines, none lost; {self.unacknowledged} times more "
              f"was there than had been acknowledged")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jetpp", required=True)
    parser.add_argument("--rounds", type=int, help="of each durability; default 20 times JETPP_BUDGET")
    parser.add_argument("--durability", action="append", choices=["device", "process"])
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--dir", help="where to work, for example on a file system of its own")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    if rounds is None:
        rounds = max(1, int(20 * float(os.environ.get("JETPP_BUDGET") or 1)))
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}, {rounds} rounds", flush=True)
    root = tempfile.mkdtemp(prefix="jetpp-kill-", dir=arguments.dir)
    for durability in arguments.durability or ["device", "process"]:
        KillLoop(os.path.abspath(arguments.jetpp), root, seed, durability).loop(rounds)
        sys.stdout.flush()
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
