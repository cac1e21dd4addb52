//! What becomes of a model.

use std::time::Duration;

use trice_model::build::DockerfileSource;
use trice_model::service::PullPolicy;

use crate::load::load;
use crate::request::Request;
use crate::testing::{Memory, load_text, project, request, told};

#[test]
fn a_whole_service_comes_out_with_its_types() {
    let text = "
name: shop
services:
  web:
    image: oci:images/web:v1
    command: serve --port 80
    entrypoint: []
    environment: { A: 1, B: }
    hostname: web.example
    user: www:www
    working_dir: /srv
    group_add: [5]
    labels: [x=y]
    depends_on: { db: { condition: service_healthy, restart: true } }
    links: ['db:store']
    networks: { front: { aliases: [w], ipv4_address: 10.1.0.5, priority: 3, gw_priority: 2 } }
    mac_address: 02:42:0a:01:00:05
    ports: ['127.0.0.1:8080:80', '53:53/udp', '9000-9001:90', '70']
    expose: [81, '82-83/udp']
    dns: 1.1.1.1
    dns_search: [a.example]
    extra_hosts: ['h:host-gateway', 'x=::1,1.2.3.4']
    volumes: ['data:/data:ro', './src:/src', '/anon', { type: tmpfs, target: /t, tmpfs: { size: 1m, mode: 01777 } }]
    tmpfs: ['/run:size=64k,mode=755,exec']
    shm_size: 128m
    read_only: true
    init: true
    healthcheck: { test: [CMD, ok], interval: 5s, retries: 2 }
    restart: on-failure:3
    stop_signal: SIGQUIT
    stop_grace_period: 1m
    cap_add: [NET_ADMIN]
    cap_drop: [ALL]
    security_opt: ['no-new-privileges:true', seccomp=unconfined]
    sysctls: { net.core.somaxconn: 1024 }
    ulimits: { nofile: 10, nproc: { soft: 1, hard: 2 } }
    deploy: { replicas: 3, resources: { limits: { cpus: '0.5', memory: 64m, pids: 10 } } }
    x-trice: { links_env: full }
  db:
    image: rootfs:/
    network_mode: none
networks:
  front:
    internal: true
    driver_opts: { com.docker.network.driver.mtu: 1400, com.docker.network.bridge.enable_icc: 'false' }
    ipam: { config: [{ subnet: 10.1.0.0/24, gateway: 10.1.0.1, ip_range: 10.1.0.128/25 }] }
volumes:
  data: { name: shop-data, labels: { keep: 'yes' } }
x-trice: { links_env: off }
";
    insta::assert_snapshot!(project(text), @r#"
        name: shop
        services:
          db:
            attach: true
            image: rootfs:/
            links_env: "off"
            network_mode: none
            publish: direct
            pull_policy: missing
            replicas: 1
            restart: "no"
          web:
            attach: true
            cap_add:
              only:
                - NET_ADMIN
            cap_drop: all
            command:
              - serve
              - "--port"
              - "80"
            depends_on:
              db:
                condition: service_healthy
                required: true
                restart: true
            dns:
              - 1.1.1.1
            dns_search:
              - a.example
            environment:
              A: "1"
            expose:
              - number: 81
                protocol: tcp
              - number: 82
                protocol: udp
              - number: 83
                protocol: udp
            extra_hosts:
              - - h
                - host-gateway
              - - x
                - address: "::1"
              - - x
                - address: 1.2.3.4
            group_add:
              - "5"
            healthcheck:
              interval:
                nanos: 0
                secs: 5
              retries: 2
              test:
                command:
                  - ok
            hostname: web.example
            image: oci:/p/images/web:v1
            init: true
            labels:
              x: "y"
            links:
              - alias: store
                service: db
            links_env: full
            network_mode: own
            networks:
              front:
                aliases:
                  - w
                gw_priority: 2
                ipv4_address: 10.1.0.5
                mac_address: "02:42:0a:01:00:05"
                priority: 3
            ports:
              - host_ip: 127.0.0.1
                published:
                  fixed: 8080
                target:
                  number: 80
                  protocol: tcp
              - host_ip: null
                published:
                  fixed: 53
                target:
                  number: 53
                  protocol: udp
              - host_ip: null
                published:
                  one-of:
                    first: 9000
                    last: 9001
                target:
                  number: 90
                  protocol: tcp
              - host_ip: null
                published: any
                target:
                  number: 70
                  protocol: tcp
            publish: direct
            pull_policy: missing
            read_only: true
            replicas: 3
            resources:
              memory: 67108864
              nano_cpus: 500000000
              pids: 10
            restart:
              on-failure:
                max_retries: 3
            security:
              no_new_privileges: true
              seccomp_unconfined: true
            shm_size: 134217728
            stop_grace_period:
              nanos: 0
              secs: 60
            stop_signal: SIGQUIT
            sysctls:
              net.core.somaxconn: "1024"
            ulimits:
              nofile:
                hard: 10
                soft: 10
              nproc:
                hard: 2
                soft: 1
            user: www:www
            volumes:
              - read_only: true
                source:
                  volume:
                    key: data
                    nocopy: false
                    subpath: null
                target: /data
              - read_only: false
                source:
                  bind:
                    create_host_path: true
                    path: /p/src
                    propagation: rprivate
                    recursive: true
                target: /src
              - read_only: false
                source:
                  volume:
                    key: null
                    nocopy: false
                    subpath: null
                target: /anon
              - read_only: false
                source:
                  tmpfs:
                    exec: false
                    gid: null
                    mode: 1023
                    size: 1048576
                    uid: null
                target: /t
              - read_only: false
                source:
                  tmpfs:
                    exec: true
                    gid: null
                    mode: 493
                    size: 65536
                    uid: null
                target: /run
            working_dir: /srv
        networks:
          front:
            internal: true
            ipv4:
              gateway: 10.1.0.1
              ip_range: 10.1.0.128/25
              subnet: 10.1.0.0/24
            masquerade: true
            mtu: 1400
            name: shop_front
        volumes:
          data:
            labels:
              keep: "yes"
            name: shop-data
        files:
          - /p/compose.yaml
        working_dir: /p
        "#);
}

#[test]
fn what_cannot_be_done_yet_is_told_and_not_dropped() {
    let text = "
services:
  web:
    build: .
    secrets: [s]
    gpus: all
    privileged: false
    oom_kill_disable: false
    pid: host
    network_mode: 'ns:/run/netns/x'
    volumes: ['/a:/b:shared', { type: cluster, source: x, target: /i }]
    security_opt: ['label=disable']
    deploy: { placement: { constraints: [a] }, resources: { reservations: { cpus: '1' } } }
    isolation: process
    develop: { watch: [{ path: ., action: rebuild }] }
  db:
    image: x
    build: { dockerfile_inline: FROM scratch }
    deploy: { placement: { constraints: [a] } }
    networks: { n: { driver_opts: { com.docker.network.endpoint.dns: x } } }
networks:
  n: { driver: macvlan, ipam: { driver: dhcp, config: [{ subnet: 10.0.0.0/8 }, { subnet: 11.0.0.0/8 }] } }
  o: { driver: overlay, driver_opts: { com.docker.network.bridge.inhibit_ipv4: 'true' } }
volumes: { v: { driver: nfs, driver_opts: { a: b } } }
secrets: { s: { file: s } }
";
    insta::assert_snapshot!(told(text), @"
idle: compose.yaml:13:15 services.web.deploy.placement: `placement` is for Swarm, and means nothing here
idle: compose.yaml:13:77 services.web.deploy.resources.reservations.cpus: `cpus` is for Swarm, and means nothing here
idle: compose.yaml:14:5 services.web.isolation: `isolation` is for Windows, and means nothing here
not yet: compose.yaml:5:5 services.web.secrets: `secrets` is not honoured yet
not yet: compose.yaml:6:5 services.web.gpus: `gpus` is not honoured yet
not yet: compose.yaml:9:5 services.web.pid: `pid` is not honoured yet
not yet: compose.yaml:10:19 services.web.network_mode: network mode `ns:/run/netns/x` is not honoured yet
not yet: compose.yaml:11:15 services.web.volumes[0]: propagation `shared` is not honoured yet
not yet: compose.yaml:11:31 services.web.volumes[1]: a mount of type `cluster` is not honoured yet
not yet: compose.yaml:12:20 services.web.security_opt[0]: security option `label=disable` is not honoured yet
not yet: compose.yaml:20:70 services.db.networks.n.driver_opts.com.docker.network.endpoint.dns: endpoint option `com.docker.network.endpoint.dns` is not honoured yet
not yet: compose.yaml:22:16 networks.n.driver: network driver `macvlan` without the option `parent` is not honoured yet
not yet: compose.yaml:22:41 networks.n.ipam: address driver `dhcp` is not honoured yet
not yet: compose.yaml:22:80 networks.n.ipam.config[1]: a second subnet of the same version of IP is not honoured yet
");
}

#[test]
fn values_that_only_their_use_shows_to_be_wrong_have_their_places() {
    let text = "
services:
  web:
    image: 'UPPER/case'
    hostname: a_b/c
    stop_signal: SIGNOPE
    restart: sometimes
    dns: [nowhere]
    cap_add: [FLY]
    extra_hosts: ['a:b']
    mem_limit: -5
    ports: [{ target: 80, published: '99999' }]
    volumes: ['./a:b']
    networks: { default: { ipv4_address: x, ipv6_address: 10.0.0.9, mac_address: y, link_local_ips: [z] } }
    healthcheck: { test: [CMD, x], start_interval: 1s }
    deploy: { restart_policy: { condition: often } }
    x-trice: { links_env: loud, link_env: off, publish: never }
  two: { image: x, mac_address: 02:42:0a:01:00:05, network_mode: none }
  three: { image: x, networks: [machine, default] }
networks:
  default: { ipam: { config: [{ subnet: 10.0.0.0/24, gateway: 10.0.1.1, aux_addresses: { a: 10.0.2.1 } }] } }
  off: { enable_ipv6: false, driver_opts: { com.docker.network.bridge.enable_icc: maybe }, ipam: { config: [{ subnet: 'fd00::/64' }] } }
  machine: { external: true, name: host }
";
    insta::assert_snapshot!(told(text), @"
        compose.yaml:5:15 services.web.hostname: `a_b/c` is not a valid host name: it has 1 to 253 bytes: labels of a-z, A-Z, 0-9, `-` and `_`, joined by dots
        compose.yaml:6:18 services.web.stop_signal: `SIGNOPE` is not a signal: write a name such as `SIGTERM` or a number from 1 to 64
        compose.yaml:8:11 services.web.dns[0]: `nowhere` is not an address
        compose.yaml:9:15 services.web.cap_add[0]: `FLY` is not a capability: names are listed in capabilities(7), such as `NET_ADMIN`
        compose.yaml:10:19 services.web.extra_hosts[0]: `b` is not an address
        compose.yaml:11:16 services.web.mem_limit: this cannot be -5
        compose.yaml:12:38 services.web.ports[0].published: host port `99999` is above 65535 [ports end at 65535]
        compose.yaml:13:15 services.web.volumes[0]: a mount must stand at an absolute path, and `b` is none
        compose.yaml:14:42 services.web.networks.default.ipv4_address: `x` is not an address
        compose.yaml:14:59 services.web.networks.default.ipv6_address: `10.0.0.9` is not an address
        compose.yaml:14:82 services.web.networks.default.mac_address: `y` is not a MAC address: write six bytes in hexadecimal, such as `02:42:ac:11:00:02`
        compose.yaml:14:102 services.web.networks.default.link_local_ips[0]: `z` is not an address
        compose.yaml:15:52 services.web.healthcheck.start_interval: `start_interval` means nothing without `start_period`
        compose.yaml:16:31 services.web.deploy.restart_policy.condition: `often` is not `none`, `on-failure` or `any`
        compose.yaml:17:27 services.web.x-trice.links_env: `loud` is not `off`, `ports` or `full`
        compose.yaml:17:33 services.web.x-trice.link_env: unknown attribute `link_env` [did you mean `links_env`?]
        compose.yaml:17:57 services.web.x-trice.publish: `never` is not `direct` or `respect-firewall`
        compose.yaml:18:8 services.two.mac_address: the service is on no network whose interface could have it
        compose.yaml:19:10 services.three.networks.machine: `machine` is not a network that can be joined beside others
        compose.yaml:21:31 networks.default.ipam.config[0]: 10.0.1.1 is not in the subnet 10.0.0.0/24
        compose.yaml:21:31 networks.default.ipam.config[0]: 10.0.2.1 is not in the subnet 10.0.0.0/24
        ");
}

#[test]
fn networks_come_out_with_all_that_can_be_said_of_them() {
    let text = "
name: p
services:
  web:
    image: x
    networks:
      all: { ipv6_address: 'fd00:1::9', link_local_ips: [169.254.3.4, 'fe80::9'], interface_name: lan0,
             driver_opts: { com.docker.network.endpoint.sysctls: 'net.ipv4.conf.IFNAME.log_martians=1' } }
      plain: { driver_opts: { com.docker.network.endpoint.ifname: wan0 } }
    external_links: ['other-db-1:db', cache]
    ports: ['[::1]:80:80', '81:81/sctp', '[::]:82:82/udp']
    x-trice: { publish: respect-firewall }
  guest: { image: x, network_mode: 'service:web' }
  friend: { image: x, network_mode: 'container:other-db-1' }
  hosted: { image: x, networks: [machine] }
  alone: { image: x, networks: [nothing] }
networks:
  all:
    enable_ipv6: true
    attachable: true
    driver_opts:
      com.docker.network.bridge.name: br-shop
      com.docker.network.bridge.enable_ip_masquerade: 'false'
      com.docker.network.bridge.host_binding_ipv4: 127.0.0.1
      com.docker.network.container_iface_prefix: net
    ipam: { config: [
      { subnet: 10.1.0.0/24, aux_addresses: { router: 10.1.0.254 } },
      { subnet: 'fd00:1::/64', gateway: 'fd00:1::fe', ip_range: 'fd00:1::/80' }] }
  plain: { enable_ipv4: false, enable_ipv6: true }
  lan: { driver: macvlan, driver_opts: { parent: eth0, macvlan_mode: private } }
  other: { driver: ipvlan, driver_opts: { parent: eth0, ipvlan_mode: l3 } }
  machine: { external: true, name: host }
  nothing: { external: true, name: none }
";
    insta::assert_snapshot!(project(text), @r#"
    name: p
    services:
      alone:
        attach: true
        image: x:latest
        links_env: ports
        network_mode: none
        publish: direct
        pull_policy: missing
        replicas: 1
        restart: "no"
      friend:
        attach: true
        image: x:latest
        links_env: ports
        network_mode:
          container: other-db-1
        publish: direct
        pull_policy: missing
        replicas: 1
        restart: "no"
      guest:
        attach: true
        depends_on:
          web:
            condition: service_started
            required: true
            restart: true
        image: x:latest
        links_env: ports
        network_mode:
          service: web
        publish: direct
        pull_policy: missing
        replicas: 1
        restart: "no"
      hosted:
        attach: true
        image: x:latest
        links_env: ports
        network_mode: host
        publish: direct
        pull_policy: missing
        replicas: 1
        restart: "no"
      web:
        attach: true
        external_links:
          - alias: db
            container: other-db-1
          - alias: cache
            container: cache
        image: x:latest
        links_env: ports
        network_mode: own
        networks:
          all:
            gw_priority: 0
            interface_name: lan0
            ipv6_address: fd00:1::9
            link_local_ips:
              - 169.254.3.4
              - fe80::9
            priority: 0
            sysctls:
              net.ipv4.conf.IFNAME.log_martians: "1"
          plain:
            gw_priority: 0
            interface_name: wan0
            priority: 0
        ports:
          - host_ip: "::1"
            published:
              fixed: 80
            target:
              number: 80
              protocol: tcp
          - host_ip: null
            published:
              fixed: 81
            target:
              number: 81
              protocol: sctp
          - host_ip: "::"
            published:
              fixed: 82
            target:
              number: 82
              protocol: udp
        publish: respect-firewall
        pull_policy: missing
        replicas: 1
        restart: "no"
    networks:
      all:
        attachable: true
        driver:
          bridge:
            link: br-shop
        host_binding: 127.0.0.1
        icc: true
        interface_prefix: net
        ipv4:
          aux_addresses:
            router: 10.1.0.254
          subnet: 10.1.0.0/24
        ipv6:
          gateway: fd00:1::fe
          ip_range: fd00:1::/80
          subnet: fd00:1::/64
        name: p_all
      plain:
        icc: true
        masquerade: true
        name: p_plain
    files:
      - /p/compose.yaml
    working_dir: /p
    "#);
}

#[test]
fn bridge_mode_is_the_default_network() {
    insta::assert_snapshot!(project("name: p\nservices: { a: { image: x, network_mode: bridge } }"), @r#"
        name: p
        services:
          a:
            attach: true
            image: x:latest
            links_env: ports
            network_mode: own
            networks:
              default:
                gw_priority: 0
                priority: 0
            publish: direct
            pull_policy: missing
            replicas: 1
            restart: "no"
        networks:
          default:
            icc: true
            masquerade: true
            name: p_default
        files:
          - /p/compose.yaml
        working_dir: /p
        "#);
}

#[test]
fn zero_is_no_limit_and_the_unspecified_address_is_all_of_its_version() {
    let text = "
name: p
services:
  s:
    image: x
    network_mode: none
    mem_limit: 0
    cpus: 0
    cpu_quota: 0
    cpu_period: 0
    cpu_shares: 0
    pids_limit: -1
    memswap_limit: -1
    shm_size: 0
    ports: ['0.0.0.0:80:80', '0:81']
";
    insta::assert_snapshot!(project(text), @r#"
    name: p
    services:
      s:
        attach: true
        image: x:latest
        links_env: ports
        network_mode: none
        ports:
          - host_ip: 0.0.0.0
            published:
              fixed: 80
            target:
              number: 80
              protocol: tcp
          - host_ip: null
            published: any
            target:
              number: 81
              protocol: tcp
        publish: direct
        pull_policy: missing
        replicas: 1
        resources:
          memory_swap: -1
        restart: "no"
    files:
      - /p/compose.yaml
    working_dir: /p
    "#);
}

#[test]
fn pull_policies_have_words_and_ages() {
    let day = Duration::from_secs(24 * 60 * 60);
    let cases = [
        ("missing", PullPolicy::Missing),
        ("if_not_present", PullPolicy::Missing),
        ("refresh", PullPolicy::Missing),
        ("always", PullPolicy::Always),
        ("never", PullPolicy::Never),
        ("build", PullPolicy::Build),
        ("daily", PullPolicy::Refresh(day)),
        ("weekly", PullPolicy::Refresh(7 * day)),
        ("every_1d12h", PullPolicy::Refresh(day + day / 2)),
    ];
    for (word, policy) in cases {
        let text = format!("services: {{ web: {{ image: x, pull_policy: '{word}' }} }}");
        let mut services = load_text(&text).unwrap().project.services;
        assert_eq!(services.pop_first().unwrap().1.pull_policy, policy, "{word}");
    }
}

#[test]
fn the_usual_platform_is_that_of_services_that_name_none() {
    let load_with = |text: &str| {
        let environment = [("DOCKER_DEFAULT_PLATFORM".to_owned(), "linux/arm64".to_owned())].into();
        load(&Request { environment, ..request() }, &Memory::new(&[("/p/compose.yaml", text)]))
    };
    let text =
        "name: s\nservices: { a: { image: a }, b: { image: b, platform: linux/amd64 }, c: { build: . } }";
    let project = load_with(text).unwrap().project;
    let platforms: Vec<_> = project.services.values().map(|service| service.platform.as_deref()).collect();
    assert_eq!(platforms, [Some("linux/arm64"), Some("linux/amd64"), Some("linux/arm64")]);
    assert_eq!(project.builds.values().next().unwrap().platforms, ["linux/arm64"]);
    let text = "name: s\nservices: { a: { build: { context: ., platforms: [linux/amd64] } } }";
    let wrong = load_with(text).unwrap_err().to_string();
    assert!(
        wrong.contains(
            "`build.platforms` does not have `linux/arm64`, which DOCKER_DEFAULT_PLATFORM asks for"
        )
    );
}

#[test]
fn a_build_is_bound_with_all_that_it_says() {
    let text = "
name: shop
services:
  web:
    platform: linux/arm64
    build:
      context: ./web
      dockerfile: sub/Dockerfile
      args: { A: 1, B: }
      target: prod
      additional_contexts: { base: 'service:base', img: 'docker-image://redis:7', files: ../files, far: 'https://x/y.git' }
      labels: { l: v }
      tags: [shop/web:1]
      platforms: [linux/amd64, linux/arm64]
      provenance: mode=min,version=v1,builder-id=https://b
      sbom: generator=own/scan:2,depth=3
      no_cache: true
      no_cache_filter: prod
      pull: true
      network: none
      extra_hosts: ['h:1.2.3.4', 'g:host-gateway']
      shm_size: 1m
      ulimits: { nofile: { soft: 1, hard: 2 } }
      entitlements: [network.host]
      privileged: true
      secrets: [file, { source: env, target: token }]
      ssh: [default, 'key=/k']
      cache_from: [x]
      cache_to: ['type=local,dest=c,mode=max']
  base: { build: . }
  inline: { image: 'own:1', build: { dockerfile_inline: 'FROM scratch' } }
secrets: { file: { file: ./s }, env: { environment: TOKEN } }
";
    let set = [("TOKEN", "hush"), ("SSH_AUTH_SOCK", "/agent"), ("SOURCE_DATE_EPOCH", "5"), ("B", "outside")];
    let environment = set.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let loaded =
        load(&Request { environment, ..request() }, &Memory::new(&[("/p/compose.yaml", text)])).unwrap();
    insta::assert_debug_snapshot!(loaded.project.builds["web"], @r#"
    Build {
        context: Folder(
            "/p/web",
        ),
        dockerfile: File(
            "sub/Dockerfile",
        ),
        args: {
            "A": "1",
            "B": "outside",
        },
        target: Some(
            "prod",
        ),
        additional_contexts: {
            "base": Service(
                "base",
            ),
            "far": Remote(
                "https://x/y.git",
            ),
            "files": Folder(
                "/files",
            ),
            "img": Image(
                Registry(
                    RegistryRef {
                        host: "docker.io",
                        repository: "library/redis",
                        tag: Some(
                            "7",
                        ),
                        digest: None,
                    },
                ),
            ),
        },
        labels: {
            "l": "v",
        },
        tags: [
            "shop/web:1",
        ],
        platforms: [
            "linux/amd64",
            "linux/arm64",
        ],
        no_cache: true,
        no_cache_filter: {
            "prod",
        },
        cache_from: [
            Registry(
                RegistryRef {
                    host: "docker.io",
                    repository: "library/x",
                    tag: Some(
                        "latest",
                    ),
                    digest: None,
                },
            ),
        ],
        cache_to: [
            Store {
                store: Folder {
                    path: "/p/c",
                    tag: "latest",
                },
                all: true,
                may_fail: false,
            },
        ],
        provenance: Some(
            Provenance {
                complete: false,
                version: V1,
                builder: "https://b",
            },
        ),
        sbom: Some(
            Sbom {
                generator: Registry(
                    RegistryRef {
                        host: "docker.io",
                        repository: "own/scan",
                        tag: Some(
                            "2",
                        ),
                        digest: None,
                    },
                ),
                parameters: {
                    "depth": "3",
                },
            },
        ),
        pull: true,
        network: None,
        extra_hosts: [
            (
                "h",
                Address(
                    1.2.3.4,
                ),
            ),
            (
                "g",
                HostGateway,
            ),
        ],
        shm_size: Some(
            Bytes(
                1048576,
            ),
        ),
        ulimits: {
            "nofile": Ulimit {
                soft: 1,
                hard: 2,
            },
        },
        entitlements: {
            NetworkHost,
            SecurityInsecure,
        },
        secrets: {
            "file": File(
                "/p/s",
            ),
            "token": Value,
        },
        ssh: {
            "default": "/agent",
            "key": "/k",
        },
        source_date_epoch: Some(
            5,
        ),
    }
    "#);
    let inline = &loaded.project.builds["inline"].dockerfile;
    assert_eq!(*inline, DockerfileSource::Inline("FROM scratch".to_owned()));
    assert_eq!(loaded.project.services["base"].image.to_string(), "shop-base:latest");
    assert!(!serde_json::to_string(&loaded.project).unwrap().contains("hush"));
}
