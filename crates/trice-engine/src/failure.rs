//! Back ends' errors as faults: what kind they are, and what to do about them.

use std::io;

use crate::inside::copy::CopyError;
use trice_api::fault::{Code, Fault};
use trice_build::changes::ChangeError;
use trice_image::images::FetchError;
use trice_image::images::push::PushError;
use trice_model::image::ImageRef;
use trice_network::port::PortError;
use trice_plan::mistake::PlanError;
use trice_runtime::container::CreateError;
use trice_runtime::handshake::FailureKind;

/// A mistake in what is wanted.
pub(crate) fn of_plan(error: &PlanError) -> Fault {
    let fault = Fault::new(Code::Plan, error.mistake.to_string()).at(&error.path);
    match error.hint() {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// A container that could not be made or started.
pub(crate) fn of_container(what: &str, error: &CreateError) -> Fault {
    let code = match error {
        CreateError::Child(failure) => match failure.kind {
            FailureKind::CommandNotFound => Code::CommandNotFound,
            FailureKind::CommandNotExecutable => Code::CommandNotExecutable,
            FailureKind::Setup => Code::Start,
        },
        CreateError::Lower(_)
        | CreateError::Cgroup(_)
        | CreateError::Folder { .. }
        | CreateError::Layer { .. }
        | CreateError::BindMissing(_)
        | CreateError::Bind { .. }
        | CreateError::Volume { .. }
        | CreateError::Image { .. }
        | CreateError::Trash(_)
        | CreateError::Filter(_)
        | CreateError::Spawn(_)
        | CreateError::Died => Code::Start,
    };
    let fault = about(what, Fault::of(code, error));
    match error {
        CreateError::BindMissing(path) => fault.hint(format!(
            "make it (`mkdir -p {0}`), or leave `create_host_path` true so that it is made",
            path.display()
        )),
        CreateError::Child(failure) if failure.kind == FailureKind::CommandNotFound => {
            fault.hint("check `command` and `entrypoint`, and that the image has the program")
        }
        CreateError::Layer { .. } => fault.hint("the image's files are gone: load it again with `up`"),
        _ => fault,
    }
}

/// Changes of an image that cannot be made.
pub(crate) fn of_change(what: &str, error: &ChangeError) -> Fault {
    match error {
        // They end with lines, after which nothing more fits.
        ChangeError::Mistakes(text) => Fault::new(Code::BadRequest, format!("{what}: {text}")),
        error => about(what, Fault::of(Code::BadRequest, error)),
    }
}

/// An image that could not be had.
pub(crate) fn of_image(image: &ImageRef, error: &FetchError) -> Fault {
    let fault = Fault { image: Some(Box::new(image.clone())), ..Fault::of(Code::Image, error) };
    match error {
        FetchError::Source { .. } | FetchError::Load { .. } => fault, // they name the image
        FetchError::Rootfs(_) | FetchError::Read(_) | FetchError::Commit(_) => {
            about(&format!("image {image}"), fault)
        }
    }
}

/// An image that could not be sent.
pub(crate) fn of_push(image: &impl ToString, error: &PushError) -> Fault {
    about(&format!("image {}", image.to_string()), Fault::of(Code::Image, error))
}

/// An image that could not be made.
pub(crate) fn of_image_made(what: &str, error: &(dyn std::error::Error + 'static)) -> Fault {
    about(what, Fault::of(Code::Image, error))
}

/// Files that could not be copied.
pub(crate) fn of_copy(what: &str, error: &CopyError) -> Fault {
    let code = match error {
        CopyError::NoSource(_) | CopyError::NoFolder(_) => Code::NotFound,
        _ => Code::Start,
    };
    about(what, Fault::of(code, error))
}

/// A registry that does not answer as it should.
pub(crate) fn of_registry(name: &str, error: &(dyn std::error::Error + 'static)) -> Fault {
    about(name, Fault::of(Code::Image, error))
}

/// A port of the host that could not be reserved.
pub(crate) fn of_port(instance: &impl ToString, error: &PortError) -> Fault {
    let what = format!("start container {}", instance.to_string());
    let fault = |code| about(&what, Fault::of(code, error));
    match error {
        PortError::InUse { port } => {
            let (tool, number) = (tool(port.target.protocol), port.host_port);
            fault(Code::PortInUse).hint(format!("`{tool} 'sport = :{number}'` shows who has it"))
        }
        PortError::NoSuchAddress { .. } => fault(Code::PortInUse)
            .hint("`ip addr` shows this machine's addresses; without one, all are meant"),
        PortError::Denied { .. } | PortError::Unsupported { .. } | PortError::Keep { .. } => {
            fault(Code::Machine)
        }
    }
}

/// The command that lists who listens.
fn tool(protocol: trice_model::port::Protocol) -> &'static str {
    match protocol {
        trice_model::port::Protocol::Tcp => "ss -ltnp",
        trice_model::port::Protocol::Udp => "ss -lunp",
        trice_model::port::Protocol::Sctp => "ss -lnp --sctp",
    }
}

/// Any other error about `what`.
pub(crate) fn of(what: &str, error: &(dyn std::error::Error + 'static)) -> Fault {
    about(what, Fault::of(Code::Internal, error))
}

/// An error of the machine about `what`.
pub(crate) fn of_io(what: &str, error: &io::Error) -> Fault {
    about(what, Fault::of(Code::Internal, error))
}

fn about(what: &str, fault: Fault) -> Fault {
    Fault { message: format!("{what}: {}", fault.message), ..fault }
}
