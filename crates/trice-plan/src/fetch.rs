//! Which images must be fetched before anything else can be decided: an image says what its containers run.
//!
//! Nothing is made in the same plan: an image that cannot be had leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trice_model::image::PlatformImage;
use trice_model::name::ServiceName;
use trice_model::service::{PullPolicy, Service};
use trice_model::time::Timestamp;

use crate::action::Action;
use crate::found::Found;
use crate::lower::LowerError;
use crate::mistake::PlanError;
use crate::plan::Plan;

/// Returns a plan that fetches what is missing or too old of the images of `services`, or `None` if nothing is.
///
/// # Errors
/// All services whose images are not here and must not be fetched.
pub(crate) fn plan<'a>(
    services: impl Iterator<Item = (&'a ServiceName, &'a Service)>,
    found: &Found,
    asked_at: Timestamp,
) -> Result<Option<Plan>, Vec<PlanError>> {
    let mut wanted: BTreeMap<PlatformImage, (PullPolicy, &str)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut mounted: BTreeSet<PlatformImage> = BTreeSet::new();
    let mut errors = Vec::new();
    for (name, service) in services.filter(|(name, _)| seen.insert(*name)) {
        mounted.extend(service.mounted_images().cloned().map(PlatformImage::here));
        let image = service.own_image();
        let is_here = found.images.contains_key(&image);
        // What was fetched for this intent is not fetched again.
        let is_fetched = found.fetched.contains(&image);
        let policy = service.pull_policy;
        match policy {
            PullPolicy::Never | PullPolicy::Build if !is_here => {
                let word = if policy == PullPolicy::Build { "build" } else { "never" };
                let error = LowerError::ImageAbsent { image: image.to_string(), policy: word };
                errors.push(PlanError::new(format!("services.{name}.image"), error));
            }
            PullPolicy::Never | PullPolicy::Build => {}
            PullPolicy::Always if !is_here || !is_fetched => {
                wanted.insert(image, (policy, "pull_policy is always"));
            }
            PullPolicy::Missing | PullPolicy::Refresh(_) if !is_here => {
                wanted.entry(image).or_insert((policy, "not here yet"));
            }
            PullPolicy::Refresh(after) if !is_fetched && is_due(&image, found, after, asked_at) => {
                let cause = "not compared with its registry for too long";
                wanted.entry(image).or_insert((policy, cause));
            }
            PullPolicy::Missing | PullPolicy::Always | PullPolicy::Refresh(_) => {}
        }
    }
    for image in mounted.into_iter().filter(|image| !found.images.contains_key(image)) {
        wanted.entry(image).or_insert((PullPolicy::Missing, "not here yet"));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut plan = Plan::default();
    for (image, (policy, cause)) in wanted {
        plan.add(Action::FetchImage { image, policy }, cause, None);
    }
    Ok((!plan.steps.is_empty()).then_some(plan))
}

/// Tells whether an image has not been compared with its registry for longer than `after`.
fn is_due(image: &PlatformImage, found: &Found, after: Duration, asked_at: Timestamp) -> bool {
    found.compared.get(image).is_none_or(|then| asked_at.since(*then) > after)
}
