//! What Docker Compose understands and trice does not honour yet: refused by its name, never ignored.
//!
//! A script that meets a command or a flag of this list learns what is missing, and not that it mistyped.
//!
//! Source: Docker Compose 2.40, `docs/reference/`.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Commands.
const COMMANDS: [&str; 9] =
    ["alpha", "attach", "bridge", "publish", "stats", "top", "volumes", "watch", "viz"];

/// Flags: the command, or nothing for all of them, and how the flag is written; `=` says that it takes a
/// value.
const FLAGS: [(&str, &str); 22] = [
    ("", "--parallel="),
    ("", "--compatibility"),
    ("", "--insecure-registry="),
    ("", "--verbose"),
    ("build", "-m --memory="),
    ("build", "--builder="),
    ("build", "--check"),
    ("build", "--print"),
    ("up", "--always-recreate-deps"),
    ("up", "--menu="),
    ("up", "-w --watch"),
    ("create", "--always-recreate-deps"),
    ("events", "--since="),
    ("events", "--until="),
    ("kill", "--remove-orphans"),
    ("run", "-v --volume="),
    ("run", "--env-from-file="),
    ("run", "--cap-add="),
    ("run", "--cap-drop="),
    ("run", "--remove-orphans"),
    ("config", "--resolve-image-digests"),
    ("config", "--lock-image-digests"),
];

/// Makes clap know them, out of sight.
pub(crate) fn declare(command: Command) -> Command {
    let command = COMMANDS.iter().fold(command, |command, name| {
        let rest = Arg::new("rest").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
        command.subcommand(Command::new(*name).hide(true).disable_help_flag(true).arg(rest))
    });
    FLAGS.iter().fold(command, |command, (owner, written)| match *owner {
        "" => command.arg(argument(written)),
        owner => command.mut_subcommand(owner, |command| command.arg(argument(written))),
    })
}

fn argument(written: &'static str) -> Arg {
    let takes_value = written.ends_with('=');
    let action = if takes_value { ArgAction::Append } else { ArgAction::SetTrue };
    let names = written.trim_end_matches('=').split(' ');
    names.fold(Arg::new(written).action(action).hide(true), |argument, name| match name.strip_prefix("--") {
        Some(long) => argument.long(long),
        None => argument.short(name.chars().nth(1).unwrap_or_default()),
    })
}

/// Refuses what was typed of them.
pub(crate) fn refuse(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let mut refused = |what: String| {
        let text = format!("{what} is known to Docker Compose, but trice does not honour it yet");
        Err(command.error(ErrorKind::InvalidSubcommand, text))
    };
    let subcommand = matches.subcommand();
    if let Some((name, _)) = subcommand.filter(|(name, _)| COMMANDS.contains(name)) {
        return refused(format!("`{name}`"));
    }
    for (owner, written) in FLAGS {
        let matches = match subcommand {
            _ if owner.is_empty() => matches,
            Some((name, matches)) if name == owner => matches,
            Some(_) | None => continue,
        };
        if matches.value_source(written) == Some(ValueSource::CommandLine) {
            let flag = written.trim_end_matches('=').rsplit(' ').next().unwrap_or(written);
            return refused(format!("`{flag}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    fn refusal(line: &str) -> String {
        let typed = std::iter::once("trice").chain(line.split_whitespace());
        let error = crate::arguments::parse(typed).err().map(|error| error.to_string()).unwrap_or_default();
        error.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn no_flag_is_both_honoured_and_refused() {
        // Clap checks names and values that way.
        super::declare(<crate::arguments::Arguments as clap::CommandFactory>::command()).debug_assert();
    }

    #[test]
    fn what_compose_knows_and_trice_does_not_yet_is_refused_by_name() {
        let text = |what: &str| {
            format!("error: `{what}` is known to Docker Compose, but trice does not honour it yet")
        };
        assert_eq!(refusal("top web"), text("top"));
        assert_eq!(refusal("up --watch"), text("--watch"));
        assert_eq!(refusal("up -w"), text("--watch"));
        assert_eq!(refusal("events --since 1h"), text("--since"));
        assert_eq!(refusal("--parallel 3 up"), text("--parallel"));
        assert_eq!(refusal("run -v a:b web"), text("--volume"));
        assert_eq!(refusal("up -d"), "");
        assert_eq!(refusal("run web sh -v"), "");
    }
}
