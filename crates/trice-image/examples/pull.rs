//! Pulls an image into a data folder, and prints how long that took and how much memory.
//!
//! ```text
//! cargo run --release -p trice-image --example pull DATA 127.0.0.1:5000/app:1
//! ```

use std::env;
use std::error::Error;
use std::fs;
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
    let reference = reference.parse::<ImageRef>()?;
    let registries = Registries::new(RegistrySettings::default(), Keyring::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut present, mut unpacked) = (0, 0);
    let mut hear = |step| match step {
        Progress::Present { .. } => present += 1,
        Progress::Unpacked { .. } => unpacked += 1,
        Progress::Reading { .. } => {}
    };
    let begin = Instant::now();
    let image = runtime.block_on(images.fetch(&reference, &Platform::host(), &registries, &mut hear))?;
    let time = begin.elapsed();
    let status = fs::read_to_string("/proc/self/status")?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    writeln!(
        io::stdout(),
        "{} in {:.2} s, {unpacked} layers unpacked, {present} present; {memory} of memory at most",
        image.id,
        time.as_secs_f64()
    )?;
    Ok(())
}
