//! How an image is built: `build`.

use crate::schema::parts::{FILE_MOUNT, ULIMITS};
use crate::schema::shape::Shape::{
    Any, Bytes, Flag, Hosts, Keyed, List, Object as Fields, Pairs, Short, Text, Texts,
};
use crate::schema::shape::{Keys, Merge, Object, Short as Form, TEXT_SET, Unique, Unset, attribute};

/// `build`.
pub(crate) static BUILD: Object = Object::new(&[
    attribute("context", &Text),
    attribute("dockerfile", &Text),
    attribute("dockerfile_inline", &Text),
    attribute("entitlements", &List(&Text)),
    attribute("args", &Pairs(Unset::Null)),
    attribute("provenance", &Short(Form::FlagText, &Text)),
    attribute("sbom", &Short(Form::FlagText, &Text)),
    attribute("ssh", &Short(Form::Ssh, &Keyed { keys: Keys::Any, of: &Any })),
    attribute("labels", &Pairs(Unset::Empty)),
    attribute("cache_from", &List(&Text)),
    attribute("cache_to", &List(&Text)),
    attribute("no_cache", &Flag),
    attribute("no_cache_filter", &Texts),
    attribute("additional_contexts", &Pairs(Unset::Empty)),
    attribute("pull", &Flag),
    attribute("extra_hosts", &Hosts).merged(Merge::Hosts),
    attribute("isolation", &Text).windows(),
    attribute("network", &Text),
    attribute("target", &Text),
    attribute("secrets", &List(&Short(Form::FileMount, &Fields(&FILE_MOUNT)))),
    attribute("shm_size", &Bytes),
    attribute("tags", &TEXT_SET).unique(Unique::Text),
    attribute("ulimits", &ULIMITS),
    attribute("platforms", &List(&Text)),
    attribute("privileged", &Flag),
]);
