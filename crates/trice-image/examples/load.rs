//! Loads an image into a data folder, and prints what it is and how long that took.
//!
//! ```text
//! cargo run --release -p trice-image --example load DATA docker-archive:FILE
//! ```

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use trice_image::images::Images;
use trice_image::platform::Platform;
use trice_image::progress::Progress;
use trice_image::registry::Registries;
use trice_model::image::ImageRef;
use trice_model::registry::{Keyring, RegistrySettings};
use trice_state::store::Store;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(data), Some(reference)) = (args.next().map(PathBuf::from), args.next()) else {
        return Err("write a data folder and a reference".into());
    };
    let images = Images::open(&data, Store::open(&data.join("store"))?)?;
    let reference = reference.parse::<ImageRef>()?.resolved(&env::current_dir()?);
    let (mut out, begin) = (io::stdout(), Instant::now());
    let (mut present, mut unpacked) = (0, 0);
    let registries = Registries::new(RegistrySettings::default(), Keyring::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let platform = Platform::host();
    let fetched =
        runtime.block_on(images.fetch(&reference, &platform, &registries, &mut |step| match step {
            Progress::Present { .. } => present += 1,
            Progress::Unpacked { .. } => unpacked += 1,
            Progress::Reading { .. } => {}
        }));
    let fetch_time = begin.elapsed();
    let image = fetched.map_err(|error| chain(&error))?;
    let begin = Instant::now();
    let is_here = images.resolve(&reference, &platform)?.is_some();
    writeln!(out, "id {}\nlayers {}, {unpacked} unpacked", image.id, image.layers.len())?;
    writeln!(out, "{present} present; fetch {fetch_time:?}, resolve {:?}, here {is_here}", begin.elapsed())?;
    for layer in image.layers {
        writeln!(out, "{}", layer.display())?;
    }
    Ok(())
}

/// Writes an error and its causes in a line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
