//! What the statements of a Dockerfile say.

use std::collections::BTreeMap;
use std::time::Duration;

use trice_model::suggest::nearest;

use crate::dockerfile::{Dockerfile, Stage};
use crate::instruction::{
    AddForm, ArgForm, CommandForm, CopyForm, Files, HealthForm, Heredoc, Instruction, Network, Pair, Placed,
    RunForm,
};
use crate::mistake::{Lines, Mistake, Mistakes};
use crate::mount;
use crate::statement::{INSTRUCTIONS, Statement, statements};
use crate::word::{Json, Split, at_blanks, first_word, json, quoted, split};

/// Reads a Dockerfile.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(source: &str) -> Result<Dockerfile, Mistakes> {
    let (directives, statements) = statements(source)?;
    let mut mistakes = Vec::new();
    if let Some((image, lines)) = &directives.syntax
        && !is_usual_syntax(image)
    {
        let message = format!("`{image}` explains another language than Dockerfile's");
        mistakes.push(
            Mistake::new(*lines, message).hint("leave `# syntax=` out: no image is run to read this file"),
        );
    }
    let mut dockerfile = Dockerfile { escape: directives.escape, globals: Vec::new(), stages: Vec::new() };
    for statement in statements {
        let lines = statement.lines;
        let read = read(&statement, directives.escape);
        let placed = match read {
            Ok(Read::Stage(stage)) => {
                dockerfile.stages.push(stage);
                continue;
            }
            Ok(Read::Instruction(instruction)) => {
                let code = statement.text.trim().to_owned();
                Placed { lines, code, instruction }
            }
            Err(Wrong { message, hint }) => {
                mistakes.push(Mistake { lines, message, hint });
                // What follows belongs to a stage whatever its first line says.
                if split(&statement.text, directives.escape).name.eq_ignore_ascii_case("FROM") {
                    dockerfile.stages.push(Stage::unknown(lines));
                }
                continue;
            }
        };
        match (dockerfile.stages.last_mut(), placed) {
            (Some(stage), placed) => stage.instructions.push(placed),
            (None, Placed { instruction: Instruction::Arg(names), .. }) => {
                dockerfile.globals.extend(names.into_iter().map(|name| (lines, name)));
            }
            (None, _) => mistakes.push(
                Mistake::new(lines, "there is no stage yet")
                    .hint("begin with `FROM IMAGE`, or `FROM scratch`"),
            ),
        }
    }
    if dockerfile.stages.is_empty() && mistakes.is_empty() {
        let message = "the Dockerfile has no stage";
        mistakes
            .push(Mistake::new(Lines::one(1), message).hint("begin with `FROM IMAGE`, or `FROM scratch`"));
    }
    if mistakes.is_empty() { Ok(dockerfile) } else { Err(Mistakes(mistakes)) }
}

/// Reads one instruction that an image keeps for those that are based on it.
///
/// # Errors
/// What is wrong with it, at `lines`.
pub fn parse_trigger(text: &str, lines: Lines) -> Result<Placed, Mistake> {
    let wrong = |Wrong { message, hint }| Mistake {
        lines,
        message: format!("`ONBUILD {}` of the base: {message}", text.lines().next().unwrap_or_default()),
        hint,
    };
    let (_, statements) = statements(text).map_err(|mistake| Mistake { lines, ..mistake })?;
    let [statement] = &statements[..] else {
        return Err(wrong(Wrong::new("it is not one instruction")));
    };
    match read(statement, '\\').map_err(wrong)? {
        Read::Instruction(instruction) => {
            Ok(Placed { lines, code: statement.text.trim().to_owned(), instruction })
        }
        Read::Stage(_) => Err(wrong(Wrong::new("it cannot begin a stage"))),
    }
}

/// Tells whether an image explains the language that is known here.
fn is_usual_syntax(image: &str) -> bool {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    ["docker/dockerfile", "docker/dockerfile-upstream"].iter().any(|usual| {
        image.strip_prefix(usual).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
    })
}

impl Stage {
    fn unknown(lines: Lines) -> Self {
        Self {
            lines,
            code: String::new(),
            base: String::new(),
            name: None,
            platform: None,
            instructions: Vec::new(),
        }
    }
}

