//! One action, one back-end call: the only place where a decision touches kernel and disk.
//!
//! Each function writes the record first, and ends in its state whatever part of it was there before. They wait, and
//! so run in threads of their own; what they bring goes back to the engine's loop as an [`Outcome`].

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use tokio::runtime::Handle;
use tokio::sync::watch;
use trice_api::event::Amount;
use trice_api::fault::{Code, Fault};
use trice_dns::resolv_conf;
use trice_image::registry::Registries;
use trice_model::container::ContainerSpec;
use trice_model::image::{ObservedImage, PlatformImage};
use trice_model::name::VolumeName;
use trice_model::network::{EndpointSpec, InstanceName, InstanceSpec, NetworkSpec};
use trice_model::registry::RegistryAccess;
use trice_model::volume::{ObservedVolume, VolumeSpec};
use trice_network::instance::Connected;
use trice_runtime::container::{Prepared, Surroundings};
use trice_runtime::lower::MadeFile;
use trice_state::batch::Batch;

use crate::backends::Backends;
use crate::failure;
use crate::gauge::Gauge;
use crate::identity;
use crate::images::platform;
use crate::record::{ContainerRecord, InstanceRecord, NetworkRecord};
use crate::seed;
use crate::world::HostSide;

/// What a back end brings.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing but that it is done.
    Done,
    /// An image.
    Image(Box<ObservedImage>),
    /// A volume.
    Volume(Box<ObservedVolume>),
    /// An instance's namespace and its sockets for names.
    Connected(Box<Connected>),
    /// A container that waits for its start.
    Prepared(Box<Prepared>),
    /// A container whose program runs, with its record.
    Started(Box<Prepared>, Box<ContainerRecord>),
}

/// A back-end call with all that it needs.
pub(crate) type Job = Box<dyn FnOnce(&Backends) -> Result<Outcome, Fault> + Send>;

/// Has an image, and tells how far that is. It ends without one when `stopped` says so.
pub(crate) fn fetch_image(
    image: PlatformImage,
    access: RegistryAccess,
    mut stopped: watch::Receiver<bool>,
    tell: impl FnMut(Amount) + Send + 'static,
) -> Job {
    Box::new(move |backends| {
        let mut gauge = Gauge::new(tell);
        let registries = Registries::new(access.settings, access.keyring);
        let platform = platform(image.platform.as_deref())?;
        let mut heard = |progress| gauge.fetched(progress);
        let fetching = backends.images.fetch(&image.image, &platform, &registries, &mut heard);
        // This thread waits for the disk, and the engine's own for the registry.
        let fetched = Handle::current().block_on(async {
            tokio::select! {
                fetched = fetching => fetched.map_err(|error| failure::of_image(&image.image, &error)),
                _ = stopped.wait_for(|stopped| *stopped) => Err(Fault::new(Code::Cancelled, "cancelled")),
            }
        });
        Ok(Outcome::Image(Box::new(fetched?)))
    })
}

/// Makes a network.
pub(crate) fn create_network(spec: NetworkSpec) -> Job {
    Box::new(move |backends| {
        let what = format!("create network {}", spec.name);
        let record = NetworkRecord { spec, leaving: false };
        commit(backends, &what, Batch::new().put(&record))?;
        trice_network::bridge::create_network(&record.spec).map_err(|error| failure::of(&what, &error))?;
        Ok(Outcome::Done)
    })
}

/// Says that a network is to go, so that a new engine goes on with it.
pub(crate) fn mark_leaving(spec: NetworkSpec) -> Job {
    Box::new(move |backends| {
        let what = format!("remove network {}", spec.name);
        commit(backends, &what, Batch::new().put(&NetworkRecord { spec, leaving: true }))?;
        Ok(Outcome::Done)
    })
}

/// Removes a network's bridge, which takes the kernel a while.
pub(crate) fn remove_network(backends: &Backends, spec: &NetworkSpec) -> Result<(), Fault> {
    let what = format!("remove network {}", spec.name);
    trice_network::bridge::remove_networks(std::slice::from_ref(spec))
        .map_err(|error| failure::of(&what, &error))?;
    commit(backends, &what, Batch::new().remove::<NetworkRecord>(spec.name.as_str()))
}

