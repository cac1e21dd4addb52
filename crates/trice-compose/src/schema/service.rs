//! A service: its 93 attributes.

use crate::schema::build::BUILD;
use crate::schema::deploy::{DEPLOY, DEVICE_REQUEST};
use crate::schema::parts::{
    BLKIO, CREDENTIAL_SPEC, DEPENDENCY, DEVELOP, DEVICE, ENDPOINT, ENV_FILE, EXTENDS, FILE_MOUNT,
    HEALTHCHECK, HOOK, LOGGING, MODEL_BINDING, MOUNT, PORT, PRE_START, PROVIDER, ULIMITS,
};
use crate::schema::shape::Shape::{
    Boolean, Command, ContainerName, Duration, Flag, Hosts, Keyed, List, Nullable, Number, Object as Fields,
    OneOf, Options, Pairs, PullPolicy, Scalar, Set, Short, Text, Texts,
};
use crate::schema::shape::{
    BYTES, COUNT, CUT, INTEGER, Keys, Merge, Object, Others, Output, Shape, Short as Form, TEXT_SET, Unique,
    Unset, WHOLE_BYTES, attribute, integer,
};

/// A service.
pub(crate) static SERVICE: Object = Object::new(&[
    attribute("profiles", &TEXT_SET, "The service is active only when one of these is asked for.")
        .unique(Unique::Text),
    attribute("annotations", &Pairs(Unset::Empty), "Annotations of the container.")
        .unique(Unique::Text)
        .not_yet(),
    attribute("attach", &Flag, "Whether an attached `up` shows its output.").shown(Output::Said),
    attribute("build", &Short(Form::Build, &Fields(&BUILD)), "How its image is built.").shown(Output::Said),
    attribute("develop", &Nullable(&Fields(&DEVELOP)), "What is done when files change.")
        .shown(Output::Said)
        .elsewhere(),
    attribute("blkio_config", &Fields(&BLKIO), "Weights and limits of block devices.")
        .shown(Output::Said)
        .not_yet(),
    attribute("cap_add", &TEXT_SET, "Capabilities over the default ones, or `ALL`.").unique(Unique::Text),
    attribute("cap_drop", &TEXT_SET, "Default capabilities that it does not want, or `ALL`.")
        .unique(Unique::Text),
    attribute("cgroup_parent", &Text, "The cgroup that its own is made in.").not_yet(),
    attribute("cgroup", &OneOf(&["host", "private"]), "Whose cgroup namespace it sees."),
    attribute("cpu_count", &COUNT, "The number of processors, on Windows.").windows(),
    attribute("cpu_percent", &integer(0, 100), "The share of the processors, on Windows.").windows(),
    attribute("cpu_period", &CUT, "The period of the processor quota, in microseconds."),
    attribute("cpu_quota", &CUT, "Processor time in each period, in microseconds."),
    attribute("cpu_rt_period", &CUT, "The period of real-time scheduling, in microseconds.").not_yet(),
    attribute("cpu_rt_runtime", &CUT, "Real-time processor time in each period, in microseconds.").not_yet(),
    attribute("cpus", &Number, "The most processors, also a fraction."),
    attribute("cpuset", &Text, "The processors it may run on, such as `0-2,4`.").not_yet(),
    attribute("cpu_shares", &CUT, "Its weight against others; 1024 is usual."),
    attribute("command", &Command, "In place of the image's command.")
        .merged(Merge::Replace)
        .shown(Output::Always),
    attribute(
        "configs",
        &List(&Short(Form::FileMount, &Fields(&FILE_MOUNT))),
        "Configs that it gets as files.",
    )
    .unique(Unique::File(""))
    .not_yet(),
    attribute("container_name", &ContainerName, "A fixed name for its only container."),
    attribute(
        "credential_spec",
        &Fields(&CREDENTIAL_SPEC),
        "The credentials of a managed service account, on Windows.",
    )
    .shown(Output::Said)
    .windows(),
    attribute("depends_on", &DEPENDS_ON, "Services that must be there before it starts."),
    attribute("deploy", &Nullable(&Fields(&DEPLOY)), "Replicas, limits and roll-out.").shown(Output::Said),
    attribute("device_cgroup_rules", &TEXT_SET, "Rules about which device numbers it may use.").not_yet(),
    attribute("devices", &List(&Short(Form::Device, &Fields(&DEVICE))), "Device files that it gets.")
        .unique(Unique::Field("target"))
        .not_yet(),
    attribute("dns", &Texts, "Resolvers to ask instead of the host's.").unique(Unique::Text),
    attribute("dns_opt", &TEXT_SET, "Options of the resolver.").unique(Unique::Text),
    attribute("dns_search", &Texts, "Search domains.").unique(Unique::Text),
    attribute("domainname", &Text, "The domain part of its host name."),
    attribute("entrypoint", &Command, "In place of the image's entrypoint.")
        .merged(Merge::Replace)
        .shown(Output::Always),
    attribute("provider", &Fields(&PROVIDER), "A program that manages the service in place of a container.")
        .shown(Output::Said)
        .not_yet(),
    attribute("environment", &Pairs(Unset::Null), "Variables over the image's.").unique(Unique::Text),
    attribute("env_file", &Short(Form::EnvFile, &List(&Fields(&ENV_FILE))), "Files with more variables.")
        .unique(Unique::Field("path")),
    attribute("expose", &Set(&Scalar), "Ports that it listens on, for others on its networks.")
        .unique(Unique::Text),
    attribute(
        "extends",
        &Short(Form::Extends, &Fields(&EXTENDS)),
        "Another service that this one begins as.",
    ),
    attribute("external_links", &TEXT_SET, "Containers of other projects under names of its own."),
    attribute("extra_hosts", &Hosts, "More lines for `/etc/hosts`: a name and its addresses.")
        .merged(Merge::Hosts)
        .unique(Unique::Refused),
    attribute("group_add", &Set(&Scalar), "More groups of its process, by name or number."),
    attribute(
        "gpus",
        &Short(Form::Gpus, &List(&Fields(&DEVICE_REQUEST))),
        "Graphics processors that it gets.",
    )
    .not_yet(),
    attribute("hostname", &Text, "Its host name."),
    attribute("healthcheck", &Fields(&HEALTHCHECK), "The probe that tells whether it does its work.")
        .shown(Output::Said),
    attribute("image", &Text, "The image of its containers."),
    attribute("init", &Flag, "Whether a small init reaps orphans and passes signals on.").shown(Output::Said),
    attribute("ipc", &Text, "Whose IPC namespace it uses.").not_yet(),
    attribute("isolation", &Text, "The isolation technology, on Windows.").windows(),
    attribute("labels", &Pairs(Unset::Empty), "Labels of the container.").unique(Unique::Text),
    attribute("label_file", &Texts, "Files with more labels."),
    attribute("links", &TEXT_SET, "Other services, also under names of its own.").unique(Unique::Text),
    attribute("logging", &Fields(&LOGGING), "Where its output goes.")
        .merged(Merge::Logging)
        .shown(Output::Said)
        .not_yet(),
    attribute("mem_limit", &BYTES, "The most memory."),
    attribute("mem_reservation", &WHOLE_BYTES, "Memory that it keeps when memory is short."),
    attribute("memswap_limit", &BYTES, "The most memory and swap together; -1 is no limit."),
    attribute("mem_swappiness", &WHOLE_BYTES, "How readily its memory is swapped out, 0 to 100.").not_yet(),
    attribute("mac_address", &Text, "Its hardware address on its main network."),
    attribute("models", &Short(Form::Names, &MODEL_BINDINGS), "AI models that it uses.").not_yet(),
    attribute("network_mode", &Text, "Whose network it uses."),
    attribute("networks", &Short(Form::Names, &ENDPOINTS), "The networks it is on."),
    attribute("oom_kill_disable", &Flag, "Whether it is spared when memory runs out.").not_yet(),
    attribute("oom_score_adj", &integer(-1000, 1000), "How readily it is ended when memory runs out."),
    attribute("pid", &Nullable(&Text), "Whose process namespace it uses.").not_yet(),
    attribute("pids_limit", &CUT, "The most processes and threads; -1 is no limit."),
    attribute("platform", &Text, "The platform of its image, such as `linux/arm64`."),
    attribute("ports", &Short(Form::Ports, &List(&Fields(&PORT))), "Ports of the host that lead to it.")
        .unique(Unique::Port),
    attribute("privileged", &Flag, "Whether it has all capabilities and devices."),
    attribute("pull_policy", &PullPolicy, "When its image is fetched."),
    attribute("pull_refresh_after", &Text, "Reserved.").shown(Output::Never).elsewhere(),
    attribute("read_only", &Flag, "Whether its root file system is read-only."),
    attribute("restart", &Text, "What happens after its process has ended."),
    attribute("runtime", &Text, "The OCI runtime that runs it.").not_yet(),
    attribute("scale", &INTEGER, "How many containers.").shown(Output::Said),
    attribute(
        "secrets",
        &List(&Short(Form::FileMount, &Fields(&FILE_MOUNT))),
        "Secrets that it gets as files.",
    )
    .unique(Unique::File("/run/secrets"))
    .not_yet(),
    attribute("security_opt", &TEXT_SET, "Security options, such as `no-new-privileges`."),
    attribute("shm_size", &BYTES, "The size of `/dev/shm`."),
    attribute("stdin_open", &Flag, "Whether its standard input stays open."),
    attribute("stop_grace_period", &Duration, "The time between the stop signal and the kill.")
        .shown(Output::Said),
    attribute("stop_signal", &Text, "The signal that asks it to end."),
    attribute("storage_opt", &Options(Others::NumbersAndNull), "Options of its root file system.").not_yet(),
    attribute("sysctls", &Pairs(Unset::Empty), "Settings of the kernel in its namespaces.")
        .unique(Unique::Text),
    attribute("tmpfs", &Texts, "Paths with a file system in memory.").unique(Unique::Text),
    attribute("tty", &Flag, "Whether its process has a terminal."),
    attribute("ulimits", &ULIMITS, "Limits of each process."),
    attribute("use_api_socket", &Boolean, "Whether it gets the engine's socket.").not_yet(),
    attribute("user", &Text, "The user that it runs as."),
    attribute("userns_mode", &Text, "Whose user namespace it uses.").not_yet(),
    attribute("uts", &Text, "Whose host name it sees.").not_yet(),
    attribute("volumes", &List(&Short(Form::Mount, &Fields(&MOUNT))), "What is mounted in it.")
        .unique(Unique::Field("target")),
    attribute("volumes_from", &TEXT_SET, "Services or containers whose mounts it gets too.").not_yet(),
    attribute("working_dir", &Text, "The folder that it begins in."),
    attribute("pre_start", &List(&Fields(&PRE_START)), "Containers that run to their end before it starts.")
        .not_yet(),
    attribute("post_start", &List(&Fields(&HOOK)), "Commands that are run in it after it has started.")
        .not_yet(),
    attribute("pre_stop", &List(&Fields(&HOOK)), "Commands that are run in it before it is stopped.")
        .not_yet(),
]);

static DEPENDS_ON: Shape = Short(Form::DependsOn, &Keyed { keys: Keys::Names, of: &Fields(&DEPENDENCY) });
static ENDPOINTS: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&ENDPOINT)) };
static MODEL_BINDINGS: Shape = Keyed { keys: Keys::Names, of: &Nullable(&Fields(&MODEL_BINDING)) };
