//! `doctor`: what is wrong with the machine, and what mends it.

use clap::Args;
use serde_json::Value;
use trice_api::call::Examine;
use trice_api::view::{FindingState, FindingView};

use crate::failure::{FAILED, Failure};
use crate::invocation::Invocation;
use crate::listing::{self, Format};
use crate::output;

/// What is typed after `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
    /// Only what is not as it should be
    #[arg(short, long)]
    quiet: bool,
}

/// Carries out `doctor`. It fails if something is broken.
pub(crate) async fn run(args: &DoctorArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let findings = invocation.engine()?.call(&Examine {}).await?;
    output::print(&render(args, &findings)?)?;
    let is_broken = findings.iter().any(|finding| finding.state == FindingState::Broken);
    Ok(if is_broken { FAILED } else { 0 })
}

fn render(args: &DoctorArgs, findings: &[FindingView]) -> Result<String, Failure> {
    let shown = || findings.iter().filter(|finding| !args.quiet || finding.state != FindingState::Fine);
    // Texts always have a JSON form.
    let values = || {
        let row = |finding: &FindingView| {
            serde_json::json!({
                "State": finding.state,
                "What": finding.what,
                "Remedy": finding.remedy.as_deref().unwrap_or_default(),
            })
        };
        shown().map(row).collect::<Vec<Value>>()
    };
    match &args.format {
        Format::Json => Ok(serde_json::to_string(&values()).unwrap_or_default() + "\n"),
        Format::Text(template) => listing::text(template, &values()),
        Format::TableOf(template) => {
            listing::table(template, &values(), &["State", "What", "Remedy"], str::to_uppercase)
        }
        Format::Table => Ok(shown().map(lines).collect()),
    }
}

/// Writes a finding, and below it what mends it, which may be long and is to be copied.
fn lines(finding: &FindingView) -> String {
    let state = match finding.state {
        FindingState::Fine => "fine",
        FindingState::Limited => "limited",
        FindingState::Broken => "broken",
    };
    let remedy = finding.remedy.as_ref().map(|remedy| format!("{:9}{remedy}\n", "")).unwrap_or_default();
    format!("{state:9}{}\n{remedy}", finding.what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};

    fn doctor(line: &str) -> String {
        let typed = ["trice", "doctor"].into_iter().chain(line.split_whitespace());
        let Some(Command::Doctor(args)) = parse(typed).unwrap().command else { panic!("not doctor") };
        let finding = |state, what: &str, remedy: Option<&str>| FindingView {
            state,
            what: what.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let findings = [
            finding(FindingState::Fine, "packets are forwarded", None),
            finding(FindingState::Limited, "the kernel has no ipvlan", Some("modprobe ipvlan")),
            finding(FindingState::Broken, "no resolver is known", None),
        ];
        render(&args, &findings).unwrap()
    }

    #[test]
    fn what_mends_it_stands_below_what_is_wrong() {
        insta::assert_snapshot!(doctor(""), @"
        fine     packets are forwarded
        limited  the kernel has no ipvlan
                 modprobe ipvlan
        broken   no resolver is known
        ");
        assert_eq!(doctor("-q").lines().count(), 3);
    }

    #[test]
    fn programs_get_an_array() {
        insta::assert_snapshot!(doctor("-q --format json"), @r#"[{"Remedy":"modprobe ipvlan","State":"limited","What":"the kernel has no ipvlan"},{"Remedy":"","State":"broken","What":"no resolver is known"}]"#);
    }
}
