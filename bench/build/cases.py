"""The Dockerfiles that are built by both, and the files beside them."""
import bz2
import gzip
import lzma
import os
import shutil
import tarfile
from pathlib import Path

FILES = {
    "a.txt": "a\n", "b.txt": "b\n", "dir/one": "1\n", "dir/two.md": "2\n", "dir/sub/three": "3\n", "dir/sub/deep/four": "4\n",
    "script.sh": "#!/bin/sh\necho hi\n", "docs/x.md": "x\n", "docs/keep.md": "k\n", "node_modules/m/index.js": "m\n",
    "empty": "", "sp ace.txt": "s\n", "secret.txt": "hush-hush\n", "extra/e1": "e1\n", "extra/e2": "e2\n",
}


def make_context(folder, case):
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in {**FILES, **case.get("files", {})}.items():
        file = Path(folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
    for root, folders, _ in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(root, name), 0o755)
    os.chmod(Path(folder) / "script.sh", 0o755)
    os.chmod(Path(folder) / "dir/sub", 0o700)
    os.chmod(Path(folder) / "b.txt", 0o600)
    os.chown(Path(folder) / "a.txt", 1234, 1234)
    os.symlink("a.txt", Path(folder) / "link")
    os.symlink("sub", Path(folder) / "dir/dirlink")
    os.symlink("/etc/passwd", Path(folder) / "out")
    os.symlink("missing", Path(folder) / "dangling")
    os.link(Path(folder) / "dir/one", Path(folder) / "dir/hard")
    for path, target in case.get("links", {}).items():
        os.symlink(target, Path(folder) / path)
    with tarfile.open(Path(folder) / "arch.tar", "w") as archive:
        for name in ("dir", "link"):
            archive.add(Path(folder) / name, name)
    plain = (Path(folder) / "arch.tar").read_bytes()
    with gzip.GzipFile(Path(folder) / "arch.tar.gz", "w", mtime=0) as packed:
        packed.write(plain)
    (Path(folder) / "arch.tar.xz").write_bytes(lzma.compress(plain))
    (Path(folder) / "arch.tar.bz2").write_bytes(bz2.compress(plain))
    (Path(folder) / "Dockerfile").write_text(case["dockerfile"])


def case(dockerfile, **more):
    return {"dockerfile": dockerfile.lstrip("\n"), **more}


