//! What all commands share: the flags before the command, the environment, the terminal.

use std::io::{self, Read, Write};

use trice_compose::diagnostic::Diagnostic;
use trice_compose::load::{self, Loaded};
use trice_compose::request::{Request, Skip};
use trice_compose::{config, load::Model};
use trice_model::intent::Intent;
use trice_model::name::{NameError, ProjectName, ServiceName};
use trice_runtime::keeper::start::Directories;

use crate::arguments::GlobalArgs;
use crate::console::{Console, ProgressMode};
use crate::directories;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::operation;
use crate::progress::Progress;
use crate::project::{Places, Scope, Wanted};

/// One run of the command line.
pub(crate) struct Invocation {
    pub(crate) global: GlobalArgs,
    pub(crate) environment: Environment,
    pub(crate) console: Console,
}

impl Invocation {
    /// Reads the surroundings.
    pub(crate) fn new(global: GlobalArgs) -> Result<Self, Failure> {
        let environment =
            Environment::of_caller().map_err(Failure::surroundings("find the current directory"))?;
        let console = Console::of(&global, &environment)?;
        Ok(Self { global, environment, console })
    }

    /// Returns the directories of the engine, if the caller may use them.
    pub(crate) fn directories(&self) -> Result<Directories, Failure> {
        directories::of(&self.environment)
    }

    /// Returns the way to the engine, if the caller may go it.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        self.directories().map(Engine::new)
    }

    /// Begins to show what `command` does.
    pub(crate) fn progress(&self, command: &'static str) -> Progress {
        Progress::begin(command, &self.console)
    }

    /// Loads the project, with `services` and what they depend on, or with all for none. What trice cannot do
    /// yet is refused.
    pub(crate) fn load(&mut self, services: &[ServiceName]) -> Result<Wanted, Failure> {
        let request = self.request(services, Skip::default())?;
        let loaded = load::load(&request, &Disk)?;
        self.take_in(&loaded)?;
        self.warn(&loaded.idle);
        loaded.try_into()
    }

    /// Finds out which project is meant: that of the files, or one that is called by its name.
    pub(crate) fn scope(&mut self) -> Result<Scope, Failure> {
        if let (Some(name), []) = (&self.global.project_name, self.global.files.as_slice()) {
            return named(name);
        }
        let skip = Skip { env_files: true, ..Skip::default() };
        let request = self.request(&[], skip)?;
        match (load::load(&request, &Disk), self.environment.get("COMPOSE_PROJECT_NAME")) {
            (Ok(loaded), _) => {
                self.take_in(&loaded)?;
                Ok(loaded.into())
            }
            (Err(_), Some(name)) => named(name),
            (Err(mistakes), None) => Err(mistakes.into()),
        }
    }

    /// Resolves the model for `config`.
    pub(crate) fn model(&mut self, services: &[ServiceName], skip: Skip) -> Result<Model, Failure> {
        let request = self.request(services, skip)?;
        let (model, warnings) = load::model(&request, &Disk)?;
        self.warn(&warnings);
        Ok(model)
    }

    fn request(&self, services: &[ServiceName], skip: Skip) -> Result<Request, Failure> {
        let global = &self.global;
        let mut stdin = Vec::new();
        if global.files.iter().any(|file| file == "-") {
            io::stdin().read_to_end(&mut stdin).map_err(Failure::surroundings("read the standard input"))?;
        }
        Ok(Request {
            files: global.files.clone(),
            stdin,
            project_name: global.project_name.clone(),
            project_directory: global.project_directory.clone(),
            env_files: global.env_files.clone(),
            profiles: global.profiles.clone(),
            services: services.iter().map(ToString::to_string).collect(),
            all_resources: global.all_resources,
            current_dir: self.environment.current_dir.clone(),
            environment: self.environment.variables.clone(),
            home: self.environment.get("HOME").map(Into::into),
            skip,
        })
    }

    /// Takes in what `.env` says about the command line itself, and says what the loader warns of.
    fn take_in(&mut self, loaded: &Loaded) -> Result<(), Failure> {
        let mut changed = false;
        for (name, value) in config::environment(&loaded.model) {
            if name.starts_with("COMPOSE_") && !self.environment.variables.contains_key(name) {
                self.environment.variables.insert(name.to_owned(), value.to_owned());
                changed = true;
            }
        }
        if changed {
            self.console = Console::of(&self.global, &self.environment)?;
        }
        self.warn(&loaded.warnings);
        Ok(())
    }

    fn warn(&self, warnings: &[Diagnostic]) {
        for warning in warnings {
            self.talk("warning", &warning.to_string());
        }
    }

    /// Has the engine do `intent`, or say what it would do.
    pub(crate) async fn operate(
        &self,
        command: &'static str,
        engine: &Engine,
        intent: Intent,
        places: &Places,
    ) -> Result<u8, Failure> {
        self.operate_with(&mut self.progress(command), engine, intent, places).await.map(|()| 0)
    }

    /// Like [`Invocation::operate`], with a progress that goes on to be used.
    pub(crate) async fn operate_with(
        &self,
        progress: &mut Progress,
        engine: &Engine,
        intent: Intent,
        places: &Places,
    ) -> Result<(), Failure> {
        if self.global.dry_run {
            operation::dry_run(engine, intent, places, self.console.progress).await
        } else {
            operation::operate(engine, intent, progress, places).await
        }
    }

    /// Refuses `--dry-run` for a command that has no plan.
    pub(crate) fn refuse_dry_run(&self, command: &str) -> Result<(), Failure> {
        if self.global.dry_run {
            return Err(Failure::usage(format!("`{command}` cannot be tried with `--dry-run` yet")));
        }
        Ok(())
    }

    /// Says something beside the results.
    pub(crate) fn talk(&self, level: &str, text: &str) {
        let line = match self.console.progress {
            ProgressMode::Json => serde_json::json!({ "level": level, "text": text }).to_string(),
            ProgressMode::Auto | ProgressMode::Tty | ProgressMode::Plain | ProgressMode::Quiet => {
                format!("{level}: {text}")
            }
        };
        // What goes wrong with talk stops nothing.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn named(name: &str) -> Result<Scope, Failure> {
    let name: ProjectName = name.parse().map_err(|error: NameError| Failure::usage(error.to_string()))?;
    Ok(Scope::named(name))
}
