//! `image inspect`: all about images, in the form that scripts for Docker read.

use clap::Args;
use trice_api::image::InspectImages;

use super::tell;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Format};
use crate::output;

/// What is typed after `image inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The images, by name or id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// `json`, or a template
    #[arg(short, long, default_value = "json")]
    format: Format,
    /// Those for this platform
    #[arg(long)]
    platform: Option<String>,
}

/// Carries out `image inspect`.
pub(crate) async fn run(args: &InspectArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let call = InspectImages { images: args.images.clone(), platform: args.platform.clone() };
    let inspected = invocation.engine()?.call(&call).await?;
    let text = match &args.format {
        Format::Text(template) => listing::text(template, &inspected.images)?,
        // Values always have a JSON form.
        Format::Json => serde_json::to_string_pretty(&inspected.images).unwrap_or_default() + "\n",
        Format::Table | Format::TableOf(_) => {
            return Err(Failure::usage("`image inspect` prints `json` or a template, not a table"));
        }
    };
    output::print(&text)?;
    tell(inspected.faults)
}
