//! `builder prune`: layers and folders that builds may use again go, the oldest first. It asks before.
//!
//! Source: docker/cli `cli/command/builder/prune.go`.

use clap::Args;
use trice_api::system::PruneBuilds;
use trice_model::time::Timestamp;
use trice_model::units::Bytes;

use crate::clock;
use crate::directories;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::Filter;
use crate::moment::Moment;
use crate::output;
use crate::question;
use crate::words;

/// What is typed after `builder prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    // What an image has costs nothing, and stays in any case.
    #[arg(short, long, hide = true)]
    all: bool,
    /// Without asking
    #[arg(short, long)]
    force: bool,
    /// So much may stay: what was used last goes last
    #[arg(long, alias = "keep-storage", alias = "max-used-space", value_name = "SIZE")]
    keep: Option<Bytes>,
    /// Only what was not used since then: `until=TIME`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
}

/// Carries out `builder prune`.
pub(crate) async fn run(args: &PruneArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let call = args.wanted(clock::now())?;
    if !directories::are_used(&invocation.directories()?) {
        return output::print("Total:\t0B\n").map(|()| 0);
    }
    let question = "Going to remove what builds may use again and no image has";
    if !args.force && !question::is_sure(question).map_err(Failure::surroundings("ask"))? {
        return Ok(0);
    }
    let gone = invocation.engine()?.call(&call).await?;
    output::print(&format!("Total:\t{}\n", words::size_with(gone.bytes, 4)))?;
    Ok(0)
}

impl PruneArgs {
    fn wanted(&self, now: Timestamp) -> Result<PruneBuilds, Failure> {
        let mut call = PruneBuilds { keep: self.keep.map_or(0, |keep| keep.0), before: None };
        for Filter { key, value } in &self.filter {
            if key != "until" && key != "unused-for" {
                return Err(Failure::usage(format!("there is no filter `{key}`: use `until`")));
            }
            let moment: Moment = value
                .parse()
                .map_err(|error: crate::moment::MomentError| Failure::usage(error.to_string()))?;
            call.before = Some(moment.on(now));
        }
        Ok(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};
    use crate::commands::builder::BuilderCommand;

    fn wanted(line: &str) -> Result<PruneBuilds, Failure> {
        let typed = ["trice", "builder", "prune"].into_iter().chain(line.split_whitespace());
        let Some(Command::Builder(BuilderCommand::Prune(args))) = parse(typed).unwrap().command else {
            panic!("not builder prune")
        };
        args.wanted(Timestamp(7_200_000_000_000))
    }

    #[test]
    fn flags_say_how_much_may_stay_and_since_when() {
        assert_eq!(wanted("-a -f").unwrap(), PruneBuilds::default());
        assert_eq!(wanted("--keep-storage 2kb").unwrap().keep, 2048);
        assert_eq!(wanted("--filter until=1h").unwrap().before, Some(Timestamp(3_600_000_000_000)));
        assert!(wanted("--filter label=x").is_err());
    }
}
