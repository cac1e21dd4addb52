//! What tests build on: projects made in a few words, and a machine on which plans are carried out.

pub(crate) mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use trice_model::container::{ContainerSpec, ContainerState, ObservedContainer, Role};
use trice_model::health::{HealthTest, Healthcheck};
use trice_model::id::Ids;
use trice_model::image::{ImageConfig, ObservedImage, PlatformImage};
use trice_model::name::{Key, ProjectName, ServiceName};
use trice_model::network::{
    Attachment, Driver, InstanceName, Ipv4Pool, Medium, Network, NetworkSpec, Pool, PoolSpec,
};
use trice_model::port::{ContainerPort, HostPort, Port, Protocol};
use trice_model::project::Project;
use trice_model::restart::RestartPolicy;
use trice_model::service::{
    CapabilitySet, Condition, Dependency, Link, LinksEnv, NetworkMode, PublishMode, PullPolicy, Resources,
    SecurityOptions, Service,
};
use trice_model::time::Timestamp;
use trice_model::volume::Volume;

use crate::found::Found;
use crate::mistake::PlanError;
use crate::plan::{self, Plan};
use crate::realm::Realm;
use crate::testing::machine::Machine;
use trice_model::intent::{DownOptions, Intent, UpOptions};

/// Returns a name of any kind.
pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

/// Returns names of services.
pub(crate) fn services(names: &[&str]) -> BTreeSet<ServiceName> {
    names.iter().map(|text| name(text)).collect()
}

/// Returns a service of `image` that says nothing else.
pub(crate) fn service(image: &str) -> Service {
    Service {
        image: name(image),
        platform: None,
        pull_policy: PullPolicy::Missing,
        replicas: 1,
        container_name: None,
        entrypoint: None,
        command: None,
        environment: BTreeMap::new(),
        working_dir: None,
        user: None,
        group_add: Vec::new(),
        hostname: None,
        domainname: None,
        labels: BTreeMap::new(),
        depends_on: BTreeMap::new(),
        links: Vec::new(),
        external_links: Vec::new(),
        network_mode: NetworkMode::Own,
        networks: BTreeMap::new(),
        expose: BTreeSet::new(),
        ports: Vec::new(),
        dns: Vec::new(),
        dns_search: None,
        dns_opt: Vec::new(),
        extra_hosts: Vec::new(),
        volumes: Vec::new(),
        shm_size: None,
        read_only: false,
        init: false,
        tty: false,
        stdin_open: false,
        healthcheck: None,
        restart: RestartPolicy::No,
        stop_signal: None,
        stop_grace_period: None,
        attach: true,
        cap_add: CapabilitySet::default(),
        cap_drop: CapabilitySet::default(),
        privileged: false,
        security: SecurityOptions::default(),
        sysctls: BTreeMap::new(),
        ulimits: BTreeMap::new(),
        resources: Resources::default(),
        oom_score_adj: None,
        links_env: LinksEnv::Ports,
        publish: PublishMode::Direct,
    }
}

/// Returns a network of that name and subnet.
pub(crate) fn network(text: &str, subnet: &str) -> NetworkSpec {
    let subnet: ipnet::Ipv4Net = name(subnet);
    NetworkSpec {
        name: name(text),
        owner: None,
        medium: Medium::Bridge(name("br0")),
        ipv4: Some(PoolSpec {
            subnet,
            gateway: subnet.hosts().next().unwrap(),
            ip_range: subnet,
            aux_addresses: BTreeMap::new(),
        }),
        ipv6: None,
        internal: false,
        attachable: false,
        mtu: 1500,
        icc: true,
        masquerade: true,
        host_binding: None,
        interface_prefix: None,
        labels: BTreeMap::new(),
    }
}

/// Returns the probe that services of tests have.
pub(crate) fn probe() -> Healthcheck {
    Healthcheck { test: Some(HealthTest::Shell("true".to_owned())), ..Healthcheck::default() }
}

