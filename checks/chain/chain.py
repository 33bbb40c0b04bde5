#!/usr/bin/env python3
"""Checks what the project is linked with: licenses, bans, sources, advisories, and that no code of ours is unsafe.

usage: chain.py [ADVISORY_DB], from checks/chain.sh, which installs what reads licenses and versions

`deny.toml` says what is allowed, for this script and for `cargo deny check`, which does the same and more where it is
installed. Advisories are looked up in a copy of https://github.com/rustsec/advisory-db, a folder or a bare repository; without
one that is said aloud. Needs Python 3.11.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import license_expression
import semantic_version

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# The workspaces: each has a lock of its own.
WORKSPACES = ["Cargo.toml", "bindings/python/Cargo.toml", "fuzz/Cargo.toml"]
POLICY = tomllib.loads((ROOT / "deny.toml").read_text())
LICENSES = license_expression.Licensing()
ALLOWED = {LICENSES.parse(one): LICENSES.TRUE for one in POLICY["licenses"]["allow"]}
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def metadata(manifest):
    """What cargo knows of a workspace, for the systems that we build for: what else would be linked on others is not fetched."""
    host = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))[1]
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--all-features", "--filter-platform", host]
    return json.loads(subprocess.check_output([*command, "--manifest-path", ROOT / manifest]))


def may_be_used(license):
    """Whether an expression of licenses holds with those that are allowed."""
    expression = LICENSES.parse(license.replace("/", " OR "))
    return expression.subs(ALLOWED, simplify=True) == LICENSES.TRUE


def fits(version, requirement):
    """Whether a version is one of those that a requirement of an advisory names, as Cargo writes it."""
    parts = [part.strip().replace(" ", "") for part in requirement.split(",")]
    parts = [re.sub(r"^=(?!=)", "==", re.sub(r"^(?=\d)", "^", part)) for part in parts]
    return semantic_version.Version(version) in semantic_version.SimpleSpec(",".join(parts))


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
