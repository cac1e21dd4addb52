//! Replicas, limits and roll-out: `deploy`.

use crate::schema::shape::Shape::{Duration, List, Number, Object as Fields, OneOf, Pairs, Short, Text};
use crate::schema::shape::{
    COUNT, CUT, INTEGER, Object, Output, Short as Form, TEXT_BYTES, TEXT_SET, Unique, Unset, attribute,
};

/// `deploy`.
pub(crate) static DEPLOY: Object = Object::new(&[
    attribute("mode", &Text, "Replicated or global, in Swarm.").swarm(),
    attribute("replicas", &INTEGER, "How many containers.").shown(Output::Said),
    attribute("labels", &Pairs(Unset::Empty), "Labels of the service in Swarm.").unique(Unique::Text).swarm(),
    attribute("update_config", &Fields(&UPDATE), "How an update goes on.").shown(Output::Said).swarm(),
    attribute("rollback_config", &Fields(&UPDATE), "How the way back goes on.").shown(Output::Said).swarm(),
    attribute("resources", &Fields(&RESOURCES), "Limits and reservations.").shown(Output::Always),
    attribute(
        "restart_policy",
        &Fields(&RESTART),
        "What happens after a process has ended; it comes before `restart`.",
    )
    .shown(Output::Said),
    attribute("placement", &Fields(&PLACEMENT), "The nodes of a Swarm that it may run on.")
        .shown(Output::Always)
        .swarm(),
    attribute("endpoint_mode", &Text, "How its name is answered in Swarm.").swarm(),
]);

static UPDATE: Object = Object::new(&[
    attribute("parallelism", &COUNT, "How many containers at a time.").shown(Output::Said),
    attribute("delay", &Duration, "The time between them."),
    attribute("failure_action", &Text, "What is done after a failure."),
    attribute("monitor", &Duration, "How long each one is watched."),
    attribute("max_failure_ratio", &Number, "The share of failures that is borne."),
    attribute(
        "order",
        &OneOf(&["start-first", "stop-first"]),
        "Whether the new one starts before the old one stops.",
    ),
]);

static RESTART: Object = Object::new(&[
    attribute("condition", &Text, "After which end it is started again."),
    attribute("delay", &Duration, "The time before each start.").shown(Output::Said).swarm(),
    attribute("max_attempts", &COUNT, "How often at most.").shown(Output::Said),
    attribute("window", &Duration, "The time after which a start has succeeded.").shown(Output::Said).swarm(),
]);

static PLACEMENT: Object = Object::new(&[
    attribute("constraints", &List(&Text), "What a node must be."),
    attribute("preferences", &List(&Fields(&PREFERENCE)), "How containers are spread."),
    attribute("max_replicas_per_node", &COUNT, "How many containers a node may have."),
]);

static PREFERENCE: Object =
    Object::new(&[attribute("spread", &Text, "The label that containers are spread over.")]);

static RESOURCES: Object = Object::new(&[
    attribute("limits", &Fields(&LIMITS), "The most that it may use.").shown(Output::Said),
    attribute("reservations", &Fields(&RESERVATIONS), "What it needs at least.").shown(Output::Said),
]);

static LIMITS: Object = Object::new(&[
    attribute("cpus", &Number, "The most processors, also a fraction."),
    attribute("memory", &TEXT_BYTES, "The most memory."),
    attribute("pids", &INTEGER, "The most processes and threads."),
]);

static RESERVATIONS: Object = Object::new(&[
    attribute("cpus", &Number, "The processors that it needs.").swarm(),
    attribute("memory", &TEXT_BYTES, "Memory that it keeps when memory is short."),
    attribute("devices", &List(&Fields(&RESERVED_DEVICE)), "Devices that it needs.").not_yet(),
    attribute(
        "generic_resources",
        &List(&Fields(&GENERIC_RESOURCE)),
        "Other resources that it needs, in Swarm.",
    )
    .swarm(),
]);

static GENERIC_RESOURCE: Object = Object::new(&[attribute(
    "discrete_resource_spec",
    &Fields(&DISCRETE_RESOURCE),
    "One resource that is counted.",
)
.shown(Output::Said)]);

static DISCRETE_RESOURCE: Object = Object::new(&[
    attribute("kind", &Text, "Its name.").shown(Output::Always),
    attribute("value", &CUT, "How many.").shown(Output::Always),
]);

/// A device of `gpus`.
pub(crate) static DEVICE_REQUEST: Object = Object::new(&[
    attribute("capabilities", &TEXT_SET, "What the device must be able to do."),
    attribute("driver", &Text, "The driver."),
    attribute("count", &Short(Form::Count, &INTEGER), "How many, or `all`."),
    attribute("device_ids", &TEXT_SET, "Which ones."),
    attribute("options", &Pairs(Unset::Empty), "Options of the driver.").unique(Unique::Refused),
]);

/// A device of `deploy.resources.reservations`, which must say its capabilities.
static RESERVED_DEVICE: Object = Object::new(&[
    attribute("capabilities", &TEXT_SET, "What the device must be able to do.").required(),
    attribute("driver", &Text, "The driver."),
    attribute("count", &Short(Form::Count, &INTEGER), "How many, or `all`."),
    attribute("device_ids", &TEXT_SET, "Which ones."),
    attribute("options", &Pairs(Unset::Empty), "Options of the driver.").unique(Unique::Refused),
]);
