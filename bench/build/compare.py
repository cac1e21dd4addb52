#!/usr/bin/env python3
"""Builds the same Dockerfiles with trice and with a real Docker, and compares what comes out.

    bench/build/compare.py PEER TRICE [CASE...]
    bench/build/compare.py PEER TRICE --made-up SEED COUNT      # Dockerfiles of random instructions

PEER is a program that runs commands beside a Docker Engine (`PEER run docker …`), in whose file system, PEER_ROOT, it
has an image `bb`, which is busybox. TRICE is the binary. Compared are the image's configuration, its history without
times, and its root file system: paths, types, permissions, owners, targets of links, digests of contents.
"""
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

from cases import CASES, make_context
from made_up import made_up

PEER, TRICE = sys.argv[1], sys.argv[2]
ONLY = sys.argv[3:]
if ONLY[:1] == ["--made-up"]:
    CASES, ONLY = made_up(ONLY[1], int(ONLY[2])), []
PEER_FS = Path(os.environ.get("PEER_ROOT", "/var/tmp/trice-peer")) / "rootfs"
WORK = Path(os.environ.get("COMPARE_FOLDER", "/var/tmp/trice-build-compare"))
ENV = dict(os.environ, TRICE_DATA=str(WORK / "data"), TRICE_RUN=str(WORK / "run"))


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", **more)


def docker(*words):
    return run(PEER, "run", "docker", *words)


def entry(kind, mode, uid, gid, what):
    return (kind, oct(mode & 0o7777), uid, gid, what)


def of_docker(tag):
    """Returns the configuration and the flattened root file system of an image in Docker."""
    (PEER_FS / "tmp/compare.tar").unlink(missing_ok=True)
    docker("save", "-o", "/tmp/compare.tar", tag)
    files = {}
    with tarfile.open(PEER_FS / "tmp/compare.tar") as outer:
        manifest = json.load(outer.extractfile("manifest.json"))[0]
        config = json.load(outer.extractfile(manifest["Config"]))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(outer.extractfile(layer).read())) as inner:
                here = {}
                for member in inner:
                    path = member.name.strip("/").removeprefix("./")
                    if path in ("", "."):
                        continue
                    folder, name = os.path.split(path)
                    if name == ".wh..wh..opq":
                        for known in [known for known in files if known.startswith(folder + "/")]:
                            del files[known]
                        continue
                    if name.startswith(".wh."):
                        gone = os.path.join(folder, name[4:])
                        for known in [known for known in files if known == gone or known.startswith(gone + "/")]:
                            del files[known]
                        continue
                    if member.isdir():
                        kind, what = "d", ""
                    elif member.issym():
                        kind, what = "l", member.linkname
                    elif member.islnk():
                        target = member.linkname.strip("/").removeprefix("./")
                        here[path] = here.get(target) or files[target]
                        continue
                    elif member.isreg():
                        kind, what = "f", hashlib.sha256(inner.extractfile(member).read()).hexdigest()[:12]
                    else:
                        kind, what = member.type.decode(), f"{member.devmajor}:{member.devminor}"
                    here[path] = entry(kind, member.mode if kind != "l" else 0o777, member.uid, member.gid, what)
                for path, found in here.items():
                    if found[0] != "d":
                        for known in [known for known in files if known.startswith(path + "/")]:
                            del files[known]
                    files[path] = found
    return config, files


