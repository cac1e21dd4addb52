//! `push`: the images of a project's services, to their registries.
//!
//! Source: docker/compose `pkg/compose/push.go`.

use std::collections::BTreeSet;

use clap::Args;
use trice_api::image::PushImages;
use trice_model::image::{ImageRef, RegistryRef};
use trice_model::name::ServiceName;
use trice_model::project::Project;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::progress::Progress;
use crate::project::{Places, Wanted};
use crate::registries::{self, Use};
use crate::transfer::transfer;

/// What is typed after `push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// These services; none is all
    services: Vec<ServiceName>,
    /// Go on with the other images when one cannot be sent, and end well
    #[arg(long)]
    ignore_push_failures: bool,
    /// The images of what the services depend on too
    #[arg(long)]
    include_deps: bool,
    /// Say nothing on the way
    #[arg(short, long)]
    quiet: bool,
}

/// Carries out `push`.
pub(crate) async fn run(args: &PushArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let wanted = invocation.load(&args.services)?;
    let images = args.choice(&wanted);
    if invocation.global.dry_run {
        return output::print_lines(images.iter().map(|image| format!("push image {image}"))).map(|()| 0);
    }
    let access = registries::access(invocation, &images, Use::Write)?;
    let mut progress = if args.quiet { Progress::quiet() } else { invocation.progress("push") };
    let call = PushImages { images: images.into_iter().collect(), platform: None, access };
    let transferred = transfer(&invocation.engine()?, call, &mut progress).await?;
    match transferred.faults {
        faults if faults.is_empty() => Ok(0),
        faults if args.ignore_push_failures => {
            faults.iter().for_each(|fault| invocation.talk("warning", &fault.message));
            Ok(0)
        }
        faults => Err(Places::default().failure(faults)),
    }
}

impl PushArgs {
    /// Returns the images of the services that are meant.
    fn choice(&self, wanted: &Wanted) -> BTreeSet<RegistryRef> {
        let Project { services, .. } = &wanted.project;
        let is_named = |name: &ServiceName| self.services.is_empty() || self.services.contains(name);
        let meant = services.iter().filter(|(name, _)| self.include_deps || is_named(name));
        let made = meant.filter(|(name, _)| wanted.places.is_built(name));
        made.filter_map(|(_, service)| match &service.image {
            ImageRef::Registry(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
    }
}
