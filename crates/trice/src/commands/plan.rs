//! `plan`: what `up` would do, and why.

use clap::{Args, ValueEnum};
use trice_model::intent::{Intent, UpOptions};
use trice_model::name::ServiceName;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::operation;
use crate::output;

/// The code of a plan that has something to do, where that is asked for.
const CHANGES: u8 = 2;

/// What is typed after `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// These services and what they depend on
    services: Vec<ServiceName>,
    /// Containers of services that are not in the files would go too
    #[arg(long)]
    remove_orphans: bool,
    /// As text or as JSON
    #[arg(long, value_enum, default_value_t)]
    format: PlanFormat,
    /// End with 2 if there is anything to do
    #[arg(long)]
    detailed_exitcode: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum PlanFormat {
    #[default]
    Text,
    Json,
}

/// Carries out `plan`.
pub(crate) async fn run(args: &PlanArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let wanted = invocation.load(&args.services)?;
    let options = UpOptions {
        services: args.services.iter().cloned().collect(),
        remove_orphans: args.remove_orphans,
        ..UpOptions::default()
    };
    let intent = Intent::Up { project: Box::new(wanted.project), options };
    let plan = operation::plan(&engine, intent, &wanted.places).await?;
    match args.format {
        PlanFormat::Text => output::print(&plan.text)?,
        PlanFormat::Json => output::print(&format!("{:#}", plan.json))?,
    }
    Ok(if args.detailed_exitcode && !plan.empty { CHANGES } else { 0 })
}