CASES = {
    "minimal": case("FROM bb\nCMD [\"sh\"]\n"),
    "env": case("FROM bb\nENV A=1 B=\"two words\" C='$A' D=$A\nENV A=2 E=$A\nENV legacy some  value $A\nRUN env > /env\n"),
    "args": case("ARG G=global\nFROM bb\nARG G\nARG X=1\nARG Y\nARG Z=$X$G\nRUN echo $G $X $Y $Z > /out\nENV X=env\nRUN echo $X > /out2\nLABEL v=$Z\n", args={"Y": "given"}),
    "arg-inherit": case("FROM bb AS a\nARG V=1\nRUN echo $V > /a\nFROM a\nRUN echo $V > /b\n", args={"V": "9"}),
    "platform-args": case("FROM bb\nARG TARGETPLATFORM TARGETARCH BUILDPLATFORM TARGETVARIANT TARGETOS\nRUN echo $TARGETPLATFORM $TARGETARCH $BUILDPLATFORM $TARGETVARIANT $TARGETOS > /out\n"),
    "expansion": case("FROM bb\nENV P=a/b.tar.gz E=\nENV V1=${P#*/} V2=${P%%.*} V3=${P%.*} V4=${P##*.} V5=${P/a/x} V6=${P//a/x} V7=${U:-d} V8=${E:-d} V9=${E-d} W1=${P:+y} W2=${U:+y} W3=\\$P W4=\"$P\" W5='$P' W6=${U:-${P}}\n"),
    "labels": case("FROM bb\nLABEL a=1 \"b c\"=\"d e\" multi=\"line \\\ncontinued\"\nLABEL old style value\nMAINTAINER somebody\n"),
    "config": case("FROM bb\nEXPOSE 80 443/tcp 53/udp 8000-8003\nVOLUME /data /data2\nVOLUME [\"/json path\"]\nUSER 1000:1000\nSTOPSIGNAL SIGTERM\nHEALTHCHECK --interval=30s --timeout=3s --retries=2 CMD wget -q localhost || exit 1\nENTRYPOINT [\"sh\", \"-c\"]\nCMD echo hi\n"),
    "healthcheck-exec": case("FROM bb\nHEALTHCHECK --start-period=1m30s --start-interval=5s CMD [\"true\", \"x\"]\n"),
    "healthcheck-none": case("FROM bb\nHEALTHCHECK NONE\n"),
    "shell": case("FROM bb\nSHELL [\"/bin/busybox\", \"sh\", \"-ec\"]\nRUN echo a > /a\nCMD echo b\nENTRYPOINT echo c\n"),
    "exec-form": case("FROM bb\nRUN [\"/bin/sh\", \"-c\", \"echo $HOME > /out\"]\nCMD ['not json']\n"),
    "entrypoint-clears-cmd": case("FROM bb\nENTRYPOINT [\"/bin/sh\"]\n"),
    "onbuild": case("FROM bb AS base\nONBUILD COPY a.txt /onbuild\nONBUILD RUN echo x > /ran\nFROM base\nRUN cat /onbuild\nONBUILD ENV later=1\n"),
    "workdir": case("FROM bb\nWORKDIR /a/b\nWORKDIR c\nRUN pwd > out\nWORKDIR /\nWORKDIR /bin\nWORKDIR ../x/./y\n"),
    "workdir-user": case("FROM bb\nRUN mkdir /etc -p && echo 'u:x:1001:1002::/:/bin/sh' >> /etc/passwd && echo 'g:x:1003:' >> /etc/group\nUSER u\nWORKDIR /w/u\nUSER 5\nWORKDIR /w/n\nUSER u:g\nWORKDIR /w/g\nCOPY a.txt here\n"),
    "copy-file": case("FROM bb\nCOPY a.txt /x\nCOPY a.txt /y/\nCOPY a.txt b.txt /z/\nCOPY a.txt .\nCOPY ./dir/../b.txt /deep/er/name\n"),
    "copy-dir": case("FROM bb\nCOPY dir /d1\nCOPY dir/ /d2/\nCOPY dir /d3/\nCOPY dir docs /both/\nCOPY . /all\n"),
    "copy-onto": case("FROM bb\nRUN mkdir -p /t/sub && chmod 711 /t /t/sub && echo old > /t/one && echo keep > /t/keep\nCOPY dir /t\n"),
    "copy-wildcard": case("FROM bb\nCOPY *.txt /w/\nCOPY d*/*.md /m/\nCOPY none*.zip /n/\nCOPY dir/s?b /q/\nCOPY [ab].txt /c/\n"),
    "copy-spaces": case("FROM bb\nCOPY [\"sp ace.txt\", \"/to here/\"]\n"),
    "copy-links": case("FROM bb\nCOPY link /l1\nCOPY dir/dirlink /l2\nCOPY dir/dirlink/three /l3\nCOPY dir /l4\n"),
    "copy-link-dest": case("FROM bb\nRUN mkdir /real && ln -s /real /alias && ln -s /nowhere/file /dang && ln -s ../real rel\nCOPY a.txt /alias/\nCOPY dir /alias/x\nCOPY b.txt /dang\nCOPY a.txt /alias\n"),
    "copy-out": case("FROM bb\nCOPY out /x\n"),
    "copy-missing": case("FROM bb\nCOPY nothing /x\n"),
    "copy-dotdot": case("FROM bb\nCOPY ../../a.txt /x\n"),
    "copy-chown": case("FROM bb\nRUN echo 'u:x:1001:1002::/:/bin/sh' >> /etc/passwd && echo 'g:x:1003:' >> /etc/group\nCOPY --chown=u a.txt /1\nCOPY --chown=u:g a.txt /2\nCOPY --chown=55 a.txt /3\nCOPY --chown=55:66 dir /new/4\nCOPY --chown=:g a.txt /5\n"),
    "copy-chmod": case("FROM bb\nCOPY --chmod=600 a.txt /1\nCOPY --chmod=4755 script.sh /2\nCOPY --chmod=711 dir /new/3\nCOPY --chmod=u=rwX,go=rX dir /sym\nCOPY --chmod=+x a.txt /x\n"),
    "copy-link-flag": case("FROM bb\nRUN mkdir -p /l\nCOPY --link a.txt /l/\nCOPY --link --chown=5:6 dir /l/d\n"),
    # Docker 28 itself does not know `--parents` without another frontend.
    "copy-parents": case("FROM bb\nCOPY --parents dir/sub/three /p/\nCOPY --parents dir/./sub/deep /q/\nCOPY --parents d*/*.md /r/\nCOPY --parents **/*.md /s/\n", docker=[], ),
    "copy-exclude": case("FROM bb\nCOPY --exclude=*.md dir /e\nCOPY --exclude=sub/deep dir /f\nCOPY --exclude=**/three dir /g\n"),
    "copy-heredoc": case("FROM bb\nENV V=val\nCOPY <<EOF /h1\nhello $V \"q\" 'r'\nEOF\nCOPY <<'EOF' /h2\nraw $V\nEOF\nCOPY <<-one <<two /many/\n\ttabs\n\tone\nsecond\ntwo\nCOPY --chmod=755 <<run.sh /bin/\n#!/bin/sh\nrun.sh\n"),
    "copy-replace": case("FROM bb\nRUN mkdir -p /r && ln -s /etc/passwd /r/one && echo x > /r/two.md\nCOPY dir /r\n"),
    "copy-dir-on-file": case("FROM bb\nRUN echo x > /f\nCOPY dir /f\n"),
    "copy-file-on-dir": case("FROM bb\nRUN mkdir -p /t/one\nCOPY dir /t\n"),
    "copy-several": case("FROM bb\nWORKDIR /app\nCOPY a.txt b.txt /app\n"),
    "dockerignore": case("FROM bb\nCOPY . /c\nCOPY docs /d\n", files={".dockerignore": "*.md\n!docs/keep.md\nnode_modules\n**/deep\n# comment\nDockerfile\n.dockerignore\n"}),
    "dockerignore-all": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "*\n!dir/sub\n!*.txt\nsecret.txt\n"}),
    "dockerignore-own": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "*\n", "Dockerfile.dockerignore": "docs\nnode_modules/**\n"}),
    "dockerignore-missing": case("FROM bb\nCOPY secret.txt /c\n", files={".dockerignore": "secret*\n"}),
    "multi-stage": case("FROM bb AS build\nRUN mkdir /o && echo built > /o/app && chmod 755 /o/app && chown 7:8 /o/app\nFROM bb AS unused\nRUN false\nFROM scratch\nCOPY --from=build /o /o\nCOPY --from=0 /o/app /bin/app\nENTRYPOINT [\"/bin/app\"]\n"),
    "target": case("FROM bb AS one\nRUN echo 1 > /1\nFROM bb AS two\nRUN echo 2 > /2\n", target="one"),
    "from-dir": case("FROM bb AS s\nRUN mkdir -p /s/d && echo x > /s/d/f && chmod 700 /s/d && chown -R 3:4 /s && ln -s d /s/l\nFROM bb\nCOPY --from=s /s /t\nCOPY --from=s /s/l /u\nCOPY --from=s --chown=9:9 /s /v\n"),
    "run-layers": case("FROM bb\nRUN mkdir -p /x/y && echo 1 > /x/y/f\nRUN rm -rf /x/y && mkdir /x/y && echo 2 > /x/y/g\nRUN rm /x/y/g\nRUN true\nRUN mv /x /z\n"),
    "run-user": case("FROM bb\nRUN echo 'u:x:1001:1002::/home/u:/bin/sh' >> /etc/passwd && echo 'g:x:1002:' >> /etc/group && echo 'h:x:1004:u' >> /etc/group && mkdir -m 777 /o\nUSER u\nRUN id > /o/1; echo $HOME >> /o/1\nUSER u:g\nRUN id > /o/2\nUSER 77\nRUN id > /o/3\n"),
    "run-heredoc": case("FROM bb\nRUN <<EOF\necho one > /1\necho two > /2\nEOF\nRUN <<-X sh\n\techo three > /3\n\tX\nRUN cat <<A > /4 && cat <<B > /5\na\nA\nb\nB\nRUN <<EOF\n#!/bin/sh\necho $0 > /6\nEOF\n"),
    "run-mounts": case("FROM bb AS s\nRUN mkdir /s && echo s > /s/f\nFROM bb\nRUN --mount=type=bind,target=/ctx cp /ctx/a.txt /1 && ls /ctx > /ls\nRUN --mount=from=s,source=/s,target=/mnt/s cp /mnt/s/f /2\nRUN --mount=type=cache,target=/cache echo c > /cache/f && cp /cache/f /3\nRUN --mount=type=tmpfs,target=/tmpfs echo t > /tmpfs/f && cp /tmpfs/f /4\nRUN --mount=type=bind,source=a.txt,target=/one.txt cp /one.txt /5\nRUN --mount=type=bind,target=/rw,rw echo x > /rw/new && ls /rw/new > /6\n"),
    "run-secret": case("FROM bb\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c > /1; ls -ln /run/secrets/s | cut -c1-10 > /2\nRUN --mount=type=secret,id=s,target=/etc/s,mode=0440,uid=5 ls -ln /etc/s | awk '{print $1,$3}' > /3\nRUN --mount=type=secret,id=s,env=TOK echo ${#TOK} > /4\nRUN --mount=type=secret,id=missing ls /run/secrets > /5 || true\n", secrets={"s": "secret.txt"}),
    "run-network-none": case("FROM bb\nRUN --network=none ip link | grep -c : > /1; cat /proc/net/route | wc -l > /2\n"),
    "run-etc": case("FROM scratch\nCOPY --from=bb /bin /bin\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo x > /f; ls -a / > /ls\"]\n"),
    "run-hosts": case("FROM bb\nRUN hostname > /1; grep -c localhost /etc/hosts > /2\n"),
    "run-fails": case("FROM bb\nRUN echo before\nRUN echo oops; exit 3\n"),
    "run-perms": case("FROM bb\nRUN mkdir -m 1777 /t && touch /t/f && chmod 6755 /t/f && chown 1:2 /t/f && mkfifo /t/p && mknod /t/d c 1 3; true\n"),
    "add-tar": case("FROM bb\nRUN true\nADD a.txt /1\nADD dir /2\nADD arch.tar /3/\nADD arch.tar.gz /4\nADD arch.tar.xz /x\nADD arch.tar.bz2 /b\nADD --unpack=false arch.tar /5\n"),
    "named-context": case("FROM bb\nCOPY --from=ext e1 /1\nCOPY --from=ext . /all\nRUN --mount=from=ext,target=/m cp /m/e2 /2\n", contexts={"ext": "extra"}),
    "directives": case("# check=skip=all\n# escape=`\nFROM bb\nRUN echo a `\n  # comment\n  b > /x\nENV P=c:\\dir\n"),
    "case": case("from bb as Base\nrun echo 1 > /1\nFrom base\ncopy --from=BASE /1 /2\n"),
    "scratch": case("FROM scratch\nCOPY a.txt /\nCMD [\"/a.txt\"]\n"),
    "unknown": case("FROM bb\nRNU x\n"),
    "many": case("FROM bb\n" + "".join(f"RUN echo {i} > /f{i}\n" for i in range(20))),
    "hardlinks": case("FROM bb\nRUN echo x > /h1 && ln /h1 /h2\nRUN chmod 600 /h1\n"),
    "long-names": case("FROM bb\nRUN mkdir -p /" + "/".join(["n" * 60] * 6) + " && echo x > /" + "/".join(["n" * 60] * 6) + "/f\n"),
    "quotes": case("FROM bb\nENV A=\"a\\\"b\" B='c\"d' C=e\\ f D=\"\"\nLABEL x=\"y\\\nz\"\nRUN echo \"$A\" '$B' > /q\nCMD echo \"a\\tb\" 'c'\n"),
}
