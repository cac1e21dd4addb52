//! What `RUN` means.

use super::{State, Walk};
use crate::expand::{Reading, Variables, word};
use crate::graph::{Operation, Origin, Run, StepMount};
use crate::instruction::{CommandForm, Heredoc, Placed, RunForm};
use crate::mistake::{Lines, Mistake};
use crate::mount::{MountForm, MountKind, mount};
use crate::path;

impl Walk<'_> {
    pub(super) fn run(
        &mut self,
        state: &mut State,
        placed: &Placed,
        form: &RunForm,
        is_trigger: bool,
    ) -> Result<(), Mistake> {
        let lines = placed.lines;
        let (args, script) = state.arguments(form);
        let told = format!("RUN {} # buildkit", state.with_args(&args));
        let mut mounts = Vec::new();
        for (index, text) in form.mounts.iter().enumerate() {
            let reading = Reading::new(self.dockerfile.escape);
            let read = mount(text, |value| word(value, reading, state));
            let read = read.map_err(|wrong| Mistake { lines, message: wrong.message, hint: wrong.hint })?;
            mounts.push(self.mount(state, read, index, lines)?);
        }
        let title = self.title(state, &placed.code, is_trigger);
        let run = Run {
            args,
            env: state.env.clone(),
            proxy: self.wanted.proxy(),
            cwd: state.cwd(),
            user: state.document.config.user.clone().unwrap_or_default(),
            mounts,
            script,
            network: form.network.unwrap_or(self.wanted.network),
            insecure: form.insecure,
            devices: form.devices.clone(),
        };
        let step = self.add_step(state, lines, title, Operation::Run(Box::new(run)));
        state.tell(told, Some(step));
        Ok(())
    }

    fn mount(
        &mut self,
        state: &State,
        form: MountForm,
        index: usize,
        lines: Lines,
    ) -> Result<StepMount, Mistake> {
        let origin = match (&form.from, form.kind) {
            (Some(from), MountKind::Bind | MountKind::Cache) => self.origin(from, state, lines)?,
            (None, MountKind::Bind) => Origin::Context,
            (_, MountKind::Cache | MountKind::Tmpfs | MountKind::Secret | MountKind::Ssh) => Origin::Nothing,
        };
        let written = form.target.clone().unwrap_or_default();
        let target = path::joined(&state.cwd(), &written);
        let has_target = matches!(form.kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs);
        if has_target && target == "/" {
            let mistake = Mistake::new(lines, format!("nothing can be mounted at `{written}`"));
            return Err(mistake.hint("the root is the image's own: choose a folder below it"));
        }
        let source = path::clean(form.source.as_deref().unwrap_or_default());
        Ok(match form.kind {
            MountKind::Bind => StepMount::Files { origin, path: source, target, writable: !form.read_only },
            MountKind::Cache => StepMount::Cache {
                id: form.id.unwrap_or_else(|| path::clean(&written)),
                target,
                origin,
                path: source,
                sharing: form.sharing,
                read_only: form.read_only,
                mode: form.mode,
                uid: form.uid,
                gid: form.gid,
            },
            MountKind::Tmpfs => StepMount::Tmpfs { target, size: form.size },
            MountKind::Secret => {
                let id = form.id.or(form.source).unwrap_or_else(|| base_name(&written));
                let as_file = form.target.is_some() || form.env.is_none();
                let usual = format!("/run/secrets/{}", base_name(&id));
                let target = if form.target.is_some() { target } else { usual };
                StepMount::Secret {
                    target: as_file.then_some(target),
                    env: form.env,
                    id,
                    mode: form.mode.unwrap_or(0o400),
                    uid: form.uid.unwrap_or(0),
                    gid: form.gid.unwrap_or(0),
                    required: form.required,
                }
            }
            MountKind::Ssh => {
                let usual = format!("/run/buildkit/ssh_agent.{index}");
                StepMount::Agent {
                    id: form.id.unwrap_or_else(|| "default".to_owned()),
                    target: if form.target.is_some() { target } else { usual },
                    mode: form.mode.unwrap_or(0o600),
                    uid: form.uid.unwrap_or(0),
                    gid: form.gid.unwrap_or(0),
                    required: form.required,
                }
            }
        })
    }
}

fn base_name(path: &str) -> String {
    path::last(path).unwrap_or(path).to_owned()
}

impl State {
    /// Returns what is executed, and the file that is to be there for it.
    fn arguments(&self, form: &RunForm) -> (Vec<String>, Option<(String, String)>) {
        let text = match &form.command {
            CommandForm::Exec(words) => return (words.clone(), None),
            CommandForm::Shell(text) => text,
        };
        let Some(first) = form.heredocs.first() else { return (self.in_shell(text), None) };
        if Heredoc::begun(text).is_none() {
            // The documents are the shell's business, as they were written.
            let documents =
                form.heredocs.iter().map(|document| format!("\n{}{}", document.content, document.name));
            return (self.in_shell(&format!("{text}{}", documents.collect::<String>())), None);
        }
        let content = first.document();
        if !content.starts_with("#!") {
            return (self.in_shell(&content), None);
        }
        let path = format!("/dev/pipes/{}", first.name);
        (self.in_shell(&path), Some((first.name.clone(), content)))
    }

    /// Writes a command with the arguments that it sees, as the history has it.
    fn with_args(&self, words: &[String]) -> String {
        let mut args: Vec<(&str, &str)> = Vec::new();
        for (name, value) in &self.args {
            let value = self.value(name).or(value.as_deref()).unwrap_or_default();
            match args.iter_mut().find(|(there, _)| there == name) {
                Some((_, there)) => *there = value,
                None => args.push((name, value)),
            }
        }
        let words = words.join(" ");
        if args.is_empty() {
            return words;
        }
        let shown: String = args.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("|{}{shown} {words}", args.len())
    }
}
