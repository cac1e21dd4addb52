//! What the writer of an unknown word may have meant.

use trice_model::suggest;

use crate::schema::root::ROOT;
use crate::schema::service::SERVICE;
use crate::schema::shape::Object;
use crate::tree::node::Node;

/// Returns a hint for the attribute `name` with this value, which `object` does not have.
pub(crate) fn for_unknown(name: &str, value: &Node, object: &Object) -> Option<String> {
    let is_root = std::ptr::eq(object, &raw const ROOT);
    let near = nearest(name, object.attributes.iter().map(|attribute| attribute.name));
    if is_root && SERVICE.find(name).is_some() {
        return Some(format!("`{name}` belongs to a service: indent it below the service's name"));
    }
    if is_root && ["image", "build"].iter().any(|key| value.get(key).is_some()) {
        return Some(format!("is `{name}` a service? indent it below a line `services:`"));
    }
    let elsewhere = ROOT.find(name).is_some() && !is_root;
    near.or_else(|| elsewhere.then(|| format!("`{name}` belongs to the top level: is it indented too far?")))
        .or_else(|| object.extensible.then(|| "an extension of your own begins with `x-`".to_owned()))
}

/// Returns the hint that the nearest of `words` may be meant, if one is near.
pub(crate) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    suggest::nearest(word, words).map(|known| format!("did you mean `{known}`?"))
}
