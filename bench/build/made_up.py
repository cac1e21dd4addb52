"""Dockerfiles that are made up: instructions of all kinds in any order, mostly right. The same seed makes the same ones."""
import random

from cases import FILES, case

# Sources of the context, and of a stage that has some of the same.
SOURCES = [*FILES, "dir", "dir/", "dir/sub", "dir/.", ".", "docs", "link", "dir/dirlink", "dir/dirlink/three",
           "*.txt", "do*", "di*/*", "dir/s?b", "[ab].txt", "none*", "dir/*/three", "odd", "sticky", "setid", "./a.txt",
           "dir/../b.txt", "/a.txt", "../a.txt", "script.sh", "dir/hard", "extra/*", "${A:+a}.txt", "${G:-a.txt}"]
ARCHIVES = ["arch.tar", "arch.tar.gz", "arch.tar.bz2", "own.tar", "gz-only.gz", "fake.tar.gz", "empty.tar"]
PLACES = ["/p", "/p/", "/q/r", "/q/r/s/", "rel", "./rel/", "/p/../z", ".", "/alias", "/alias/", "/alias/in", "/etc", "/bin/",
          "$P", "${P}/x", "/d$A/", "/new/deep/er/", "/file", "/p/one"]
NAMES = ["A", "B", "C", "P", "F", "U"]
VALUES = ["a", "1", "two words", "/v/w", "x=y", "", "a.txt", "ü", "it's", 'say "q"', "back\\slash", "$A", "${B:-d}", "${A:+y}z",
          "${P#*/}", "${P##*/}", "${P%/*}", "${P%%/*}", "${P/v/w}", "${P//\\//-}", "\\$A", "${U-unset}", "${U:-${A}}", "$A$B"]
COMMANDS = ["echo $A > /o1", "env | sort | grep -v -e ^HOSTNAME -e ^PWD -e ^OLDPWD > /o2", "id > /tmp/o3; true", "pwd > /tmp/o4",
            "mkdir -p /q/r && echo 1 > /q/r/f", "rm -rf /q", "ln -sfn /q /alias; true", "mkdir -p /p && chmod 711 /p",
            "echo old > /file", "chown 7:8 /file; true", "mv /file /file2; true", "rm -rf /p/one /alias", "touch /p; true",
            "cat a.txt; ls /p | sort > /o5; true", "ln /o1 /o1h; true", "echo u:x:1001:1002::/u:/bin/sh >> /etc/passwd; true",
            "echo g:x:1003:u >> /etc/group; true", "cd /etc && ls > /tmp/ls; true", "umask > /o6; true", "mkdir /mode -m 3755; true",
            "mkfifo /fifo; true", "cp -a /bin /bin2; rm -r /bin2", "echo \\\n# a comment\n  more > /o7", 'printf "%s\\n" "$B" \'$B\' > /o8']
MOUNTS = ["--mount=type=tmpfs,target=/t", "--mount=target=/ctx", "--mount=type=bind,source=dir,target=/ctx,rw",
          "--mount=type=cache,target=/c,sharing=private", "--mount=type=bind,from=bb,source=/bin,target=/b", "--network=none"]
IGNORED = ["*.md", "!docs/keep.md", "**/deep", "dir/*", "!dir/one", "/a.txt", "*/sub", "**/*.md", "[ab].txt", "?.txt", "dir/",
           "./docs", "../x", "  b.txt  ", "# c", "!**/three", "node_modules", "*", "!*.txt", "!dir", "**/t*", "dir/sub/..", "odd/*",
           "!dir/sub/", "", "/", ".", "**", "!extra/e?", "s[a-f]*", "Dockerfile"]
PORTS = ["80", "80/udp 90", "1000-1002", "$N", "80/TCP"]
PROBES = ["NONE", "CMD x y", '--interval=5s --retries=3 CMD ["x"]', "--timeout=1m --start-period=2s CMD a"]
OWNERS = ["5", "5:6", "u", "u:g", ":7", "0:0", "root", "$N", "nobodyhere"]
MODES = ["600", "0755", "4711", "u+x", "go=rX", "a=rwx,o-w", "$M"]


