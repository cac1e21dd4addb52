//! `events`: what becomes of containers, from now on.
//!
//! Source: docker/compose `cmd/compose/events.go`; the words are those of Docker's events.

use clap::Args;
use serde_json::{Map, Value, json};
use trice_api::call::Watch;
use trice_api::event::{ContainerChange, ContainerEvent};
use trice_model::name::ServiceName;

use crate::engine::Heard;
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Of these services; none is all
    services: Vec<ServiceName>,
    /// As objects, one a line
    #[arg(long)]
    json: bool,
}

/// Carries out `events`. An interrupt ends it.
pub(crate) async fn run(args: &EventsArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("events")?;
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let mut watch = engine.lines(Watch { of: scope.selection(&args.services) });
    let mut interrupts = Interrupts::listen()?;
    loop {
        tokio::select! {
            heard = watch.next() => match heard? {
                // Another engine answers: what happened in between was not heard.
                Heard::Opened => {}
                Heard::Line(event) => output::print_lines([if args.json { object(&event) } else { text(&event) }])?,
            },
            () = interrupts.next() => return Err(Failure::Interrupted),
        }
    }
}

/// Returns what Docker calls a change, and what it tells of it beside the container.
fn action(what: ContainerChange) -> (&'static str, Option<(&'static str, String)>) {
    match what {
        ContainerChange::Created => ("create", None),
        ContainerChange::Started => ("start", None),
        ContainerChange::Exited { code, .. } => ("die", Some(("exitCode", code.to_string()))),
        ContainerChange::Healthy => ("health_status: healthy", None),
        ContainerChange::Unhealthy => ("health_status: unhealthy", None),
        ContainerChange::Paused => ("pause", None),
        ContainerChange::Unpaused => ("unpause", None),
        ContainerChange::Removed => ("destroy", None),
    }
}

fn attributes(event: &ContainerEvent) -> Vec<(&'static str, String)> {
    let own = [("image", event.image.to_string()), ("name", event.container.to_string())];
    let (_, more) = action(event.what);
    more.into_iter().chain(own).collect()
}

fn text(event: &ContainerEvent) -> String {
    let time = event.time.rfc3339().replace('T', " ");
    // Microseconds, as there.
    let time = &time[..time.len() - "000Z".len()];
    let attributes: Vec<String> =
        attributes(event).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (action, _) = action(event.what);
    format!("{time} container {action} {} ({})", event.id, attributes.join(", "))
}

fn object(event: &ContainerEvent) -> String {
    let attributes: Map<String, Value> =
        attributes(event).into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let (action, _) = action(event.what);
    json!({
        "action": action, "attributes": attributes, "id": event.id, "service": event.service,
        "time": event.time.rfc3339(), "type": "container",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use trice_model::time::Timestamp;

    use super::*;

    #[test]
    fn events_are_told_as_docker_compose_tells_them() {
        let event = |what| ContainerEvent {
            time: Timestamp(1_767_366_245_123_456_789),
            id: "0".repeat(64).parse().unwrap(),
            container: "shop-web-1".parse().unwrap(),
            service: "web".parse().unwrap(),
            image: "redis:7".parse().unwrap(),
            oneoff: false,
            what,
        };
        let id = "0".repeat(64);
        let exited = event(ContainerChange::Exited { code: 137, restarting: true });
        assert_eq!(
            text(&exited),
            format!(
                "2026-01-02 15:04:05.123456 container die {id} (exitCode=137, image=redis:7, name=shop-web-1)"
            )
        );
        assert_eq!(
            object(&event(ContainerChange::Healthy)),
            format!(
                r#"{{"action":"health_status: healthy","attributes":{{"image":"redis:7","name":"shop-web-1"}},"id":"{id}","service":"web","time":"2026-01-02T15:04:05.123456789Z","type":"container"}}"#
            )
        );
    }
}
