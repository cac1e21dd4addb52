//! A registry for a scenario, and images that other programs make and read.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::scenario::Scenario;

/// What `htpasswd -nbB me secret` prints.
const HTPASSWD: &str = "me:$2y$05$2Kb5xjPMxBJryLdD9NkeCuG8bQtDevRqgW2vEtZC95/sKGWP533wS\n";

/// Debian's registry, for as long as this lives.
pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
}

impl Registry {
    /// Starts one that everybody may use.
    pub(crate) fn open(scenario: &Scenario) -> Self {
        Self::start(scenario, "registry", "")
    }

    /// Starts one that lets in `me` with the password `secret`.
    pub(crate) fn guarded(scenario: &Scenario) -> Self {
        let passwords = scenario.home().join("htpasswd");
        fs::write(&passwords, HTPASSWD).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", passwords.display());
        Self::start(scenario, "guarded", &auth)
    }

    /// Starts one whose files and configuration have `name`; `more` is added to that.
    pub(crate) fn start(scenario: &Scenario, name: &str, more: &str) -> Self {
        let (data, config) = (scenario.home().join(name), scenario.home().join(format!("{name}.yml")));
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n{more}",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("docker-registry: `tests/run` installs what is needed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let listening = lines.find(|line| line.contains("listening on ")).expect("the registry starts");
        let host = listening.split("listening on ").nth(1).unwrap();
        let host = host.split(['"', ',', ' ']).next().unwrap().to_owned();
        // Whoever reads no more of its log must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, host }
    }

    /// Returns the whole name of an image of this registry.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.host)
    }

    /// Has skopeo put the image `tag` of `layout` there under `image`.
    pub(crate) fn fill(&self, layout: &Layout, tag: &str, image: &str) {
        let from = format!("oci:{}:{tag}", layout.0.display());
        skopeo(&format!(
            "copy --dest-tls-verify=false --dest-creds me:secret {from} docker://{}",
            self.name(image)
        ));
    }

    /// Returns what skopeo says about an image there.
    pub(crate) fn inspect(&self, image: &str) -> serde_json::Value {
        let text =
            skopeo(&format!("inspect --tls-verify=false --creds me:secret docker://{}", self.name(image)));
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An OCI layout that umoci makes.
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// Makes one that has the image `1`: a shell and its tools in one layer, and `text` at `/text` in another.
    /// `options` are those of `umoci config`.
    pub(crate) fn new(scenario: &Scenario, name: &str, text: &str, options: &str) -> Self {
        let layout = Self(scenario.home().join(name));
        let path = layout.0.display();
        run(&format!("umoci init --layout {path}"));
        run(&format!("umoci new --image {path}:1"));
        let files = scenario.home().join(format!("{name}-files"));
        write_tools(&files);
        run(&format!("umoci insert --image {path}:1 {} /", files.display()));
        fs::write(files.join("text"), text).unwrap();
        run(&format!("umoci insert --image {path}:1 {} /text", files.join("text").display()));
        run(&format!(
            "umoci config --image {path}:1 --config.env=PATH=/bin --config.cmd=sleep --config.cmd=1000 {options}"
        ));
        layout
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the folder that its files came from.
    pub(crate) fn files(&self) -> PathBuf {
        self.0.with_file_name(format!("{}-files", self.0.file_name().unwrap().display()))
    }

    /// Puts the folder `files` into the image `1` at `path`.
    pub(crate) fn add(&self, files: &Path, path: &str) {
        run(&format!("umoci insert --image {}:1 {} {path}", self.0.display(), files.display()));
    }

    /// Adds the image `tag`, which is the image `1` with `text` at `/text`.
    pub(crate) fn change(&self, tag: &str, text: &str) {
        let (path, file) = (self.0.display(), self.0.with_extension("changed"));
        fs::write(&file, text).unwrap();
        run(&format!("umoci insert --image {path}:1 --tag {tag} {} /text", file.display()));
    }
}

/// Writes a shell and its tools.
fn write_tools(root: &Path) {
    for folder in ["bin", "etc", "tmp", "data/deep"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for tool in [
        "sh", "sleep", "cat", "echo", "ls", "mkdir", "rm", "stat", "id", "ln", "mv", "touch", "chmod",
        "chown", "true", "find", "readlink", "head",
    ] {
        symlink("busybox", root.join("bin").join(tool)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\nme:x:1000:1001::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nus:x:1001:\n").unwrap();
    fs::write(root.join("data/deep/file"), "from the image").unwrap();
}

/// Runs `skopeo`, which must succeed, and returns what it printed.
pub(crate) fn skopeo(line: &str) -> String {
    run(&format!("skopeo --insecure-policy {line}"))
}

/// Runs a program, which must succeed, and returns what it printed.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).env("HOME", "/nonexistent").output();
    let output =
        output.unwrap_or_else(|error| panic!("`{line}`: {error}: `tests/run` installs what is needed"));
    assert!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
