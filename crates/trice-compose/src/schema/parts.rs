//! The mappings inside of a service, but for `build` and `deploy`.

use crate::schema::shape::Shape::{
    Boolean, Bytes, Command, Duration, Flag, Integer, Keyed, List, Mode, Object as Fields, OneOf, Options,
    Pairs, Probe, Scalar, Scalars, Short, Text, Texts,
};
use crate::schema::shape::{
    INTEGER, Keys, Merge, Object, Output, Shape, Short as Form, TEXT_SET, Unique, Unset, attribute,
};

/// `depends_on.*`.
pub(crate) static DEPENDENCY: Object = Object::new(&[
    attribute("condition", &OneOf(&["service_started", "service_healthy", "service_completed_successfully"]))
        .required(),
    attribute("restart", &Flag),
    attribute("required", &Boolean).shown(Output::Always),
]);

/// `env_file[]`.
pub(crate) static ENV_FILE: Object = Object::closed(&[
    attribute("path", &Text).required(),
    attribute("required", &Flag).shown(Output::Always),
    attribute("format", &Text),
]);

/// `extends`.
pub(crate) static EXTENDS: Object =
    Object::closed(&[attribute("service", &Text).required(), attribute("file", &Text)]);

/// `healthcheck`.
pub(crate) static HEALTHCHECK: Object = Object::new(&[
    attribute("test", &Probe).merged(Merge::Replace),
    attribute("timeout", &Duration).shown(Output::Said),
    attribute("interval", &Duration).shown(Output::Said),
    attribute("retries", &Integer { min: 0, max: u32::MAX as i64 }).shown(Output::Said),
    attribute("start_period", &Duration).shown(Output::Said),
    attribute("start_interval", &Duration).shown(Output::Said),
    attribute("disable", &Flag),
]);

/// `networks.*` of a service.
pub(crate) static ENDPOINT: Object = Object::new(&[
    attribute("aliases", &TEXT_SET).unique(Unique::Text),
    attribute("driver_opts", &Options).not_yet(),
    attribute("gw_priority", &INTEGER),
    attribute("interface_name", &Text),
    attribute("ipv4_address", &Text),
    attribute("ipv6_address", &Text).not_yet(),
    attribute("link_local_ips", &TEXT_SET).unique(Unique::Text).not_yet(),
    attribute("mac_address", &Text),
    attribute("priority", &INTEGER),
]);

/// `ports[]`.
pub(crate) static PORT: Object = Object::new(&[
    attribute("name", &Text),
    attribute("mode", &Text),
    attribute("host_ip", &Text),
    attribute("target", &Integer { min: 0, max: 65535 }).required(),
    attribute("published", &Scalar),
    attribute("protocol", &Text),
    attribute("app_protocol", &Text),
]);

/// `volumes[]` of a service.
pub(crate) static MOUNT: Object = Object::new(&[
    attribute("type", &OneOf(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])).required(),
    attribute("source", &Text),
    attribute("target", &Text).required(),
    attribute("read_only", &Flag),
    attribute("consistency", &Text).elsewhere(),
    attribute("bind", &Fields(&BIND)).shown(Output::Said),
    attribute("volume", &Fields(&VOLUME_OPTIONS)).shown(Output::Said),
    attribute("tmpfs", &Fields(&TMPFS_OPTIONS)).shown(Output::Said),
    attribute("image", &Fields(&IMAGE_OPTIONS)).shown(Output::Said),
]);

static BIND: Object = Object::new(&[
    attribute("selinux", &OneOf(&["z", "Z"])).elsewhere(),
    attribute("propagation", &Text),
    attribute("create_host_path", &Flag),
    attribute("recursive", &OneOf(&["enabled", "disabled", "writable", "readonly"])),
]);

static VOLUME_OPTIONS: Object = Object::new(&[
    attribute("labels", &Pairs(Unset::Empty)).not_yet(),
    attribute("nocopy", &Flag),
    attribute("subpath", &Text),
]);

static TMPFS_OPTIONS: Object = Object::new(&[attribute("size", &Bytes), attribute("mode", &INTEGER)]);

