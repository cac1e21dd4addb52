//! The top level of a Compose file.

use crate::schema::resource::{CONFIG, MODEL, NETWORK, SECRET, VOLUME};
use crate::schema::service::SERVICE;
use crate::schema::shape::Shape::{Keyed, List, Nullable, Object as Fields, Short, Text, Texts};
use crate::schema::shape::{Keys, Object, Output, Shape, Short as Form, Unique, attribute};

/// A Compose file.
pub(crate) static ROOT: Object = Object::new(&[
    attribute("version", &Text, "Out of use; it says nothing."),
    attribute("name", &Text, "The project's name, unless `-p` or `COMPOSE_PROJECT_NAME` gives one."),
    attribute(
        "include",
        &List(&Short(Form::Include, &Fields(&INCLUDE))),
        "Other Compose models, whose resources become this one's.",
    )
    .shown(Output::Never),
    attribute("services", &SERVICES, "The services by name.").shown(Output::Always),
    attribute("networks", &NETWORKS, "The networks by key."),
    attribute("volumes", &VOLUMES, "The named volumes by key."),
    attribute("secrets", &SECRETS, "Files with content that nobody else should see, by key."),
    attribute("configs", &CONFIGS, "Files with content, by key."),
    // That they cannot be had yet is told where a service uses one.
    attribute("models", &MODELS, "AI models by key.").shown(Output::Never).elsewhere(),
]);

static INCLUDE: Object = Object::closed(&[
    attribute("path", &Texts, "The model's file; of several, the later are merged over the first.")
        .unique(Unique::Refused),
    attribute("env_file", &Texts, "Files with variables that the model is read under.")
        .unique(Unique::Refused),
    attribute("project_directory", &Text, "The folder that the model's relative paths count from."),
]);

/// The mapping under `services`.
pub(crate) static SERVICES: Shape = Keyed { keys: Keys::Names, of: &Fields(&SERVICE) };
static NETWORKS: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&NETWORK)) };
static VOLUMES: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&VOLUME)) };
static SECRETS: Shape = Keyed { keys: Keys::Names, of: &Fields(&SECRET) };
static CONFIGS: Shape = Keyed { keys: Keys::Names, of: &Fields(&CONFIG) };
static MODELS: Shape = Keyed { keys: Keys::Names, of: &Fields(&MODEL) };
