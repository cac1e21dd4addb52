//! Which images must be fetched before anything else can be decided: an image says what its containers run.
//!
//! Nothing is made in the same plan: an image that cannot be had leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};

use trice_model::image::ImageRef;
use trice_model::name::ServiceName;
use trice_model::service::{PullPolicy, Service};

use crate::action::Action;
use crate::found::Found;
use crate::lower::LowerError;
use crate::mistake::PlanError;
use crate::plan::Plan;

/// Returns a plan that fetches what is missing of the images of `services`, or `None` if nothing is.
///
/// # Errors
/// All services whose images are not here and must not be fetched.
pub(crate) fn plan<'a>(
    services: impl Iterator<Item = (&'a ServiceName, &'a Service)>,
    found: &Found,
) -> Result<Option<Plan>, Vec<PlanError>> {
    let mut wanted: BTreeMap<&ImageRef, (PullPolicy, &str)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut errors = Vec::new();
    for (name, service) in services.filter(|(name, _)| seen.insert(*name)) {
        let is_here = found.images.contains_key(&service.image);
        match service.pull_policy {
            PullPolicy::Missing if !is_here => {
                wanted.entry(&service.image).or_insert((PullPolicy::Missing, "not here yet"));
            }
            PullPolicy::Always if !found.fetched.contains(&service.image) => {
                wanted.insert(&service.image, (PullPolicy::Always, "pull_policy is always"));
            }
            PullPolicy::Never if !is_here => {
                let error = LowerError::ImageAbsent { image: service.image.to_string() };
                errors.push(PlanError::new(format!("services.{name}.image"), error));
            }
            PullPolicy::Missing | PullPolicy::Always | PullPolicy::Never => {}
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut plan = Plan::default();
    for (image, (policy, cause)) in wanted {
        plan.add(Action::FetchImage { image: image.clone(), policy }, cause, None);
    }
    Ok((!plan.steps.is_empty()).then_some(plan))
}
