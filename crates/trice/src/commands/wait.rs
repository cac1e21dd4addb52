//! `wait`: until containers have ended.
//!
//! Source: docker/compose `cmd/compose/wait.go`, `pkg/compose/wait.go`.

use std::collections::BTreeMap;

use clap::Args;
use trice_api::call::{ListContainers, Watch};
use trice_api::event::{ContainerChange, ContainerEvent};
use trice_api::fault::Code;
use trice_api::view::ContainerView;
use trice_model::container::ContainerState;
use trice_model::id::ContainerId;
use trice_model::intent::{DownOptions, Intent};
use trice_model::name::{ContainerName, ServiceName};

use crate::engine::Heard;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What is typed after `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Of these services
    #[arg(required = true)]
    services: Vec<ServiceName>,
    /// Remove the project as soon as one of them has ended
    #[arg(long)]
    down_project: bool,
}

/// Carries out `wait`. Returns the code of the container that ended last.
pub(crate) async fn run(args: &WaitArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("wait")?;
    let engine = invocation.engine()?;
    let scope = invocation.scope()?;
    scope.check(&args.services, &engine).await?;
    let of = scope.selection(&args.services);
    let mut watch = engine.lines(Watch { of: of.clone() });
    let mut awaited: Option<Awaited> = None;
    loop {
        let ended = match watch.next().await? {
            Heard::Opened => {
                let containers = engine.call(&ListContainers { of: of.clone() }).await?;
                match &mut awaited {
                    // Another engine answers: what happened in between was not heard.
                    Some(awaited) => awaited.look(&containers),
                    None => {
                        let found = Awaited::of(&containers);
                        if found.left.is_empty() {
                            let text =
                                format!("no container of these services of project {} runs", scope.name);
                            return Err(Failure::fault(Code::NotFound, text));
                        }
                        let names: Vec<&str> = found.left.keys().map(ContainerName::as_str).collect();
                        invocation.progress("wait").note(&format!("waiting for {}", names.join(", ")));
                        awaited = Some(found);
                        Vec::new()
                    }
                }
            }
            Heard::Line(event) => awaited.as_mut().map(|awaited| awaited.change(&event)).unwrap_or_default(),
        };
        let Some(awaited) = &awaited else { continue };
        output::print_lines(
            ended.iter().map(|(id, code)| format!("container \"{id}\" exited with status code {code}")),
        )?;
        if args.down_project && !ended.is_empty() {
            let options = DownOptions { known: scope.known(), ..DownOptions::default() };
            let intent = Intent::Down { project: scope.name.clone(), options };
            invocation.operate("wait", &engine, intent, &scope.places).await?;
            return Ok(awaited.code());
        }
        if awaited.left.is_empty() {
            return Ok(awaited.code());
        }
    }
}

/// The containers that are waited for.
#[derive(Debug, Default)]
struct Awaited {
    left: BTreeMap<ContainerName, ContainerId>,
    last: i32,
}

impl Awaited {
    /// Those that run now.
    fn of(containers: &[ContainerView]) -> Self {
        let runs = |container: &&ContainerView| {
            let has_process =
                matches!(container.state, ContainerState::Running { .. } | ContainerState::Restarting { .. });
            container.role.is_replica() && has_process
        };
        let left = containers.iter().filter(runs).map(|one| (one.name.clone(), one.id.clone())).collect();
        Self { left, last: 0 }
    }

    /// Takes in a change, and returns who has ended, with its code. One that is started again by itself has ended too.
    fn change(&mut self, event: &ContainerEvent) -> Vec<(ContainerId, i32)> {
        let code = match event.what {
            ContainerChange::Exited { code, .. } => code,
            // Nobody heard how it ended.
            ContainerChange::Removed => 0,
            ContainerChange::Created
            | ContainerChange::Started
            | ContainerChange::Healthy
            | ContainerChange::Unhealthy
            | ContainerChange::Paused
            | ContainerChange::Unpaused => return Vec::new(),
        };
        self.end(&event.container, code).into_iter().collect()
    }

    /// Takes in how all do now.
    fn look(&mut self, containers: &[ContainerView]) -> Vec<(ContainerId, i32)> {
        let mut ended = Vec::new();
        for name in self.left.keys().cloned().collect::<Vec<_>>() {
            let state = containers.iter().find(|container| container.name == name).map(|one| &one.state);
            let code = match state {
                Some(ContainerState::Running { .. } | ContainerState::Restarting { .. }) => continue,
                Some(ContainerState::Exited { exit }) => exit.code(),
                Some(ContainerState::Created) | None => 0,
            };
            ended.extend(self.end(&name, code));
        }
        ended
    }

    fn end(&mut self, name: &ContainerName, code: i32) -> Option<(ContainerId, i32)> {
        let id = self.left.remove(name)?;
        self.last = code;
        Some((id, code))
    }

    /// Returns the code to end with.
    fn code(&self) -> u8 {
        u8::try_from(self.last & 0xff).unwrap_or(u8::MAX)
    }
}