enum Read {
    Stage(Stage),
    Instruction(Instruction),
}

/// What is wrong with a statement.
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

fn read(statement: &Statement, escape: char) -> Result<Read, Wrong> {
    let Split { name, flags, arguments } = split(&statement.text, escape);
    let keyword = name.to_ascii_uppercase();
    let mut flags = Flags::new(&keyword, flags)?;
    let heredocs = &statement.heredocs;
    let instruction = match keyword.as_str() {
        "FROM" => return stage(statement, &flags, arguments).map(Read::Stage),
        "ADD" => Instruction::Add(AddForm {
            checksum: flags.one("checksum"),
            keep_git_dir: flags.is_set("keep-git-dir")?.unwrap_or_default(),
            unpack: flags.is_set("unpack")?,
            files: files("ADD", &mut flags, arguments, heredocs)?,
        }),
        "ARG" => Instruction::Arg(args(arguments, escape)?),
        "CMD" => Instruction::Cmd(command(arguments)?),
        "COPY" => Instruction::Copy(CopyForm {
            from: flags.one("from").filter(|from| !from.is_empty()),
            parents: flags.is_set("parents")?.unwrap_or_default(),
            files: files("COPY", &mut flags, arguments, heredocs)?,
        }),
        "ENTRYPOINT" => Instruction::Entrypoint(command(arguments)?),
        "ENV" => Instruction::Env(pairs("ENV", arguments, escape)?),
        "EXPOSE" => {
            let mut ports = at_blanks(arguments);
            ports.sort();
            Instruction::Expose(some("EXPOSE", "a port", ports)?)
        }
        "HEALTHCHECK" => Instruction::Healthcheck(health(&flags, arguments)?),
        "LABEL" => Instruction::Label(pairs("LABEL", arguments, escape)?),
        "MAINTAINER" => Instruction::Maintainer(text("MAINTAINER", "a name", arguments)?),
        "ONBUILD" => Instruction::Onbuild(trigger(statement, arguments, escape)?),
        "RUN" => Instruction::Run(run(&mut flags, arguments, heredocs)?),
        "SHELL" => match json(arguments) {
            Json::Array(words) if !words.is_empty() => Instruction::Shell(words),
            Json::Array(_) | Json::NotTexts | Json::None => {
                let wrong = Wrong::new("`SHELL` takes an array of texts");
                return Err(wrong.hint(r#"write `SHELL ["/bin/bash", "-c"]`"#));
            }
        },
        "STOPSIGNAL" => Instruction::Stopsignal(text("STOPSIGNAL", "a signal", arguments)?),
        "USER" => Instruction::User(text("USER", "a user", arguments)?),
        "VOLUME" => Instruction::Volume(volumes(arguments)?),
        "WORKDIR" => Instruction::Workdir(text("WORKDIR", "a path", arguments)?),
        _ => return Err(unknown(name)),
    };
    Ok(Read::Instruction(instruction))
}

fn unknown(name: &str) -> Wrong {
    let shown: String = name.chars().take(40).collect();
    let wrong = Wrong::new(format!("there is no instruction `{shown}`"));
    match nearest(name, INSTRUCTIONS) {
        Some(close) => wrong.hint(format!("did you mean `{close}`?")),
        None => wrong.hint("a line that belongs to the one before needs `\\` at the end of that one"),
    }
}

/// Returns the only argument of an instruction.
fn text(keyword: &str, what: &str, arguments: &str) -> Result<String, Wrong> {
    if arguments.is_empty() {
        return Err(Wrong::new(format!("`{keyword}` takes {what}")));
    }
    Ok(arguments.to_owned())
}

fn some(keyword: &str, what: &str, words: Vec<String>) -> Result<Vec<String>, Wrong> {
    if words.is_empty() { Err(Wrong::new(format!("`{keyword}` takes {what} at least"))) } else { Ok(words) }
}

const NOT_TEXTS: &str = "the array holds something else than texts";

fn command(arguments: &str) -> Result<CommandForm, Wrong> {
    match json(arguments) {
        Json::Array(words) => Ok(CommandForm::Exec(words)),
        Json::None => Ok(CommandForm::Shell(arguments.to_owned())),
        Json::NotTexts => Err(Wrong::new(NOT_TEXTS).hint("put every word into double quotes")),
    }
}

fn stage(statement: &Statement, flags: &Flags, arguments: &str) -> Result<Stage, Wrong> {
    let words = at_blanks(arguments);
    let (base, name) = match &words[..] {
        [base] => (base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => (base, Some(name.to_lowercase())),
        _ => {
            return Err(Wrong::new("`FROM` takes an image or a stage")
                .hint("write `FROM IMAGE` or `FROM IMAGE AS NAME`"));
        }
    };
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
    };
    if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
        let wrong = Wrong::new(format!("`{name}` cannot be the name of a stage"));
        return Err(wrong.hint("names begin with a letter, and consist of letters, digits, `-`, `_` and `.`"));
    }
    Ok(Stage {
        lines: statement.lines,
        code: statement.text.trim().to_owned(),
        base: base.clone(),
        name,
        platform: flags.one("platform"),
        instructions: Vec::new(),
    })
}

fn args(arguments: &str, escape: char) -> Result<Vec<ArgForm>, Wrong> {
    let words = some("ARG", "a name", quoted(arguments, escape))?;
    let arg = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(Wrong::new("`ARG` has a value without a name")),
        Some((name, value)) => Ok(ArgForm { name: name.to_owned(), default: Some(value.to_owned()) }),
        None => Ok(ArgForm { name: word, default: None }),
    };
    words.into_iter().map(arg).collect()
}

