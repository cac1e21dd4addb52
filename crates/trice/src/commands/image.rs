//! `image`: images of all projects.

pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod save;
pub(crate) mod tag;

use clap::Subcommand;
use trice_api::fault::Fault;
use trice_api::image::{ImageView, ListImages};

use self::history::HistoryArgs;
use self::import::ImportArgs;
use self::inspect::InspectArgs;
use self::list::ListArgs;
use self::load::LoadArgs;
use self::prune::PruneArgs;
use self::pull::PullArgs;
use self::push::PushArgs;
use self::remove::RemoveArgs;
use self::save::SaveArgs;
use self::tag::TagArgs;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::project::Places;

/// What is typed after `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Fetch images from their registries
    Pull(PullArgs),
    /// Send images to their registries
    Push(PushArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// List images
    #[command(alias = "list")]
    Ls(ListArgs),
    /// Print all about images
    Inspect(InspectArgs),
    /// Print how an image was made
    History(HistoryArgs),
    /// Write images to an archive
    Save(SaveArgs),
    /// Take in images from an archive
    Load(LoadArgs),
    /// Make an image of an archive of files
    Import(ImportArgs),
    /// Remove names, and images with the last of them
    #[command(alias = "remove")]
    Rm(RemoveArgs),
    /// Remove images that nobody uses
    Prune(PruneArgs),
}

/// Carries out `image`.
pub(crate) async fn run(command: &ImageCommand, invocation: &mut Invocation) -> Result<u8, Failure> {
    invocation.refuse_dry_run("image")?;
    match command {
        ImageCommand::Pull(args) => pull::run(args, invocation).await,
        ImageCommand::Push(args) => push::run(args, invocation).await,
        ImageCommand::Tag(args) => tag::run(args, invocation).await,
        ImageCommand::Ls(args) => list::run(args, invocation).await,
        ImageCommand::Inspect(args) => inspect::run(args, invocation).await,
        ImageCommand::History(args) => history::run(args, invocation).await,
        ImageCommand::Save(args) => save::run(args, invocation).await,
        ImageCommand::Load(args) => load::run(args, invocation).await,
        ImageCommand::Import(args) => import::run(args, invocation).await,
        ImageCommand::Rm(args) => remove::run(args, invocation).await,
        ImageCommand::Prune(args) => prune::run(args, invocation).await,
    }
}

/// Returns all images: none where trice was never used, which starts no engine.
pub(super) async fn images(invocation: &Invocation) -> Result<Vec<ImageView>, Failure> {
    let directories = invocation.directories()?;
    match directories::are_used(&directories) {
        true => Ok(Engine::new(directories).call(&ListImages {}).await?),
        false => Ok(Vec::new()),
    }
}

/// Says what went wrong beside what went right. Returns the code to end with.
fn tell(faults: Vec<Fault>) -> Result<u8, Failure> {
    if faults.is_empty() { Ok(0) } else { Err(Places::default().failure(faults)) }
}

/// Returns the first twelve digits of an id.
pub(super) fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

#[cfg(test)]
pub(crate) mod tests {
    use trice_model::time::Timestamp;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    pub(crate) const NOW: Timestamp = Timestamp(1_795_243_785 * SECOND);

    /// Returns an image that was made ten minutes ago.
    pub(crate) fn image(number: u32, tags: &[&str]) -> ImageView {
        ImageView {
            id: format!("sha256:{:0>64}", format!("{number}abc")),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            digests: Vec::new(),
            created: Timestamp(NOW.0 - 600 * SECOND),
            bytes: 2_065_228,
            shared: 2_065_225,
            platform: "linux/amd64".to_owned(),
            labels: [("tier".to_owned(), "front".to_owned())].into(),
            containers: 1,
        }
    }
}
