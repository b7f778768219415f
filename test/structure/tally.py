#!/usr/bin/env python3
"""Sums a run of `meson test`: the test cases of every suite, and one last line "N passed, N failed".

Reads build/meson-logs/testlog.json. A Catch2 suite counts by its own totals, any other test as one
case. A suite that died, or failed without naming a failed case, counts as one failure more.
"""

import json
import re
import sys

ALL_PASSED = re.compile(r"All tests passed \([\d,]+ assertions? in ([\d,]+) test cases?\)")
TOTALS = re.compile(r"^test cases:(.*)$", re.M)
PART = re.compile(r"(\d+) (passed|failed(?: as expected)?)")


def cases_of(entry):
    if entry["result"] == "SKIP":
        return 0, 0
    text = entry.get("stdout", "")
    sound = entry["result"] in ("OK", "EXPECTEDFAIL")
    passed = failed = 0
    if whole := ALL_PASSED.search(text):
        passed = int(whole.group(1).replace(",", ""))
    elif totals := TOTALS.findall(text):
        for count, kind in PART.findall(totals[-1]):
            if kind == "failed":
                failed += int(count)
            else:
                passed += int(count)
    elif sound and "No tests ran" not in text:
        passed = 1
    if not sound and failed == 0:
        failed = 1
    return passed, failed


def main():
    log, build_failed = sys.argv[1], int(sys.argv[2])
    passed = failed = 0
    if build_failed:
        print("the build failed: see the compiler's lines above")
        failed = 1
    try:
        with open(log, encoding="utf-8") as lines:
            entries = [json.loads(line) for line in lines if line.strip()]
    except FileNotFoundError:
        entries = []
        failed = max(failed, 1)
    for entry in sorted(entries, key=lambda e: e["name"]):
        good, bad = cases_of(entry)
        passed += good
        failed += bad
        if bad:
            print(f"  {entry['name']}: {good} passed, {bad} failed ({entry['result']})")
    if passed == 0 and failed == 0:
        failed = 1 # nothing ran: that is no success
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
