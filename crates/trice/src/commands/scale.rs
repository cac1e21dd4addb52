//! `scale`: another number of containers for these services.

use clap::Args;
use trice_model::intent::{Intent, UpOptions};
use trice_model::name::ServiceName;

use crate::arguments::scale;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::registries;

/// What is typed after `scale`.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The services, and how many containers of each
    #[arg(required = true, value_name = "SERVICE=NUMBER", value_parser = scale)]
    numbers: Vec<(ServiceName, u32)>,
    /// Nothing is done about what they depend on
    #[arg(long)]
    no_deps: bool,
}

/// Carries out `scale`.
pub(crate) async fn run(args: &ScaleArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let options = args.options();
    let services: Vec<ServiceName> = options.services.iter().cloned().collect();
    let wanted = invocation.load(&services)?;
    let access = registries::access_for(&wanted.project, &engine, invocation).await?;
    let engine = engine.with_access(access);
    let intent = Intent::Up { project: Box::new(wanted.project), options };
    invocation.operate("scale", &engine, intent, &wanted.places).await
}

impl ScaleArgs {
    fn options(&self) -> UpOptions {
        UpOptions {
            services: self.numbers.iter().map(|(service, _)| service.clone()).collect(),
            scale: self.numbers.iter().cloned().collect(),
            no_deps: self.no_deps,
            ..UpOptions::default()
        }
    }
}
