//! Services that begin as others.

use crate::testing::{config, request};

#[test]
fn a_service_begins_as_the_one_it_extends() {
    let text = "
name: p
services:
  base: { image: a, environment: { A: 1, B: 2 }, ports: ['80:80'], command: [x] }
  mid: { extends: base, environment: [B=3], image: b }
  web: { extends: { service: mid }, ports: ['81:81'], command: }
";
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", text)]), @r#"
        name: p
        services:
          base:
            command:
              - x
            environment:
              A: "1"
              B: "2"
            image: a
            networks:
              default: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "80"
                target: 80
          mid:
            command:
              - x
            environment:
              A: "1"
              B: "3"
            image: b
            networks:
              default: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "80"
                target: 80
          web:
            environment:
              A: "1"
              B: "3"
            image: b
            networks:
              default: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "80"
                target: 80
              - mode: ingress
                protocol: tcp
                published: "81"
                target: 81
        networks:
          default:
            name: p_default
        "#);
}

#[test]
fn paths_of_another_file_count_from_its_folder() {
    let files = [
        ("/p/compose.yaml", "name: p\nservices: { web: { extends: { file: sub/a.yaml, service: app } } }"),
        (
            "/p/sub/a.yaml",
            "services: { app: { extends: { file: ../other/b.yaml, service: low }, volumes: ['./a:/a'] }, bad: 5 }",
        ),
        ("/p/other/b.yaml", "services: { low: { image: x, env_file: e, build: . } }\nnetworks: { gone: }"),
        ("/p/other/e", "FROM_FILE=$HOME"),
    ];
    let mut request = request();
    request.environment.insert("HOME".to_owned(), "/home/me".to_owned());
    insta::assert_snapshot!(config(&request, &files), @"
        name: p
        services:
          web:
            build:
              context: /p/other
              dockerfile: Dockerfile
            environment:
              FROM_FILE: /home/me
            image: x
            networks:
              default: null
            volumes:
              - bind:
                  create_host_path: true
                source: /p/sub/a
                target: /a
                type: bind
        networks:
          default:
            name: p_default
        ");
}

#[test]
fn circles_and_missing_services_are_told() {
    let files = [
        (
            "/p/compose.yaml",
            "
services:
  a: { extends: b }
  b: { extends: { service: a } }
  c: { extends: nobody, image: x }
  d: { extends: { file: other.yaml, service: x }, image: x }
  e: { extends: { file: gone.yaml, service: x }, image: x }
  f: { extends: { file: 'https://example.com/x.git', service: x }, image: x }
  g: { extends: { file: other.yaml, service: y } }
  h: { extends: { file: other.yaml } }
  i: { extends: }
  j: { extends: 5 }
",
        ),
        ("/p/other.yaml", "services: { y: { extends: { file: other.yaml, service: y }, imag: z } }"),
    ];
    insta::assert_snapshot!(config(&request(), &files), @"
    compose.yaml:4:17 services.b.extends: services extend each other in a circle: a -> b -> a (compose.yaml:3:17: what `a` extends)
    compose.yaml:5:17 services.c.extends: there is no service `nobody` in this file
    compose.yaml:6:17 services.d.extends: there is no service `x` in `other.yaml`
    compose.yaml:7:17 services.e.extends: there is no file `gone.yaml`
    compose.yaml:8:17 services.f.extends: `https://example.com/x.git` is not on this machine, and trice cannot fetch it yet
    compose.yaml:10:17 services.h.extends: `service` is missing: say which service is extended
    compose.yaml:11:17 services.i.extends: `service` is missing: say which service is extended
    compose.yaml:12:17 services.j.extends: this must be a mapping, not an integer
    other.yaml:1:27 services.y.extends: services extend each other in a circle: y -> y
    other.yaml:1:61 services.y.imag: unknown attribute `imag` [did you mean `image`?]
    ");
}

#[test]
fn a_reset_meets_what_is_extended() {
    let text = "
name: p
services:
  base: { image: a, ports: ['80:80'], environment: { A: 1, B: 2 } }
  web: { extends: base, ports: !override ['81:81'], environment: { A: !reset ~, C: 3 } }
";
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", text)]), @r#"
        name: p
        services:
          base:
            environment:
              A: "1"
              B: "2"
            image: a
            networks:
              default: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "80"
                target: 80
          web:
            environment:
              B: "2"
              C: "3"
            image: a
            networks:
              default: null
            ports:
              - mode: ingress
                protocol: tcp
                published: "81"
                target: 81
        networks:
          default:
            name: p_default
        "#);
}

#[test]
fn chains_that_copy_without_end_are_refused() {
    let mut text = "services:\n  s0: { image: x, environment: { A0: x } }\n".to_owned();
    for number in 1..1_000 {
        let below = number - 1;
        text += &format!("  s{number}: {{ extends: s{below}, environment: {{ A{number}: x }} }}\n");
    }
    let told = config(&request(), &[("/p/compose.yaml", &text)]);
    assert!(told.contains("have more than 200000 values together"), "{}", &told[..500.min(told.len())]);
}
