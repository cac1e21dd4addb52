use std::collections::BTreeSet;

use super::*;
use crate::graph::{Copy, MadeLayer, Run, Source, StepMount};
use crate::parse::parse;
use crate::wanted::{NoCache, PlatformNames};

fn names(architecture: &str) -> PlatformNames {
    PlatformNames { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
}

fn wanted() -> Wanted {
    Wanted { platform: names("amd64"), machine: names("amd64"), ..Wanted::default() }
}

/// An image with these settings.
fn image(settings: &str) -> Base {
    let text = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{settings},"rootfs":{{"type":"layers","diff_ids":["sha256:b"]}}}}"#
    );
    Base::Image(Box::new(Document::read(text.as_bytes()).unwrap()))
}

/// Evaluates with bases that are known as soon as they are asked for. Contexts called `folder…` are folders.
fn graph_with(source: &str, wanted: &Wanted, settings: &str) -> Result<Graph, Mistakes> {
    let dockerfile = parse(source)?;
    let mut known = BTreeMap::new();
    loop {
        match evaluate(&dockerfile, wanted, &known)? {
            Evaluated::Graph(graph) => return Ok(*graph),
            Evaluated::Unknown(bases) => {
                assert!(bases.keys().all(|base| !known.contains_key(base)), "it asks again for {bases:?}");
                known.extend(bases.into_keys().map(|base| {
                    let is_folder =
                        matches!(&base, BaseRef::Context { name, .. } if name.starts_with("folder"));
                    (base, if is_folder { Base::Folder } else { image(settings) })
                }));
            }
        }
    }
}

fn graph(source: &str) -> Graph {
    graph_with(source, &wanted(), "{}").unwrap_or_else(|mistakes| panic!("{}", mistakes.shown("D", source)))
}

fn shown(graph: &Graph) -> String {
    let mut out = String::new();
    for (index, step) in graph.steps.iter().enumerate() {
        let needs: Vec<String> = step.needs().iter().map(|StepId(id)| id.to_string()).collect();
        out += &format!("{index} {} <- {}\n", step.title, needs.join(","));
    }
    let results =
        graph.images.iter().map(|image| format!("result {:?}\n", image.result.map(|StepId(id)| id)));
    out + &results.collect::<String>()
}

fn history(graph: &Graph) -> String {
    let lines = graph.images[0].history.iter().map(|(history, step)| {
        let mark = if step.is_some() { '*' } else { '-' };
        format!("{mark} {}\n", history.created_by.clone().unwrap_or_default())
    });
    lines.collect()
}

fn mistakes(source: &str, wanted: &Wanted) -> String {
    let mistakes = graph_with(source, wanted, "{}").expect_err("there is a mistake").0;
    let shown = |mistake: Mistake| {
        let hint = mistake.hint.map(|hint| format!(" [{hint}]")).unwrap_or_default();
        format!("{}: {}{hint}", mistake.lines.first, mistake.message)
    };
    mistakes.into_iter().map(shown).collect::<Vec<_>>().join("\n")
}

fn last_copy(graph: &Graph) -> Copy {
    let copies = graph.steps.iter().rev().find_map(|step| match &step.operation {
        Operation::Copy(copy) => Some(copy.clone()),
        _ => None,
    });
    copies.expect("there is a copy")
}

fn last_run(graph: &Graph) -> Run {
    let runs = graph.steps.iter().rev().find_map(|step| match &step.operation {
        Operation::Run(run) => Some((**run).clone()),
        _ => None,
    });
    runs.expect("there is a run")
}

