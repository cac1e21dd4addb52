//! The labels of Compose, by which outside tools recognise what belongs to a project.
//!
//! Source: docker/compose `pkg/api/labels.go`.

use std::collections::BTreeMap;

use trice_model::container::Role;
use trice_model::name::{Key, ProjectName, ServiceName};
use trice_model::project::Project;
use trice_model::service::{Condition, Dependency};

use crate::realm::Realm;

const PREFIX: &str = "com.docker.compose.";

/// Labels by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// Returns the labels that people gave: Compose's own follow from other things.
pub(crate) fn given(labels: &Labels) -> Labels {
    let ours = |name: &str| name.starts_with(PREFIX);
    labels.iter().filter(|(name, _)| !ours(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns `labels` with those of a project's network.
pub(crate) fn of_network(labels: &Labels, project: &ProjectName, key: &Key, realm: &Realm) -> Labels {
    with(labels, of_object(project, realm).into_iter().chain([("network", key.to_string())]))
}

/// Returns `labels` with those of a project's volume.
pub(crate) fn of_volume(labels: &Labels, project: &ProjectName, key: &Key, realm: &Realm) -> Labels {
    with(labels, of_object(project, realm).into_iter().chain([("volume", key.to_string())]))
}

/// Returns the labels of a volume that nobody named.
pub(crate) fn of_anonymous_volume(project: &ProjectName, realm: &Realm) -> Labels {
    let mut labels = with(&Labels::new(), of_object(project, realm));
    labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
    labels
}

/// Tells whether a volume that nobody named was made for `project`.
pub(crate) fn is_of_project(labels: &Labels, project: &ProjectName) -> bool {
    labels.get(&format!("{PREFIX}project")).is_some_and(|name| name == project.as_str())
}

/// What a container's labels tell of it.
#[derive(Debug)]
pub(crate) struct ContainerFacts<'a> {
    /// Its project.
    pub(crate) project: &'a Project,
    /// Its service.
    pub(crate) service: &'a ServiceName,
    /// What it is to the service.
    pub(crate) role: &'a Role,
    /// Its image's id.
    pub(crate) image_id: &'a str,
    /// What it waits for.
    pub(crate) depends_on: &'a BTreeMap<ServiceName, Dependency>,
    /// The digest of its attributes.
    pub(crate) config_hash: &'a str,
}

/// Returns `labels` with those of a project's container.
pub(crate) fn of_container(labels: &Labels, facts: &ContainerFacts<'_>, realm: &Realm) -> Labels {
    let files: Vec<String> = facts.project.files.iter().map(|file| file.display().to_string()).collect();
    let (number, one_off, slug) = match facts.role {
        Role::Replica(number) => (*number, "False", None),
        // A one-off counts as the first: that is what other tools look for.
        Role::OneOff(slug) => (1, "True", Some(slug.clone())),
    };
    let own = [
        ("service", facts.service.to_string()),
        ("container-number", number.to_string()),
        ("oneoff", one_off.to_owned()),
        ("config-hash", facts.config_hash.to_owned()),
        ("image", facts.image_id.to_owned()),
        ("depends_on", depends_on(facts.depends_on)),
        ("project.working_dir", facts.project.working_dir.display().to_string()),
        ("project.config_files", files.join(",")),
    ];
    let own = own.into_iter().chain(slug.map(|slug| ("slug", slug)));
    with(labels, of_object(&facts.project.name, realm).into_iter().chain(own))
}

fn of_object(project: &ProjectName, realm: &Realm) -> [(&'static str, String); 2] {
    [("project", project.to_string()), ("version", realm.engine_version().to_owned())]
}

fn with(labels: &Labels, own: impl IntoIterator<Item = (&'static str, String)>) -> Labels {
    let own = own.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value));
    labels.iter().map(|(name, value)| (name.clone(), value.clone())).chain(own).collect()
}

/// Writes `db:service_healthy:false,cache:service_started:true`.
fn depends_on(dependencies: &BTreeMap<ServiceName, Dependency>) -> String {
    let entry = |(service, dependency): (&ServiceName, &Dependency)| {
        let condition = match dependency.condition {
            Condition::ServiceStarted => "service_started",
            Condition::ServiceHealthy => "service_healthy",
            Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
        };
        format!("{service}:{condition}:{}", dependency.restart)
    };
    dependencies.iter().map(entry).collect::<Vec<_>>().join(",")
}
