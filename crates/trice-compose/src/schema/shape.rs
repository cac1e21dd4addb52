//! What the tables of attributes are made of.

/// What a value looks like, and what it is turned into.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything: it is kept as it stands.
    Any,
    Text,
    /// A boolean.
    Boolean,
    /// A boolean, or a text that says one.
    Flag,
    /// A whole number, or a text that says one.
    Integer(Integer),
    /// A number, or a text that says one.
    Number,
    /// A text or a whole number; it becomes a text.
    Scalar,
    /// A text, a number or a boolean; it becomes a text.
    AnyScalar,
    /// A size; it becomes a number of bytes.
    Bytes(Size),
    /// A duration; it becomes a number of nanoseconds.
    Duration,
    /// A file mode: an integer, or a text with octal digits.
    Mode,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of the forms of `pull_policy`.
    PullPolicy,
    /// The name of a container: two characters at least.
    ContainerName,
    /// A mapping of these attributes, and extensions.
    Object(&'static Object),
    /// A mapping with free keys.
    Keyed {
        keys: Keys,
        of: &'static Shape,
    },
    List(&'static Shape),
    /// A list that may not say the same twice.
    Set(&'static Shape),
    /// A text or a list of texts; it becomes a list.
    Texts,
    /// Any scalar or a list of them; each becomes a text.
    Scalars,
    /// `KEY: value` or `- KEY=value`; it becomes a mapping of texts.
    Pairs(Unset),
    /// A mapping of texts, and perhaps of other scalars, which become texts.
    Options(Others),
    /// `host: address` or `- host=address`; it becomes a list.
    Hosts,
    /// A list of arguments, or a text that is split into them.
    Command,
    /// The command of a probe: a list, or a text for the shell.
    Probe,
    /// A short form, or the long one; it becomes the long one.
    Short(Short, &'static Shape),
    Nullable(&'static Shape),
}

/// What a whole number may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Integer {
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Whether a text may say it.
    pub(crate) text: bool,
    /// Whether it may have a fraction, which is cut off with a warning.
    pub(crate) cut: bool,
}

impl Integer {
    const ANY: Self = Self { min: i64::MIN, max: i64::MAX, text: true, cut: false };
}

/// How a size may be written, beside as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Number,
    WholeNumber,
    /// As a whole number that is not negative.
    Positive,
    TextOnly,
}

/// Which scalars stand for texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    None,
    Numbers,
    NumbersAndNull,
}

/// An integer that is counted with.
pub(crate) const INTEGER: Shape = Shape::Integer(Integer::ANY);
/// One that cannot be negative.
pub(crate) const COUNT: Shape = integer(0, i64::MAX);
/// One that numbers stand for, with their fraction cut off.
pub(crate) const CUT: Shape = Shape::Integer(Integer { cut: true, ..Integer::ANY });
/// One that numbers stand for, but texts do not.
pub(crate) const CUT_NUMBER: Shape = Shape::Integer(Integer { cut: true, text: false, ..Integer::ANY });
/// One that texts do not stand for.
pub(crate) const NO_TEXT: Shape = Shape::Integer(Integer { text: false, ..Integer::ANY });
/// A size.
pub(crate) const BYTES: Shape = Shape::Bytes(Size::Number);
/// A size that cannot be written as a fraction.
pub(crate) const WHOLE_BYTES: Shape = Shape::Bytes(Size::WholeNumber);
/// A size that is written as a text.
pub(crate) const TEXT_BYTES: Shape = Shape::Bytes(Size::TextOnly);
/// A list of texts that may not say the same twice.
pub(crate) const TEXT_SET: Shape = Shape::Set(&Shape::Text);

/// Makes an integer between two bounds.
pub(crate) const fn integer(min: i64, max: i64) -> Shape {
    Shape::Integer(Integer { min, max, ..Integer::ANY })
}

/// What a key of a mapping may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Any,
    /// Letters, digits, `.`, `_` and `-`.
    Names,
}

/// What a pair without a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unset {
    /// Nothing yet: it takes the value from outside.
    Null,
    /// The empty text.
    Empty,
    /// Nothing: each pair must say its value, and as a text.
    Wrong,
}

