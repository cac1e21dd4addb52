//! Two files, and what comes of them.

use crate::testing::{config, request};

/// Resolves the service `s` of two files, the second over the first.
fn merged(first: &str, second: &str) -> String {
    let service = |text: &str| format!("name: p\nservices: {{ s: {{ network_mode: none, {text} }} }}");
    let (first, second) = (service(first), service(second));
    let files = [("/p/compose.yaml", first.as_str()), ("/p/compose.override.yaml", second.as_str())];
    let whole = config(&request(), &files);
    whole.replace("    network_mode: none\n", "").replace("name: p\nservices:\n  s:\n", "")
}

#[test]
fn scalars_are_replaced_and_null_changes_nothing_but_commands() {
    insta::assert_snapshot!(
        merged(
            "image: a, command: [x], entrypoint: [y], tty: true, hostname: h",
            "image: b, command: , entrypoint: [z], tty: , hostname: "
        ),
        @"
        entrypoint:
          - z
        hostname: h
        image: b
        tty: true
        "
    );
}

#[test]
fn pairs_are_merged_by_key_in_whatever_form() {
    insta::assert_snapshot!(
        merged(
            "image: a, environment: [A=1, B=2], labels: { x: 1 }, sysctls: { a: 1 }",
            "environment: { B: 3, C: 4 }, labels: [x=2, y], sysctls: [b=2]"
        ),
        @r#"
        environment:
          A: "1"
          B: "3"
          C: "4"
        image: a
        labels:
          x: "2"
          "y": ""
        sysctls:
          a: "1"
          b: "2"
        "#
    );
}

#[test]
fn lists_are_appended_and_unique_where_the_specification_says_so() {
    insta::assert_snapshot!(
        merged(
            "image: a, dns: 1.1.1.1, cap_add: [A], ports: ['80:80', '81:81'], volumes: ['/a:/x', '/b:/y'], expose: [1]",
            "dns: [2.2.2.2, 1.1.1.1], cap_add: [A, B], ports: [{ target: 80, published: 80 }], volumes: ['/c:/x:ro'], expose: ['1', 2]"
        ),
        @r#"
        cap_add:
          - A
          - B
        dns:
          - 1.1.1.1
          - 2.2.2.2
        expose:
          - "1"
          - "2"
        image: a
        ports:
          - mode: ingress
            protocol: tcp
            published: "80"
            target: 80
          - mode: ingress
            protocol: tcp
            published: "81"
            target: 81
        volumes:
          - bind:
              create_host_path: true
            read_only: true
            source: /c
            target: /x
            type: bind
          - bind:
              create_host_path: true
            source: /b
            target: /y
            type: bind
        "#
    );
    insta::assert_snapshot!(merged("image: a, security_opt: [x]", "security_opt: [x]"), @"compose.override.yaml:2:53 services.s.security_opt[1]: `x` is in the list twice (compose.yaml:2:63: it is first written here)");
}

#[test]
fn dependencies_networks_hosts_logging_and_limits_follow_their_own_rules() {
    let files = [
        (
            "/p/compose.yaml",
            "
name: p
services:
  db: { image: x, network_mode: none }
  s:
    image: a
    depends_on: { db: { condition: service_healthy, restart: true } }
    networks: { n: { aliases: [a], priority: 1 } }
    logging: { driver: x, options: { a: 1 } }
    ulimits: { nofile: { soft: 1, hard: 2 } }
    extra_hosts: ['a:1.1.1.1']
networks: { n: }
",
        ),
        (
            "/p/compose.override.yaml",
            "
services:
  s:
    depends_on: [db]
    networks: { n: { aliases: [a, b] } }
    logging: { driver: y, options: { b: 1 } }
    ulimits: { nofile: 5 }
    extra_hosts: ['a:1.1.1.1', 'b:2.2.2.2']
",
        ),
    ];
    insta::assert_snapshot!(config(&request(), &files), @r#"
        name: p
        services:
          db:
            image: x
            network_mode: none
          s:
            depends_on:
              db:
                condition: service_started
                required: true
                restart: true
            extra_hosts:
              - a=1.1.1.1
              - b=2.2.2.2
            image: a
            logging:
              driver: "y"
              options:
                b: "1"
            networks:
              "n":
                aliases:
                  - a
                  - b
                priority: 1
            ulimits:
              nofile: 5
        networks:
          "n":
            name: p_n
        "#);
}

#[test]
fn what_does_not_fit_together_is_told_with_both_places() {
    let files = [
        ("/p/compose.yaml", "x-a: { b: 1 }\nservices: { s: { image: x } }"),
        ("/p/compose.override.yaml", "x-a: 5"),
    ];
    insta::assert_snapshot!(config(&request(), &files), @"compose.override.yaml:1:6 x-a: an integer cannot be merged with a mapping (compose.yaml:1:6: the earlier value)");
}

#[test]
fn pools_are_merged_by_subnet_and_tags_forget_what_was_there() {
    let files = [
        (
            "/p/compose.yaml",
            "
name: p
services: { s: { image: x, networks: [a, b], ports: ['1:1'], environment: { A: 1, B: 2 } } }
networks:
  a: { ipam: { config: [{ subnet: 10.0.0.0/24, gateway: 10.0.0.1 }] } }
  b: { ipam: { config: [{ subnet: 10.1.0.0/24 }] } }
",
        ),
        (
            "/p/compose.override.yaml",
            "
services: { s: { ports: !override ['2:2'], environment: !reset , networks: } }
networks:
  a: { ipam: { config: [{ subnet: 10.0.0.0/24, ip_range: 10.0.0.128/25 }] } }
  b: { ipam: { config: [{ subnet: 10.2.0.0/24 }] } }
",
        ),
    ];
    insta::assert_snapshot!(config(&request(), &files), @r#"
        name: p
        services:
          s:
            image: x
            networks:
              a: null
              b: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "2"
                target: 2
        networks:
          a:
            ipam:
              config:
                - gateway: 10.0.0.1
                  ip_range: 10.0.0.128/25
                  subnet: 10.0.0.0/24
            name: p_a
          b:
            ipam:
              config:
                - subnet: 10.2.0.0/24
            name: p_b
        "#);
}