class Author:
    """Writes one Dockerfile."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.stages = []

    def one(self, *of):
        return self.random.choice(of)

    def chance(self, part):
        return self.random.random() < part

    def some(self, of, most):
        return [self.random.choice(of) for _ in range(self.random.randint(1, most))]

    def quoted(self, value):
        bare = value.replace("\\", "\\\\").replace(" ", "\\ ").replace('"', '\\"').replace("'", "\\'") if "$" not in value else value
        inner = value.replace('"', '\\"')
        return self.one(bare or '""', f'"{inner}"', f'"{inner}"', "'" + value.replace("'", "") + "'")

    def pairs(self):
        return " ".join(f"{self.one(*NAMES)}={self.quoted(self.one(*VALUES))}" for _ in range(self.random.randint(1, 3)))

    def words(self, words):
        if self.chance(0.15) or any(" " in word for word in words):
            return "[" + ", ".join('"' + word + '"' for word in words) + "]"
        return " ".join(words)

    def copy(self, instruction):
        flags, sources = [], self.some(SOURCES, 2)
        if instruction == "ADD" and self.chance(0.6):
            sources = self.some(ARCHIVES, 2)
        if self.chance(0.25):
            flags.append(f"--chown={self.one(*OWNERS)}")
        if self.chance(0.2):
            flags.append(f"--chmod={self.one(*MODES)}")
        if self.chance(0.1):
            flags.append("--link")
        if instruction == "COPY" and self.stages and self.chance(0.3):
            flags.append(f"--from={self.one(*self.stages)}")
            sources = [self.one("/p", "/q", "/o1", "/etc/", "/q/r/*", "/o*", "/alias", "p/", "/")]
        elif instruction == "COPY" and "." not in sources and self.chance(0.1):
            flags.append(f"--exclude={self.one('*.md', 'sub', '**/three', 'dir/one', '*')}")
        place = self.one(*PLACES)
        if len(sources) > 1 and not place.endswith("/") and self.chance(0.9):
            place += "/"
        if self.chance(0.08):
            mark = self.one("EOF", "'EOF'", '"EOF"')
            return " ".join([instruction, *flags, f"<<{mark}", place]) + f"\nline $A ${{B:-b}}\n  'q' \"r\" \\$A\nEOF"
        return " ".join([instruction, *flags, self.words([*sources, place])])

    def run(self):
        flags = self.random.sample(MOUNTS, self.random.randint(1, 2)) if self.chance(0.2) else []
        command = self.one(*COMMANDS)
        if self.chance(0.12):
            return " ".join(["RUN", *flags, self.one("<<EOF", "<<'EOF'", "<<-EOF")]) + f"\n{self.one(*COMMANDS)}\necho $B >> /o9\nEOF"
        if self.chance(0.1):
            return " ".join(["RUN", *flags]) + ' ["/bin/sh", "-c", "echo $A > /o10"]'
        return " ".join(["RUN", *flags, command])

    def simple(self):
        shell = self.one("echo  a   b", 'echo "$A"', '["a", "b c", "$A"]', "[]", "['x']", "exec x \\\n  y")
        word, rest = self.one(
            ("ENV", self.pairs()), ("ENV", self.pairs()), ("ENV", f"{self.one(*NAMES)} {self.one(*VALUES)}"), ("LABEL", self.pairs()),
            ("ARG", self.one(*NAMES)), ("ARG", self.pairs()), ("ARG", f"{self.one(*NAMES)}={self.quoted(self.one(*VALUES))}"),
            ("WORKDIR", self.one("/w", "x/y", "$P", "..", "/w/", "./z", "/alias", "/", "${P:-/w}")), ("CMD", shell), ("ENTRYPOINT", shell),
            ("USER", self.one("5", "5:6", "root", "0", "$N", "5:root")), ("USER", "0"), ("EXPOSE", self.one(*PORTS)),
            ("VOLUME", self.one("/v", "/v /w", '["/x y"]', "${P:-/v}")), ("STOPSIGNAL", self.one("9", "SIGINT", "term", "$N")),
            ("HEALTHCHECK", self.one(*PROBES)), ("SHELL", self.one('["/bin/sh", "-ec"]', '["/bin/busybox", "sh", "-c"]')),
            ("ONBUILD", self.one("RUN echo ob > /ob", "ENV OB=$A", self.copy("COPY"))), ("MAINTAINER", " a b"), ("#", "comment"),
        )
        return f"{word} {rest}"

    def instruction(self):
        text = self.random.choices([self.run, lambda: self.copy("COPY"), lambda: self.copy("ADD"), self.simple], [5, 5, 1.5, 8])[0]()
        if self.chance(0.06):
            word, _, rest = text.partition(" ")
            text = f"{self.one(word.lower(), word.capitalize())} {rest}"
        if self.chance(0.06) and "<<" not in text and "[" not in text and not text.startswith("#"):
            word, _, rest = text.partition(" ")
            text = f"{word} \\\n{self.one('', '  # between', chr(10))}\n   {rest}" if self.chance(0.5) else f"  {word}   {rest}  "
        return text

    def write(self):
        lines = [self.one("# escape=\\", "# a comment", "")] if self.chance(0.1) else []
        for _ in range(self.random.randint(0, 2)):
            lines.append(f"ARG {self.one(*NAMES)}={self.quoted(self.one(*VALUES))}")
        for number in range(self.random.choices([1, 2, 3], [6, 3, 1])[0]):
            base = self.one("bb", "bb", "bb", "bb", "scratch", "${NOTHING:-bb}", *self.stages)
            name = f"s{number}"
            lines.append(f"FROM {base} AS {self.one(name, name.upper())}")
            if base != "scratch":
                lines += ["ENV A=a P=/v/w N=7 M=640", "RUN mkdir -p /p /q/r && echo 1 > /p/one && ln -s /q /alias"] if self.chance(0.7) else []
                lines += [self.instruction() for _ in range(self.random.randint(2, 9))]
            else:
                lines.append("COPY b.txt /first")
                lines += [line for line in (self.instruction() for _ in range(6)) if not line.lower().startswith(("run", "onbuild", "add", "  run"))]
            self.stages.append(name)
        more = {}
        if self.chance(0.2):
            more["files"] = {".dockerignore": "\n".join(self.some(IGNORED, 6)) + "\n"}
        if self.chance(0.4):
            more["args"] = {self.one(*NAMES): self.one(*(value for value in VALUES if "$" not in value))}
        if self.chance(0.1):
            more["target"] = self.one(*self.stages)
        return case("\n".join(lines) + "\n", **more)


def made_up(seed, count):
    """Returns `count` cases by their names."""
    return {f"made-up-{seed}-{number}": Author(f"{seed}/{number}").write() for number in range(count)}
