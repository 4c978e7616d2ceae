#!/usr/bin/env python3
"""skipped.py RESULTS ALLOWED: counts and names the tests that were skipped, from GoogleTest's XML files in RESULTS.

With CI=true a skip that no line of ALLOWED names is a failure.
"""
import fnmatch
import glob
import os
import sys
import xml.etree.ElementTree as ElementTree

results, allowed = sys.argv[1:]
skips, run = [], 0
for file in sorted(glob.glob(os.path.join(results, "*.xml"))):
    for case in ElementTree.parse(file).iter("testcase"):
        if case.get("status") != "run":
            continue
        run += 1
        if case.get("result") == "skipped":
            reason = next((skip.get("message", "") for skip in case.iter("skipped")), "").strip().split("\n")
            skips.append((f"{case.get('classname')}.{case.get('name')}", reason[-1]))

patterns = [line.split()[0] for line in open(allowed) if line.strip() and not line.startswith("#")]
unexpected = [name for name, _ in skips if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
print(f"{run} tests of {len(glob.glob(os.path.join(results, '*.xml')))} programs, {len(skips)} skipped"
      + (":" if skips else "."))
for name, reason in skips:
    print(f"  {name}: {reason}")
if os.environ.get("CI") == "true" and unexpected:
    sys.exit(f"skipped, and not on the list in {allowed}: " + ", ".join(unexpected))
