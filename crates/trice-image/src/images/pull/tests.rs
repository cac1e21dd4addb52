//! Images come out of registries of every kind, and registries that lie get nothing in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use serde_json::json;
use trice_model::registry::{Credentials, Keyring, RegistrySettings, Secret};

use super::*;
use crate::digest::Digest;
use crate::images::remove::{PruneFilter, Roots};
use crate::layer::LayerError;
use crate::load::LoadError;
use crate::manifest::DocumentError;
use crate::registry::exchange::ExchangeError;
use crate::registry::retry::Patience;
use crate::registry::token::TokenError;
use crate::source::SourceError;
use crate::testing::archive::file;
use crate::testing::hosted::Hosted;
use crate::testing::image::{Packing, TestFiles, TestImage};
use crate::testing::machine::{Machine, assert_is, image};
use crate::testing::server::{Reply, Request, Server};
use crate::testing::wait_for;

/// So that failures are soon over.
const PATIENCE: Patience = Patience {
    attempts: 4,
    first_wait: Duration::from_millis(1),
    longest_wait: Duration::from_secs(2),
    silence: Duration::from_secs(20),
};

fn registries() -> Registries {
    Registries::with_patience(RegistrySettings::default(), Keyring::default(), PATIENCE)
}

fn with_keys(credentials: impl IntoIterator<Item = (String, Credentials)>) -> Registries {
    let keyring = Keyring(credentials.into_iter().collect());
    Registries::with_patience(RegistrySettings::default(), keyring, PATIENCE)
}

fn password(user: &str, password: &str) -> Credentials {
    Credentials::Password { user: user.to_owned(), password: Secret::new(password) }
}

impl Machine {
    fn pull_by(&self, registries: &Registries, name: &str) -> Result<ObservedImage, FetchError> {
        wait_for(self.images.fetch(&self.reference(name), &Platform::host(), registries, &mut |_| {}))
    }

    fn pull(&self, server: &Server, name: &str) -> Result<ObservedImage, FetchError> {
        self.pull_by(&registries(), &format!("{}/{name}", server.host()))
    }

    /// Returns why the registry is not believed.
    fn lie(&self, server: &Server) -> SourceError {
        match self.pull(server, "app:1") {
            Err(FetchError::Source { source, .. }) => *source,
            other => panic!("{other:?}"),
        }
    }

