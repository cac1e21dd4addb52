//! An error that crosses the socket: said once, whole, with its way out.

use std::error::Error;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trice_model::image::ImageRef;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// What kind of error it is: stable, for programs.
    pub code: Code,
    /// What, where, why: the whole chain of causes, joined by colons.
    pub message: String,
    /// The key path in the Compose files that it is about, such as `services.web.ports[0]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The image that it is about, as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Box<ImageRef>>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request makes no sense.
    BadRequest,
    /// A project, service or container is not there.
    NotFound,
    /// What is wanted cannot be planned.
    Plan,
    /// An image is not there or cannot be read.
    Image,
    /// A port of the host is taken.
    PortInUse,
    /// A container could not be made or started.
    Start,
    /// A command does not exist in its container.
    CommandNotFound,
    /// A command cannot be run in its container.
    CommandNotExecutable,
    /// A dependency failed, or what was waited for cannot come any more.
    Dependency,
    /// Another request took over.
    Superseded,
    /// Whoever asked went away or took it back.
    Cancelled,
    /// This machine lacks an ability.
    Machine,
    /// Anything else.
    Internal,
}

impl Fault {
    /// Makes a fault of `error` and all its causes.
    pub fn of(code: Code, error: &(dyn Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| (*error).source());
        let message = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        Self::new(code, message)
    }

    /// Makes a fault that says `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path: None, image: None, hint: None }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the key path that it is about.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {}
