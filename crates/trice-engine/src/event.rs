//! Everything that can happen to an engine: one closed list, for one loop with one owner of its state.

use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};
use trice_api::call;
use trice_api::event::{Amount, ContainerEvent, OperationEvent};
use trice_api::fault::Fault;
use trice_api::view::{ContainerView, FindingView, NetworkView, PauseView, PlanView, ProjectView};
use trice_image::images::remove::Roots;
use trice_model::container::{ContainerSpec, ExitStatus};
use trice_model::id::ContainerId;
use trice_model::name::{ContainerName, ProjectName};
use trice_model::network::InstanceName;
use trice_model::volume::ObservedVolume;
use trice_network::watch::Change;
use trice_plan::plan::StepId;
use trice_runtime::keeper::link::Told;

use crate::build::ground::Place;
use crate::images::removal::Removal;
use crate::inside::Inside;
use crate::pause::Held;
use crate::perform::Outcome;
use crate::system::MountedVolumes;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client is there.
    Connected,
    /// A client has gone.
    Disconnected,
    /// A client asks for something.
    Asked(Question),
    /// The keeper tells something.
    Told(Told),
    /// A step of an operation is over.
    StepOver { operation: u64, step: StepId, result: Result<Outcome, Fault> },
    /// A step of an operation has gone so far.
    StepGone { operation: u64, step: StepId, amount: Amount },
    /// A container that this keeper did not make has ended.
    ForeignEnd { container: ContainerId, run: u64, exit: ExitStatus },
    /// What was left of a container's process has been put away.
    Finished { container: ContainerId, exit: ExitStatus },
    /// A container's delay before its next start is over.
    RestartDue { container: ContainerId },
    /// A container that was restarted by itself runs, or could not.
    Restarted { container: ContainerId, result: Result<Outcome, Fault> },
    /// A container that was asked to end has had its time.
    GraceOver { container: ContainerId, run: u64 },
    /// A container's next probe is due.
    ProbeDue { container: ContainerId, run: u64 },
    /// A probe has ended.
    Probed { container: ContainerId, run: u64, succeeded: bool },
    /// A network's bridge has gone.
    NetworkGone { name: trice_model::name::NetworkName, result: Result<(), Fault> },
    /// A build begins.
    BuildBegan,
    /// A build is over.
    BuildOver,
    /// The network of builds is there, or could not be made.
    GroundMade(Result<Outcome, Fault>),
    /// A step of a build is on it, or could not be put there.
    PlaceMade { step: InstanceName, result: Result<Outcome, Fault> },
    /// A step of a build is off it.
    PlaceLeft(InstanceName),
    /// Somebody else changed something in the host's network.
    NetworkChanged(Change),
    /// It has been quiet for a moment since.
    NetworkSettled,
    /// The host asks other resolvers.
    ResolversChanged,
    /// The keeper has let go of the ports that became free in that turn.
    PortsFree { turn: u64 },
    /// Containers are held still.
    Held(Held),
    /// Links were cut off a moment ago.
    LinksDue,
    /// So many of them have gone.
    LinksGone(usize),
    /// Somebody threw something away a while ago.
    TrashDue,
    /// What was written lazily is to be brought to the disk.
    SyncDue,
    /// A removal of images is over.
    RemovalOver,
    /// Nobody writes to a container of this project any more.
    HoldOver(ProjectName),
    /// Nothing has happened for a while since this turn.
    Idle { turn: u64 },
    /// A keeper has taken the place of one that died.
    Succeeded(Result<OwnedFd, Fault>),
}

/// What a client asks for, and where the answer goes.
#[derive(Debug)]
pub(crate) enum Question {
    /// Do something.
    Operate(Box<call::Operate>, mpsc::UnboundedSender<OperationEvent>),
    /// Stop doing something.
    Cancel(call::Cancel, oneshot::Sender<()>),
    /// Say what would be done.
    Plan(Box<call::Plan>, oneshot::Sender<Result<PlanView, Fault>>),
    /// List containers.
    Containers(call::ListContainers, oneshot::Sender<Vec<ContainerView>>),
    /// List projects.
    Projects(oneshot::Sender<Vec<ProjectView>>),
    /// List networks.
    Networks(oneshot::Sender<Vec<NetworkView>>),
    /// Say what is wrong with the machine.
    Examine(oneshot::Sender<Result<Vec<FindingView>, Fault>>),
    /// Send a signal.
    Kill(call::Kill, oneshot::Sender<Vec<ContainerName>>),
    /// Hold containers still, or let them go on.
    Pause(call::Pause, oneshot::Sender<Result<PauseView, Fault>>),
    /// One was held still for a while.
    GoOn(ContainerId),
    /// Tell what happens.
    Watch(call::Watch, mpsc::UnboundedSender<ContainerEvent>),
    /// Give what a process in a container needs.
    Enter(ContainerName, oneshot::Sender<Result<Entrance, Fault>>),
    /// Let nobody begin to use an image that is here, until what is answered is dropped.
    BeginRemoval(oneshot::Sender<(Roots, Removal)>),
    /// Somebody stays with this container: once it has ended, it is to be there until they leave.
    Attend(ContainerName),
    /// They have left.
    Leave(ContainerName),
    /// Give what it takes to look into a container, or to write into it.
    Inside(ContainerName, bool, oneshot::Sender<Result<Inside, Fault>>),
    /// List volumes, each with the number of containers that mount it.
    Volumes(oneshot::Sender<MountedVolumes>),
    /// Take the volumes away that nobody gave a name and nobody mounts.
    TakeUnusedVolumes(oneshot::Sender<(Vec<ObservedVolume>, Removal)>),
    /// Have a container read from this when it is made next.
    Stdin(ContainerName, OwnedFd),
    /// Put a step of a build on the network of builds; it must keep to its addresses if that is said.
    Place(InstanceName, bool, oneshot::Sender<Result<Place, Fault>>),
    /// Say when a process that the keeper made for somebody has ended.
    Follow(String, oneshot::Sender<ExitStatus>),
}

/// What it takes to run a process in a container, or to take part in its own.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The container.
    pub(crate) spec: ContainerSpec,
    /// It is held still.
    pub(crate) paused: bool,
    /// Its init.
    pub(crate) init: OwnedFd,
    /// The outer end of its terminal, if it has one.
    pub(crate) terminal: Option<OwnedFd>,
}
