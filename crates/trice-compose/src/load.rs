//! The way from a request to a model, and from a model to a project.

use std::path::PathBuf;
use std::sync::Arc;

use trice_model::project::Project;

use crate::diagnostic::{Diagnostic, Mistakes};
use crate::environment::Environment;
use crate::files::Files;
use crate::loader::{Loader, Settings};
use crate::report::Report;
use crate::request::Request;
use crate::sources::Sources;
use crate::tree::mapping::Mapping;
use crate::tree::node::Node;
use crate::tree::parse::Unreadable;
use crate::{bind, consistency, discovery, env_file, normalize, select};

/// A project that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// What is wanted.
    pub project: Project,
    /// What the files say, resolved; it knows the place of each value.
    pub model: Model,
    /// What works, but perhaps not as it is meant.
    pub warnings: Vec<Diagnostic>,
    /// What is right, and means nothing here: who starts the project should know.
    pub idle: Vec<Diagnostic>,
    /// What is right, but cannot be done yet: a project that has any of it must not be started.
    pub not_honoured: Vec<Diagnostic>,
}

/// What the files of a project say, all steps done.
#[derive(Debug)]
pub struct Model {
    pub(crate) root: Node,
    /// Services that are known and not active.
    pub(crate) inactive: Mapping,
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) environment: Arc<Environment>,
    pub(crate) sources: Sources,
    /// Variables stand in it as they are written.
    pub(crate) raw: bool,
}

/// Loads the project that `request` asks for.
///
/// # Errors
/// All mistakes of its files, in their order.
pub fn load(request: &Request, files: &dyn Files) -> Result<Loaded, Mistakes> {
    let (model, mut report) = resolve(request, files)?;
    let project = bind::project(&model, &mut report);
    let (model, report) = finished(model, report)?;
    match project {
        Some(project) => {
            let warnings = model.sources.diagnose(report.warnings);
            let not_honoured = model.sources.diagnose(report.not_honoured);
            let idle = model.sources.diagnose(report.idle);
            Ok(Loaded { project, model, warnings, idle, not_honoured })
        }
        None => Err(Mistakes(Vec::new())),
    }
}

/// Resolves the model that `request` asks for, for `config`; with warnings. What trice cannot do yet is fine here.
///
/// # Errors
/// All mistakes of its files, in their order.
pub fn model(request: &Request, files: &dyn Files) -> Result<(Model, Vec<Diagnostic>), Mistakes> {
    let (model, report) = resolve(request, files)?;
    let (model, report) = finished(model, report)?;
    let warnings = model.sources.diagnose(report.warnings);
    Ok((model, warnings))
}

fn finished(model: Model, report: Report) -> Result<(Model, Report), Mistakes> {
    if report.mistakes.is_empty() {
        Ok((model, report))
    } else {
        Err(Mistakes(model.sources.diagnose(report.mistakes)))
    }
}

/// Goes through all steps up to the model. It goes on after mistakes, to find all of them, until there is nothing left
/// to look at.
fn resolve(request: &Request, files: &dyn Files) -> Result<(Model, Report), Mistakes> {
    let settings = Settings { raw: request.skip.interpolation, home: request.home.clone() };
    let mut loader = Loader::new(files, &request.current_dir, settings);
    match steps(&mut loader, request) {
        Ok(half) => {
            let Loader { sources, report, .. } = loader;
            let Half { root, inactive, name, folder, files, environment } = half;
            let raw = request.skip.interpolation;
            Ok((Model { root, inactive, name, folder, files, environment, sources, raw }, report))
        }
        Err(Unreadable) => Err(Mistakes(loader.sources.diagnose(loader.report.mistakes))),
    }
}

struct Half {
    root: Node,
    inactive: Mapping,
    name: String,
    folder: PathBuf,
    files: Vec<PathBuf>,
    environment: Arc<Environment>,
}

fn steps(loader: &mut Loader<'_>, request: &Request) -> Result<Half, Unreadable> {
    let skip = request.skip;
    let found = discovery::discover(loader, request)?;
    let files = found.files.iter().map(|file| file.path.clone()).collect();
    let context = loader.context(&found.environment, found.folder.clone(), ".".to_owned(), Vec::new());
    let mut root = loader.model(found.files, &context);
    if !skip.paths {
        loader.resolve_paths(&mut root, &found.folder.display().to_string());
    }
    if !skip.interpolation {
        normalize::take_variables(&mut root, &loader.sources);
    }
    if !skip.normalisation {
        if !skip.interpolation {
            normalize::take_arguments(&mut root, &loader.sources);
        }
        normalize::normalize(&mut root, &found.name);
    }
    let mut inactive = Mapping::default();
    if !skip.interpolation {
        inactive = select::by_profiles(&mut root, &found.profiles, request);
        if !skip.consistency {
            consistency::check(&root, &inactive, &mut loader.report);
            normalize::agree_on_replicas(&mut root);
        }
        select::by_request(&mut root, &mut inactive, request, &mut loader.report);
        if !request.all_resources {
            select::prune(&mut root);
        }
        env_file::read(&mut root, !skip.env_files, loader);
    }
    Ok(Half { root, inactive, name: found.name, folder: found.folder, files, environment: found.environment })
}

#[cfg(test)]
mod answers;
#[cfg(test)]
mod tests;
