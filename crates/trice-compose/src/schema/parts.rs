//! The mappings inside of a service, but for `build` and `deploy`.

use crate::schema::shape::Shape::{
    Boolean, Command, Duration, Flag, Keyed, List, Mode, Object as Fields, OneOf, Options, Pairs, Probe,
    Scalar, Scalars, Short, Text, Texts,
};
use crate::schema::shape::{
    CUT_NUMBER, INTEGER, Integer, Keys, Merge, Object, Others, Output, Shape, Short as Form, Size, TEXT_SET,
    Unique, Unset, WHOLE_BYTES, attribute, integer,
};

/// `depends_on.*`.
pub(crate) static DEPENDENCY: Object = Object::new(&[
    attribute(
        "condition",
        &OneOf(&["service_started", "service_healthy", "service_completed_successfully"]),
        "The state that is waited for.",
    )
    .required(),
    attribute("restart", &Flag, "Whether it is restarted when the other one is."),
    attribute("required", &Boolean, "Whether there is no start without it.").shown(Output::Always),
]);

/// `env_file[]`.
pub(crate) static ENV_FILE: Object = Object::closed(&[
    attribute("path", &Text, "The file.").required(),
    attribute("required", &Flag, "Whether the file must be there.").shown(Output::Always),
    attribute("format", &Text, "`raw` takes lines as they stand."),
]);

/// `extends`.
pub(crate) static EXTENDS: Object = Object::closed(&[
    attribute("service", &Text, "The other service.").required(),
    attribute("file", &Text, "The file that it stands in; this one if not given."),
]);

/// How often a probe may fail.
const RETRIES: Shape = Shape::Integer(Integer { min: 0, max: u32::MAX as i64, text: true, cut: true });

/// `healthcheck`.
pub(crate) static HEALTHCHECK: Object = Object::new(&[
    attribute("test", &Probe, "The command of the probe.").merged(Merge::Replace),
    attribute("timeout", &Duration, "The time after which a probe has failed.").shown(Output::Said),
    attribute("interval", &Duration, "The time between two probes.").shown(Output::Said),
    attribute("retries", &RETRIES, "How many failures in a row make it unhealthy.").shown(Output::Said),
    attribute("start_period", &Duration, "The time after the start in which failures do not count.")
        .shown(Output::Said),
    attribute("start_interval", &Duration, "The time between two probes within the start period.")
        .shown(Output::Said),
    attribute("disable", &Flag, "Whether there is no probe, whatever the image says."),
]);

/// `networks.*` of a service.
pub(crate) static ENDPOINT: Object = Object::new(&[
    attribute("aliases", &TEXT_SET, "More names for it there.").unique(Unique::Text),
    attribute("driver_opts", &Options(Others::Numbers), "Options of the driver."),
    attribute("gw_priority", &CUT_NUMBER, "The network with the highest gives the default route."),
    attribute("interface_name", &Text, "The name of the interface in the container."),
    attribute("ipv4_address", &Text, "A fixed IPv4 address."),
    attribute("ipv6_address", &Text, "A fixed IPv6 address."),
    attribute("link_local_ips", &TEXT_SET, "More addresses, link-local ones.").unique(Unique::Text),
    attribute("mac_address", &Text, "A fixed hardware address."),
    attribute("priority", &CUT_NUMBER, "The network with the highest comes first."),
]);

/// `ports[]`.
pub(crate) static PORT: Object = Object::new(&[
    attribute("name", &Text, "A name for people.").elsewhere(),
    attribute("mode", &Text, "A hint for Swarm.").swarm(),
    attribute("host_ip", &Text, "The host's address."),
    attribute("target", &integer(0, 65535), "The container's port.").required(),
    attribute("published", &Scalar, "The host's port, or a range of which a free one is taken."),
    attribute("protocol", &Text, "`tcp`, `udp` or `sctp`."),
    attribute("app_protocol", &Text, "What is spoken there, for people.").elsewhere(),
]);

