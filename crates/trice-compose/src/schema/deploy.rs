//! Replicas, limits and roll-out: `deploy`.

use crate::schema::shape::Shape::{
    Bytes, Duration, List, Number, Object as Fields, OneOf, Pairs, Short, Text,
};
use crate::schema::shape::{INTEGER, Object, Output, Short as Form, TEXT_SET, Unset, attribute};

/// `deploy`.
pub(crate) static DEPLOY: Object = Object::new(&[
    attribute("mode", &Text).swarm(),
    attribute("replicas", &INTEGER).shown(Output::Said),
    attribute("labels", &Pairs(Unset::Empty)).swarm(),
    attribute("update_config", &Fields(&UPDATE)).shown(Output::Said).swarm(),
    attribute("rollback_config", &Fields(&UPDATE)).shown(Output::Said).swarm(),
    attribute("resources", &Fields(&RESOURCES)).shown(Output::Always),
    attribute("restart_policy", &Fields(&RESTART)).shown(Output::Said),
    attribute("placement", &Fields(&PLACEMENT)).shown(Output::Always).swarm(),
    attribute("endpoint_mode", &Text).swarm(),
]);

static UPDATE: Object = Object::new(&[
    attribute("parallelism", &INTEGER).shown(Output::Said),
    attribute("delay", &Duration),
    attribute("failure_action", &Text),
    attribute("monitor", &Duration),
    attribute("max_failure_ratio", &Number),
    attribute("order", &OneOf(&["start-first", "stop-first"])),
]);

static RESTART: Object = Object::new(&[
    attribute("condition", &Text),
    attribute("delay", &Duration).shown(Output::Said).swarm(),
    attribute("max_attempts", &INTEGER).shown(Output::Said),
    attribute("window", &Duration).shown(Output::Said).swarm(),
]);

static PLACEMENT: Object = Object::new(&[
    attribute("constraints", &List(&Text)),
    attribute("preferences", &List(&Fields(&PREFERENCE))),
    attribute("max_replicas_per_node", &INTEGER),
]);

static PREFERENCE: Object = Object::new(&[attribute("spread", &Text)]);

static RESOURCES: Object = Object::new(&[
    attribute("limits", &Fields(&LIMITS)).shown(Output::Said),
    attribute("reservations", &Fields(&RESERVATIONS)).shown(Output::Said),
]);

static LIMITS: Object =
    Object::new(&[attribute("cpus", &Number), attribute("memory", &Bytes), attribute("pids", &INTEGER)]);

static RESERVATIONS: Object = Object::new(&[
    attribute("cpus", &Number).swarm(),
    attribute("memory", &Bytes),
    attribute("devices", &List(&Fields(&RESERVED_DEVICE))).not_yet(),
    attribute("generic_resources", &List(&Fields(&GENERIC_RESOURCE))).swarm(),
]);

static GENERIC_RESOURCE: Object =
    Object::new(&[attribute("discrete_resource_spec", &Fields(&DISCRETE_RESOURCE)).shown(Output::Said)]);

static DISCRETE_RESOURCE: Object = Object::new(&[
    attribute("kind", &Text).shown(Output::Always),
    attribute("value", &INTEGER).shown(Output::Always),
]);

/// A device of `gpus`.
pub(crate) static DEVICE_REQUEST: Object = Object::new(&[
    attribute("capabilities", &TEXT_SET),
    attribute("driver", &Text),
    attribute("count", &Short(Form::Count, &INTEGER)),
    attribute("device_ids", &TEXT_SET),
    attribute("options", &Pairs(Unset::Empty)),
]);

/// A device of `deploy.resources.reservations`, which must say its capabilities.
static RESERVED_DEVICE: Object = Object::new(&[
    attribute("capabilities", &TEXT_SET).required(),
    attribute("driver", &Text),
    attribute("count", &Short(Form::Count, &INTEGER)),
    attribute("device_ids", &TEXT_SET),
    attribute("options", &Pairs(Unset::Empty)),
]);
