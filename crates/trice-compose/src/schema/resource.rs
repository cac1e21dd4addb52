//! What services share: networks, volumes, secrets, configs, models.

use crate::schema::shape::Shape::{Flag, List, Object as Fields, Options, Pairs, Short, Text};
use crate::schema::shape::{Merge, NO_TEXT, Object, Others, Output, Short as Form, Unique, Unset, attribute};

/// `networks.*`.
pub(crate) static NETWORK: Object = Object::new(&[
    attribute("name", &Text, "Its name on this machine."),
    attribute("driver", &Text, "The driver."),
    attribute("driver_opts", &Options(Others::Numbers), "Options of the driver."),
    attribute("ipam", &Fields(&IPAM), "Its addresses.").shown(Output::Always),
    attribute("external", &Short(Form::External, &Flag), "Whether it is there already and stays."),
    attribute("internal", &Flag, "Whether it has no way out."),
    attribute("attachable", &Flag, "Whether other containers may join it."),
    attribute("labels", &Pairs(Unset::Empty), "Labels.").unique(Unique::Text),
    attribute("enable_ipv4", &Flag, "Whether it has IPv4.").shown(Output::Said),
    attribute("enable_ipv6", &Flag, "Whether it has IPv6.").shown(Output::Said),
]);

static IPAM: Object = Object::new(&[
    attribute("driver", &Text, "The driver of addresses."),
    attribute("config", &List(&Fields(&POOL)), "The ranges of addresses.").merged(Merge::Pools),
    attribute("options", &Options(Others::None), "Options of that driver.").shown(Output::Never).not_yet(),
]);

static POOL: Object = Object::new(&[
    attribute("subnet", &Text, "The range."),
    attribute("gateway", &Text, "The host's address."),
    attribute("ip_range", &Text, "The part of the range from which addresses are given out."),
    attribute("aux_addresses", &Options(Others::None), "Addresses that are not given out, by host name."),
]);

/// `volumes.*`.
pub(crate) static VOLUME: Object = Object::new(&[
    attribute("name", &Text, "Its name on this machine."),
    attribute("driver", &Text, "The driver."),
    attribute("driver_opts", &Options(Others::Numbers), "Options of the driver.").not_yet(),
    attribute("external", &Short(Form::External, &Flag), "Whether it is there already and stays."),
    attribute("labels", &Pairs(Unset::Empty), "Labels.").unique(Unique::Refused),
]);

/// `secrets.*`.
pub(crate) static SECRET: Object = Object::new(&[
    attribute("name", &Text, "Its name on the platform.").elsewhere(),
    attribute("file", &Text, "The file with its content."),
    attribute("environment", &Text, "The variable with its content."),
    attribute("external", &Short(Form::External, &Flag), "Whether it is there already and stays.").not_yet(),
    attribute("labels", &Pairs(Unset::Empty), "Labels.").unique(Unique::Refused).elsewhere(),
    attribute("driver", &Text, "The driver.").not_yet(),
    attribute("driver_opts", &Options(Others::Numbers), "Options of the driver.").not_yet(),
    attribute("template_driver", &Text, "The driver that fills in templates.").not_yet(),
]);

/// `configs.*`.
pub(crate) static CONFIG: Object = Object::new(&[
    attribute("name", &Text, "Its name on the platform.").elsewhere(),
    attribute("file", &Text, "The file with its content."),
    attribute("environment", &Text, "The variable with its content."),
    attribute("content", &Text, "Its content."),
    attribute("external", &Short(Form::External, &Flag), "Whether it is there already and stays.").not_yet(),
    attribute("labels", &Pairs(Unset::Empty), "Labels.").unique(Unique::Refused).elsewhere(),
    attribute("template_driver", &Text, "The driver that fills in templates.").not_yet(),
]);

/// `models.*`.
pub(crate) static MODEL: Object = Object::new(&[
    attribute("name", &Text, "Its name."),
    attribute("model", &Text, "The OCI artifact.").required(),
    attribute("context_size", &NO_TEXT, "The most tokens of its context."),
    attribute("runtime_flags", &List(&Text), "Flags of the program that runs it."),
]);