def of_trice(image):
    """Returns the same of an image in trice's store."""
    data = WORK / "data"
    config = json.loads((data / "blobs/sha256" / image.removeprefix("sha256:")).read_bytes())
    files = {}
    for diff_id in config["rootfs"]["diff_ids"]:
        root = data / "layers" / diff_id.removeprefix("sha256:") / "fs"
        for folder, folders, names in os.walk(root):
            for name in sorted(folders + names):
                whole = os.path.join(folder, name)
                path = os.path.relpath(whole, root)
                found = os.lstat(whole)
                mode = found.st_mode
                if stat.S_ISCHR(mode) and found.st_rdev == 0:
                    for known in [known for known in files if known == path or known.startswith(path + "/")]:
                        del files[known]
                    continue
                if stat.S_ISDIR(mode):
                    kind, what = "d", ""
                    try:
                        opaque = os.getxattr(whole, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
                    except OSError:
                        opaque = False
                    if opaque:
                        for known in [known for known in files if known.startswith(path + "/")]:
                            del files[known]
                elif stat.S_ISLNK(mode):
                    kind, what, mode = "l", os.readlink(whole), 0o777
                elif stat.S_ISREG(mode):
                    kind, what = "f", hashlib.sha256(Path(whole).read_bytes()).hexdigest()[:12]
                else:
                    kind = {stat.S_IFIFO: "6", stat.S_IFCHR: "3", stat.S_IFBLK: "4"}.get(stat.S_IFMT(mode), "?")
                    what = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
                if kind != "d":
                    for known in [known for known in files if known.startswith(path + "/")]:
                        del files[known]
                files[path] = entry(kind, mode, found.st_uid, found.st_gid, what)
    return config, files


def plain(config):
    """Takes away what differs from build to build."""
    inner = dict(config["config"])
    labels = {key: value for key, value in (inner.pop("Labels", None) or {}).items() if not key.startswith("com.docker.compose.")}
    if labels:
        inner["Labels"] = labels
    inner = {key: value for key, value in inner.items() if value not in (None, "", [], {}, False)}
    history = [(line.get("created_by"), line.get("comment"), bool(line.get("empty_layer"))) for line in config.get("history", [])]
    whole = {key: config.get(key) for key in ("architecture", "os", "variant", "author")}
    return {**whole, "config": inner, "history": history, "layers": len(config["rootfs"]["diff_ids"])}


def differences(one, other, path=""):
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other), key=str):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other)):
            yield from differences(a, b, f"{path}[{index}]")
    elif one != other:
        yield f"{path}: docker {one!r}, trice {other!r}"


def build_docker(name, case, context):
    there = PEER_FS / "tmp/compare" / name
    shutil.rmtree(there, ignore_errors=True)
    there.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(context), str(there)], check=True)
    words = ["buildx", "build", "--load", "--provenance=false", "-q", "-t", f"compare-{name}", *case.get("docker", [])]
    for key, value in case.get("args", {}).items():
        words += ["--build-arg", f"{key}={value}"]
    if "target" in case:
        words += ["--target", case["target"]]
    for key, value in case.get("contexts", {}).items():
        words += ["--build-context", f"{key}=/tmp/compare/{name}/{value}"]
    for key in case.get("secrets", {}):
        words += ["--secret", f"id={key},src=/tmp/compare/{name}/{case['secrets'][key]}"]
    result = docker(*words, f"/tmp/compare/{name}")
    return result.returncode == 0, result.stderr


def build_trice(name, case, context):
    build = {
        "context": str(context),
        "additional_contexts": {"bb": f"docker-image://docker-archive:{WORK}/bb.tar"},
        "args": case.get("args", {}),
    }
    build["additional_contexts"].update({key: str(context / value) for key, value in case.get("contexts", {}).items()})
    if "target" in case:
        build["target"] = case["target"]
    project = {"name": "compare", "services": {name: {"build": build, "image": f"compare-{name}"}}}
    if "secrets" in case:
        build["secrets"] = list(case["secrets"])
        project["secrets"] = {key: {"file": str(context / value)} for key, value in case["secrets"].items()}
    file = WORK / f"{name}.json"
    file.write_text(json.dumps(project))
    result = run(TRICE, "-f", str(file), "--progress", "plain", "build", env=ENV)
    built = [line for line in (result.stderr + result.stdout).splitlines() if line.startswith("built ")]
    return (built[-1].split()[1] if result.returncode == 0 and built else None), result.stderr


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    archive = WORK / "bb.tar"
    if not archive.exists():
        docker("save", "-o", "/tmp/bb.tar", "bb:latest")
        shutil.copy(PEER_FS / "tmp/bb.tar", archive)
    same, other, refused = 0, 0, Counter()
    for name, case in CASES.items():
        if ONLY and name not in ONLY:
            continue
        context = WORK / "contexts" / name
        make_context(context, case)
        succeeded, error = build_docker(name, case, context)
        image, told = build_trice(name, case, context)
        problems = []
        if succeeded != (image is not None):
            problems.append(f"docker {'succeeds' if succeeded else 'fails'}, trice does not:\n{error[-600:]}\n---\n{told[-600:]}")
        elif succeeded:
            (config, files), (our_config, our_files) = of_docker(f"compare-{name}"), of_trice(image)
            problems += list(differences(plain(config), plain(our_config)))
            problems += list(differences(files, our_files))
        if problems:
            other += 1
            print(f"DIFFERENT {name}")
            for problem in problems[:12]:
                print(f"    {problem}")
        elif succeeded:
            same += 1
        else:
            refused[next((line.split(": ", 2)[-1] for line in told.splitlines() if line.startswith("error: ")), "")[:100]] += 1
    print(f"{same} the same, {refused.total()} refused by both, {other} different")
    for reason, times in refused.most_common():
        print(f"    {times} x {reason}")
    sys.exit(1 if other else 0)


if __name__ == "__main__":
    main()