/// Returns a replica of the project `shop` that runs.
pub(crate) fn container(service: &str, number: u32) -> ObservedContainer {
    let mut world = World::new(&[(service, "app:1")]);
    world.service(service).replicas = number;
    world.up();
    world.replica(service, number).clone()
}

/// A project, a machine, and the time.
pub(crate) struct World {
    /// What is wanted.
    pub(crate) project: Project,
    /// What is there.
    pub(crate) machine: Machine,
    ids: Ids,
    now: Timestamp,
}

impl World {
    /// Begins with services of the project `shop`, each of an image that is here, all on the network
    /// `default`.
    pub(crate) fn new(services: &[(&str, &str)]) -> Self {
        let project = Project {
            builds: BTreeMap::new(),
            name: name("shop"),
            working_dir: PathBuf::from("/shop"),
            files: vec![PathBuf::from("/shop/compose.yaml")],
            services: BTreeMap::new(),
            inactive: BTreeSet::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
        };
        let mut world =
            Self { project, machine: Machine::default(), ids: Ids::new([1, 2, 3, 4]), now: Timestamp(1_000) };
        world.network("default");
        for (service_name, image) in services {
            world.add(service_name, image);
        }
        world
    }

    /// Adds a service.
    pub(crate) fn add(&mut self, service_name: &str, image: &str) {
        let mut service = service(image);
        service.networks.insert(name("default"), Attachment::default());
        self.project.services.insert(name(service_name), service);
        self.image(image);
    }

    /// Changes a service.
    pub(crate) fn service(&mut self, service: &str) -> &mut Service {
        self.project.services.get_mut(service).unwrap()
    }

    /// Changes a network, which is added if need be.
    pub(crate) fn network(&mut self, key: &str) -> &mut Network {
        self.project.networks.entry(name(key)).or_insert_with(|| Network {
            name: name(&format!("shop_{key}")),
            external: false,
            driver: Driver::Bridge { link: None },
            internal: false,
            attachable: false,
            ipv4: Some(Pool::default()),
            ipv6: None,
            mtu: None,
            icc: true,
            masquerade: true,
            host_binding: None,
            interface_prefix: None,
            labels: BTreeMap::new(),
        })
    }

    /// Changes the IPv4 addresses of a network.
    pub(crate) fn ipv4(&mut self, key: &str) -> &mut Ipv4Pool {
        self.network(key).ipv4.get_or_insert_default()
    }

    /// Changes a volume, which is added if need be.
    pub(crate) fn volume(&mut self, key: &str) -> &mut Volume {
        self.project.volumes.entry(name(key)).or_insert_with(|| Volume {
            name: name(&format!("shop_{key}")),
            external: false,
            labels: BTreeMap::new(),
        })
    }

    /// Puts a service on a network of the project, beside those it is on.
    pub(crate) fn attach(&mut self, service: &str, network: &str) -> &mut Attachment {
        self.network(network);
        self.service(service).networks.entry(name(network)).or_default()
    }

    /// Changes an image, which is brought here if need be.
    pub(crate) fn image(&mut self, image: &str) -> &mut ImageConfig {
        let reference: PlatformImage = name(image);
        let entry = self.machine.found.images.entry(reference).or_insert_with(|| ObservedImage {
            id: format!("sha256:{image}"),
            layers: vec![Path::new("/layers").join(image)],
            config: ImageConfig { cmd: vec!["serve".to_owned()], ..ImageConfig::default() },
        });
        &mut entry.config
    }

    /// Makes `service` depend on `needed`; a service that must be healthy gets a probe.
    pub(crate) fn depends(&mut self, service: &str, needed: &str, condition: Condition) -> &mut Dependency {
        if condition == Condition::ServiceHealthy {
            self.service(needed).healthcheck = Some(probe());
        }
        let dependency = Dependency { condition, restart: false, required: true };
        self.service(service).depends_on.entry(name(needed)).or_insert(dependency)
    }