/// Makes a volume.
pub(crate) fn create_volume(spec: VolumeSpec) -> Job {
    Box::new(move |backends| {
        let what = format!("create volume {}", spec.name);
        let volume = backends.volumes.create(&spec).map_err(|error| failure::of(&what, &error))?;
        Ok(Outcome::Volume(Box::new(volume)))
    })
}

/// Removes a volume.
pub(crate) fn remove_volume(name: VolumeName) -> Job {
    Box::new(move |backends| {
        let what = format!("remove volume {name}");
        backends.volumes.remove(&name).map_err(|error| failure::of(&what, &error))?;
        Ok(Outcome::Done)
    })
}

/// Makes an instance's namespace with its interfaces.
pub(crate) fn connect_instance(spec: InstanceSpec) -> Job {
    Box::new(move |backends| {
        let what = format!("connect {}", spec.name);
        let record = InstanceRecord { spec };
        commit(backends, &what, Batch::new().put(&record))?;
        let connected =
            trice_network::instance::connect(&record.spec).map_err(|error| failure::of(&what, &error))?;
        hold_instance(backends, &record.spec.name, &connected)
            .map_err(|error| failure::of_io(&what, &error))?;
        Ok(Outcome::Connected(Box::new(connected)))
    })
}

/// Puts a step of a build on the network of builds. Nobody remembers it: it goes with its process.
pub(crate) fn connect_step(spec: InstanceSpec) -> Job {
    Box::new(move |_| {
        let connected = trice_network::instance::connect(&spec);
        let connected = connected.map_err(|error| failure::of("connect a step", &error))?;
        Ok(Outcome::Connected(Box::new(connected)))
    })
}

/// Gives an instance other interfaces and routes while programs of `containers` run in it. `there` is how it is, and its
/// namespace; one that is gone is only remembered so.
pub(crate) fn reshape_instance(
    spec: InstanceSpec,
    there: Option<(InstanceSpec, OwnedFd)>,
    containers: Vec<ContainerSpec>,
) -> Job {
    Box::new(move |backends| {
        let what = format!("reconnect {}", spec.name);
        let record = InstanceRecord { spec };
        commit(backends, &what, Batch::new().put(&record))?;
        if let Some((there, namespace)) = there {
            trice_network::instance::reshape(namespace.as_fd(), &there, &record.spec)
                .map_err(|error| failure::of(&what, &error))?;
            let addresses = |spec: &InstanceSpec| -> Vec<IpAddr> {
                spec.endpoints.iter().flat_map(EndpointSpec::addresses).collect()
            };
            let (before, now) = (addresses(&there), addresses(&record.spec));
            for container in &containers {
                let change = |text: &[u8]| crate::files::rehosted(text, container, &before, &now);
                let changed = backends.containers.rewrite(&container.id, MadeFile::Hosts, change);
                changed.map_err(|error| failure::of_container(&what, &error))?;
            }
        }
        Ok(Outcome::Done)
    })
}

/// Has the keeper hold what belongs to an instance.
pub(crate) fn hold_instance(
    backends: &Backends,
    name: &InstanceName,
    connected: &Connected,
) -> io::Result<()> {
    let mut descriptors = vec![connected.namespace.as_fd()];
    if let Some(sockets) = &connected.dns {
        descriptors.extend([sockets.udp.as_fd(), sockets.tcp.as_fd()]);
    }
    backends.containers.hold(&instance_key(name), &descriptors)
}

/// Names an instance for the keeper.
pub(crate) fn instance_key(name: &InstanceName) -> String {
    format!("instance/{name}")
}

/// Cuts an instance off and forgets it. Its namespace goes with the last descriptor of it, and its ports are anybody's
/// when this is done.
pub(crate) fn disconnect_instance(spec: InstanceSpec, ports: Vec<(HostSide, OwnedFd)>) -> Job {
    Box::new(move |backends| {
        let what = format!("disconnect {}", spec.name);
        for endpoint in &spec.endpoints {
            trice_network::instance::cut_off(endpoint).map_err(|error| failure::of(&what, &error))?;
        }
        release(backends, &instance_key(&spec.name));
        let link = backends.containers.link();
        ports.iter().for_each(|(side, _)| link.begin_release(&side.key()).wait());
        drop(ports);
        commit(backends, &what, Batch::new().remove::<InstanceRecord>(spec.name.as_str()))?;
        Ok(Outcome::Done)
    })
}

