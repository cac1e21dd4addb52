//! How an image is built: `build`.

use crate::schema::parts::{FILE_MOUNT, ULIMITS};
use crate::schema::shape::Shape::{
    AnyScalar, Flag, Hosts, Keyed, List, Nullable, Object as Fields, Pairs, Short, Text, Texts,
};
use crate::schema::shape::{
    Keys, Merge, Object, Short as Form, TEXT_SET, Unique, Unset, WHOLE_BYTES, attribute,
};

/// `build`.
pub(crate) static BUILD: Object = Object::new(&[
    attribute("context", &Text, "The folder with the files of the build, or a URL."),
    attribute("dockerfile", &Text, "The Dockerfile, counted from the context."),
    attribute("dockerfile_inline", &Text, "The text of the Dockerfile."),
    attribute("entitlements", &List(&Text), "More rights for the build."),
    attribute("args", &Pairs(Unset::Null), "Values for `ARG`.").unique(Unique::Text),
    attribute(
        "provenance",
        &Short(Form::FlagText, &Text),
        "Whether, and how, an attestation of the build is made.",
    ),
    attribute("sbom", &Short(Form::FlagText, &Text), "Whether, and how, a list of the software is made."),
    attribute(
        "ssh",
        &Short(Form::Ssh, &Keyed { keys: Keys::Any, of: &Nullable(&AnyScalar) }),
        "Keys or agents that steps may use.",
    )
    .unique(Unique::Refused),
    attribute("labels", &Pairs(Unset::Empty), "Labels of the image.").unique(Unique::Text),
    attribute("cache_from", &List(&Text), "Where cached steps come from."),
    attribute("cache_to", &List(&Text), "Where cached steps go."),
    attribute("no_cache", &Flag, "Whether all steps are run again."),
    attribute("no_cache_filter", &Texts, "Stages whose steps are run again.").unique(Unique::Refused),
    attribute("additional_contexts", &Pairs(Unset::Wrong), "More contexts by name.").unique(Unique::Text),
    attribute("pull", &Flag, "Whether base images are fetched again."),
    attribute("extra_hosts", &Hosts, "More lines for `/etc/hosts` of its steps.")
        .merged(Merge::Hosts)
        .unique(Unique::Refused),
    attribute("isolation", &Text, "The isolation technology, on Windows.").windows(),
    attribute("network", &Text, "The network of its steps."),
    attribute("target", &Text, "The stage that is built."),
    attribute("secrets", &List(&Short(Form::FileMount, &Fields(&FILE_MOUNT))), "Secrets that steps may use."),
    attribute("shm_size", &WHOLE_BYTES, "The size of `/dev/shm` of its steps."),
    attribute("tags", &TEXT_SET, "More names for the image.").unique(Unique::Text),
    attribute("ulimits", &ULIMITS, "Limits of each process of its steps."),
    attribute("platforms", &List(&Text), "The platforms that it is built for."),
    attribute("privileged", &Flag, "Whether its steps have all capabilities."),
]);