/// `volumes[]` of a service.
pub(crate) static MOUNT: Object = Object::new(&[
    attribute("type", &OneOf(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]), "What is mounted.")
        .required(),
    attribute("source", &Text, "A path of the host, the key of a volume, or an image."),
    attribute("target", &Text, "The path in the container.").required(),
    attribute("read_only", &Flag, "Whether nothing may be written there."),
    attribute("consistency", &Text, "A hint for other platforms.").elsewhere(),
    attribute("bind", &Fields(&BIND), "Options of a path of the host.").shown(Output::Said),
    attribute("volume", &Fields(&VOLUME_OPTIONS), "Options of a volume.").shown(Output::Said),
    attribute("tmpfs", &Fields(&TMPFS_OPTIONS), "Options of a file system in memory.").shown(Output::Said),
    attribute("image", &Fields(&IMAGE_OPTIONS), "Options of an image.").shown(Output::Said),
]);

static BIND: Object = Object::new(&[
    attribute(
        "selinux",
        &OneOf(&["z", "Z"]),
        "Whether it is labelled anew: `z` for many containers, `Z` for this one.",
    )
    .elsewhere(),
    attribute("propagation", &Text, "How mounts below travel between host and container."),
    attribute("create_host_path", &Flag, "Whether a folder is made where there is nothing."),
    attribute(
        "recursive",
        &OneOf(&["enabled", "disabled", "writable", "readonly"]),
        "Whether mounts below come along.",
    ),
]);

static VOLUME_OPTIONS: Object = Object::new(&[
    attribute("labels", &Pairs(Unset::Empty), "Labels of the volume.").unique(Unique::Text).not_yet(),
    attribute("nocopy", &Flag, "Whether it stays empty instead of being filled from the image."),
    attribute("subpath", &Text, "A folder inside it."),
]);

const TMPFS_MODE: Shape = Shape::Integer(Integer { min: 0, max: u32::MAX as i64, text: true, cut: true });

static TMPFS_OPTIONS: Object = Object::new(&[
    attribute("size", &Shape::Bytes(Size::Positive), "The most memory."),
    attribute("mode", &TMPFS_MODE, "The mode of its root."),
]);

static IMAGE_OPTIONS: Object = Object::new(&[attribute("subpath", &Text, "A folder inside it.")]);

/// `secrets[]` and `configs[]` of a service or a build.
pub(crate) static FILE_MOUNT: Object = Object::new(&[
    attribute("source", &Text, "The key at the top level."),
    attribute("target", &Text, "The path in the container."),
    attribute("uid", &Text, "The owner of the file."),
    attribute("gid", &Text, "The group of the file."),
    attribute("mode", &Mode, "The mode of the file.").shown(Output::Said),
]);

/// `post_start[]` and `pre_stop[]`.
pub(crate) static HOOK: Object = Object::new(&[
    attribute("command", &Command, "The command.").shown(Output::Always).required(),
    attribute("user", &Text, "The user that it runs as."),
    attribute("privileged", &Flag, "Whether it has all capabilities."),
    attribute("working_dir", &Text, "The folder that it begins in."),
    attribute("environment", &Pairs(Unset::Null), "More variables.").unique(Unique::Refused),
]);

/// `pre_start[]`.
pub(crate) static PRE_START: Object = Object::new(&[
    attribute("command", &Command, "The command.").shown(Output::Always),
    attribute("image", &Text, "The image; the service's if not given."),
    attribute("user", &Text, "The user that it runs as."),
    attribute("privileged", &Flag, "Whether it has all capabilities."),
    attribute("working_dir", &Text, "The folder that it begins in."),
    attribute("environment", &Pairs(Unset::Null), "Variables over the service's.").unique(Unique::Refused),
    attribute("per_replica", &Flag, "Whether it runs for each replica, and not once."),
]);

