//! What the writer of an unknown word may have meant.

use trice_model::suggest;

use crate::schema::root::ROOT;
use crate::schema::service::SERVICE;
use crate::schema::shape::{Attribute, Object};
use crate::tree::node::Node;

/// Returns a hint for the attribute `name` with this value, which `object` does not have.
pub(crate) fn for_unknown(name: &str, value: &Node, object: &'static Object) -> Option<String> {
    let is_root = is_root(object);
    let near = meant(name, value, object).map(|attribute| format!("did you mean `{}`?", attribute.name));
    if is_root && SERVICE.find(name).is_some() {
        return Some(format!("`{name}` belongs to a service: indent it below the service's name"));
    }
    if is_root && is_service(value) {
        return Some(format!("is `{name}` a service? indent it below a line `services:`"));
    }
    let elsewhere = ROOT.find(name).is_some() && !is_root;
    near.or_else(|| elsewhere.then(|| format!("`{name}` belongs to the top level: is it indented too far?")))
        .or_else(|| object.extensible.then(|| "an extension of your own begins with `x-`".to_owned()))
}

/// Returns the attribute of `object` that was probably meant by `name`, which it does not have.
pub(crate) fn meant(name: &str, value: &Node, object: &'static Object) -> Option<&'static Attribute> {
    if is_root(object) && (SERVICE.find(name).is_some() || is_service(value)) {
        return None;
    }
    let near = suggest::nearest(name, object.attributes.iter().map(|attribute| attribute.name))?;
    object.find(near)
}

fn is_root(object: &Object) -> bool {
    std::ptr::eq(object, &raw const ROOT)
}

fn is_service(value: &Node) -> bool {
    ["image", "build"].iter().any(|key| value.get(key).is_some())
}

/// Returns the hint that the nearest of `words` may be meant, if one is near.
pub(crate) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    suggest::nearest(word, words).map(|known| format!("did you mean `{known}`?"))
}