    /// Links `service` to `target` under a name of its own.
    pub(crate) fn link(&mut self, service: &str, target: &str, alias: &str) {
        self.service(service).links.push(Link { service: name(target), alias: alias.to_owned() });
    }

    /// Publishes a TCP port of `service`.
    pub(crate) fn publish(&mut self, service: &str, published: HostPort, target: u16) {
        let target = ContainerPort { protocol: Protocol::Tcp, number: target };
        self.service(service).ports.push(Port { target, published, host_ip: None });
    }

    /// Returns a replica that is there.
    pub(crate) fn replica(&self, service: &str, number: u32) -> &ObservedContainer {
        let is_it =
            |spec: &ContainerSpec| spec.service.as_str() == service && spec.role == Role::Replica(number);
        self.machine.found.containers.values().find(|container| is_it(&container.spec)).unwrap()
    }

    /// Changes how a replica does.
    pub(crate) fn set_state(&mut self, service: &str, number: u32, state: ContainerState) {
        let id = self.replica(service, number).spec.id.clone();
        self.machine.found.containers.get_mut(&id).unwrap().state = state;
    }

    /// Returns the address of an instance on a network of the project.
    pub(crate) fn address(&self, instance: &str, network: &str) -> String {
        let instance = &self.machine.found.instances[&name::<InstanceName>(instance)].spec;
        let network = name(&format!("shop_{network}"));
        crate::instance::address_on(instance, &network).unwrap().to_string()
    }

    /// Lets time pass: what is asked from now on is asked later.
    pub(crate) fn pass_time(&mut self) {
        self.now = Timestamp(self.now.0 + 1_000_000);
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Plans `intent`, asked now.
    pub(crate) fn plan(&mut self, intent: &Intent) -> Result<Plan, Vec<PlanError>> {
        plan::plan(intent, &self.machine.found, &realm(), self.now, &mut self.ids)
    }

    /// Carries `plan` out.
    pub(crate) fn carry_out(&mut self, plan: &Plan) {
        self.machine.carry_out(plan, self.now);
    }

    /// Returns the intent of an `up`.
    pub(crate) fn wants(&self, options: UpOptions) -> Intent {
        Intent::Up { project: Box::new(self.project.clone()), options }
    }

    /// Brings the project up, and lets time pass.
    pub(crate) fn up(&mut self) {
        let intent = self.wants(UpOptions::default());
        self.satisfy(&intent);
    }

    /// Plans and carries out until nothing is left, and lets time pass.
    pub(crate) fn satisfy(&mut self, intent: &Intent) {
        for _ in 0..3 {
            let plan = self.plan(intent).unwrap();
            self.carry_out(&plan);
            if plan.complete {
                break;
            }
        }
        self.pass_time();
    }
}

/// Returns the engine of tests.
pub(crate) fn realm() -> Realm {
    Realm::new(Path::new("/run/trice"), "0.1.0").on_machine("machine")
}

/// Returns the intent of a `down` with all that goes with it.
pub(crate) fn down_with_volumes(project: &ProjectName) -> Intent {
    Intent::Down {
        project: project.clone(),
        options: DownOptions { volumes: true, ..DownOptions::default() },
    }
}

/// Returns the text of the plan for an `up`.
pub(crate) fn plan_for(world: &mut World) -> String {
    plan_with(world, UpOptions::default())
}

/// Returns the text of the plan for an `up` with options, or of what is wrong.
pub(crate) fn plan_with(world: &mut World, options: UpOptions) -> String {
    let intent = world.wants(options);
    text(world.plan(&intent))
}

/// Returns the text of a plan, or of what is wrong, a line each.
pub(crate) fn text(result: Result<Plan, Vec<PlanError>>) -> String {
    match result {
        Ok(plan) => plan.to_string(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    }
}

/// Returns the key of a test's object.
pub(crate) fn key(text: &str) -> Key {
    name(text)
}

/// Returns what is there, to be changed.
pub(crate) fn found(world: &mut World) -> &mut Found {
    &mut world.machine.found
}
