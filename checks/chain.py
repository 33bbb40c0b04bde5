#!/usr/bin/env python3
"""Checks what the project is linked with, offline: licenses, bans, sources, advisories, and that no code of ours is unsafe.

usage: checks/chain.py [ADVISORY_DB]

`deny.toml` says what is allowed, for this script and for `cargo deny check`, which does the same and more where it is
installed. Advisories are looked up in a copy of https://github.com/rustsec/advisory-db, a folder or a bare repository; without
one that is said aloud. Needs Python 3.11 and nothing that the build hasn't brought.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The workspaces: each has a lock of its own.
WORKSPACES = ["Cargo.toml", "bindings/python/Cargo.toml", "fuzz/Cargo.toml"]
POLICY = tomllib.loads((ROOT / "deny.toml").read_text())
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def metadata(manifest):
    """What cargo knows of a workspace, for the systems that we build for: what else would be linked on others is not fetched."""
    host = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))[1]
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--all-features", "--filter-platform", host]
    return json.loads(subprocess.check_output([*command, "--manifest-path", ROOT / manifest]))


def may_be_used(license):
    """Whether an expression of licenses holds with those that are allowed: `OR` of `AND`s, with parentheses."""
    words = re.findall(r"[()]|[^\s()]+", license.replace("/", " OR "))

    def any_of():
        holds = all_of()
        while words and words[0] == "OR":
            words.pop(0)
            holds = all_of() or holds
        return holds

    def all_of():
        holds = one()
        while words and words[0] == "AND":
            words.pop(0)
            holds = one() and holds
        return holds

    def one():
        word = words.pop(0)
        if word == "(":
            holds = any_of()
            words.pop(0)
            return holds
        if words and words[0] == "WITH":
            word = f"{word} WITH {words[1]}"
            del words[:2]
        return word in POLICY["licenses"]["allow"]

    return any_of()


def number(version):
    """A version as something that is in order: one before a release comes before it."""
    core, _, before = version.split("+")[0].partition("-")
    parts = [int(part) for part in core.split(".")]
    parts += [0] * (3 - len(parts))
    return (*parts, 0 if before else 1, before)


def fits(version, requirement):
    """Whether a version is one of those that a requirement of an advisory names: comparisons, all of which hold."""
    version = number(version)
    for part in requirement.split(","):
        sign, text = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~|)\s*(\S+)\s*", part).groups()
        bound = number(text)
        # The first number that isn't 0 may not rise; of a tilde, the second.
        place = 1 if sign == "~" else next((place for place in range(3) if bound[place]), 2)
        caret = bound <= version and version[: place + 1] == bound[: place + 1]
        holds = {">=": version >= bound, "<=": version <= bound, ">": version > bound, "<": version < bound, "=": version == bound}
        if not holds.get(sign, caret):
            return False
    return True


def advisories(database):
    """The advisories of a copy of the database: id, package, and the versions that they don't speak of."""
    if (database / "crates").is_dir():
        texts = [(path.stem, path.read_text()) for path in database.glob("crates/*/*.md")]
    else:
        git = ["git", "-C", str(database)]
        names = subprocess.check_output([*git, "ls-tree", "-r", "--name-only", "HEAD", "crates"], text=True).split()
        names = [name for name in names if name.endswith(".md")]
        blobs = subprocess.check_output([*git, "cat-file", "--batch=%(objectsize)"], input="".join(f"HEAD:{name}\n" for name in names).encode())
        texts = []
        for name in names:
            size, _, blobs = blobs.partition(b"\n")
            texts.append((pathlib.Path(name).stem, blobs[: int(size)].decode()))
            blobs = blobs[int(size) + 1 :]
    for id, text in texts:
        head = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
        versions = head.get("versions", {})
        yield id, head["advisory"], versions.get("patched", []) + versions.get("unaffected", [])


def main():
    wrong, ours, used = [], [], {}
    for manifest in WORKSPACES:
        for package in metadata(manifest)["packages"]:
            if package["source"] is None:
                ours.append(package)
            else:
                used[package["name"], package["version"]] = package
    banned = {ban["crate"]: ban["reason"] for ban in POLICY["bans"]["deny"]}
    for (name, version), package in sorted(used.items()):
        if not package["license"] or not may_be_used(package["license"]):
            wrong.append(f"{name} {version} has the license {package['license']}")
        if package["source"] != REGISTRY:
            wrong.append(f"{name} {version} comes from {package['source']}")
        if name in banned:
            wrong.append(f"{name} {version} is used, but {banned[name]}")
    print(f"{len(used)} packages: licenses, sources and bans looked at")

    for package in {package["manifest_path"]: package for package in ours}.values():
        folder = pathlib.Path(package["manifest_path"]).parent
        lints = tomllib.loads((folder / "Cargo.toml").read_text()).get("lints", {})
        forbids = lints.get("workspace") or lints.get("rust", {}).get("unsafe_code") == "forbid"
        sources = [folder / "src" / name for name in ("lib.rs", "main.rs")]
        says = any("[forbid(unsafe_code)]" in path.read_text() for path in sources if path.exists())
        if not forbids and not says:
            wrong.append(f"{package['name']} doesn't forbid unsafe code")
    root = tomllib.loads((ROOT / "Cargo.toml").read_text())
    if root["workspace"]["lints"]["rust"].get("unsafe_code") != "forbid":
        wrong.append("the workspace doesn't forbid unsafe code")
    print(f"{len(ours)} packages of ours: none may be unsafe")

    if len(sys.argv) < 2:
        print("SKIPPED advisories: give a copy of https://github.com/rustsec/advisory-db")
    else:
        count, accepted = 0, POLICY.get("advisories", {}).get("ignore", [])
        accepted = [one["id"] if isinstance(one, dict) else one for one in accepted]
        for id, advisory, fine in advisories(pathlib.Path(sys.argv[1])):
            count += 1
            for name, version in used:
                is_meant = name == advisory["package"] and "withdrawn" not in advisory and id not in accepted
                if is_meant and not any(fits(version, one) for one in fine):
                    wrong.append(f"{name} {version}: {id}, {advisory.get('informational', 'a vulnerability')}")
        print(f"{count} advisories looked at")
    for one in wrong:
        print(one)
    raise SystemExit(1 if wrong else 0)


main()
