//! Which files are found, under which name and environment.

use crate::config::{environment, json};
use crate::load::model;
use crate::request::Request;
use crate::testing::{Memory, config, request};

const A: &str = "services: { a: { image: x } }";
const B: &str = "services: { b: { image: 'i$V' } }";

/// Resolves a project; says its name, its services and warnings, or what is wrong.
fn found(request: &Request, files: &[(&str, &str)]) -> String {
    match model(request, &Memory::new(files)) {
        Ok((model, warnings)) => {
            let images = crate::config::images(&model).join(" ");
            let names = crate::config::services(&model).join(" ");
            let warnings: Vec<String> = warnings.into_iter().map(|told| told.message).collect();
            [vec![format!("{}: {names} ({images})", model.name)], warnings].concat().join("; ")
        }
        Err(mistakes) => mistakes.to_string(),
    }
}

fn with(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = request();
    change(&mut request);
    request
}

fn variable(name: &str, value: &str) -> impl FnOnce(&mut Request) {
    let (name, value) = (name.to_owned(), value.to_owned());
    move |request| drop(request.environment.insert(name, value))
}

#[test]
fn the_preferred_file_is_found_above_with_its_override() {
    let files = [
        ("/p/docker-compose.yml", A),
        ("/p/compose.yml", A),
        ("/p/compose.override.yaml", B),
        ("/p/.env", "V=v"),
    ];
    assert_eq!(
        found(&with(|request| request.current_dir = "/p/deep/er".into()), &files),
        "p: a b (x iv); of `/p/compose.yml`, `/p/docker-compose.yml`, the first is used"
    );
    insta::assert_snapshot!(found(&request(), &[]), @"
        there is no Compose file in `/p` or above it
        hint: name the file with `-f`, or go to its folder; it may be called `compose.yaml`
        ");
}

#[test]
fn files_are_named_by_flags_or_by_a_variable() {
    let files = [("/p/x/a.yaml", A), ("/p/b.yaml", B), ("/p/x/.env", "V=x"), ("/p/.env", "V=p")];
    let flags = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        with(|request| request.files = names)
    };
    assert_eq!(found(&flags(&["x/a.yaml", "b.yaml"]), &files), "x: a b (x ix)");
    assert_eq!(found(&flags(&["b.yaml", "x/a.yaml"]), &files), "p: a b (x ip)");
    let listed = with(variable("COMPOSE_FILE", "x/a.yaml:b.yaml"));
    assert_eq!(found(&listed, &files), "x: a b (x ip)");
    let stdin = with(|request| {
        request.files = vec!["-".to_owned()];
        request.stdin = B.as_bytes().to_vec();
    });
    assert_eq!(found(&stdin, &files), "p: b (ip)");
    insta::assert_snapshot!(found(&flags(&["gone.yaml"]), &files), @"there is no file `gone.yaml`");
}

#[test]
fn the_name_comes_from_the_flag_the_variable_the_files_or_the_folder() {
    let files = [("/My Proj/compose.yaml", "name: In-$V\nservices: {}"), ("/My Proj/.env", "V=File")];
    let here = |request: &mut Request| request.current_dir = "/My Proj".into();
    let name = |request: &Request| found(request, &files).split(':').next().unwrap_or_default().to_owned();
    assert_eq!(name(&with(here)), "in-file");
    let mut variable = with(here);
    variable.environment.insert("COMPOSE_PROJECT_NAME".to_owned(), "by-variable".to_owned());
    assert_eq!(name(&variable), "by-variable");
    variable.project_name = Some("by-flag".to_owned());
    assert_eq!(name(&variable), "by-flag");
    variable.project_name = Some("By Flag".to_owned());
    insta::assert_snapshot!(found(&variable, &files), @"`By Flag` is not a valid project name: it consists of a-z, 0-9, `-` and `_`, and begins with a letter or digit");
    let plain = [("/My Proj/compose.yaml", "services: { a: { image: '$COMPOSE_PROJECT_NAME' } }")];
    assert_eq!(found(&with(here), &plain), "myproj: a (myproj)");
}

#[test]
fn env_files_fill_in_what_the_environment_does_not_say() {
    let files = [
        ("/p/compose.yaml", B),
        ("/p/.env", "V=default"),
        ("/p/one.env", "V=one\nU=u"),
        ("/p/two.env", "V=$U-two"),
    ];
    assert_eq!(found(&request(), &files), "p: b (idefault)");
    let named = with(|request| request.env_files = vec!["one.env".into(), "two.env".into()]);
    assert_eq!(found(&named, &files), "p: b (iu-two)");
    assert_eq!(found(&with(variable("V", "outer")), &files), "p: b (iouter)");
    assert_eq!(found(&with(variable("COMPOSE_ENV_FILES", "one.env")), &files), "p: b (ione)");
    let disabled = with(variable("COMPOSE_DISABLE_ENV_FILE", "1"));
    assert_eq!(found(&disabled, &files), "p: b (i); variable `V` is not set, and is taken for an empty text");
    insta::assert_snapshot!(found(&with(|r| r.env_files = vec!["no.env".into()]), &files), @"there is no file `no.env`");
    insta::assert_snapshot!(found(&request(), &[("/p/compose.yaml", B), ("/p/.env", "A B=1")]), @"
        .env:1:2: the name of the variable has a blank in it
          1 | A B=1
            |  ^
        ");
}

#[test]
fn an_empty_file_is_no_project_and_one_without_services_is() {
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", "# nothing\n")]), @": the file has nothing in it [begin compose.yaml with `services:`]");
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", "services: {}")]), @"
        name: p
        services: {}
        ");
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", "services:")]), @"compose.yaml:1:10 services: this must be a mapping, not nothing");
    insta::assert_snapshot!(config(&request(), &[("/p/compose.yaml", "---\n")]), @"compose.yaml:2:1 : this must be a mapping, not nothing");
}

#[test]
fn dollars_are_doubled_and_the_environment_is_there() {
    let text = "services: { a: { image: x, command: [echo, '$$HOME'] } }";
    let (model, _) = model(&request(), &Memory::new(&[("/p/compose.yaml", text)])).unwrap();
    assert!(json(&model).contains("\"$$HOME\""));
    let names: Vec<&str> = environment(&model).map(|(name, _)| name).collect();
    assert_eq!(names, ["COMPOSE_PROJECT_NAME", "PWD"]);
}