/// A short form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// `build: DIR`
    Build,
    /// `depends_on: [SERVICE]`
    DependsOn,
    /// `env_file: FILE`, `env_file: [FILE]`
    EnvFile,
    /// `extends: SERVICE`
    Extends,
    /// `external: true`, `external: {name: NAME}`
    External,
    /// `gpus: all`
    Gpus,
    /// `include: [FILE]`
    Include,
    /// `networks: [NAME]`, `models: [NAME]`
    Names,
    /// `ports: ["8080:80"]`
    Ports,
    /// `volumes: ["data:/data"]`
    Mount,
    /// `devices: ["/dev/null"]`
    Device,
    /// `secrets: [NAME]`, `configs: [NAME]`
    FileMount,
    /// `ulimits: {nofile: 10}`
    Ulimit,
    /// `ssh: [default]`
    Ssh,
    /// `provenance: true`
    FlagText,
    /// `count: all`
    Count,
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) attributes: &'static [Attribute],
    /// Whether it may hold keys that begin with `x-`.
    pub(crate) extensible: bool,
}

impl Object {
    /// Makes a mapping that may hold extensions.
    pub(crate) const fn new(attributes: &'static [Attribute]) -> Self {
        Self { attributes, extensible: true }
    }

    /// Makes a mapping that may not hold extensions.
    pub(crate) const fn closed(attributes: &'static [Attribute]) -> Self {
        Self { attributes, extensible: false }
    }

    /// Returns the attribute `name`.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// One line of a table.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) shape: &'static Shape,
    /// What it says, in a sentence.
    pub(crate) says: &'static str,
    pub(crate) merge: Merge,
    pub(crate) unique: Unique,
    pub(crate) output: Output,
    pub(crate) support: Support,
    pub(crate) required: bool,
    /// The name that `config` shows.
    pub(crate) label: &'static str,
}

/// How a later value meets an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Mappings key by key, lists one after the other, anything else is replaced; null changes nothing.
    Deep,
    /// Replaced, by null too.
    Replace,
    /// Deep if the drivers agree, else replaced.
    Logging,
    /// Pools with the same subnet are merged.
    Pools,
    /// One after the other, but for exact repetitions.
    Hosts,
}

/// Which items of a list are one and the same, so that the later replaces the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unique {
    /// None.
    No,
    /// None, and one that is there twice is a mistake.
    Refused,
    /// Texts that are the same up to `=`.
    Text,
    /// Mappings with the same value under this key.
    Field(&'static str),
    /// Files with the same target; one without a target is below this folder.
    File(&'static str),
    /// Ports with the same address, numbers and protocol.
    Port,
}

impl Unique {
    /// Tells whether a later item takes the place of an earlier one.
    pub(crate) fn replaces(self) -> bool {
        !matches!(self, Self::No | Self::Refused)
    }
}

/// When `config` shows an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// When it says more than nothing, zero or false.
    Telling,
    /// When it was said.
    Said,
    /// Always, as null or an empty mapping if need be.
    Always,
    /// Never.
    Never,
}

/// What trice does with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// What it says.
    Honoured,
    /// Nothing yet: the project cannot be started.
    NotYet,
    /// Nothing: it is for Swarm.
    Swarm,
    /// Nothing: it is for Windows.
    Windows,
    /// Nothing when the project is started: it is for another command, or a note for people.
    Elsewhere,
}

/// Makes a line of a table.
pub(crate) const fn attribute(name: &'static str, shape: &'static Shape, says: &'static str) -> Attribute {
    Attribute {
        name,
        shape,
        says,
        merge: Merge::Deep,
        unique: Unique::No,
        output: Output::Telling,
        support: Support::Honoured,
        required: false,
        label: name,
    }
}

impl Attribute {
    pub(crate) const fn merged(self, merge: Merge) -> Self {
        Self { merge, ..self }
    }

    pub(crate) const fn unique(self, unique: Unique) -> Self {
        Self { unique, ..self }
    }

    pub(crate) const fn shown(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// Has `config` show another name: Docker Compose forgot the tags of some.
    pub(crate) const fn labelled(self, label: &'static str) -> Self {
        Self { label, ..self }
    }

    pub(crate) const fn not_yet(self) -> Self {
        Self { support: Support::NotYet, ..self }
    }

    pub(crate) const fn swarm(self) -> Self {
        Self { support: Support::Swarm, ..self }
    }

    pub(crate) const fn windows(self) -> Self {
        Self { support: Support::Windows, ..self }
    }

    pub(crate) const fn elsewhere(self) -> Self {
        Self { support: Support::Elsewhere, ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}
