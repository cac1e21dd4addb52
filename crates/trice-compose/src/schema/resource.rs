//! What services share: networks, volumes, secrets, configs, models.

use crate::schema::shape::Shape::{Flag, List, Object as Fields, Options, Pairs, Short, Text};
use crate::schema::shape::{INTEGER, Merge, Object, Output, Short as Form, Unset, attribute};

/// `networks.*`.
pub(crate) static NETWORK: Object = Object::new(&[
    attribute("name", &Text),
    attribute("driver", &Text),
    attribute("driver_opts", &Options),
    attribute("ipam", &Fields(&IPAM)).shown(Output::Always),
    attribute("external", &Short(Form::External, &Flag)),
    attribute("internal", &Flag),
    attribute("attachable", &Flag).elsewhere(),
    attribute("labels", &Pairs(Unset::Empty)),
    attribute("enable_ipv4", &Flag).shown(Output::Said),
    attribute("enable_ipv6", &Flag).shown(Output::Said).not_yet(),
]);

static IPAM: Object = Object::new(&[
    attribute("driver", &Text),
    attribute("config", &List(&Fields(&POOL))).merged(Merge::Pools),
    attribute("options", &Options).shown(Output::Never).not_yet(),
]);

static POOL: Object = Object::new(&[
    attribute("subnet", &Text),
    attribute("gateway", &Text),
    attribute("ip_range", &Text),
    attribute("aux_addresses", &Options).not_yet(),
]);

/// `volumes.*`.
pub(crate) static VOLUME: Object = Object::new(&[
    attribute("name", &Text),
    attribute("driver", &Text),
    attribute("driver_opts", &Options).not_yet(),
    attribute("external", &Short(Form::External, &Flag)),
    attribute("labels", &Pairs(Unset::Empty)),
]);

/// `secrets.*`.
pub(crate) static SECRET: Object = Object::new(&[
    attribute("name", &Text),
    attribute("file", &Text),
    attribute("environment", &Text),
    attribute("external", &Short(Form::External, &Flag)),
    attribute("labels", &Pairs(Unset::Empty)),
    attribute("driver", &Text),
    attribute("driver_opts", &Options),
    attribute("template_driver", &Text),
]);

/// `configs.*`.
pub(crate) static CONFIG: Object = Object::new(&[
    attribute("name", &Text),
    attribute("file", &Text),
    attribute("environment", &Text),
    attribute("content", &Text),
    attribute("external", &Short(Form::External, &Flag)),
    attribute("labels", &Pairs(Unset::Empty)),
    attribute("template_driver", &Text),
]);

/// `models.*`.
pub(crate) static MODEL: Object = Object::new(&[
    attribute("name", &Text),
    attribute("model", &Text).required(),
    attribute("context_size", &INTEGER),
    attribute("runtime_flags", &List(&Text)),
]);
