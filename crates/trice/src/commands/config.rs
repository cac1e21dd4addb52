//! `config`: the project as it is understood.
//!
//! It needs no root and no engine. What trice cannot do yet is fine here.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trice_compose::config;
use trice_compose::load::Model;
use trice_compose::request::Skip;
use trice_model::name::ServiceName;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::table::Table;

/// The least width of a column of variables, as Compose has it.
const WIDE: usize = 20;

/// What is typed after `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// These services and what they depend on
    names: Vec<ServiceName>,
    /// As YAML or as JSON
    #[arg(long, value_enum, default_value_t)]
    format: ConfigFormat,
    /// Only check
    #[arg(short, long)]
    quiet: bool,
    /// Into this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The names of the services, one a line
    #[arg(long)]
    services: bool,
    /// The keys of the volumes, one a line
    #[arg(long)]
    volumes: bool,
    /// The keys of the networks, one a line
    #[arg(long)]
    networks: bool,
    /// The models, one a line
    #[arg(long)]
    models: bool,
    /// The profiles, one a line
    #[arg(long)]
    profiles: bool,
    /// The images, one a line
    #[arg(long)]
    images: bool,
    /// The digest of a service, or of all for `*`, one a line
    #[arg(long, value_name = "SERVICE")]
    hash: Option<String>,
    /// The variables that the files use
    #[arg(long)]
    variables: bool,
    /// The variables that the files are filled in from, one a line
    #[arg(long)]
    environment: bool,
    /// Where the value at this path comes from: `services.web.environment.DEBUG`
    #[arg(long, value_name = "PATH")]
    explain: Option<String>,
    /// Where this variable comes from
    #[arg(long, value_name = "NAME")]
    explain_var: Option<String>,
    /// Variables stay as they are written
    #[arg(long)]
    no_interpolate: bool,
    /// Implied networks, dependencies and names stay unsaid
    #[arg(long)]
    no_normalize: bool,
    /// Relative paths stay relative
    #[arg(long)]
    no_path_resolution: bool,
    /// Check nothing that takes more than one attribute to see
    #[arg(long)]
    no_consistency: bool,
    /// Env files stay unread
    #[arg(long)]
    no_env_resolution: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ConfigFormat {
    #[default]
    Yaml,
    Json,
}

/// Carries out `config`.
pub(crate) fn run(args: &ConfigArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let model = invocation.model(&args.names, args.skip())?;
    if args.quiet {
        return Ok(0);
    }
    let text = args.render(&model)?;
    match &args.output {
        Some(path) => std::fs::write(path, text)
            .map_err(Failure::surroundings(format!("write `{}`", path.display())))?,
        None => output::print(&text)?,
    }
    Ok(0)
}

impl ConfigArgs {
    fn skip(&self) -> Skip {
        Skip {
            // Their names stand in the text, which filling in would take away.
            interpolation: self.no_interpolate || self.variables,
            normalisation: self.no_normalize,
            paths: self.no_path_resolution,
            consistency: self.no_consistency,
            env_files: self.no_env_resolution,
        }
    }

    fn render(&self, model: &Model) -> Result<String, Failure> {
        if let Some(path) = &self.explain {
            return explain(model, path);
        }
        if let Some(name) = &self.explain_var {
            return explain_variable(model, name);
        }
        if let Some(service) = &self.hash {
            return hashes(model, service);
        }
        let text = if self.services {
            lines(config::services(model))
        } else if self.volumes {
            lines(config::volumes(model))
        } else if self.networks {
            lines(config::networks(model))
        } else if self.models {
            lines(config::models(model))
        } else if self.profiles {
            lines(config::profiles(model))
        } else if self.images {
            lines(config::images(model))
        } else if self.environment {
            lines(config::environment(model).map(|(name, value)| format!("{name}={value}")))
        } else if self.variables {
            self.variables(model)
        } else {
            match self.format {
                ConfigFormat::Yaml => config::yaml(model),
                ConfigFormat::Json => config::json(model),
            }
        };
        Ok(text)
    }

    fn variables(&self, model: &Model) -> String {
        let variables = config::variables(model);
        match self.format {
            ConfigFormat::Json => {
                // Names and texts always have a JSON form.
                serde_json::to_string_pretty(&variables).unwrap_or_default()
            }
            ConfigFormat::Yaml => {
                let mut table = Table::new(WIDE, ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"]);
                for (name, variable) in &variables {
                    let cells = [
                        name.clone(),
                        variable.required.to_string(),
                        variable.default_value.clone(),
                        variable.presence_value.clone(),
                    ];
                    table.row(cells);
                }
                table.to_string()
            }
        }
    }
}

fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    lines.into_iter().map(|line| line.as_ref().to_owned() + "\n").collect()
}

fn hashes(model: &Model, wanted: &str) -> Result<String, Failure> {
    let names: Vec<&str> = wanted.split(',').collect();
    let all = config::hashes(model);
    if let Some(unknown) =
        names.iter().find(|name| **name != "*" && !all.iter().any(|(known, _)| known == *name))
    {
        return Err(Failure::usage(format!("there is no service `{unknown}`")));
    }
    let shown = all.iter().filter(|(name, _)| names.contains(&"*") || names.contains(&name.as_str()));
    Ok(lines(shown.map(|(name, hash)| format!("{name} {hash}"))))
}

fn explain(model: &Model, path: &str) -> Result<String, Failure> {
    use trice_compose::explain::Relation;
    let origins = model.explain(path);
    if origins.is_empty() {
        return Err(Failure::usage(format!("there is nothing at `{path}`")));
    }
    let line = |origin: trice_compose::explain::Origin| {
        let relation = match origin.relation {
            Relation::Written => "written there",
            Relation::FilledIn => "filled in from",
            Relation::Resolved => "made absolute from",
            Relation::Overrides => "in place of",
        };
        format!("{}  {}  {relation}", origin.place, origin.value)
    };
    Ok(lines(origins.into_iter().map(line)))
}

fn explain_variable(model: &Model, name: &str) -> Result<String, Failure> {
    let Some(origin) = model.explain_variable(name) else {
        return Err(Failure::usage(format!("the variable `{name}` is not set")));
    };
    let place = origin.place.map_or_else(|| "the environment".to_owned(), |place| place.to_string());
    let shadowed = origin.shadowed.iter().map(|(place, value)| format!("{place}  {value}  not used"));
    Ok(lines(std::iter::once(format!("{place}  {}", origin.value)).chain(shadowed)))
}
