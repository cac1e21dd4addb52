//! One value of a Compose file and its place.

use crate::tree::mapping::Mapping;
use crate::tree::span::Span;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
    pub(crate) tag: Tag,
    /// What stood here before a step replaced it.
    pub(crate) past: Option<Box<Past>>,
}

/// What a node says.
///
/// The check gives scalars the type of their attribute: a size is an [`Value::Int`] of bytes from then on, a duration
/// one of nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Box<Mapping>),
    /// Something was here, and its mistake has been reported: whatever follows from it would only repeat that.
    Bad,
}

/// A tag that means something to Compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    None,
    /// `!reset`: what earlier files say here is forgotten, and so is this.
    Reset,
    /// `!override`: what earlier files say here is forgotten.
    Override,
    /// No tag, but `<<` without quotes: as a key, it merges its value.
    Merge,
}

/// What a step replaced.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) rule: Rule,
    pub(crate) node: Node,
}

/// Why a value was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Its variables were filled in.
    Interpolated,
    /// A later file, or a service that extends this one, says otherwise.
    Overridden,
    /// It was a path, counted from the folder of its file.
    Resolved,
}

/// Equality of what nodes say, wherever they say it.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// Makes a node.
    pub(crate) fn new(value: Value, span: Span) -> Self {
        Self { value, span, tag: Tag::None, past: None }
    }

    /// Makes a text.
    pub(crate) fn text(text: impl Into<String>, span: Span) -> Self {
        Self::new(Value::Text(text.into()), span)
    }

    /// Makes a mapping.
    pub(crate) fn map(map: Mapping, span: Span) -> Self {
        Self::new(Value::Map(Box::new(map)), span)
    }

    /// Makes a mapping of `fields`, all of which stand at `span`.
    pub(crate) fn fields<const N: usize>(fields: [(&str, Value); N], span: Span) -> Self {
        let mut map = Mapping::default();
        for (name, value) in fields {
            map.insert(name, span, Self::new(value, span));
        }
        Self::map(map, span)
    }

    /// Puts this one in the place of `earlier`, for the reason of `rule`. The history goes back a bounded number of
    /// steps: a file can replace a value a hundred thousand times.
    pub(crate) fn after(mut self, rule: Rule, earlier: Self) -> Self {
        const LONGEST: usize = 32;
        let mut end = &mut self.past;
        let mut earlier = Some(Box::new(Past { rule, node: earlier }));
        for _ in 0..LONGEST {
            if end.is_none() {
                // What is earlier has a history of its own, which goes on here.
                *end = earlier.take();
            }
            match end {
                Some(past) => end = &mut past.node.past,
                None => return self,
            }
        }
        *end = None;
        self
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.value, Value::Bad)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        if let Value::Int(number) = self.value { Some(number) } else { None }
    }

    /// Returns a number, whole or not.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self.value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Bad => {
                None
            }
        }
    }

    /// Tells whether this is `true`.
    pub(crate) fn is_true(&self) -> bool {
        matches!(self.value, Value::Bool(true))
    }

    pub(crate) fn as_map(&self) -> Option<&Mapping> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Mapping> {
        if let Value::Map(map) = &mut self.value { Some(map) } else { None }
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        if let Value::List(list) = &self.value { Some(list) } else { None }
    }

    pub(crate) fn as_list_mut(&mut self) -> Option<&mut Vec<Self>> {
        if let Value::List(list) = &mut self.value { Some(list) } else { None }
    }

    /// Returns the value under `key` of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// Returns the value under `key` of a mapping.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.as_map_mut()?.get_mut(key)
    }

    /// Returns the text under `key` of a mapping.
    pub(crate) fn text_at(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// Returns the items of the list under `key` of a mapping; none if there is no such list.
    pub(crate) fn list_at(&self, key: &str) -> &[Self] {
        self.get(key).and_then(Self::as_list).unwrap_or_default()
    }

    /// Returns the keys and values of the mapping under `key`; none if there is no such mapping.
    pub(crate) fn entries_at(&self, key: &str) -> impl Iterator<Item = (&str, &Self)> {
        self.get(key).and_then(Self::as_map).into_iter().flat_map(Mapping::iter)
    }

    /// Returns what this is, as people call it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Bad => "something else",
        }
    }
}
