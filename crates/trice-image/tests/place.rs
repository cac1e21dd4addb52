//! A folder and a network namespace for one test, and what it does there.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use trice_image::digest::Digest;
use trice_image::images::Images;
use trice_image::images::build::Draft;
use trice_image::lease::Lease;
use trice_image::platform::Platform;
use trice_image::registry::Registries;
use trice_model::image::{ObservedImage, RegistryRef};
use trice_model::registry::{Credentials, Keyring, RegistrySettings, Secret};
use trice_state::store::Store;
use trice_sys::namespace::{Unshare, unshare};

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("trice-image-peers-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    /// Returns a path as programs' arguments have it.
    pub(crate) fn text(&self, below: &str) -> String {
        self.path(below).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Runs `test` in a network namespace of its own, in which programs that it starts are too.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    let test = || {
        unshare(Unshare::Net).expect("these tests make network namespaces, which takes root");
        run("ip link set lo up");
        test();
    };
    thread::scope(|scope| scope.spawn(test).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Runs a program, which must succeed, and returns what it printed.
pub(crate) fn run(line: &str) -> String {
    let output = attempt(line);
    assert!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn attempt(line: &str) -> process::Output {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env("HOME", "/nonexistent");
    command.output().unwrap_or_else(|error| panic!("`{line}`, which these tests need: {error}"))
}

/// Runs `skopeo`, which must succeed, and returns what it printed.
pub(crate) fn skopeo(line: &str) -> String {
    run(&format!("skopeo --insecure-policy {line}"))
}

/// Debian's registry, for as long as this lives.
pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
}

/// What `htpasswd -nbB me secret` prints.
const HTPASSWD: &str = "me:$2y$05$2Kb5xjPMxBJryLdD9NkeCuG8bQtDevRqgW2vEtZC95/sKGWP533wS\n";

impl Registry {
    /// Starts one on a port of `address` that the kernel chooses, whose files are in `folder`. `more` is added to its
    /// configuration.
    pub(crate) fn start(folder: &Folder, name: &str, address: &str, http: &str, more: &str) -> Self {
        let (data, config) = (folder.text(name), folder.path(&format!("{name}.yml")));
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {data}}}}}\n\
             http: {{addr: '{address}:0', {http}}}\n{more}"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("these tests need docker-registry");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|line| line.contains("listening on ")).expect("the registry starts");
        let host = listening.split("listening on ").nth(1).unwrap();
        let host = host.split(['"', ',', ' ']).next().unwrap().to_owned();
        // Whoever reads no more of its log must not stop it.
        thread::spawn(move || lines.for_each(drop));
        Self { child, host }
    }

    /// Starts one that everybody may use.
    pub(crate) fn open(folder: &Folder) -> Self {
        Self::start(folder, "registry", "127.0.0.1", "", "")
    }

    /// Starts one that lets in `me` with the password `secret`.
    pub(crate) fn guarded(folder: &Folder) -> Self {
        fs::write(folder.path("htpasswd"), HTPASSWD).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", folder.text("htpasswd"));
        Self::start(folder, "registry", "127.0.0.1", "", &auth)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A data folder of trice.
pub(crate) struct Machine {
    pub(crate) images: Images,
    registries: Registries,
}

impl Machine {
    pub(crate) fn new(folder: &Folder, name: &str) -> Self {
        Self::with(folder, name, RegistrySettings::default(), Keyring::default())
    }

    pub(crate) fn with(folder: &Folder, name: &str, settings: RegistrySettings, keyring: Keyring) -> Self {
        let store = Store::open(&folder.path(name).join("store")).unwrap();
        let images = Images::open(&folder.path(name), store).unwrap();
        Self { images, registries: Registries::new(settings, keyring) }
    }

    /// The same with a password for `host`.
    pub(crate) fn known_to(folder: &Folder, name: &str, host: &str, password: &str) -> Self {
        let credentials = Credentials::Password { user: "me".to_owned(), password: Secret::new(password) };
        let keyring = Keyring([(host.to_owned(), credentials)].into());
        Self::with(folder, name, RegistrySettings::default(), keyring)
    }

    /// Fetches an image, or says why not.
    pub(crate) fn fetch(&self, reference: &str) -> Result<ObservedImage, String> {
        self.fetch_for(&Platform::host(), reference)
    }

    /// The same for another machine.
    pub(crate) fn fetch_for(&self, platform: &Platform, reference: &str) -> Result<ObservedImage, String> {
        let reference = reference.parse().unwrap();
        let fetched = wait_for(self.images.fetch(&reference, platform, &self.registries, &mut |_| {}));
        fetched.map_err(|error| chain(&error))
    }

    /// Sends an image, and returns its digest and what was heard; or says why not.
    pub(crate) fn push(&self, name: &str) -> Result<(Digest, Vec<String>), String> {
        let mut heard = Vec::new();
        let name: RegistryRef = name.parse().unwrap();
        let mut hear = |step| {
            let text = format!("{step:?}");
            heard.push(text.split_whitespace().next().unwrap().to_owned());
        };
        let pushed = wait_for(self.images.push(&name, None, &self.registries, &mut hear));
        let digest = pushed.map_err(|error| chain(&error))?;
        heard.retain(|step| step != "Sending");
        heard.sort();
        Ok((digest, heard))
    }

    pub(crate) fn tag(&self, image: &ObservedImage, name: &str) {
        self.images.tag(&[image.id.parse().unwrap()], &name.parse().unwrap()).unwrap();
    }

    pub(crate) fn registries(&self) -> &Registries {
        &self.registries
    }

    /// Makes an image of copies of folders, the lowest layer first.
    pub(crate) fn build(&self, layers: &[&Path], names: &[&str]) -> ObservedImage {
        self.build_for(&Platform::host(), layers, names)
    }

    /// The same for another machine.
    pub(crate) fn build_for(&self, host: &Platform, layers: &[&Path], names: &[&str]) -> ObservedImage {
        self.build_all(&[(host, layers)], names).remove(0)
    }

    /// Makes images that have the same names.
    pub(crate) fn build_all(&self, all: &[(&Platform, &[&Path])], names: &[&str]) -> Vec<ObservedImage> {
        let lease = self.images.lease().unwrap();
        let drafts: Vec<_> =
            all.iter().map(|(platform, layers)| self.draft(&lease, platform, layers)).collect();
        let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
        self.images.commit(&lease, &drafts, &names).unwrap()
    }

    fn draft(&self, lease: &Lease, host: &Platform, layers: &[&Path]) -> Draft {
        let workshop = self.images.workshop().unwrap();
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| {
                let upper = workshop.scratch().unwrap().join("upper");
                run(&format!("cp --archive {} {}", layer.display(), upper.display()));
                self.images.layer_of_folder(&workshop, &upper, None).unwrap()
            })
            .collect();
        self.images.publish(lease, &workshop, &layers).unwrap();
        let config = serde_json::json!({
            "architecture": host.architecture, "os": host.os, "created": "2026-01-02T03:04:05Z",
            "config": { "Cmd": ["/bin/sh"], "Env": ["A=1"] },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id()).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| serde_json::json!({ "created_by": "test" })).collect::<Vec<_>>(),
        });
        Draft::new(serde_json::to_vec(&config).unwrap(), None)
    }
}

