#!/usr/bin/env python3
"""Writes the bill of materials of the command for a target: CycloneDX 1.5, from `cargo metadata` and `Cargo.lock`.

usage: sbom.py TARGET
What it lists is linked into the binary: no tests, no build scripts, no crates of other systems. The same commit gives the same bytes.
"""

import json
import os
import subprocess
import sys
import time
import tomllib

target = sys.argv[1]
metadata = json.loads(
    subprocess.check_output(["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target, "--manifest-path", "crates/cli/Cargo.toml"])
)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
root = next(package["id"] for package in metadata["packages"] if package["name"] == "abide-cli" and package["source"] is None)
with open("Cargo.lock", "rb") as lock:
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in tomllib.load(lock)["package"]}


def linked(node):
    """The packages that one is linked with."""
    return sorted(
        one["pkg"] for one in nodes[node]["deps"]
        if any(kind["kind"] is None for kind in one["dep_kinds"]) and not is_macro(one["pkg"])
    )


def is_macro(package):
    return any("proc-macro" in one["kind"] for one in packages[package]["targets"])


def purl(package):
    return f"pkg:cargo/{packages[package]['name']}@{packages[package]['version']}"


def component(package, kind="library"):
    one = packages[package]
    entry = {"type": kind, "bom-ref": purl(package), "name": one["name"], "version": one["version"], "purl": purl(package)}
    if one["license"]:
        entry["licenses"] = [{"expression": one["license"].replace("/", " OR ")}]
    if checksum := checksums.get((one["name"], one["version"])):
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return entry


found, waiting = {root}, [root]
while waiting:
    for other in linked(waiting.pop()):
        if other not in found:
            found.add(other)
            waiting.append(other)
rest = sorted(found - {root}, key=purl)
when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "0"))))
bill = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"timestamp": when, "component": component(root, "application")},
    "components": [component(one) for one in rest],
    "dependencies": [{"ref": purl(one), "dependsOn": sorted(map(purl, linked(one)))} for one in [root, *rest]],
}
json.dump(bill, sys.stdout, indent=1)
print()