/// Has the keeper let go. One that has died holds nothing, and its successor is told only what is still held.
pub(crate) fn release(backends: &Backends, key: &str) {
    let _ = backends.containers.link().release(key);
}

/// What a container is put into.
pub(crate) struct Place {
    /// Its instance's namespace; `None` is the host's.
    pub(crate) namespace: Option<OwnedFd>,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// What it reads, if somebody gives it something to read.
    pub(crate) stdin: Option<OwnedFd>,
}

/// Records a container and makes it up to the last step before its program, or only its folders if it is not started
/// now.
pub(crate) fn create_container(record: ContainerRecord, place: Place, starts: bool) -> Job {
    Box::new(move |backends| {
        let what = format!("create container {}", record.container.spec.name);
        commit(backends, &what, Batch::new().put(&record))?;
        let spec = &record.container.spec;
        seed::seed(backends, spec, true)?;
        if starts {
            Ok(Outcome::Prepared(Box::new(prepare(backends, &what, spec, place)?)))
        } else {
            let made = backends.containers.make_folders(&spec.id);
            made.map_err(|error| failure::of_container(&what, &error))?;
            Ok(Outcome::Done)
        }
    })
}

/// Lets a container's program run; one that has no waiting process gets one first.
///
/// Which process it is gets into the store before the program begins, so that whoever comes after this engine knows.
pub(crate) fn start_container(mut record: ContainerRecord, waiting: Option<Prepared>, place: Place) -> Job {
    Box::new(move |backends| {
        let what = format!("start container {}", record.container.spec.name);
        let mut prepared = match waiting {
            Some(prepared) => prepared,
            None => {
                seed::seed(backends, &record.container.spec, false)?;
                prepare(backends, &what, &record.container.spec, place)?
            }
        };
        let identity = identity::of(prepared.pid).map_err(|error| failure::of_io(&what, &error))?;
        record.process = Some(identity);
        commit(backends, &what, Batch::new().put(&record))?;
        prepared.start().map_err(|error| failure::of_container(&what, &error))?;
        Ok(Outcome::Started(Box::new(prepared), Box::new(record)))
    })
}

fn prepare(backends: &Backends, what: &str, spec: &ContainerSpec, place: Place) -> Result<Prepared, Fault> {
    let host_text = fs::read_to_string(&backends.resolv_conf).unwrap_or_default();
    let host = resolv_conf::parse(&host_text);
    let open_volume = |name: &VolumeName, subpath: Option<&Path>| {
        backends.volumes.open_data(name, subpath).map_err(Into::into)
    };
    let stdin = || place.stdin.as_ref().map(OwnedFd::try_clone).transpose();
    loop {
        let mut surroundings = Surroundings {
            namespace: place.namespace.as_ref().map(OwnedFd::as_fd),
            volumes: &open_volume,
            files: crate::files::texts(spec, &place.addresses, &host, &host_text),
            stdin: stdin().map_err(|error| failure::of_io(what, &error))?,
        };
        let (containers, link) = (&backends.containers, backends.containers.link());
        let error = match containers.prepare(&identity::key_of(&spec.id), spec, &mut surroundings) {
            Ok(prepared) => return Ok(prepared),
            Err(error) => error,
        };
        // Half a container is none: its group and what the keeper holds go at once.
        let _ = containers.finish(&spec.id);
        if !(error.is_of_keeper() && containers.wait_for_successor(&link)) {
            return Err(failure::of_container(what, &error));
        }
    }
}

/// Removes a container.
pub(crate) fn remove_container(spec: ContainerSpec) -> Job {
    Box::new(move |backends| {
        let what = format!("remove container {}", spec.name);
        let removed = backends.containers.remove(&spec.id);
        removed.map_err(|error| failure::of_container(&what, &error))?;
        commit(backends, &what, Batch::new().remove::<ContainerRecord>(spec.id.as_str()))?;
        Ok(Outcome::Done)
    })
}

/// Writes records; what they describe must not begin before. A power cut may take them with what they describe: the end
/// of an operation waits for the disk.
pub(crate) fn commit(backends: &Backends, what: &str, batch: Batch) -> Result<(), Fault> {
    backends.store.commit_lazily(batch).map_err(|error| failure::of(what, &error))
}