/// Waits for what waits for sockets.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Returns an error and its causes in a line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Makes a folder with files of many kinds.
pub(crate) fn write_files(root: &Path) {
    fs::create_dir_all(root.join("etc/deep")).unwrap();
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::set_permissions(root.join("etc"), PermissionsExt::from_mode(0o1771)).unwrap();
    fs::write(root.join("etc/name"), "content").unwrap();
    fs::write(root.join("bin/program"), vec![7; 300_000]).unwrap();
    lchown(root.join("bin/program"), Some(70_000), Some(80)).unwrap();
    fs::set_permissions(root.join("bin/program"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("bin/program"), root.join("bin/again")).unwrap();
    symlink("../bin/program", root.join("etc/link")).unwrap();
    fs::write(root.join("etc").join("long".repeat(50)), "").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    for path in ["etc/name", "bin/program"] {
        File::options().write(true).open(root.join(path)).unwrap().set_modified(time).unwrap();
    }
}

/// Makes an OCI layout with `umoci` that has the image `1` of two layers.
pub(crate) fn layout(folder: &Folder, name: &str) {
    let path = folder.text(name);
    write_files(&folder.path("files"));
    fs::create_dir(folder.path("more")).unwrap();
    fs::write(folder.path("more/new"), "new").unwrap();
    run(&format!("umoci init --layout {path}"));
    run(&format!("umoci new --image {path}:1"));
    run(&format!("umoci insert --image {path}:1 {} /files", folder.text("files")));
    run(&format!("umoci insert --image {path}:1 {} /files/more", folder.text("more")));
    run(&format!("umoci config --image {path}:1 --config.cmd=/bin/sh --config.env=A=1"));
}
