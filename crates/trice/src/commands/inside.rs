//! What the commands about the files of containers share: which container is meant, running or not.

use trice_api::fault::Code;
use trice_api::view::ContainerView;
use trice_model::container::Role;
use trice_model::name::ServiceName;

use crate::failure::Failure;

/// Returns the containers of a service, the first replica first; one-offs too if `one_offs`.
pub(super) fn all<'a>(
    containers: &'a [ContainerView],
    service: &ServiceName,
    one_offs: bool,
) -> Result<Vec<&'a ContainerView>, Failure> {
    let is_meant = |container: &&ContainerView| {
        container.service == *service && (one_offs || container.role.is_replica())
    };
    let mut all: Vec<_> = containers.iter().filter(is_meant).collect();
    all.sort_by(|one, other| one.role.cmp(&other.role));
    if all.is_empty() {
        return Err(none(service, None));
    }
    Ok(all)
}

/// Returns the container of a service that has the number, or the first.
pub(super) fn choose<'a>(
    containers: &'a [ContainerView],
    service: &ServiceName,
    index: Option<u32>,
) -> Result<&'a ContainerView, Failure> {
    let is_it = |container: &&ContainerView| index.is_none_or(|index| container.role == Role::Replica(index));
    all(containers, service, false)?.into_iter().find(is_it).ok_or_else(|| none(service, index))
}

fn none(service: &ServiceName, index: Option<u32>) -> Failure {
    let with = index.map(|index| format!(" with index {index}")).unwrap_or_default();
    Failure::fault(Code::NotFound, format!("there is no container of service `{service}`{with}"))
}
