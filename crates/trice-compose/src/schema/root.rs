//! The top level of a Compose file.

use crate::schema::resource::{CONFIG, MODEL, NETWORK, SECRET, VOLUME};
use crate::schema::service::SERVICE;
use crate::schema::shape::Shape::{Keyed, List, Nullable, Object as Fields, Short, Text, Texts};
use crate::schema::shape::{Keys, Object, Output, Shape, Short as Form, attribute};

/// A Compose file.
pub(crate) static ROOT: Object = Object::new(&[
    attribute("version", &Text),
    attribute("name", &Text),
    attribute("include", &List(&Short(Form::Include, &Fields(&INCLUDE)))).shown(Output::Never),
    attribute("services", &SERVICES).shown(Output::Always),
    attribute("networks", &NETWORKS),
    attribute("volumes", &VOLUMES),
    attribute("secrets", &SECRETS),
    attribute("configs", &CONFIGS),
    attribute("models", &MODELS).shown(Output::Never).not_yet(),
]);

static INCLUDE: Object = Object::closed(&[
    attribute("path", &Texts),
    attribute("env_file", &Texts),
    attribute("project_directory", &Text),
]);

/// The mapping under `services`.
pub(crate) static SERVICES: Shape = Keyed { keys: Keys::Names, of: &Fields(&SERVICE) };
static NETWORKS: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&NETWORK)) };
static VOLUMES: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&VOLUME)) };
static SECRETS: Shape = Keyed { keys: Keys::Names, of: &Fields(&SECRET) };
static CONFIGS: Shape = Keyed { keys: Keys::Names, of: &Fields(&CONFIG) };
static MODELS: Shape = Keyed { keys: Keys::Names, of: &Fields(&MODEL) };
