//! Fetches an image into a data folder and saves it, for other programs to read.
//!
//! ```text
//! cargo run -p trice-image --example save DATA docker-archive:FILE NAME:TAG docker|oci OUTPUT
//! ```

use std::env;
use std::error::Error;
use std::fs::File;
use std::path::PathBuf;

use trice_image::images::Images;
use trice_image::images::save::{ArchiveFormat, SavedImage};
use trice_image::platform::Platform;
use trice_image::registry::Registries;
use trice_model::image::ImageRef;
use trice_model::registry::{Keyring, RegistrySettings};
use trice_state::store::Store;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [data, reference, name, format, output] = &args[..] else {
        return Err("write a data folder, a reference, a name, `docker` or `oci`, and a file".into());
    };
    let format = match format.as_str() {
        "docker" => ArchiveFormat::Docker,
        "oci" => ArchiveFormat::Oci,
        other => return Err(format!("`{other}` is neither `docker` nor `oci`").into()),
    };
    let data = PathBuf::from(data);
    let images = Images::open(&data, Store::open(&data.join("store"))?)?;
    let reference = reference.parse::<ImageRef>()?.resolved(&env::current_dir()?);
    let registries = Registries::new(RegistrySettings::default(), Keyring::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let platform = Platform::host();
    let fetched = runtime.block_on(images.fetch(&reference, &platform, &registries, &mut |_| {}))?;
    let image = images.find(&fetched.id, None)?.image;
    images.save(
        &[SavedImage { images: vec![image], names: vec![name.parse()?] }],
        format,
        0,
        File::create(output)?,
    )?;
    Ok(())
}