/// `develop`.
pub(crate) static DEVELOP: Object =
    Object::new(&[attribute("watch", &List(&Fields(&WATCH)), "What is watched, and what is done.")]);

static WATCH: Object = Object::new(&[
    attribute("path", &Text, "The path that is watched.").shown(Output::Always).required(),
    attribute(
        "action",
        &OneOf(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
        "What is done when it changes.",
    )
    .shown(Output::Always)
    .required(),
    attribute("target", &Text, "The path in the container that it is copied to."),
    attribute("exec", &Fields(&HOOK), "The command that is run after that.").shown(Output::Always),
    attribute("include", &Texts, "Patterns of what is watched.").unique(Unique::Refused),
    attribute("ignore", &Texts, "Patterns of what is not watched.").unique(Unique::Refused),
    attribute("initial_sync", &Boolean, "Whether it is copied at the start."),
]);

/// `devices[]`.
pub(crate) static DEVICE: Object = Object::new(&[
    attribute("source", &Text, "The host's device file, or the name of a CDI device.").required(),
    attribute("target", &Text, "The path in the container.").required(),
    attribute("permissions", &Text, "What may be done with it: read, write, make nodes."),
]);

/// `blkio_config`.
pub(crate) static BLKIO: Object = Object::closed(&[
    attribute("weight", &integer(0, 65535), "Its weight against others, 10 to 1000."),
    attribute("weight_device", &List(&Fields(&BLKIO_WEIGHT)), "Its weights for single devices."),
    attribute("device_read_bps", &List(&Fields(&BLKIO_LIMIT)), "The most bytes read in a second."),
    attribute("device_read_iops", &List(&Fields(&BLKIO_LIMIT)), "The most reads in a second."),
    attribute("device_write_bps", &List(&Fields(&BLKIO_LIMIT)), "The most bytes written in a second."),
    attribute("device_write_iops", &List(&Fields(&BLKIO_LIMIT)), "The most writes in a second."),
]);

static BLKIO_WEIGHT: Object = Object::closed(&[
    attribute("path", &Text, "The device file.").shown(Output::Always).labelled("Path"),
    attribute("weight", &integer(0, 65535), "The weight, 10 to 1000.")
        .shown(Output::Always)
        .labelled("Weight"),
]);

static BLKIO_LIMIT: Object = Object::closed(&[
    attribute("path", &Text, "The device file.").shown(Output::Always).labelled("Path"),
    attribute("rate", &WHOLE_BYTES, "How many in a second.").shown(Output::Always).labelled("Rate"),
]);

/// `ulimits`.
pub(crate) static ULIMITS: Shape = Keyed { keys: Keys::Any, of: &Short(Form::Ulimit, &Fields(&ULIMIT)) };

static ULIMIT: Object = Object::new(&[
    attribute("soft", &INTEGER, "The limit in force; -1 is none.").required(),
    attribute("hard", &INTEGER, "What the process may raise it to; -1 is none.").required(),
]);

/// `logging`.
pub(crate) static LOGGING: Object = Object::new(&[
    attribute("driver", &Text, "The driver."),
    attribute("options", &Options(Others::NumbersAndNull), "Options of the driver."),
]);

/// `provider`.
pub(crate) static PROVIDER: Object = Object::new(&[
    attribute("type", &Text, "The program.").required(),
    attribute("options", &Keyed { keys: Keys::Any, of: &Scalars }, "Its flags."),
]);

/// `models.*` of a service.
pub(crate) static MODEL_BINDING: Object = Object::new(&[
    attribute("endpoint_var", &Text, "The variable with the model's URL."),
    attribute("model_var", &Text, "The variable with the model's name."),
]);

/// `credential_spec`.
pub(crate) static CREDENTIAL_SPEC: Object = Object::new(&[
    attribute("config", &Text, "The key of a config."),
    attribute("file", &Text, "A file."),
    attribute("registry", &Text, "A key of the registry."),
]);