/// Reads `key=value …`, or the old `key value`, which goes to the end of the line.
fn pairs(keyword: &str, arguments: &str, escape: char) -> Result<Vec<Pair>, Wrong> {
    let words = some(keyword, "a name and a value", quoted(arguments, escape))?;
    if !words[0].contains('=') {
        let (key, value) = first_word(arguments);
        if value.is_empty() {
            let wrong = Wrong::new(format!("`{keyword}` has a name without a value"));
            return Err(wrong.hint(format!("write `{keyword} {key}=VALUE`")));
        }
        return Ok(vec![Pair { key: key.to_owned(), value: value.to_owned() }]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(Wrong::new(format!("`{keyword}` has a value without a name"))),
        Some((key, value)) => Ok(Pair { key: key.to_owned(), value: value.to_owned() }),
        None => Err(Wrong::new(format!("`{word}` has no `=`")).hint("put values with blanks into quotes")),
    };
    words.into_iter().map(pair).collect()
}

fn volumes(arguments: &str) -> Result<Vec<String>, Wrong> {
    let words = some("VOLUME", "a path", list(arguments)?)?;
    let words: Vec<String> = words.iter().map(|word| word.trim().to_owned()).collect();
    if words.iter().any(String::is_empty) {
        Err(Wrong::new("the path of a volume is empty"))
    } else {
        Ok(words)
    }
}

/// Reads an array, or words between blanks.
fn list(arguments: &str) -> Result<Vec<String>, Wrong> {
    match json(arguments) {
        Json::Array(words) => Ok(words),
        Json::None => Ok(at_blanks(arguments)),
        Json::NotTexts => Err(Wrong::new(NOT_TEXTS).hint("put every word into double quotes")),
    }
}

fn files(keyword: &str, flags: &mut Flags, arguments: &str, heredocs: &[Heredoc]) -> Result<Files, Wrong> {
    let mut words = list(arguments)?;
    let destination = words.pop().filter(|_| !words.is_empty()).ok_or_else(|| {
        let wrong = Wrong::new(format!("`{keyword}` takes what is copied, and where it goes"));
        wrong.hint(format!("write `{keyword} SOURCE DESTINATION`"))
    })?;
    if Heredoc::begun(&destination).is_some() {
        return Err(Wrong::new("a document cannot be where files go"));
    }
    let (mut sources, mut documents) = (Vec::new(), Vec::new());
    for word in words {
        match Heredoc::begun(&word) {
            // The last one of several by that name is meant.
            Some(begun) => {
                documents.push(heredocs.iter().rfind(|heredoc| heredoc.name == begun.name).map_or_else(
                    || begun.clone(),
                    |heredoc| Heredoc { content: heredoc.content.clone(), ..begun.clone() },
                ))
            }
            None => sources.push(word),
        }
    }
    Ok(Files {
        sources,
        documents,
        destination,
        chown: flags.one("chown").filter(|chown| !chown.is_empty()),
        chmod: flags.one("chmod").filter(|chmod| !chmod.is_empty()),
        link: flags.is_set("link")?.unwrap_or_default(),
        exclude: flags.all("exclude"),
    })
}

fn run(flags: &mut Flags, arguments: &str, heredocs: &[Heredoc]) -> Result<RunForm, Wrong> {
    let mounts = flags.all("mount");
    for mount in &mounts {
        mount::check(mount)?;
    }
    let network = match flags.one("network").as_deref() {
        None => None,
        Some("default") => Some(Network::Default),
        Some("none") => Some(Network::None),
        Some("host") => Some(Network::Host),
        Some(other) => {
            return Err(Wrong::new(format!("there is no network `{other}` for a step"))
                .hint("write `default`, `none` or `host`"));
        }
    };
    let insecure = match flags.one("security").as_deref() {
        None | Some("sandbox") => false,
        Some("insecure") => true,
        Some(other) => {
            return Err(Wrong::new(format!("`--security` does not know `{other}`"))
                .hint("write `sandbox` or `insecure`"));
        }
    };
    let command = command(arguments)?;
    Ok(RunForm {
        command,
        heredocs: heredocs.to_vec(),
        mounts,
        network,
        insecure,
        devices: flags.all("device"),
    })
}

fn health(flags: &Flags, arguments: &str) -> Result<HealthForm, Wrong> {
    let (kind, rest) = first_word(arguments);
    let command = match kind.to_ascii_uppercase().as_str() {
        "NONE" if rest.is_empty() => None,
        "NONE" => return Err(Wrong::new("`HEALTHCHECK NONE` takes nothing more")),
        "CMD" => match command(rest)? {
            CommandForm::Exec(words) if words.is_empty() => {
                return Err(Wrong::new("`HEALTHCHECK CMD` takes a command"));
            }
            CommandForm::Shell(text) if text.is_empty() => {
                return Err(Wrong::new("`HEALTHCHECK CMD` takes a command"));
            }
            command => Some(command),
        },
        _ => {
            let wrong = Wrong::new("`HEALTHCHECK` takes `CMD` and a command, or `NONE`");
            return Err(wrong.hint(format!("write `HEALTHCHECK CMD {arguments}`")));
        }
    };
    let time = |name: &str| flags.one(name).map_or(Ok(Duration::ZERO), |value| duration(name, &value));
    let retries = flags.one("retries").filter(|retries| !retries.is_empty());
    let retries = retries.map_or(Ok(0), |retries| {
        let number: Option<u32> = retries.parse().ok().filter(|number| i32::try_from(*number).is_ok());
        number.ok_or_else(|| Wrong::new(format!("`--retries={retries}` is no number of attempts")))
    });
    Ok(HealthForm {
        command,
        interval: time("interval")?,
        timeout: time("timeout")?,
        start_period: time("start-period")?,
        start_interval: time("start-interval")?,
        retries: retries?,
    })
}

/// Reads `1m30s`, `1.5h`, `300ms`.
fn duration(name: &str, text: &str) -> Result<Duration, Wrong> {
    let wrong = || {
        Wrong::new(format!("`--{name}={text}` is no time"))
            .hint("write a number and a unit: `500ms`, `30s`, `1m30s`")
    };
    if text.is_empty() || text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit_length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        nanos += number * unit;
        rest = after;
    }
    if nanos > i64::MAX as f64 {
        return Err(wrong());
    }
    let time = Duration::from_nanos(nanos as u64);
    if !time.is_zero() && time < Duration::from_millis(1) {
        return Err(Wrong::new(format!("`--{name}={text}` is shorter than `1ms`")));
    }
    Ok(time)
}