    /// Returns why a layer is not believed.
    fn lie_in_layer(&self, server: &Server) -> LayerError {
        match self.pull(server, "app:1") {
            Err(FetchError::Load { source, .. }) => match *source {
                LoadError::Layer(error) => error,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

fn exchange(error: SourceError) -> ExchangeError {
    match error {
        SourceError::Registry(error) => *error,
        other => panic!("{other:?}"),
    }
}

/// Returns an error and its causes in a line.
fn chain(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

fn hosted(packing: Packing) -> Hosted {
    Hosted::default().image("app", "1", &image("A=1"), packing)
}

/// Returns a server that answers as `fault` says, and rightly where it says nothing.
fn faulty(hosted: Hosted, fault: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Server {
    Server::new(move |request| fault(request).unwrap_or_else(|| hosted.answer(request)))
}

fn honest(hosted: Hosted) -> Server {
    faulty(hosted, |_| None)
}

/// Returns what happens the first `times` times when a path has `part` in it.
fn at_first(
    times: usize,
    part: &'static str,
    fault: impl Fn(&Request) -> Reply + Send + Sync,
) -> impl Fn(&Request) -> Option<Reply> + Send + Sync {
    let left = AtomicUsize::new(times);
    move |request| {
        let is_meant = request.method == "GET" && request.path.contains(part);
        let is_due =
            || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        (is_meant && is_due()).then(|| fault(request))
    }
}

/// A layer that takes several chunks, and its path.
fn large() -> (TestImage, Hosted, String) {
    let noise: String = (0..1_500_000_u64).map(|n| char::from(b' ' + (n * n % 91) as u8)).collect();
    let image = TestImage::new("A=1", [vec![file("big", &noise)]]);
    let hosted = Hosted::default().image("app", "1", &image, Packing::Plain);
    let layer = format!("blobs/{}", image.diff_ids()[0]);
    (image, hosted, layer)
}

#[test]
fn an_image_comes_by_its_tag_in_every_packing_and_is_known_by_its_digest_too() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let (machine, server) = (Machine::new(), honest(hosted(packing)));
        let found = machine.pull(&server, "app:1").unwrap();
        assert_is(&found, &image("A=1"));
        let name = format!("{}/app", server.host());
        let digests = machine.images.list().unwrap().remove(0).repo_digests;
        assert_eq!(digests.len(), 1);
        assert_eq!(machine.resolve(&digests[0]), Some(found.clone()), "{digests:?}");
        assert_eq!(machine.resolve(&format!("{name}:1")), Some(found.clone()));
        assert_eq!(machine.pull_by(&registries(), &digests[0]).unwrap(), found);
        machine.assert_tidy();
    }
}

#[test]
fn an_image_comes_by_its_digest_alone_and_gets_no_tag() {
    let (machine, server) = (Machine::new(), honest(hosted(Packing::Gzip)));
    let digest = server_digest(&hosted(Packing::Gzip));
    assert_is(&machine.pull(&server, &format!("app@{digest}")).unwrap(), &image("A=1"));
    assert_eq!(machine.images.list().unwrap()[0].repo_tags, [""; 0]);
    let asked = server.requests().len();
    machine.pull(&server, &format!("app:latest@{digest}")).unwrap();
    assert_eq!(server.requests().len(), asked, "what has a digest does not change");
}

fn server_digest(hosted: &Hosted) -> Digest {
    Digest::of(&hosted.0["app/manifests/1"].1)
}

#[test]
fn a_tag_that_has_not_moved_costs_one_request_and_one_that_has_brings_the_new_image() {
    let machine = Machine::new();
    let moved = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&moved);
    let after = Hosted::default().image("app", "1", &image("A=2"), Packing::Gzip);
    let server = faulty(hosted(Packing::Gzip), move |request| {
        (now.load(Ordering::SeqCst) > 0).then(|| after.answer(request))
    });
    machine.pull(&server, "app:1").unwrap();
    let (asked, checked) = (server.requests().len(), checked_at(&machine, &server));
    machine.pull(&server, "app:1").unwrap();
    assert_eq!((server.requests().len(), server.count("HEAD", "")), (asked + 1, 1));
    assert!(checked_at(&machine, &server) > checked);
    moved.store(1, Ordering::SeqCst);
    assert_is(&machine.pull(&server, "app:1").unwrap(), &image("A=2"));
    let old = machine.resolve(&format!("{}/app@{}", server.host(), server_digest(&hosted(Packing::Gzip))));
    assert_is(&old.unwrap(), &image("A=1"));
}

fn checked_at(machine: &Machine, server: &Server) -> Option<Timestamp> {
    machine.images.checked_at(&format!("{}/app:1", server.host()).parse().unwrap()).unwrap()
}

#[test]
fn an_index_gives_each_platform_its_image_and_both_stay() {
    let (machine, mut files) = (Machine::new(), TestFiles::default());
    let foreign: Platform = "linux/s390x".parse().unwrap();
    let descriptors = [
        image("A=1").add_to(&mut files, Packing::Gzip),
        image("A=2").on("s390x").add_to(&mut files, Packing::Zstd),
    ];
    let index = files.index(&descriptors);
    let server = honest(Hosted::default().files("app", "1", &files, &index));
    let own = machine.pull(&server, "app:1").unwrap();
    let reference = machine.reference(&format!("{}/app:1", server.host()));
    assert_eq!(machine.images.resolve(&reference, &foreign).unwrap(), None);
    let other = wait_for(machine.images.fetch(&reference, &foreign, &registries(), &mut |_| {})).unwrap();
    assert_ne!(own.id, other.id);
    assert_eq!(machine.images.resolve(&reference, &foreign).unwrap(), Some(other));
    assert_eq!(machine.images.resolve(&reference, &Platform::host()).unwrap(), Some(own.clone()));
    let digest = index["digest"].as_str().unwrap();
    assert_eq!(machine.resolve(&format!("{}/app@{digest}", server.host())), Some(own.clone()));
    let manifest = descriptors[0]["digest"].as_str().unwrap();
    assert_eq!(machine.resolve(&format!("{}/app@{manifest}", server.host())), Some(own));
}

#[test]
fn a_registry_that_is_busy_is_asked_again_and_as_late_as_it_wants() {
    for (status, after) in
        [(429, Some("0")), (429, None), (500, None), (502, None), (503, Some("1")), (504, None)]
    {
        for part in ["manifests", "blobs"] {
            let machine = Machine::new();
            let busy = move |_: &Request| {
                let reply = Reply::new(status, "busy");
                after.map_or(Reply::new(status, "busy"), |after| reply.with("Retry-After", after))
            };
            let server = faulty(hosted(Packing::Gzip), at_first(2, part, busy));
            assert_is(&machine.pull(&server, "app:1").unwrap(), &image("A=1"));
            machine.assert_tidy();
        }
    }
}

#[test]
fn a_registry_that_stays_busy_or_asks_for_hours_is_given_up() {
    let machine = Machine::new();
    let server =
        Server::new(|_| Reply::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate"}]}"#));
    let error = machine.pull(&server, "app:1").unwrap_err();
    assert_eq!(server.count("GET", "manifests"), 4);
    assert!(chain(&error).contains("429") && chain(&error).contains("pull rate"), "{}", chain(&error));
    let server = Server::new(|_| Reply::new(429, "").with("Retry-After", "7200"));
    let error = machine.pull(&server, "app:1").unwrap_err();
    assert_eq!(server.count("GET", "manifests"), 1);
    assert!(chain(&error).contains("7200 s"), "{}", chain(&error));
    machine.assert_empty();
}

#[test]
fn a_body_that_breaks_off_is_resumed_where_it_broke() {
    let (wanted, hosted, layer) = large();
    let breaks = AtomicUsize::new(0);
    let content = hosted.clone();
    let server = faulty(hosted, move |request| {
        let is_meant = request.path.contains(&layer) && breaks.fetch_add(1, Ordering::SeqCst) < 3;
        is_meant.then(|| content.answer(request).cut(300_000))
    });
    let machine = Machine::new();
    let found = machine.pull(&server, "app:1").unwrap();
    assert_eq!(found.id, wanted.id().as_str());
    let ranges: Vec<_> =
        server.requests().iter().filter_map(|one| one.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=300000-", "bytes=600000-", "bytes=900000-"]);
}

#[test]
fn a_registry_without_ranges_sends_all_again_and_the_layer_is_right() {
    let (wanted, hosted, layer) = large();
    let (breaks, content) = (AtomicUsize::new(0), hosted.clone());
    let server = faulty(hosted, move |request| {
        let whole = content
            .0
            .get(request.path.trim_start_matches("/v2/"))
            .filter(|_| request.path.contains(&layer))?;
        let reply = Reply::new(200, whole.1.clone());
        Some(if breaks.fetch_add(1, Ordering::SeqCst) < 2 { reply.cut(700_000) } else { reply })
    });
    assert_eq!(Machine::new().pull(&server, "app:1").unwrap().id, wanted.id().as_str());
}

#[test]
fn a_body_that_always_breaks_off_at_the_same_place_is_given_up_and_leaves_nothing() {
    let (_, hosted, layer) = large();
    let content = hosted.clone();
    let server = faulty(hosted, move |request| {
        let is_first = request.header("range").is_none();
        let sent = if is_first { 1000 } else { 0 };
        request.path.contains(&layer).then(|| content.answer(request).cut(sent))
    });
    let machine = Machine::new();
    let error = machine.lie_in_layer(&server);
    assert!(matches!(error, LayerError::Read { .. }), "{error:?}");
    assert_eq!(server.count("GET", "blobs/"), 4 + 1, "the configuration, and the layer until patience ends");
    machine.assert_empty();
}

#[test]
fn a_wrong_range_is_not_taken_for_the_rest() {
    let (_, hosted, layer) = large();
    let content = hosted.clone();
    let server = faulty(hosted, move |request| {
        if !request.path.contains(&layer) {
            return None;
        }
        let body = content.0[request.path.trim_start_matches("/v2/")].1.clone();
        match request.header("range") {
            None => Some(Reply::new(200, body).cut(1000)),
            Some(_) => Some(
                Reply::new(206, &body[500..])
                    .with("Content-Range", format!("bytes 500-{}/{}", body.len() - 1, body.len())),
            ),
        }
    });
    let machine = Machine::new();
    let error = chain(&machine.pull(&server, "app:1").unwrap_err());
    assert!(error.contains("`bytes 500-") && error.contains("from 1000 on"), "{error}");
    machine.assert_empty();
}

#[test]
fn a_body_that_never_ends_or_is_longer_than_it_should_be_is_cut_off() {
    let (_, hosted, layer) = large();
    let (endless, longer) = (layer.clone(), layer);
    let machine = Machine::new();
    let server =
        faulty(hosted.clone(), move |request| request.path.contains(&endless).then(|| Reply::endless(200)));
    let error = chain(&machine.pull(&server, "app:1").unwrap_err());
    assert!(error.contains("and the manifest says"), "{error}");
    let content = hosted.clone();
    let server = faulty(hosted, move |request| {
        let (_, body) = content.0.get(request.path.trim_start_matches("/v2/"))?;
        request.path.contains(&longer).then(|| Reply::new(200, [&body[..], b"x"].concat()))
    });
    let error = chain(&machine.pull(&server, "app:1").unwrap_err());
    assert!(error.contains("and the manifest says"), "{error}");
    let server = Server::new(|_| Reply::endless(200));
    assert!(matches!(exchange(machine.lie(&server)), ExchangeError::TooLong { .. }));
    machine.assert_empty();
}

#[test]
fn headers_without_end_are_cut_off() {
    let huge = Server::new(|_| {
        (0..200).fold(Reply::new(200, ""), |reply, n| reply.with(&format!("x-{n}"), "y".repeat(8000)))
    });
    let error = exchange(Machine::new().lie(&huge));
    assert!(matches!(error, ExchangeError::Unreachable { .. } | ExchangeError::Broken { .. }), "{error:?}");
}

#[test]
fn what_is_not_what_its_digest_says_is_refused_wherever_it_is() {
    let wanted = image("A=1");
    let layers = wanted.diff_ids();
    for (path, what) in [(layers[0].to_string(), "digest"), (layers[1].to_string(), "digest")] {
        let server = faulty(hosted(Packing::Plain), move |request| {
            let mut reply = hosted(Packing::Plain).0.get(request.path.trim_start_matches("/v2/"))?.1.clone();
            let middle = reply.len() / 2;
            reply[middle] ^= 1;
            request.path.contains(&path).then(|| Reply::new(200, reply))
        });
        let machine = Machine::new();
        let error = machine.lie_in_layer(&server);
        assert!(matches!(&error, LayerError::WrongDigest { what: found, .. } if *found == what), "{error:?}");
        machine.assert_empty();
    }
    let config = wanted.id().to_string();
    let server = faulty(hosted(Packing::Gzip), move |request| {
        let mut reply = hosted(Packing::Gzip).0.get(request.path.trim_start_matches("/v2/"))?.1.clone();
        reply.pop();
        reply.push(b' ');
        request.path.contains(&config).then(|| Reply::new(200, reply))
    });
    let machine = Machine::new();
    assert!(matches!(machine.lie(&server), SourceError::WrongDigest { .. }));
    let error = machine.pull(&server, &format!("app@{}", Digest::of(b"another"))).unwrap_err();
    assert!(chain(&error).contains("404"), "{}", chain(&error));
    let other = Digest::of(b"another");
    let server = faulty(hosted(Packing::Gzip), move |request| {
        request
            .path
            .contains("manifests")
            .then(|| hosted(Packing::Gzip).answer(&request.at("/v2/app/manifests/1")))
    });
    let error = machine.pull(&server, &format!("app@{other}")).unwrap_err();
    assert!(
        matches!(error, FetchError::Source { ref source, .. } if matches!(**source, SourceError::WrongDigest { .. }))
    );
    machine.assert_empty();
}

#[test]
fn an_index_that_leads_to_itself_leads_nowhere() {
    let mut files = TestFiles::default();
    let inner = files.index(&[]);
    let index = files.index(&[json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": inner["digest"], "size": inner["size"],
    })]);
    let hosted = Hosted::default().files("app", "1", &files, &index);
    // Whatever is asked for, it is the same index.
    let server = Server::new(move |request| hosted.answer(&request.at("/v2/app/manifests/1")));
    let error = Machine::new().lie(&server);
    assert!(matches!(error, SourceError::WrongSize { .. } | SourceError::WrongDigest { .. }), "{error:?}");
    let mut files = TestFiles::default();
    let mut descriptor = image("A=1").add_to(&mut files, Packing::Plain);
    for _ in 0..6 {
        descriptor = files.index(&[descriptor]);
    }
    let server = honest(Hosted::default().files("app", "1", &files, &descriptor));
    assert!(matches!(Machine::new().lie(&server), SourceError::Nested(_)));
}

#[test]
fn what_is_no_image_says_what_it_is() {
    let machine = Machine::new();
    let of = |media_type: &'static str, text: &'static str| {
        Server::new(move |_| Reply::new(200, text).with("Content-Type", media_type))
    };
    let document = |server: &Server| match machine.lie(server) {
        SourceError::Document { source, .. } => source,
        other => panic!("{other:?}"),
    };
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let old = document(&of(signed, r#"{"schemaVersion":1,"fsLayers":[]}"#));
    assert!(matches!(old, DocumentError::SchemaOne), "{old:?}");
    let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    assert!(matches!(
        document(&of("application/vnd.oci.image.index.v1+json", both)),
        DocumentError::Ambiguous
    ));
    let lying = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let error = document(&of("application/vnd.oci.image.manifest.v1+json", lying));
    assert!(matches!(error, DocumentError::OtherType { .. }), "{error:?}");
    assert!(matches!(document(&of("text/html", "<html>")), DocumentError::Json(_)));
    assert!(exchange(machine.lie(&Server::new(|_| Reply::new(404, "")))).is_not_found());
    machine.assert_empty();
}

#[test]
fn a_redirect_leads_to_http_alone_without_credentials_and_not_in_a_circle() {
    let content = hosted(Packing::Gzip);
    let storage = Arc::new(honest(content.clone()));
    let host = storage.host();
    let server = faulty(content.clone(), move |request| {
        if request.header("authorization").is_none() {
            return Some(Reply::new(401, "").with("WWW-Authenticate", "Basic realm=x"));
        }
        let target = format!("http://{host}{}?secret=1", request.path);
        request.path.contains("blobs").then(|| Reply::new(307, "").with("Location", target))
    });
    let machine = Machine::new();
    let keys = with_keys([(server.host(), password("me", "secret"))]);
    assert_is(&machine.pull_by(&keys, &format!("{}/app:1", server.host())).unwrap(), &image("A=1"));
    assert_eq!(storage.count("GET", "blobs"), 3);
    assert!(storage.requests().iter().all(|request| request.header("authorization").is_none()));
    for (target, rule) in [
        ("file:///etc/passwd", "neither https nor http"),
        ("ftp://x/y", "neither https nor http"),
        ("", "without end"),
        ("/v2/app/blobs/again", "without end"),
        ("http://", "not an address"),
    ] {
        let server = Server::new(move |_| Reply::new(302, "").with("Location", target));
        let error = exchange(machine.lie(&server)).to_string();
        assert!(error.contains(rule), "{target}: {error}");
    }
}

#[test]
fn a_layer_that_is_said_to_be_elsewhere_is_not_fetched_from_there() {
    let elsewhere = Server::new(|_| Reply::new(200, "x"));
    let mut files = TestFiles::default();
    let wanted = image("A=1");
    let config = files.blob("application/vnd.oci.image.config.v1+json", wanted.config());
    let layers: Vec<_> = wanted
        .layers
        .iter()
        .map(|layer| {
            let mut layer =
                files.blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", layer.clone());
            layer["urls"] = json!([format!("http://{}/layer", elsewhere.host())]);
            layer
        })
        .collect();
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let manifest =
        files.blob("application/vnd.oci.image.manifest.v1+json", serde_json::to_vec(&manifest).unwrap());
    let mut hosted = Hosted::default().files("app", "1", &files, &manifest);
    let layer = format!("app/blobs/{}", wanted.diff_ids()[0]);
    hosted.0.remove(&layer);
    let machine = Machine::new();
    let error = chain(&machine.pull(&honest(hosted), "app:1").unwrap_err());
    assert!(error.contains("404"), "{error}");
    assert_eq!(elsewhere.requests().len(), 0);
    machine.assert_empty();
}

/// A registry that wants tokens for `app`, and the server that gives them to `who`.
fn guarded(who: &'static str, lifetime: &'static str) -> Server {
    let content = hosted(Packing::Gzip);
    let given = AtomicUsize::new(0);
    Server::new(move |request| {
        let basic = base64::engine::general_purpose::STANDARD.encode(who);
        if request.path.starts_with("/token") {
            let shown = request.header("authorization");
            let is_right = shown == Some(&format!("Basic {basic}"));
            if !who.is_empty() && !is_right {
                return Reply::new(401, r#"{"errors":[{"message":"incorrect username or password"}]}"#);
            }
            assert!(
                request.path.contains("service=reg")
                    && request.path.contains("scope=repository%3Aapp%3Apull")
            );
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(200, format!(r#"{{"token":"t{number}"{lifetime}}}"#));
        }
        let shown = request.header("authorization").and_then(|shown| shown.strip_prefix("Bearer t"));
        if shown.is_some_and(|number| number.parse::<usize>().unwrap() <= given.load(Ordering::SeqCst)) {
            return content.answer(request);
        }
        let realm = format!("http://{}/token", request.header("host").unwrap());
        let challenge = format!(r#"Bearer realm="{realm}",service="reg",scope="repository:app:pull""#);
        Reply::new(401, "").with("WWW-Authenticate", challenge)
    })
}

#[test]
fn a_token_is_fetched_once_for_all_requests_with_or_without_a_password() {
    for who in ["", "me:secret"] {
        let (machine, server) = (Machine::new(), guarded(who, r#","expires_in":300"#));
        let keys = with_keys(who.split_once(':').map(|(user, word)| (server.host(), password(user, word))));
        assert_is(&machine.pull_by(&keys, &format!("{}/app:1", server.host())).unwrap(), &image("A=1"));
        assert_eq!(server.count("GET", "/token"), 1);
        let shown = server.requests().into_iter().filter(|request| request.path.starts_with("/v2/"));
        let secrets =
            shown.filter(|one| one.header("authorization").is_some_and(|shown| shown.starts_with("Basic")));
        assert_eq!(secrets.count(), 0, "the password is for the token server");
    }
}

#[test]
fn a_token_that_ends_early_is_fetched_again() {
    // No more than its margin: each one is too old when it is to be shown again.
    let (machine, server) = (Machine::new(), guarded("", r#","expires_in":1"#));
    assert_is(&machine.pull(&server, "app:1").unwrap(), &image("A=1"));
    assert!(server.count("GET", "/token") > 1);
}

#[test]
fn a_wrong_password_is_said_to_be_one_and_is_shown_to_nobody_else() {
    let (machine, server) = (Machine::new(), guarded("me:secret", ""));
    let keys =
        with_keys([(server.host(), password("me", "wrong")), ("other".to_owned(), password("me", "secret"))]);
    let error = machine.pull_by(&keys, &format!("{}/app:1", server.host())).unwrap_err();
    assert!(
        chain(&error).contains("401") && chain(&error).contains("incorrect username"),
        "{}",
        chain(&error)
    );
    assert!(!chain(&error).contains("wrong"));
    let basic = Server::new(|_| Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
    match exchange(machine.lie(&basic)) {
        ExchangeError::Token { source: TokenError::NoPassword { .. }, .. } => {}
        other => panic!("{other:?}"),
    }
    machine.assert_empty();
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let content = hosted(Packing::Gzip);
    let server = Server::new(move |request| {
        if request.path == "/token" {
            let form = String::from_utf8(request.body.clone()).unwrap();
            assert_eq!(request.method, "POST");
            assert!(
                form.contains("grant_type=refresh_token") && form.contains("refresh_token=refresh"),
                "{form}"
            );
            return Reply::new(200, r#"{"access_token":"a","expires_in":60}"#);
        }
        match request.header("authorization") {
            Some("Bearer a") => content.answer(request),
            _ => Reply::new(401, "").with(
                "WWW-Authenticate",
                format!("Bearer realm=\"http://{}/token\",service=reg", request.header("host").unwrap()),
            ),
        }
    });
    let keys = with_keys([(server.host(), Credentials::IdentityToken(Secret::new("refresh")))]);
    assert_is(&Machine::new().pull_by(&keys, &format!("{}/app:1", server.host())).unwrap(), &image("A=1"));
}

#[test]
fn mirrors_are_asked_first_and_a_host_itself_where_they_do_not_help() {
    let (origin, mirror) = (honest(hosted(Packing::Gzip)), honest(hosted(Packing::Gzip)));
    let empty = Server::new(|_| Reply::new(404, ""));
    let settings = |mirrors: &[String]| RegistrySettings {
        mirrors: [(origin.host(), mirrors.iter().map(|text| text.parse().unwrap()).collect())].into(),
        ..RegistrySettings::default()
    };
    let keyring = Keyring([(origin.host(), password("me", "secret"))].into());
    let by = |mirrors: &[String]| Registries::with_patience(settings(mirrors), keyring.clone(), PATIENCE);
    let name = format!("{}/app:1", origin.host());
    let from_mirror = by(&[format!("http://{}", mirror.host())]);
    assert_is(&Machine::new().pull_by(&from_mirror, &name).unwrap(), &image("A=1"));
    assert_eq!(origin.requests().len(), 0);
    let dead = format!("http://{}", Server::new(|_| Reply::new(404, "")).host());
    let helpless = by(&[dead, format!("http://{}", empty.host())]);
    assert_is(&Machine::new().pull_by(&helpless, &name).unwrap(), &image("A=1"));
    assert!(!empty.requests().is_empty() && !origin.requests().is_empty());
    let shown = |server: &Server| server.requests().iter().any(|one| one.header("authorization").is_some());
    assert!(!shown(&mirror) && !shown(&empty), "a mirror is another host");
}

#[test]
fn nobody_there_is_told_at_once_and_one_who_goes_away_is_waited_for() {
    let gone = Server::new(|_| Reply::new(404, "")).host();
    let error = Machine::new().pull_by(&registries(), &format!("{gone}/app:1")).unwrap_err();
    assert!(chain(&error).contains(&format!("reach {gone}")), "{}", chain(&error));
    let server = faulty(hosted(Packing::Gzip), at_first(1, "blobs", |_| Reply::new(200, "0123").cut(1)));
    assert_is(&Machine::new().pull(&server, "app:1").unwrap(), &image("A=1"));
}

#[test]
fn who_leaves_in_the_middle_leaves_nothing_behind() {
    let (_, hosted, layer) = large();
    let content = hosted.clone();
    let server = faulty(hosted, move |request| {
        let body = content.0.get(request.path.trim_start_matches("/v2/"))?.1.clone();
        // Something comes, and then nothing any more.
        request.path.contains(&layer).then(|| Reply::new(200, body).cut(600_000).stalled())
    });
    let machine = Machine::new();
    let reference = machine.reference(&format!("{}/app:1", server.host()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (registries, platform) = (registries(), Platform::host());
    runtime.block_on(async {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let mut begun = Some(begun);
        let mut hear = |_| {
            if let Some(begun) = begun.take() {
                begun.send(()).unwrap();
            }
        };
        tokio::select! {
            ended = machine.images.fetch(&reference, &platform, &registries, &mut hear) => panic!("{ended:?}"),
            _ = has_begun => {}
        }
    });
    drop(runtime); // its threads end before it does
    machine.assert_empty();
}

#[test]
fn who_leaves_while_a_file_is_read_leaves_nothing_behind_either() {
    let machine = Machine::new();
    let members = |layer: u32| (0..40).map(|n| file(&format!("{layer}/{n}"), &"x".repeat(100_000))).collect();
    machine.write("file", TestImage::new("A=1", [members(1), members(2)]).docker_old(&["bb:1"]));
    let reference = machine.reference("docker-archive:file");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (registries, platform) = (registries(), Platform::host());
    runtime.block_on(async {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let mut begun = Some(begun);
        let mut hear = |_| {
            if let Some(begun) = begun.take() {
                begun.send(()).unwrap();
            }
        };
        tokio::select! {
            biased;
            _ = has_begun => {}
            ended = machine.images.fetch(&reference, &platform, &registries, &mut hear) => panic!("{ended:?}"),
        }
    });
    drop(runtime); // its threads end before it does
    machine.assert_empty();
}

#[test]
fn a_layer_that_is_here_stays_while_the_rest_of_its_next_image_comes() {
    let machine = Machine::new();
    let shared = || vec![file("shared", "x")];
    let one = TestImage::new("A=1", [shared()]);
    let two = TestImage::new("A=2", [shared(), vec![file("own", "y")]]);
    let hosted =
        Hosted::default().image("one", "1", &one, Packing::Plain).image("two", "1", &two, Packing::Plain);
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let (may_go_on, own) = (std::sync::Mutex::new(may_go_on), two.diff_ids()[1].to_string());
    let server = faulty(hosted, move |request| {
        if request.path.contains(&own) {
            may_go_on.lock().unwrap().recv().unwrap();
        }
        None
    });
    machine.pull(&server, "one:1").unwrap();
    let mut hear = |step| {
        if matches!(step, Progress::Present { .. }) {
            let filter = PruneFilter { named: true, ..PruneFilter::default() };
            assert_eq!(machine.images.prune(&filter, &Roots::new()).unwrap().deleted, [one.id()]);
            go_on.send(()).unwrap();
        }
    };
    let reference = machine.reference(&format!("{}/two:1", server.host()));
    let found =
        wait_for(machine.images.fetch(&reference, &Platform::host(), &registries(), &mut hear)).unwrap();
    assert!(found.layers.len() == 2 && found.layers.iter().all(|layer| layer.is_dir()));
    machine.assert_tidy();
}

#[test]
fn many_who_pull_the_same_at_once_fetch_it_once() {
    let (machine, server) = (Machine::new(), honest(large().1));
    thread::scope(|scope| {
        let pulls: Vec<_> = (0..6).map(|_| scope.spawn(|| machine.pull(&server, "app:1").unwrap())).collect();
        let found: Vec<_> = pulls.into_iter().map(|pull| pull.join().unwrap()).collect();
        assert!(found.windows(2).all(|two| two[0] == two[1]));
    });
    assert_eq!(server.count("GET", &format!("blobs/{}", large().0.diff_ids()[0])), 1);
    machine.assert_tidy();
}

#[test]
fn tags_repositories_and_what_is_found_are_read_page_by_page() {
    let server = Server::new(|request| match request.path.as_str() {
        "/v2/app/tags/list?n=1000" => Reply::new(200, r#"{"name":"app","tags":["b","a"]}"#)
            .with("Link", "</v2/app/tags/list?n=1000&last=a>; rel=\"next\""),
        "/v2/app/tags/list?n=1000&last=a" => Reply::new(200, r#"{"name":"app","tags":["c"]}"#),
        "/v2/none/tags/list?n=1000" => Reply::new(200, r#"{"name":"none","tags":null}"#),
        "/v2/loop/tags/list?n=1000" => {
            Reply::new(200, r#"{"tags":["x"]}"#).with("Link", "<list?n=1000>; rel=next")
        }
        "/v2/_catalog?n=1000" => Reply::new(200, r#"{"repositories":["web/shop","app"]}"#),
        "/v1/search?q=sh+op&n=2" => Reply::new(
            200,
            r#"{"results":[{"name":"shop","description":"d","star_count":3,"is_official":true},{"name":"b"},{"name":"c"}]}"#,
        ),
        _ => Reply::new(404, ""),
    });
    let (registries, host) = (registries(), server.host());
    let tags = |repository: &str| wait_for(registries.tags(&format!("{host}/{repository}").parse().unwrap()));
    assert_eq!(tags("app").unwrap(), ["a", "b", "c"]);
    assert_eq!(tags("none").unwrap(), [""; 0]);
    assert!(tags("gone").is_err());
    assert!(tags("loop").is_err(), "pages without end");
    assert_eq!(wait_for(registries.catalog(&host)).unwrap(), ["app", "web/shop"]);
    let found = wait_for(registries.search(&host, "sh op", 2)).unwrap();
    assert_eq!((found.len(), found[0].stars, found[0].official), (2, 3, true));
    let found = wait_for(registries.search(&host, "shop", 10)).unwrap();
    assert_eq!(found.into_iter().map(|found| found.name).collect::<Vec<_>>(), ["web/shop"]);
}