static IMAGE_OPTIONS: Object = Object::new(&[attribute("subpath", &Text)]);

/// `secrets[]` and `configs[]` of a service or a build.
pub(crate) static FILE_MOUNT: Object = Object::new(&[
    attribute("source", &Text),
    attribute("target", &Text),
    attribute("uid", &Text),
    attribute("gid", &Text),
    attribute("mode", &Mode).shown(Output::Said),
]);

/// `post_start[]` and `pre_stop[]`.
pub(crate) static HOOK: Object = Object::new(&[
    attribute("command", &Command).shown(Output::Always).required(),
    attribute("user", &Text),
    attribute("privileged", &Flag),
    attribute("working_dir", &Text),
    attribute("environment", &Pairs(Unset::Null)),
]);

/// `pre_start[]`.
pub(crate) static PRE_START: Object = Object::new(&[
    attribute("command", &Command).shown(Output::Always),
    attribute("image", &Text),
    attribute("user", &Text),
    attribute("privileged", &Flag),
    attribute("working_dir", &Text),
    attribute("environment", &Pairs(Unset::Null)),
    attribute("per_replica", &Flag),
]);

/// `develop`.
pub(crate) static DEVELOP: Object = Object::new(&[attribute("watch", &List(&Fields(&WATCH)))]);

static WATCH: Object = Object::new(&[
    attribute("path", &Text).shown(Output::Always).required(),
    attribute("action", &OneOf(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]))
        .shown(Output::Always)
        .required(),
    attribute("target", &Text),
    attribute("exec", &Fields(&HOOK)).shown(Output::Always),
    attribute("include", &Texts),
    attribute("ignore", &Texts),
    attribute("initial_sync", &Boolean),
]);

/// `devices[]`.
pub(crate) static DEVICE: Object = Object::new(&[
    attribute("source", &Text).required(),
    attribute("target", &Text).required(),
    attribute("permissions", &Text),
]);

/// `blkio_config`.
pub(crate) static BLKIO: Object = Object::closed(&[
    attribute("weight", &INTEGER),
    attribute("weight_device", &List(&Fields(&BLKIO_WEIGHT))),
    attribute("device_read_bps", &List(&Fields(&BLKIO_LIMIT))),
    attribute("device_read_iops", &List(&Fields(&BLKIO_LIMIT))),
    attribute("device_write_bps", &List(&Fields(&BLKIO_LIMIT))),
    attribute("device_write_iops", &List(&Fields(&BLKIO_LIMIT))),
]);

static BLKIO_WEIGHT: Object = Object::closed(&[
    attribute("path", &Text).shown(Output::Always).labelled("Path"),
    attribute("weight", &INTEGER).shown(Output::Always).labelled("Weight"),
]);

static BLKIO_LIMIT: Object = Object::closed(&[
    attribute("path", &Text).shown(Output::Always).labelled("Path"),
    attribute("rate", &Bytes).shown(Output::Always).labelled("Rate"),
]);

/// `ulimits`.
pub(crate) static ULIMITS: Shape = Keyed { keys: Keys::Any, of: &Short(Form::Ulimit, &Fields(&ULIMIT)) };

static ULIMIT: Object =
    Object::new(&[attribute("soft", &INTEGER).required(), attribute("hard", &INTEGER).required()]);

/// `logging`.
pub(crate) static LOGGING: Object =
    Object::new(&[attribute("driver", &Text), attribute("options", &Options)]);

/// `provider`.
pub(crate) static PROVIDER: Object = Object::new(&[
    attribute("type", &Text).required(),
    attribute("options", &Keyed { keys: Keys::Any, of: &Scalars }),
]);

/// `models.*` of a service.
pub(crate) static MODEL_BINDING: Object =
    Object::new(&[attribute("endpoint_var", &Text), attribute("model_var", &Text)]);

/// `credential_spec`.
pub(crate) static CREDENTIAL_SPEC: Object =
    Object::new(&[attribute("config", &Text), attribute("file", &Text), attribute("registry", &Text)]);
