//! `pull`: the images of a project's services, from their registries.
//!
//! Source: docker/compose `pkg/compose/pull.go`.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use trice_api::event::{ObjectKind, StepEvent, StepState};
use trice_api::fault::Fault;
use trice_api::image::{MissingImages, PullImages};
use trice_model::image::{ImageRef, PlatformImage};
use trice_model::name::ServiceName;
use trice_model::service::{PullPolicy, Service};

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::progress::Progress;
use crate::project::{Places, Wanted};
use crate::registries::{self, Use};
use crate::transfer::transfer;

/// What is typed after `pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// These services; none is all
    services: Vec<ServiceName>,
    /// Go on with the other images when one cannot be had, and end well
    #[arg(long)]
    ignore_pull_failures: bool,
    /// The images of what the services depend on too
    #[arg(long)]
    include_deps: bool,
    /// When images are fetched, whatever the files say
    #[arg(long, value_enum, value_name = "WHEN")]
    policy: Option<Policy>,
    /// Say nothing on the way
    #[arg(short, long)]
    quiet: bool,
    /// Not the images of services that build them
    #[arg(long)]
    ignore_buildable: bool,
    // They always are.
    #[arg(long, hide = true, conflicts_with = "no_parallel")]
    parallel: bool,
    #[arg(long, hide = true)]
    no_parallel: bool,
}

/// When images are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// When they are not here.
    Missing,
    /// Each time.
    Always,
}

/// Carries out `pull`.
pub(crate) async fn run(args: &PullArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let engine = invocation.engine()?;
    let wanted = invocation.load(&args.services)?;
    let Choice { mut images, skipped, buildable } = args.choice(&wanted);
    let is_missing = |images: BTreeSet<PlatformImage>| MissingImages { images: images.into_iter().collect() };
    if args.policy == Some(Policy::Missing) {
        images = engine.call(&is_missing(images)).await?.into_iter().collect();
    }
    if invocation.global.dry_run {
        let lines = images.iter().map(|image| format!("pull image {image}"));
        return crate::output::print_lines(lines).map(|()| 0);
    }
    let names = images.iter().filter_map(|image| match &image.image {
        ImageRef::Registry(name) => Some(name),
        _ => None,
    });
    let access = registries::access(invocation, names, Use::Read)?;
    let mut progress = if args.quiet { Progress::quiet() } else { invocation.progress("pull") };
    skipped.iter().for_each(|image| progress.step(&skip(&image.image)));
    let mut by_platform: BTreeMap<Option<String>, Vec<ImageRef>> = BTreeMap::new();
    for PlatformImage { image, platform } in images {
        by_platform.entry(platform).or_default().push(image);
    }
    let mut faults = Vec::new();
    for (platform, images) in by_platform {
        let call = PullImages { images, platform, access: access.clone() };
        faults.extend(transfer(&engine, call, &mut progress).await?.faults);
    }
    let can_be_built = |fault: &Fault| fault.image.as_deref().is_some_and(|image| buildable.contains(image));
    let is_warning = |fault: &Fault| args.ignore_pull_failures || can_be_built(fault);
    let (warnings, faults): (Vec<_>, Vec<_>) = faults.into_iter().partition(is_warning);
    warnings.iter().for_each(|fault| invocation.talk("warning", &fault.message));
    if warnings.iter().any(can_be_built) {
        invocation.talk("note", "`trice build` makes those images that services build");
    }
    if faults.is_empty() { Ok(0) } else { Err(Places::default().failure(faults)) }
}

/// Which images are fetched, and which are not because their services say so.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    images: BTreeSet<PlatformImage>,
    skipped: BTreeSet<PlatformImage>,
    /// Those that can be built where they cannot be had.
    buildable: BTreeSet<ImageRef>,
}

impl PullArgs {
    fn choice(&self, wanted: &Wanted) -> Choice {
        let (project, places) = (&wanted.project, &wanted.places);
        let is_named = |name: &ServiceName| self.services.is_empty() || self.services.contains(name);
        let is_meant = |(name, _): &(&ServiceName, &Service)| self.include_deps || is_named(name);
        let mut choice = Choice::default();
        for (name, service) in project.services.iter().filter(is_meant) {
            let is_built = places.is_built(name);
            let mounted = service.mounted_images().filter(|image| !is_folder(image)).cloned();
            choice.images.extend(mounted.map(PlatformImage::here));
            match (service.own_image(), service.pull_policy) {
                (image, _) if is_folder(&image.image) => {}
                (image, PullPolicy::Never | PullPolicy::Build) => drop(choice.skipped.insert(image)),
                // What has no name but that of its build is nowhere else.
                (image, _) if is_built && (self.ignore_buildable || !places.names_image(name)) => {
                    choice.skipped.insert(image);
                }
                (image, PullPolicy::Missing | PullPolicy::Always | PullPolicy::Refresh(_)) => {
                    choice.buildable.extend(is_built.then(|| image.image.clone()));
                    choice.images.insert(image);
                }
            }
        }
        // One that another service wants is fetched.
        choice.skipped.retain(|image| !choice.images.contains(image));
        choice
    }
}

/// Tells whether an image is a folder, which is always here.
fn is_folder(image: &ImageRef) -> bool {
    matches!(image, ImageRef::Rootfs { .. })
}

fn skip(image: &ImageRef) -> StepEvent {
    StepEvent {
        object: ObjectKind::Image,
        name: image.to_string(),
        doing: "Skipping".to_owned(),
        done: "Skipped".to_owned(),
        state: StepState::Done,
        detail: None,
        amount: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};

    const SHOP: &str = "
name: shop
services:
  web: { image: 'shop:1', depends_on: [db] }
  db: { image: 'pg:16' }
  own: { image: 'own:1', pull_policy: never }
  made: { image: 'made:1', pull_policy: build }
  tool: { image: 'rootfs:/' }
  other: { image: 'own:1' }
";

    fn choice(line: &str, text: &str) -> String {
        let typed = ["trice", "pull"].into_iter().chain(line.split_whitespace());
        let Some(Command::Pull(args)) = parse(typed).unwrap().command else { panic!("not pull") };
        let request = trice_compose::request::Request {
            files: vec!["-".to_owned()],
            stdin: text.into(),
            current_dir: "/".into(),
            ..trice_compose::request::Request::default()
        };
        let wanted = trice_compose::load::load(&request, &crate::disk::Disk).unwrap().try_into().unwrap();
        let choice = args.choice(&wanted);
        let names = |images: BTreeSet<PlatformImage>| {
            images.iter().map(|image| format!("{image} ")).collect::<String>()
        };
        format!("{}| {}", names(choice.images), names(choice.skipped)).trim_end().to_owned()
    }

    #[test]
    fn images_are_fetched_once_and_not_those_that_must_not_be() {
        assert_eq!(choice("", SHOP), "own:1 pg:16 shop:1 | made:1");
        assert_eq!(choice("web", SHOP), "shop:1 |");
        let both =
            "name: x\nservices: { own: { image: 'a:1' }, other: { image: 'a:1', platform: linux/arm64 } }";
        assert_eq!(choice("", both), "a:1 a:1 for linux/arm64 |");
        assert_eq!(choice("own made", SHOP), "| made:1 own:1");
        let built = "name: x\nservices: { own: { build: . }, both: { build: ., image: 'b:1' } }";
        assert_eq!(choice("", built), "b:1 | x-own:latest");
        assert_eq!(choice("--ignore-buildable", built), "| b:1 x-own:latest");
        assert_eq!(choice("--include-deps web", "name: x\nservices: { web: { image: a } }"), "a:latest |");
    }
}
