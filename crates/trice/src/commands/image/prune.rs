//! `image prune`: images that nobody uses go. It asks before.

use clap::Args;
use trice_api::image::{PruneImages, RemovedView};
use trice_model::time::Timestamp;

use super::remove::lines;
use crate::clock;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::Filter;
use crate::moment::Moment;
use crate::output;
use crate::question;
use crate::words;

/// What is typed after `image prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// All images that no container uses, and not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Without asking
    #[arg(short, long)]
    force: bool,
    /// Only those with this property: `until=TIME`, `label=KEY[=VALUE]`, `label!=KEY[=VALUE]`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
}

/// Carries out `image prune`.
pub(crate) async fn run(args: &PruneArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let call = wanted(args.all, &args.filter, clock::now())?;
    let what = if args.all { "all images that no container uses" } else { "all images without a name" };
    if !args.force
        && !question::is_sure(&format!("Going to remove {what}")).map_err(Failure::surroundings("ask"))?
    {
        return Ok(0);
    }
    let removed = invocation.engine()?.call(&call).await?;
    output::print(&report(&removed))?;
    super::tell(removed.faults)
}

/// Returns which images go.
pub(in crate::commands) fn wanted(
    all: bool,
    filters: &[Filter],
    now: Timestamp,
) -> Result<PruneImages, Failure> {
    let mut call = PruneImages { named: all, ..PruneImages::default() };
    for Filter { key, value } in filters {
        let label = || match value.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (value.clone(), None),
        };
        match key.as_str() {
            "until" => {
                let until = value
                    .parse::<Moment>()
                    .map(|moment| moment.on(now))
                    .map_err(|error| Failure::usage(error.to_string()))?;
                call.before = Some(until);
            }
            "label" => call.labels.push(label()),
            "label!" => call.without_labels.push(label()),
            "dangling" => call.named = !(value == "true" || value == "1"),
            _ => {
                return Err(Failure::usage(format!(
                    "there is no filter `{key}`: use `until`, `label` or `label!`"
                )));
            }
        }
    }
    Ok(call)
}

/// Returns a line for each thing that has gone.
pub(in crate::commands) fn names(removed: &RemovedView) -> Vec<String> {
    let lower = |line: String| line.replacen("Untagged:", "untagged:", 1).replacen("Deleted:", "deleted:", 1);
    lines(removed).into_iter().map(lower).collect()
}

/// Says what has gone, as Docker does.
fn report(removed: &RemovedView) -> String {
    let mut text = String::new();
    let names = names(removed);
    if !names.is_empty() {
        text = format!("Deleted Images:\n{}\n\n", names.join("\n"));
    }
    text + &format!("Total reclaimed space: {}\n", words::size_with(removed.bytes, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_say_which_go_and_the_report_what_went() {
        let filter = |text: &str| text.parse::<Filter>().unwrap();
        let now = Timestamp(7_200_000_000_000);
        let call = wanted(true, &[filter("until=1h"), filter("label=a=b"), filter("label!=c")], now).unwrap();
        assert_eq!(call.before, Some(Timestamp(3_600_000_000_000)));
        assert_eq!(call.labels, [("a".to_owned(), Some("b".to_owned()))]);
        assert_eq!(call.without_labels, [("c".to_owned(), None)]);
        assert!(wanted(false, &[filter("reference=x")], now).is_err());
        let removed = RemovedView {
            untagged: vec!["app:1".to_owned()],
            deleted: vec!["sha256:7d".to_owned()],
            bytes: 2_065_228,
            ..RemovedView::default()
        };
        insta::assert_snapshot!(report(&removed), @"
        Deleted Images:
        untagged: app:1
        deleted: sha256:7d

        Total reclaimed space: 2.065MB
        ");
        assert_eq!(report(&RemovedView::default()), "Total reclaimed space: 0B\n");
    }
}