/// Reads the instruction that is meant for later, and returns its text with the documents.
fn trigger(statement: &Statement, arguments: &str, escape: char) -> Result<String, Wrong> {
    let keyword = split(arguments, escape).name.to_ascii_uppercase();
    match keyword.as_str() {
        "" => return Err(Wrong::new("`ONBUILD` takes an instruction")),
        "ONBUILD" | "FROM" | "MAINTAINER" => {
            return Err(Wrong::new(format!("`{keyword}` cannot be an instruction for later")));
        }
        _ => {}
    }
    let text = statement.text.trim_start();
    let mut text = text["ONBUILD".len().min(text.len())..].trim_start().to_owned();
    let later = Statement { text: text.clone(), ..statement.clone() };
    read(&later, escape)?;
    for Heredoc { name, content, .. } in &statement.heredocs {
        text += &format!("\n{content}{name}");
    }
    Ok(text)
}

/// The flags of an instruction.
struct Flags(BTreeMap<&'static str, Vec<Option<String>>>);

/// Which flags an instruction has, and which of those may come several times.
fn known_flags(keyword: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match keyword {
        "FROM" => (&["platform"], &[]),
        "ADD" => (&["chown", "chmod", "link", "keep-git-dir", "checksum", "unpack", "exclude"], &["exclude"]),
        "COPY" => (&["chown", "from", "chmod", "link", "exclude", "parents"], &["exclude"]),
        "RUN" => (&["mount", "network", "security", "device"], &["mount", "device"]),
        "HEALTHCHECK" => (&["interval", "timeout", "start-period", "start-interval", "retries"], &[]),
        _ => (&[], &[]),
    }
}

/// The flags that need no value.
const SWITCHES: [&str; 4] = ["link", "keep-git-dir", "unpack", "parents"];

impl Flags {
    fn new(keyword: &str, texts: Vec<String>) -> Result<Self, Wrong> {
        let (known, many) = known_flags(keyword);
        let mut flags: BTreeMap<_, Vec<Option<String>>> = BTreeMap::new();
        if matches!(keyword, "ARG" | "STOPSIGNAL") || !INSTRUCTIONS.contains(&keyword) {
            return Ok(Self(flags)); // those look at none, and nothing is known of what is unknown
        }
        for text in texts {
            let (name, value) = text
                .split_once('=')
                .map_or((&text[..], None), |(name, value)| (name, Some(value.to_owned())));
            let name = name.trim_start_matches('-');
            let Some(&known_name) = known.iter().find(|known| **known == name) else {
                let wrong = Wrong::new(format!("`{keyword}` does not know `--{name}`"));
                return Err(match nearest(name, known.iter().copied()) {
                    Some(close) => wrong.hint(format!("did you mean `--{close}`?")),
                    None => wrong,
                });
            };
            if value.is_none() && !SWITCHES.contains(&known_name) {
                return Err(
                    Wrong::new(format!("`--{name}` has no value")).hint(format!("write `--{name}=VALUE`"))
                );
            }
            let values = flags.entry(known_name).or_default();
            if !values.is_empty() && !many.contains(&known_name) {
                return Err(Wrong::new(format!("`--{name}` is there a second time")));
            }
            values.push(value);
        }
        Ok(Self(flags))
    }

    fn one(&self, name: &str) -> Option<String> {
        self.0.get(name)?.first()?.clone()
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.get(name).into_iter().flatten().flatten().cloned().collect()
    }

    fn is_set(&self, name: &str) -> Result<Option<bool>, Wrong> {
        let Some(value) = self.0.get(name).and_then(|values| values.first()) else { return Ok(None) };
        match value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Wrong::new(format!("`--{name}={other}` is neither `true` nor `false`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(source: &str) -> String {
        let mistakes = parse(source).expect_err("there is a mistake").0;
        let shown = |Mistake { lines, message, hint }| {
            let hint = hint.map(|hint: String| format!(" [{hint}]")).unwrap_or_default();
            format!("{}: {message}{hint}", lines.first)
        };
        mistakes.into_iter().map(shown).collect::<Vec<_>>().join("\n")
    }

    fn only(line: &str) -> Instruction {
        let mut parsed =
            parse(&format!("FROM a\n{line}\n")).unwrap_or_else(|error| panic!("{line}: {error:?}"));
        parsed.stages[0].instructions.remove(0).instruction
    }

    #[test]
    fn stages_and_what_comes_before_them_are_told_apart() {
        let source = "ARG A=1 B\nFROM --platform=$P x:$A as Build\nRUN make\nfrom build\nCOPY --from=0 a b\n";
        let Dockerfile { globals, stages, .. } = parse(source).unwrap();
        let names: Vec<_> = globals.iter().map(|(_, arg)| (&arg.name[..], arg.default.as_deref())).collect();
        assert_eq!(names, [("A", Some("1")), ("B", None)]);
        let shown: Vec<_> = stages
            .iter()
            .map(|stage| {
                (&stage.base[..], stage.name.as_deref(), stage.platform.as_deref(), stage.instructions.len())
            })
            .collect();
        assert_eq!(shown, [("x:$A", Some("build"), Some("$P"), 1), ("build", None, None, 1)]);
    }

    #[test]
    fn commands_are_arrays_or_texts() {
        let exec = |words: &[&str]| CommandForm::Exec(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(only(r#"CMD ["a", "b c"]"#), Instruction::Cmd(exec(&["a", "b c"])));
        assert_eq!(only("CMD ['a']"), Instruction::Cmd(CommandForm::Shell("['a']".to_owned())));
        assert_eq!(only("ENTRYPOINT a  b"), Instruction::Entrypoint(CommandForm::Shell("a  b".to_owned())));
    }

    #[test]
    fn names_with_values_are_written_in_two_ways() {
        let pair = |key: &str, value: &str| Pair { key: key.to_owned(), value: value.to_owned() };
        assert_eq!(only("ENV a=1 b='2 3'"), Instruction::Env(vec![pair("a", "1"), pair("b", "'2 3'")]));
        assert_eq!(only("ENV a  b = c "), Instruction::Env(vec![pair("a", "b = c")]));
        assert_eq!(only(r#"LABEL "a b"="c""#), Instruction::Label(vec![pair("\"a b\"", "\"c\"")]));
    }

    #[test]
    fn copies_have_flags_sources_and_documents() {
        let Instruction::Copy(CopyForm { files, from, parents }) = only(
            "COPY --from=x --chown=1:2 --chmod=755 --link --parents --exclude=a --exclude=b s <<-f t/\n\tone\n\tf",
        ) else {
            panic!("it is a copy");
        };
        assert_eq!((from.as_deref(), parents, files.link), (Some("x"), true, true));
        assert_eq!((files.chown.as_deref(), files.chmod.as_deref()), (Some("1:2"), Some("755")));
        assert_eq!(
            (files.exclude, files.sources, &files.destination[..]),
            (vec!["a".to_owned(), "b".to_owned()], vec!["s".to_owned()], "t/")
        );
        assert_eq!((&files.documents[0].name[..], files.documents[0].document()), ("f", "one\n".to_owned()));
    }

    #[test]
    fn probes_have_times() {
        let Instruction::Healthcheck(probe) =
            only("HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 CMD curl -f http://x")
        else {
            panic!("it is a probe");
        };
        assert_eq!((probe.interval, probe.timeout), (Duration::from_secs(90), Duration::from_millis(1500)));
        assert_eq!((probe.retries, probe.start_period), (3, Duration::ZERO));
        assert_eq!(probe.command, Some(CommandForm::Shell("curl -f http://x".to_owned())));
    }

    #[test]
    fn what_is_meant_for_later_keeps_its_text_and_documents() {
        assert_eq!(only("onbuild  RUN a \\\n b"), Instruction::Onbuild("RUN a  b".to_owned()));
        assert_eq!(only("ONBUILD COPY <<E /x\na\nE"), Instruction::Onbuild("COPY <<E /x\na\nE".to_owned()));
        let placed = parse_trigger("COPY <<E /x\na\nE", Lines::one(7)).unwrap();
        assert!(
            matches!(placed.instruction, Instruction::Copy(copy) if copy.files.documents[0].content == "a\n")
        );
        assert!(parse_trigger("FROM x", Lines::one(7)).unwrap_err().message.contains("cannot begin a stage"));
        assert!(parse_trigger("RUN a\nRUN b", Lines::one(7)).is_err());
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines_and_a_way_out() {
        insta::assert_snapshot!(mistakes(
            "# syntax=evil/frontend\nRUN x\nFROM a b\nRNU make\nCOPY a\nCOPY --form=x a b\nADD <<E E\nE\nENV a\nENV a=1 b\nSHELL bash\n\
             RUN --network=bridge x\nRUN --mount=type=cash,target=/x y\nHEALTHCHECK curl\nHEALTHCHECK --interval=5 CMD x\n\
             ONBUILD FROM x\nCMD [\"a\", 1]\nCOPY --link=maybe a b\nFROM x AS 9\nUSER\nVOLUME [\"\"]\nONBUILD RNU x\nADD --from=x a b\nCOPY --chown a b\n\
             EXPOSE\nMAINTAINER\nARG =x\nLABEL =x\nRUN --security=none x\nHEALTHCHECK --retries=-1 CMD x\nCOPY --from=a --from=b c d\n"
        ), @r#"
        1: `evil/frontend` explains another language than Dockerfile's [leave `# syntax=` out: no image is run to read this file]
        2: there is no stage yet [begin with `FROM IMAGE`, or `FROM scratch`]
        3: `FROM` takes an image or a stage [write `FROM IMAGE` or `FROM IMAGE AS NAME`]
        4: there is no instruction `RNU` [did you mean `RUN`?]
        5: `COPY` takes what is copied, and where it goes [write `COPY SOURCE DESTINATION`]
        6: `COPY` does not know `--form` [did you mean `--from`?]
        9: `ENV` has a name without a value [write `ENV a=VALUE`]
        10: `b` has no `=` [put values with blanks into quotes]
        11: `SHELL` takes an array of texts [write `SHELL ["/bin/bash", "-c"]`]
        12: there is no network `bridge` for a step [write `default`, `none` or `host`]
        13: there is no mount of the type `cash` [write `bind`, `cache`, `tmpfs`, `secret` or `ssh`]
        14: `HEALTHCHECK` takes `CMD` and a command, or `NONE` [write `HEALTHCHECK CMD curl`]
        15: `--interval=5` is no time [write a number and a unit: `500ms`, `30s`, `1m30s`]
        16: `FROM` cannot be an instruction for later
        17: the array holds something else than texts [put every word into double quotes]
        18: `--link=maybe` is neither `true` nor `false`
        19: `9` cannot be the name of a stage [names begin with a letter, and consist of letters, digits, `-`, `_` and `.`]
        20: `USER` takes a user
        21: the path of a volume is empty
        22: there is no instruction `RNU` [did you mean `RUN`?]
        23: `ADD` does not know `--from`
        24: `--chown` has no value [write `--chown=VALUE`]
        25: `EXPOSE` takes a port at least
        26: `MAINTAINER` takes a name
        27: `ARG` has a value without a name
        28: `LABEL` has a value without a name
        29: `--security` does not know `none` [write `sandbox` or `insecure`]
        30: `--retries=-1` is no number of attempts
        31: `--from` is there a second time
        "#);
        assert_eq!(
            mistakes(""),
            "1: the Dockerfile has no stage [begin with `FROM IMAGE`, or `FROM scratch`]"
        );
        assert_eq!(
            mistakes("ARG a\n"),
            "1: the Dockerfile has no stage [begin with `FROM IMAGE`, or `FROM scratch`]"
        );
    }

    #[test]
    fn the_usual_explanations_of_the_language_are_none_of_our_business() {
        for usual in [
            "docker/dockerfile:1",
            "docker/dockerfile",
            "docker.io/docker/dockerfile:1.7-labs",
            "docker/dockerfile-upstream@sha256:00",
        ] {
            assert!(parse(&format!("# syntax={usual}\nFROM a\n")).is_ok(), "{usual}");
        }
        assert!(parse("# syntax=docker/dockerfiles\nFROM a\n").is_err());
    }
}