#[test]
fn only_what_the_wanted_stage_needs_is_done() {
    let source = "FROM a AS tools\nRUN one\nFROM b AS unused\nRUN two\nFROM c AS build\nCOPY . /src\n\
        RUN --mount=from=tools,target=/t three\nFROM scratch\nCOPY --from=build /x /x\nCOPY --from=busy:1 /bin /bin\n";
    insta::assert_snapshot!(shown(&graph(source)), @"
    0 [tools 1/2] FROM a <- 
    1 [tools 2/2] RUN one <- 0
    2 [build 1/3] FROM c <- 
    3 [build 2/3] COPY . /src <- 2
    4 [build 3/3] RUN --mount=from=tools,target=/t three <- 1,3
    5 [stage-3 1/2] COPY --from=build /x /x <- 4
    6 FROM busy:1 <- 
    7 [stage-3 2/2] COPY --from=busy:1 /bin /bin <- 5,6
    result Some(7)
    ");
    let wanted = Wanted { target: Some("TOOLS".to_owned()), ..wanted() };
    insta::assert_snapshot!(shown(&graph_with(source, &wanted, "{}").unwrap()), @"
    0 [tools 1/2] FROM a <- 
    1 [tools 2/2] RUN one <- 0
    result Some(1)
    ");
}

#[test]
fn what_the_image_says_and_how_it_was_made_is_as_docker_writes_it() {
    let source = r#"ARG TAG=1
FROM base:$TAG
ARG TAG
ARG V=1 W
ENV A=$V B="$A c" V=3
LABEL l=$A 'x y'=z
EXPOSE 80 443/UDP $V-5
WORKDIR sub
USER $B:root
VOLUME /v x
SHELL ["/bin/bash", "-c"]
RUN echo $A
RUN ["a", "b"]
CMD start "$A"
ENTRYPOINT ["run"]
HEALTHCHECK --interval=1m30s CMD curl x
STOPSIGNAL SIGQUIT
MAINTAINER me
ONBUILD RUN later
COPY --chown=1 --chmod=644 a b /c/
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 http://x/y/z.tgz?q /d
COPY <<END /e
$A
END
WORKDIR /q/./r/
WORKDIR /
"#;
    let base = r#"{"Env":["A=0","PATH=/bin"],"WorkingDir":"/w","Cmd":["old"]}"#;
    let graph = graph_with(source, &wanted(), base).unwrap();
    insta::assert_snapshot!(history(&graph), @r#"
    - ARG TAG=1
    - ARG V=1 W
    - ENV A=1 B=0 c V=3
    - LABEL l=1 x y=z
    - EXPOSE [3/tcp 4/tcp 5/tcp 443/udp 80/tcp]
    * WORKDIR /w/sub
    - USER 0 c:root
    - VOLUME [/v x]
    - SHELL [/bin/bash -c]
    * RUN |3 TAG=1 V=3 W= /bin/bash -c echo $A # buildkit
    * RUN |3 TAG=1 V=3 W= a b # buildkit
    - CMD ["/bin/bash" "-c" "start \"$A\""]
    - ENTRYPOINT ["run"]
    - HEALTHCHECK &{["CMD-SHELL" "curl x"] "1m30s" "0s" "0s" "0s" '\x00'}
    - STOPSIGNAL SIGQUIT
    - MAINTAINER me
    * COPY --chown=1 --chmod=644 a b /c/ # buildkit
    * ADD http://x/y/z.tgz?q /d # buildkit
    * COPY <<END /e # buildkit
    * WORKDIR /q/./r/
    - WORKDIR /
    "#);
    insta::assert_snapshot!(serde_json::to_string_pretty(&graph.images[0].document.config).unwrap(), @r#"
    {
      "User": "0 c:root",
      "ExposedPorts": {
        "3/tcp": {},
        "4/tcp": {},
        "443/udp": {},
        "5/tcp": {},
        "80/tcp": {}
      },
      "Env": [
        "A=1",
        "PATH=/bin",
        "B=0 c",
        "V=3"
      ],
      "Entrypoint": [
        "run"
      ],
      "Cmd": [
        "/bin/bash",
        "-c",
        "start \"$A\""
      ],
      "Healthcheck": {
        "Test": [
          "CMD-SHELL",
          "curl x"
        ],
        "Interval": 90000000000
      },
      "ArgsEscaped": true,
      "Volumes": {
        "/v": {},
        "x": {}
      },
      "WorkingDir": "/",
      "OnBuild": [
        "RUN later"
      ],
      "Labels": {
        "l": "1",
        "x y": "z"
      },
      "StopSignal": "SIGQUIT",
      "Shell": [
        "/bin/bash",
        "-c"
      ]
    }
    "#);
    let Source::Document { content, .. } = &last_copy(&graph).sources[0] else { panic!("it is a document") };
    assert_eq!(content, "1\n");
}

#[test]
fn an_entrypoint_clears_the_command_of_the_base_and_not_ones_own() {
    let base = r#"{"Cmd":["old"],"Entrypoint":["e"]}"#;
    let cmd = |source| graph_with(source, &wanted(), base).unwrap().images.remove(0).document.config.cmd;
    assert_eq!(cmd("FROM a\nENTRYPOINT x"), None);
    assert_eq!(cmd("FROM a\nCMD [\"new\"]\nENTRYPOINT x"), Some(vec!["new".to_owned()]));
    assert_eq!(cmd("FROM a AS b\nCMD [\"new\"]\nFROM b\nENTRYPOINT x"), None);
    assert_eq!(cmd("FROM a\nENTRYPOINT x\nCMD []"), None);
}

#[test]
fn arguments_are_seen_from_their_line_on_and_by_stages_on_top() {
    let source = "ARG G=g\nFROM a AS b\nRUN one\nARG X=x$G\nARG G\nARG X2=$X\nRUN two\nFROM b\nRUN three\n";
    let given = Wanted { args: [("X".to_owned(), "given".to_owned())].into(), ..wanted() };
    let env = |wanted: &Wanted| {
        let graph = graph_with(source, wanted, "{}").unwrap();
        let env = last_run(&graph).env.into_iter().filter(|(key, _)| key != "PATH");
        env.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(env(&wanted()), "X=x G=g X2=x");
    assert_eq!(env(&given), "X=given G=g X2=given");
    insta::assert_snapshot!(history(&graph(source)), @"
    * RUN /bin/sh -c one # buildkit
    - ARG X=x
    - ARG G=g
    - ARG X2=x
    * RUN |3 X=x G=g X2=x /bin/sh -c two # buildkit
    * RUN |3 X=x G=g X2=x /bin/sh -c three # buildkit
    ");
    // A stage on top begins with what the image says of the variable.
    let source = "FROM a AS b\nENV V=env\nARG V=arg\nRUN one\nFROM b\nRUN two\nARG V\nRUN three";
    let given = Wanted { args: [("V".to_owned(), "given".to_owned())].into(), ..wanted() };
    insta::assert_snapshot!(history(&graph_with(source, &given, "{}").unwrap()), @"
    - ENV V=env
    - ARG V=given
    * RUN |1 V=given /bin/sh -c one # buildkit
    * RUN |1 V=env /bin/sh -c two # buildkit
    - ARG V=given
    * RUN |1 V=given /bin/sh -c three # buildkit
    ");
}

#[test]
fn platforms_and_proxies_are_there_without_a_word() {
    let wanted = Wanted {
        platform: PlatformNames { os: "linux".into(), architecture: "arm".into(), variant: "v7".into() },
        args: [("HTTP_PROXY", "http://p"), ("TARGETOS", "plan9")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..wanted()
    };
    let source =
        "FROM --platform=$BUILDPLATFORM a\nARG TARGETPLATFORM TARGETVARIANT TARGETOS TARGETSTAGE\nRUN x\n";
    let graph = graph_with(source, &wanted, "{}").unwrap();
    let Operation::Base(BaseRef::Image { platform, .. }) = &graph.steps[0].operation else {
        panic!("a base")
    };
    assert_eq!(platform, "linux/amd64");
    let run = last_run(&graph);
    let value = |name| run.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(value("TARGETPLATFORM"), Some("linux/arm/v7"));
    assert_eq!((value("TARGETVARIANT"), value("TARGETOS")), (Some("v7"), Some("plan9")));
    assert_eq!((value("TARGETSTAGE"), value("HTTP_PROXY")), (Some("default"), None));
    let proxy = |name: &str| (name.to_owned(), "http://p".to_owned());
    assert_eq!(run.proxy, [proxy("HTTP_PROXY"), proxy("http_proxy")]);
}

#[test]
fn what_images_for_several_platforms_need_together_is_done_once() {
    let source = "FROM --platform=$BUILDPLATFORM cc AS make\nCOPY . /src\nARG TARGETARCH\nRUN make $TARGETARCH\n\
        FROM base\nRUN a\nCOPY --from=make /out /out\n";
    let for_one = |architecture| {
        let wanted = Wanted { platform: names(architecture), ..wanted() };
        graph_with(source, &wanted, "{}").unwrap()
    };
    let merged = Graph::merged([for_one("amd64"), for_one("arm64")]);
    insta::assert_snapshot!(shown(&merged), @r"
    0 [make 1/3] FROM cc <- 
    1 [make 2/3] COPY . /src <- 0
    2 [make 3/3] RUN make $TARGETARCH <- 1
    3 [stage-1 1/3] FROM base <- 
    4 [stage-1 2/3] RUN a <- 3
    5 [stage-1 3/3] COPY --from=make /out /out <- 2,4
    6 [make 3/3] RUN make $TARGETARCH <- 1
    7 [linux/arm64 stage-1 1/3] FROM base <- 
    8 [linux/arm64 stage-1 2/3] RUN a <- 7
    9 [linux/arm64 stage-1 3/3] COPY --from=make /out /out <- 6,8
    result Some(5)
    result Some(9)
    ");
    assert_eq!(
        merged.images[1].history.iter().filter_map(|(_, step)| *step).collect::<Vec<_>>(),
        [StepId(8), StepId(9)]
    );
}

#[test]
fn commands_are_given_to_the_shell_and_documents_with_them() {
    let args = |source: &str| {
        let run = last_run(&graph(&format!("FROM a\n{source}")));
        (run.args[2..].join(" "), run.script)
    };
    assert_eq!(args("RUN a  $b").0, "a  $b");
    assert_eq!(args("RUN <<E\na\nb\nE").0, "a\nb\n");
    assert_eq!(args("RUN <<-E\n\ta\n\tE").0, "a\n");
    assert_eq!(args("RUN cat <<E > f && x\na\nE").0, "cat <<E > f && x\na\nE");
    assert_eq!(
        args("RUN <<E\n#!/bin/x\na\nE"),
        ("/dev/pipes/E".to_owned(), Some(("E".to_owned(), "#!/bin/x\na\n".to_owned())))
    );
}

#[test]
fn sources_are_clamped_to_their_origin_and_places_follow_the_working_directory() {
    let copy = |line: &str| {
        let copy = last_copy(&graph(&format!("FROM a\nWORKDIR /w\n{line}")));
        let paths = copy.sources.iter().map(|source| match source {
            Source::Files { path, kept, unpack, .. } => format!("{path} {kept:?} {unpack}"),
            other => format!("{other:?}"),
        });
        format!("{} -> {}", paths.collect::<Vec<_>>().join(", "), copy.destination)
    };
    assert_eq!(copy("COPY ../../x ."), "/x None false -> /w/");
    assert_eq!(copy("COPY a/../b/ /c"), "/b None false -> /c");
    assert_eq!(copy("COPY --parents a/./b/*.c /c/"), "/a Some(\"b/*.c\") false -> /c/");
    assert_eq!(copy("ADD x.tar d"), "/x.tar None true -> /w/d");
    assert_eq!(copy("ADD --unpack=false x.tar d"), "/x.tar None false -> /w/d");
    assert!(copy("ADD http://h/p/f?x=y#z d").contains("name: \"f\""));
    assert!(copy("ADD http://h d").contains("__unnamed__"));
    assert!(copy("ADD https://h/r.git#main d").contains("reference: Some(\"main\")"));
    assert_eq!(copy("COPY [\"a b\", \"c d/\"]"), "/a b None false -> /w/c d/");
}

#[test]
fn mounts_get_their_places_and_names() {
    assert_eq!(last_run(&graph("FROM a\nWORKDIR /w/./x//\nWORKDIR y/\nRUN a")).cwd, "/w/x/y");
    assert_eq!(last_run(&graph("FROM a\nWORKDIR /w/./x//\nRUN a")).cwd, "/w/x");
    let mounts = |line: &str| last_run(&graph(&format!("FROM a\nWORKDIR /w\nARG I=id\n{line}"))).mounts;
    let StepMount::Cache { id, target, .. } = &mounts("RUN --mount=type=cache,target=c/../d x")[0] else {
        panic!("a cache")
    };
    assert_eq!((&id[..], &target[..]), ("/d", "/w/d"));
    let StepMount::Secret { id, target, mode, .. } = &mounts("RUN --mount=type=secret,id=$I x")[0] else {
        panic!("a secret")
    };
    assert_eq!((&id[..], target.as_deref(), *mode), ("id", Some("/run/secrets/id"), 0o400));
    let StepMount::Secret { id, target, env, .. } = &mounts("RUN --mount=type=secret,id=s,env=E x")[0] else {
        panic!("a secret")
    };
    assert_eq!((&id[..], target, env.as_deref()), ("s", &None, Some("E")));
    let agent = &mounts("RUN --mount=type=ssh x")[0];
    assert!(matches!(agent, StepMount::Agent { target, .. } if target == "/run/buildkit/ssh_agent.0"));
    assert!(matches!(&mounts("RUN --mount=target=. x")[0], StepMount::Files { origin: Origin::Context, .. }));
}

#[test]
fn what_a_base_means_for_later_is_done_first_and_once() {
    let base = r#"{"OnBuild":["COPY --from=tools /a /b","RUN now"]}"#;
    let source = "FROM scratch AS tools\nFROM a\nRUN own\n";
    let graph = graph_with(source, &wanted(), base).unwrap();
    insta::assert_snapshot!(shown(&graph), @"
    0 [stage-1 1/4] FROM a <- 
    1 [stage-1 2/4] ONBUILD COPY --from=tools /a /b <- 0
    2 [stage-1 3/4] ONBUILD RUN now <- 1
    3 [stage-1 4/4] RUN own <- 2
    result Some(3)
    ");
    assert_eq!(graph.images[0].document.config.on_build, None);
    let source = "FROM scratch AS b\nONBUILD RUN now\nRUN own\nFROM b AS c\nFROM c\n";
    insta::assert_snapshot!(shown(&self::graph(source)), @"
    0 [b 1/1] RUN own <- 
    1 [c 1/1] ONBUILD RUN now <- 0
    result Some(1)
    ");
}

#[test]
fn contexts_take_the_place_of_stages_and_images() {
    let contexts = ["folder", "img", "redis", "folder2"].map(str::to_owned);
    let wanted = Wanted { contexts: BTreeSet::from(contexts), ..wanted() };
    let source = "FROM a AS img\nRUN one\nFROM docker.io/library/redis:latest\nCOPY --from=folder x /x\n\
        COPY --from=img y /y\nRUN --mount=from=folder,target=/f z\n";
    insta::assert_snapshot!(shown(&graph_with(source, &wanted, "{}").unwrap()), @"
    0 [img 1/2] FROM img <- 
    1 [stage-1 1/4] FROM redis <- 
    2 [stage-1 2/4] COPY --from=folder x /x <- 1
    3 [stage-1 3/4] COPY --from=img y /y <- 0,2
    4 [stage-1 4/4] RUN --mount=from=folder,target=/f z <- 3
    result Some(4)
    ");
    let graph = graph_with("FROM folder2\nRUN x\n", &wanted, "{}").unwrap();
    assert_eq!(graph.steps[0].operation, Operation::Import("folder2".to_owned()));
}

#[test]
fn caches_can_be_left_out_for_some_stages() {
    let source = "FROM a AS b\nRUN x\nFROM b\nRUN y\n";
    let flags = |no_cache| {
        let graph = graph_with(source, &Wanted { no_cache, ..wanted() }, "{}").unwrap();
        graph.steps.iter().map(|step| step.no_cache).collect::<Vec<_>>()
    };
    assert_eq!(flags(NoCache::Stages(["b".to_owned()].into())), [false, true, false]);
    assert_eq!(flags(NoCache::All), [false, true, true]);
}

#[test]
fn labels_from_outside_win() {
    let wanted = Wanted { labels: [("a".to_owned(), "2".to_owned())].into(), ..wanted() };
    let graph = graph_with("FROM scratch\nLABEL a=1 b=1\n", &wanted, "{}").unwrap();
    let labels: Vec<_> = graph.images[0].document.config.labels.clone().into_iter().flatten().collect();
    assert_eq!(labels, [("a".to_owned(), "2".to_owned()), ("b".to_owned(), "1".to_owned())]);
}

#[test]
fn a_finished_document_has_the_layers_that_were_made() {
    let graph = graph("FROM a\nRUN x\nENV a=1\nRUN y\n");
    let made = MadeLayer { diff_id: "sha256:x".to_owned(), created: "then".to_owned() };
    let document = graph.images[0].finished(&["sha256:b".to_owned()], &[(StepId(1), made)].into(), "now");
    assert_eq!(document.rootfs.diff_ids, ["sha256:b", "sha256:x"]);
    let shown = document.history.iter().map(|history| (history.created.as_deref(), history.empty_layer));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [(None, false), (Some("then"), false), (Some("then"), true), (Some("then"), true)]
    );
    assert_eq!(document.created.as_deref(), Some("then"));
    let without = self::graph("FROM scratch\nENV a=1\n").images[0].finished(&[], &BTreeMap::new(), "now");
    assert_eq!(without.created.as_deref(), Some("now"));
}

#[test]
fn what_means_nothing_is_told_with_its_line_and_a_way_out() {
    let cases = [
        "FROM $X\n",
        "FROM ${X:?say}\n",
        "FROM a\nCOPY --from=5 a b\n",
        "FROM a\nCOPY --from=b a b\nFROM a AS b\nFROM a AS c\nCOPY --from=0 a b\n",
        "FROM a AS b\nCOPY --from=b x y\n",
        "FROM a\nCOPY --from=$X a b\n",
        "FROM a\nCOPY http://x y\n",
        "FROM a\nADD --checksum=sha256:1 http://x y\nADD --checksum=x y z\n",
        "FROM a\nCOPY --chmod=999 a b\nEXPOSE x\nEXPOSE 9-1 80/ipx\nSTOPSIGNAL SIGFOO\nENV a=${b\n\
         RUN --mount=target=/ x\nVOLUME $x\n",
        "FROM --platform=$X a\n",
    ];
    let all = cases.iter().map(|source| {
        let target = source.contains("AS c").then(|| "0".to_owned());
        mistakes(source, &Wanted { target, ..wanted() })
    });
    insta::assert_snapshot!(all.collect::<Vec<_>>().join("\n"), @r"
    1: the base `$X` is empty [give the argument a default, before the first `FROM`: `ARG NAME=VALUE`]
    1: `${X:?say}`: variable `X`: say [give it a value: `--build-arg X=VALUE`]
    2: there is no stage 5: they are counted from 0
    2: the stage `b` comes only later [a stage has files of those before it]
    2: the stage `b` comes only later [a stage has files of those before it]
    2: `$X`: there are no variables in `from` [give it a stage of its own: `FROM $X AS NAME`, with `ARG` before the first stage]
    2: `http://x` is not in the context [`ADD` takes what is on other machines]
    2: `--checksum=sha256:1` is no digest [write `sha256:` and 64 hexadecimal digits]
    3: `--checksum` is for what is on other machines
    2: `--chmod=999` says no permissions [write an octal number up to `7777`, or changes such as `u=rwX,go=rX`]
    3: `x` is no port: ports are numbers from 0 to 65535 [write `8080`, `8080/udp` or `8000-8010`]
    4: `80/ipx` is no port: the protocols are `tcp`, `udp` and `sctp` [write `8080`, `8080/udp` or `8000-8010`]
    5: `SIGFOO` is not a signal: write a name such as `SIGTERM` or a number from 1 to 64
    6: `${b`: the variable's brace has no end [write `\$` for a dollar that begins no variable]
    7: nothing can be mounted at `/` [the root is the image's own: choose a folder below it]
    8: the path of a volume is empty
    1: the platform `$X` is empty
    ");
    let target = |target: &str| Wanted { target: Some(target.to_owned()), ..wanted() };
    assert_eq!(
        mistakes("FROM a AS build\n", &target("buidl")),
        "1: there is no stage `buidl` [did you mean `build`?]"
    );
    assert_eq!(mistakes("FROM a AS build\n", &target("1")), "1: there is no stage `1` [there are `build`]");
}

#[test]
fn a_base_that_has_files_of_this_machine_read_is_refused() {
    for reaching in [
        "COPY --from=rootfs:/ /etc/shadow /s",
        "RUN --mount=from=docker-archive:/a.tar,target=/a true",
        "RUN --mount=type=cache,target=/c,from=oci:/layout true",
    ] {
        let base = format!(r#"{{"OnBuild":["{reaching}"]}}"#);
        let told = format!("{:?}", graph_with("FROM a\n", &wanted(), &base).unwrap_err());
        assert!(told.contains("read by those who build on it"), "{told}");
        // What the Dockerfile itself says is the builder's own wish.
        assert!(graph_with(&format!("FROM a\n{reaching}\n"), &wanted(), "{}").is_ok(), "{reaching}");
    }
    let base = r#"{"OnBuild":["COPY --from=registry.example/tools /a /b"]}"#;
    assert!(graph_with("FROM a\n", &wanted(), base).is_ok());
}
