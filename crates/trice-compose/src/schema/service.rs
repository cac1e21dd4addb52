//! A service: its 93 attributes.

use crate::schema::build::BUILD;
use crate::schema::deploy::{DEPLOY, DEVICE_REQUEST};
use crate::schema::parts::{
    BLKIO, CREDENTIAL_SPEC, DEPENDENCY, DEVELOP, DEVICE, ENDPOINT, ENV_FILE, EXTENDS, FILE_MOUNT,
    HEALTHCHECK, HOOK, LOGGING, MODEL_BINDING, MOUNT, PORT, PRE_START, PROVIDER, ULIMITS,
};
use crate::schema::shape::Shape::{
    Boolean, Bytes, Command, ContainerName, Duration, Flag, Hosts, Integer, Keyed, List, Nullable, Number,
    Object as Fields, OneOf, Options, Pairs, PullPolicy, Scalar, Set, Short, Text, Texts,
};
use crate::schema::shape::{
    INTEGER, Keys, Merge, Object, Output, Shape, Short as Form, TEXT_SET, Unique, Unset, attribute,
};

/// A service.
pub(crate) static SERVICE: Object = Object::new(&[
    attribute("profiles", &TEXT_SET).unique(Unique::Text),
    attribute("annotations", &Pairs(Unset::Empty)).not_yet(),
    attribute("attach", &Flag).shown(Output::Said),
    attribute("build", &Short(Form::Build, &Fields(&BUILD))).shown(Output::Said).not_yet(),
    attribute("develop", &Nullable(&Fields(&DEVELOP))).shown(Output::Said).elsewhere(),
    attribute("blkio_config", &Fields(&BLKIO)).shown(Output::Said).not_yet(),
    attribute("cap_add", &TEXT_SET).unique(Unique::Text),
    attribute("cap_drop", &TEXT_SET).unique(Unique::Text),
    attribute("cgroup_parent", &Text).not_yet(),
    attribute("cgroup", &OneOf(&["host", "private"])),
    attribute("cpu_count", &Integer { min: 0, max: i64::MAX }).windows(),
    attribute("cpu_percent", &Integer { min: 0, max: 100 }).windows(),
    attribute("cpu_period", &INTEGER),
    attribute("cpu_quota", &INTEGER),
    attribute("cpu_rt_period", &INTEGER).not_yet(),
    attribute("cpu_rt_runtime", &INTEGER).not_yet(),
    attribute("cpus", &Number),
    attribute("cpuset", &Text).not_yet(),
    attribute("cpu_shares", &INTEGER),
    attribute("command", &Command).merged(Merge::Replace).shown(Output::Always),
    attribute("configs", &List(&Short(Form::FileMount, &Fields(&FILE_MOUNT))))
        .unique(Unique::File(""))
        .not_yet(),
    attribute("container_name", &ContainerName),
    attribute("credential_spec", &Fields(&CREDENTIAL_SPEC)).shown(Output::Said).windows(),
    attribute("depends_on", &DEPENDS_ON),
    attribute("deploy", &Nullable(&Fields(&DEPLOY))).shown(Output::Said),
    attribute("device_cgroup_rules", &TEXT_SET).not_yet(),
    attribute("devices", &List(&Short(Form::Device, &Fields(&DEVICE))))
        .unique(Unique::Field("target"))
        .not_yet(),
    attribute("dns", &Texts).unique(Unique::Text),
    attribute("dns_opt", &TEXT_SET).unique(Unique::Text),
    attribute("dns_search", &Texts).unique(Unique::Text),
    attribute("domainname", &Text),
    attribute("entrypoint", &Command).merged(Merge::Replace).shown(Output::Always),
    attribute("provider", &Fields(&PROVIDER)).shown(Output::Said).not_yet(),
    attribute("environment", &Pairs(Unset::Null)),
    attribute("env_file", &Short(Form::EnvFile, &List(&Fields(&ENV_FILE)))).unique(Unique::Field("path")),
    attribute("expose", &Set(&Scalar)).unique(Unique::Text),
    attribute("extends", &Short(Form::Extends, &Fields(&EXTENDS))),
    attribute("external_links", &TEXT_SET).not_yet(),
    attribute("extra_hosts", &Hosts).merged(Merge::Hosts),
    attribute("group_add", &Set(&Scalar)),
    attribute("gpus", &Short(Form::Gpus, &List(&Fields(&DEVICE_REQUEST)))).not_yet(),
    attribute("hostname", &Text),
    attribute("healthcheck", &Fields(&HEALTHCHECK)).shown(Output::Said),
    attribute("image", &Text),
    attribute("init", &Flag).shown(Output::Said),
    attribute("ipc", &Text).not_yet(),
    attribute("isolation", &Text).windows(),
    attribute("labels", &Pairs(Unset::Empty)),
    attribute("label_file", &Texts),
    attribute("links", &TEXT_SET).unique(Unique::Text),
    attribute("logging", &Fields(&LOGGING)).merged(Merge::Logging).shown(Output::Said).not_yet(),
    attribute("mem_limit", &Bytes),
    attribute("mem_reservation", &Bytes),
    attribute("memswap_limit", &Bytes),
    attribute("mem_swappiness", &Bytes).not_yet(),
    attribute("mac_address", &Text),
    attribute("models", &Short(Form::Names, &MODEL_BINDINGS)).not_yet(),
    attribute("network_mode", &Text),
    attribute("networks", &Short(Form::Names, &ENDPOINTS)),
    attribute("oom_kill_disable", &Flag).not_yet(),
    attribute("oom_score_adj", &Integer { min: -1000, max: 1000 }),
    attribute("pid", &Nullable(&Text)).not_yet(),
    attribute("pids_limit", &INTEGER),
    attribute("platform", &Text).not_yet(),
    attribute("ports", &Short(Form::Ports, &List(&Fields(&PORT)))).unique(Unique::Port),
    attribute("privileged", &Flag),
    attribute("pull_policy", &PullPolicy),
    attribute("pull_refresh_after", &Text).shown(Output::Never).elsewhere(),
    attribute("read_only", &Flag),
    attribute("restart", &Text),
    attribute("runtime", &Text).not_yet(),
    attribute("scale", &INTEGER).shown(Output::Said),
    attribute("secrets", &List(&Short(Form::FileMount, &Fields(&FILE_MOUNT))))
        .unique(Unique::File("/run/secrets"))
        .not_yet(),
    attribute("security_opt", &TEXT_SET),
    attribute("shm_size", &Bytes),
    attribute("stdin_open", &Flag),
    attribute("stop_grace_period", &Duration).shown(Output::Said),
    attribute("stop_signal", &Text),
    attribute("storage_opt", &Options).not_yet(),
    attribute("sysctls", &Pairs(Unset::Empty)),
    attribute("tmpfs", &Texts).unique(Unique::Text),
    attribute("tty", &Flag),
    attribute("ulimits", &ULIMITS),
    attribute("use_api_socket", &Boolean).not_yet(),
    attribute("user", &Text),
    attribute("userns_mode", &Text).not_yet(),
    attribute("uts", &Text).not_yet(),
    attribute("volumes", &List(&Short(Form::Mount, &Fields(&MOUNT)))).unique(Unique::Field("target")),
    attribute("volumes_from", &TEXT_SET).not_yet(),
    attribute("working_dir", &Text),
    attribute("pre_start", &List(&Fields(&PRE_START))).not_yet(),
    attribute("post_start", &List(&Fields(&HOOK))).not_yet(),
    attribute("pre_stop", &List(&Fields(&HOOK))).not_yet(),
]);

static DEPENDS_ON: Shape = Short(Form::DependsOn, &Keyed { keys: Keys::Names, of: &Fields(&DEPENDENCY) });
static ENDPOINTS: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&ENDPOINT)) };
static MODEL_BINDINGS: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&MODEL_BINDING)) };
