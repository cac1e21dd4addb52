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
    make_odd_files(Path(folder))
    (Path(folder) / "Dockerfile").write_text(case["dockerfile"])


def make_odd_files(folder):
    """Makes files with unusual permissions and names, and archives that are none or have owners."""
    (folder / "gz-only.gz").write_bytes(gzip.compress(b"plain", mtime=0))
    (folder / "fake.tar.gz").write_text("not an archive\n")
    (folder / "empty.tar").write_bytes(b"\0" * 10240)
    for name, mode in [("setid", 0o6755), ("none", 0)]:
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
    (folder / "sticky").mkdir()
    (folder / "sticky").chmod(0o1777)
    (folder / "odd").mkdir()
    for name in ["ü.txt", "new\nline", "co:lon", "back\\slash", "trail ", "-dash", "[x].txt", "star*"]:
        (folder / "odd" / name).write_text(name)
    with tarfile.open(folder / "own.tar", "w") as archive:
        for name, owner, mode in [("o", 5, 0o700), ("o/f", 6, 0o640), ("abs", 0, 0o777)]:
            member = tarfile.TarInfo(name)
            member.uid = member.gid = owner
            member.mode = mode
            member.type = {"o": tarfile.DIRTYPE, "abs": tarfile.SYMTYPE}.get(name, tarfile.REGTYPE)
            member.linkname = "/etc/passwd" if name == "abs" else ""
            archive.addfile(member)


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
    "glob-dirs": case("FROM bb\nCOPY d* /x/\nCOPY d*/s* /y/\nCOPY */ /z/\n"),
    "glob-odd": case("FROM bb\nCOPY odd/[[]x].txt /a/\nCOPY odd/star\\* /b/\nCOPY odd /c\nCOPY odd/?*.txt /d/\n"),
    "workdir-var": case("FROM bb\nENV X=/v Y=z\nWORKDIR $X\nWORKDIR ${Y}/w\nRUN ln -s /v /s\nWORKDIR /s/q\nRUN pwd > /p\nCOPY a.txt .\n"),
    "workdir-file": case("FROM bb\nRUN echo x > /f\nWORKDIR /f\n"),
    "workdir-dot": case("FROM bb\nWORKDIR .\nWORKDIR ./a/../b/\nRUN pwd > /p\nWORKDIR ..\nRUN pwd >> /p\n"),
    "user-var": case("FROM bb\nARG U=9 G=8\nUSER $U:$G\nRUN id > /tmp/i\nUSER 0:0\nRUN id > /i\nUSER root\n"),
    "user-none": case("FROM bb\nUSER nobodyhere\nRUN id\n"),
    "env-path": case("FROM bb\nENV PATH=/own:$PATH\nENV HOME=/h\nRUN echo $PATH $HOME > /o\nENV PATH=\nENV X= Y\n"),
    "env-path2": case("FROM bb\nENV PATH=/own:$PATH:/x\nENV HOME=/h\nRUN /bin/busybox echo $PATH $HOME > /o\n"),
    "env-cont": case("FROM bb\nENV A=1 \\\n  # comment\n\n  B=2 \\\n    C='3 \\\n4'\nRUN echo a && \\\n# x\n\n   echo b > /o   \\\n  && echo c\n"),
    "env-odd": case("FROM bb\nENV A=a=b=c B=\"x'y\" C='x\"y' D=\\$A E=\"\\\"\" F=ü G=\"$A$B\" H=a\\ b I=\"a\\nb\" J='\\n'\nRUN env | sort > /e\n"),
    "expose": case("FROM bb\nARG P=90\nEXPOSE $P 80/TCP 80 81/udp 80/tcp 9000-9002/udp\n"),
    "expose-bad": case("FROM bb\nEXPOSE 99999\n"),
    "volume": case("FROM bb\nRUN mkdir /v && echo 1 > /v/a\nVOLUME /v\nRUN echo 2 > /v/b\nCOPY a.txt /v/c\nVOLUME $HOME/x /y\n"),
    "cmd": case("FROM bb\nCMD [\"a\", \"\\u00fc\\t\", \"b c\"]\n"),
    "cmd2": case("FROM bb\nCMD   echo  a   b\nENTRYPOINT [ ]\n"),
    "cmd3": case("FROM bb\nCMD [ ]\n"),
    "cmd-entry": case("FROM bb AS a\nCMD [\"x\"]\nENTRYPOINT [\"y\"]\nFROM a\nENTRYPOINT [\"z\"]\n"),
    "cmd-entry2": case("FROM bb AS a\nENTRYPOINT [\"y\"]\nCMD [\"x\"]\nFROM a\nCMD [\"w\"]\n"),
    "from-arg": case("ARG IMG\nARG T=latest\nARG F=${IMG:-bb}\nFROM $F\nARG T\nARG F\nRUN echo $T $F > /o\n"),
    "from-platform": case("FROM --platform=linux/amd64 bb\nRUN true\n"),
    "label-var": case("FROM bb\nARG A=x\nENV B=y\nLABEL $A=$B l=\"$A $B\" m='$A' \\\n  n=1\n"),
    "health": case("FROM bb\nHEALTHCHECK --interval=0s --retries=0 --timeout=1h CMD x\n"),
    "health2": case("FROM bb\nHEALTHCHECK --interval=1ms CMD x\n"),
    "health3": case("FROM bb AS a\nHEALTHCHECK CMD x\nFROM a\nRUN true\n"),
    "stop": case("FROM bb\nARG S=SIGINT\nSTOPSIGNAL $S\nSTOPSIGNAL 9\nSTOPSIGNAL RTMIN+3\n"),
    "stop-bad": case("FROM bb\nSTOPSIGNAL NOSUCH\n"),
    "chown-mix": case("FROM bb\nRUN echo 'u:x:1001:1002::/:/bin/sh' >> /etc/passwd; mkdir /d\nCOPY --chown=u:66 a.txt /1\nCOPY --chown=66:root a.txt /2\nCOPY --chown=0 b.txt /3\nARG W=u\nCOPY --chown=$W dir /4/5/\nCOPY --chown=1:1 a.txt /d/\n"),
    "copy-dots": case("FROM bb\nCOPY dir/. /x\nCOPY dir/./sub /y\nCOPY ./. /z/\nCOPY / /all\n"),
    "copy-from-image": case("FROM bb\nCOPY --from=bb /bin/busybox /x\nCOPY --from=bb /et* /e/\nCOPY --from=bb /bin/l[sn] /l/\n"),
    "copy-from-links": case("FROM bb AS s\nRUN mkdir -p /r/d && echo 1 > /r/d/f && ln -s /r/d /abs && ln -s r/d /rel && ln -s /abs/f /af && ln -s /nope /dang && ln /r/d/f /r/d/h\nFROM bb\nCOPY --from=s /abs /1\nCOPY --from=s /abs/f /2\nCOPY --from=s /rel/ /3/\nCOPY --from=s /af /4\nCOPY --from=s /a* /5/\nCOPY --from=s /r /6\n"),
    "copy-dang": case("FROM bb\nCOPY dangling /x\n"),
    "copy-dest-dangdir": case("FROM bb\nRUN ln -s /nowhere /dd\nCOPY a.txt /dd/\nCOPY dir /dd/x\n"),
    "copy-modes": case("FROM bb\nCOPY setid none sticky /m/\nCOPY sticky /st\nCOPY --chmod=0755 none /n\nCOPY --chmod=u+x none /n2\nCOPY --chmod=g=u dir /n3\n"),
    "copy-chmod-bad": case("FROM bb\nCOPY --chmod=99999 a.txt /x\n"),
    "copy-chmod-var": case("FROM bb\nARG M=640\nCOPY --chmod=$M a.txt /x\nADD --chmod=604 dir /y\n"),
    "add-own": case("FROM bb\nADD own.tar /1/\nADD --chown=7:8 own.tar /2/\nADD --chmod=600 own.tar /3/\nADD --chown=7:8 a.txt /4\nADD own.tar /5\n"),
    "add-odd": case("FROM bb\nADD gz-only.gz /1\nADD fake.tar.gz /2\nADD empty.tar /3/\nADD arch.tar a.txt /4/\nADD *.tar /5/\n"),
    "add-into": case("FROM bb\nRUN mkdir -p /t/dir && echo old > /t/dir/one && ln -s /etc /t/link && chmod 711 /t/dir\nADD arch.tar /t/\n"),
    "ignore-1": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "/a.txt\ndir/*\n!dir/sub\n./b.txt\n  docs/  \n"}),
    "ignore-2": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "**/*.md\n?.txt\n!b.txt\ndir/**/four\n"}),
    "ignore-3": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "**\n!dir/one\n!docs/**\n"}),
    "ignore-4": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "[a-b].txt\ndir/sub/../two.md\n\\#x\nsp\\ ace.txt\nsp ace.txt\n!../x\n"}),
    "ignore-5": case("FROM bb\nCOPY dir /d\nCOPY dir/sub /s\nCOPY *.txt /t/\n", files={".dockerignore": "dir\n!dir/sub/deep\n*.txt\n!secret.txt\n"}),
    "ignore-bad": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "[a-\n"}),
    "ignore-lone": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "!\n"}),
    "ignore-dockerfile": case("FROM bb\nCOPY . /c\nRUN ls /c | wc -l > /n\n", files={".dockerignore": "Dockerfile*\n.docker*\n"}),
    "etc-files": case("FROM bb\nRUN echo x >> /etc/hosts; echo y > /etc/hostname; echo z >> /etc/resolv.conf; true\nRUN grep -c x /etc/hosts > /o; ls /etc > /ls\n"),
    "meta-only": case("FROM bb\nRUN chmod 700 /tmp && chown 3:4 /bin\nRUN mv /bin/ls /bin/ls2\n"),
    "rename-dir": case("FROM bb\nRUN mkdir -p /a/b/c && echo 1 > /a/b/c/f\nRUN mv /a /z\nRUN mv /z/b /y && mkdir /a\n"),
    "type-change": case("FROM bb\nRUN mkdir /d /e && echo 1 > /d/f && echo 2 > /x && ln -s /d /l\nRUN rm -rf /d && echo f > /d && rm /x && mkdir /x && rm /l && mkdir /l && rm -rf /e && ln -s /d /e\n"),
    "lower-link": case("FROM bb\nRUN echo 1 > /one && echo 2 > /two\nRUN ln /one /three && mv /two /four\nRUN rm /one\n"),
    "odd-names": case("FROM bb\nRUN mkdir /n && cd /n && touch 'new\nline' 'ü' 'back\\\\slash' 'trail ' -- '-x' 'co:lon' '.wher' '#x'; mkdir 'd d' && echo > 'd d/.wx'\n"),
    "heredoc": case("FROM bb\nARG A=1\nRUN <<EOF\necho \"$A\" '$A' > /1\nEOF\nRUN <<'EOF'\necho \"$A\" > /2\nEOF\nRUN <<\"EOF\"\necho \"${A}x\" > /3\nEOF\nRUN <<EOF cat > /4\nin\nEOF\nADD --chown=5 --chmod=640 <<X <<Y /h/\nx $A\nX\ny\nY\nCOPY <<E a.txt /k/\ne\nE\n"),
    "heredoc-tabs": case("FROM bb\nRUN <<-EOF\n\techo a > /1\n\t\techo b > /2\n\tEOF\nCOPY <<-\"X\" /3\n\t\t$Y\n\tX\n"),
    "heredoc-open": case("FROM bb\nRUN <<EOF\necho a\n"),
    "crlf": case("FROM bb\r\nRUN echo a \\\r\n  b > /o\r\nENV A=1\r\n"),
    "bom": case("\ufeffFROM bb\nRUN echo a > /o\n"),
    "trail": case("FROM bb\nRUN echo a > /o \\   \n  && echo b > /p\nENV A=1 \\\n"),
    "last-line": case("FROM bb\nRUN echo a > /o \\"),
    "blank": case("\n\n# x\n\nFROM bb\n\n   \nRUN echo a > /o\n   # y\n\tRUN echo b > /p\n"),
    "stage-dup": case("FROM bb AS s\nRUN echo 1 > /1\nFROM bb AS s\nRUN echo 2 > /2\nFROM bb\nCOPY --from=s / /x\n"),
    "stage-target-case": case("FROM bb AS One\nRUN echo 0 > /0\nFROM bb\n", target="oNE"),
    "stage-target-none": case("FROM bb AS One\nFROM bb\n", target="nope"),
    "arg-multi": case("FROM bb\nARG A=1 B=$A C=\"x y\" D='$A' E\nRUN echo $A $B $C $D $E > /o\n", args={"E": "e e", "UNUSED": "u"}),
    "arg-env": case("FROM bb\nENV A=env\nARG A=arg\nRUN echo $A > /o\nARG B=1\nENV B=2\nARG B=3\nRUN echo $B > /p\nENV C=$B\n", args={"A": "given"}),
    "arg-scope": case("ARG A=1\nFROM bb AS a\nRUN echo [$A] > /o\nARG A=2\nRUN echo [$A] > /p\nFROM a\nRUN echo [$A] > /q\nARG A\nRUN echo [$A] > /r\n"),
    "arg-proxy": case("FROM bb\nRUN echo $HTTP_PROXY $https_proxy > /o\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY > /p\n", args={"HTTP_PROXY": "http://p:1", "https_proxy": "q"}),
    "required": case("FROM bb\nRUN echo ${X:?no x}\nENV Y=${X:?no x}\n"),
    "required2": case("FROM bb\nENV A=${B:?}\n"),
    "dollar": case("FROM bb\nENV A=$$ B=a$ C=${} \n"),
    "dollar2": case("FROM bb\nENV A=a$ B=$1 C=${1} D=\"$-\"\nRUN env | sort > /e\n"),
    "nested": case("FROM bb\nENV A=x B=${U:-${A:-y}z} C=${A:+${U:-q}} D=${U:-\"q r\"} E=${A:-$U}\n"),
    "twoscratch": case("FROM scratch AS a\nCOPY a.txt /1\nFROM scratch\nCOPY --from=a /1 /2\nWORKDIR /w\nVOLUME /v\n"),
    "scratch-user": case("FROM scratch\nUSER 5\nWORKDIR /w\nCOPY a.txt .\n"),
    "onbuild-chain": case("FROM bb AS x\nRUN echo x > /x\nFROM bb AS a\nONBUILD COPY --from=x /x /y\nONBUILD ARG Q=1\nONBUILD RUN echo $Q > /q\nONBUILD WORKDIR /ob\nONBUILD LABEL l=1\nFROM a\nRUN pwd > /p\n"),
    "onbuild-bad": case("FROM bb\nONBUILD FROM x\n"),
    "onbuild-bad2": case("FROM bb\nONBUILD ONBUILD RUN x\n"),
    "shell-exec": case("FROM bb\nSHELL [\"sh\", \"-exc\"]\nRUN echo $0 > /o\nRUN [\"echo\", \"x\"]\nHEALTHCHECK CMD y\nENTRYPOINT z\n"),
    "cache-mode": case("FROM bb\nRUN --mount=type=cache,target=/c,uid=5,gid=6,mode=0710,id=m1 stat -c '%u %g %a' /c > /o\nRUN --mount=type=cache,target=/c,id=m1,ro touch /c/x; echo $? > /p\nRUN --mount=type=cache,target=/deep/er,from=bb,source=/bin,id=m2 ls /deep/er | wc -l > /q\n"),
    "bind-more": case("FROM bb AS s\nRUN mkdir /s && echo 1 > /s/f\nFROM bb\nWORKDIR /w\nRUN --mount=target=rel ls rel | head -1 > /1\nRUN --mount=type=bind,from=bb,source=/bin/busybox,target=/x/y /x/y echo hi > /2\nRUN --mount=from=s,source=s/f,dst=/z cat /z > /3\nRUN --mount=from=s,src=/s,target=/rw,readwrite sh -c 'echo 2 > /rw/f; cat /rw/f' > /4\nRUN --mount=type=tmpfs,target=/t,size=65536 df -k /t | tail -1 | awk '{print $2}' > /5\n"),
    "bind-none": case("FROM bb\nRUN --mount=source=nothing,target=/x ls /x\n"),
    "mount-bad": case("FROM bb\nRUN --mount=type=nope,target=/x ls\n"),
    "mount-bad2": case("FROM bb\nRUN --mount=type=cache ls\n"),
    "secret-req": case("FROM bb\nRUN --mount=type=secret,id=none,required cat /run/secrets/none\n"),
    "maint": case("FROM bb\nMAINTAINER  A  B <a@b>\nLABEL maintainer=x\n"),
    "unknown-flag": case("FROM bb\nCOPY --nope a.txt /x\n"),
    "from-none": case("RUN x\n"),
    "empty-file": case("# nothing\n"),
    "from-bad": case("FROM bb AS 1x!\n"),
    "copy-onearg": case("FROM bb\nCOPY a.txt\n"),
    "json-bad": case("FROM bb\nRUN [\"echo\", 'x']\nCMD [\"a\" \"b\"]\n"),
    "entry-var": case("FROM bb\nENV A=1\nENTRYPOINT [\"echo\", \"$A\"]\nCMD echo $A\n"),
    "many-dirs": case("FROM bb\nCOPY dir/sub/deep /new/path/with/many/parts/\nCOPY --chown=3:4 a.txt /new2/p/q/r\n"),
    "copy-same": case("FROM bb\nCOPY a.txt b.txt a.txt /x/\nCOPY dir dir/sub /y/\n"),
    "link-parent": case("FROM bb\nRUN mkdir /real && ln -s real /alias\nCOPY a.txt /alias/sub/x\nCOPY --link b.txt /alias/y\nWORKDIR /alias/w\n"),
    "run-rm-base": case("FROM bb\nRUN rm -rf /tmp /var && rm /bin/ls\nRUN mkdir /tmp && chmod 1777 /tmp\n"),
    "escape-path": case("# escape=`\nFROM bb\nRUN echo a`\n b > /o\nCOPY dir\\sub /x\n"),
    "directive-late": case("FROM bb\n# escape=`\nRUN echo a \\\n b > /o\n"),
    "net": case("FROM bb\nRUN --network=default cat /etc/resolv.conf | wc -l > /dev/null\nRUN --network=host true\n"),
    "run-env": case("FROM bb\nRUN env | sort > /e; pwd > /p; umask > /u; ulimit -n > /dev/null; cat /proc/1/comm > /c; ls /dev | sort > /dev.ls\n"),
    "proc": case("FROM bb\nRUN ls -la /proc/self/fd | wc -l > /1; ls / > /2; mount | grep -c ' / ' > /3; grep CapEff /proc/self/status > /4; grep NoNewPrivs /proc/self/status > /5; grep Seccomp: /proc/self/status > /6\n"),
    "chown-unknown": case("FROM bb\nRUN mkdir -p /etc && echo 'u:x:1001:1002::/:/bin/sh' >> /etc/passwd\nCOPY --chown=nobodyhere a.txt /x\nCOPY --chown=u:nogroup a.txt /y\nCOPY --chown=nobodyhere:7 a.txt /z\nCOPY --chown=:nogroup a.txt /v\n"),
    "workdir-written": case("FROM bb\nWORKDIR /w/\nRUN pwd > p\nWORKDIR /x//./y/\nCOPY a.txt .\nWORKDIR z/\nRUN pwd > p\n"),
    "workdir-root": case("FROM bb\nWORKDIR //\nRUN pwd > p\nWORKDIR /a/\n"),
    "copy-chmod-special": case("FROM bb\nCOPY --chmod=4711 dir /new/3\nCOPY --chmod=1777 a.txt /n/x\nCOPY --chmod=2755 dir/ /q/\nCOPY --chmod=4711 a.txt b.txt /r/\nCOPY --chmod=666 a.txt /s/x\nCOPY --chmod=777 dir /t/u/\nADD --chmod=777 own.tar /v/w/\n"),
    "glob-links": case("FROM bb\nCOPY d*/dirlink/three /x/\nCOPY dir/dirlink/th* /y/\nCOPY dir/*/three /z\nCOPY dir/d* /l/\n"),
    "copy-to-one": case("FROM bb\nCOPY *.txt /f\nCOPY a.txt b.txt /g\nCOPY dir a.txt /h\nCOPY a.txt none* /i\nRUN echo 1 > /j\nCOPY --chmod=600 dir/one b.txt /j\n"),
    "copy-to-one-folder": case("FROM bb\nCOPY a.txt dir /f\n"),
    "glob-no-folder-later": case("FROM bb\nCOPY d*/none/* /x/\nCOPY [x]/y /y/\n"),
    "glob-ignored-in-part": case("FROM bb\nCOPY dir/* /x/\n", files={".dockerignore": "dir\n!dir/sub/three\n"}),
    "ignore-6": case("FROM bb\nCOPY . /c\nCOPY dir/s* /s/\n", files={".dockerignore": "**/deep\n!dir\n*/*.md\n!docs\n"}),
    "ignore-7": case("FROM bb\nCOPY . /c\n", files={".dockerignore": "dir\n!dir\n**/t*\ndocs\n!docs\n*/x.md\n"}),
    "arg-env-stages": case("FROM bb AS a\nENV P=e\nARG P=1\nRUN echo 1 $P > /1\nFROM a\nRUN echo 2 $P > /2\nARG P\nRUN echo 3 $P > /3\nARG P=5\nRUN echo 4 $P > /4\n"),
    "arg-env-given": case("FROM bb AS a\nENV P=e\nARG P=1\nRUN echo 1 $P > /1\nFROM a\nRUN echo 2 $P > /2\nARG P\nRUN echo 3 $P > /3\n", args={"P": "given"}),
    "arg-env-later": case("FROM bb AS a\nARG P=1\nENV P=e\nRUN echo 1 $P > /1\nFROM a\nRUN echo 2 $P > /2\nENV P=f\nRUN echo 3 $P > /3\nARG P=6\nRUN echo 4 $P > /4\n"),
    "ignore-nothing-left": case("FROM bb\nCOPY dir /x\n", files={".dockerignore": "*\n!dir/one\ndir/*\n"}),
    "ignore-nothing-left-glob": case("FROM bb\nCOPY d* /x/\nRUN --mount=target=/m ls -R /m > /y\n", files={".dockerignore": "*\n!dir/one\n!docs/keep.md\ndir/*\n"}),
    "ignore-file": case("FROM bb\nCOPY dir/sub/deep/four /x\n", files={".dockerignore": "**/deep\n!dir/sub/\n"}),
}
