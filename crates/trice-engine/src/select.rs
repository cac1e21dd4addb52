//! Which containers a client means.

use trice_api::call::Selection;
use trice_model::name::{ContainerName, ProjectName, ServiceName};

/// Whether `selection` means the container `name` of `service` in `project`.
pub(crate) fn selects(
    selection: &Selection,
    project: &ProjectName,
    service: &ServiceName,
    name: &ContainerName,
) -> bool {
    let Selection { project: wanted, services, names } = selection;
    wanted.as_ref().is_none_or(|wanted| wanted == project)
        && (services.is_empty() || services.contains(service))
        && (names.is_empty() || names.contains(name))
}
