//! `images`: the images of a project's containers.
//!
//! Source: docker/compose `cmd/compose/images.go`.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use serde::Serialize;
use trice_api::call::ListContainers;
use trice_api::image::ImageView;
use trice_api::view::ContainerView;
use trice_model::image::RegistryRef;
use trice_model::name::ServiceName;
use trice_model::time::Timestamp;

use crate::clock;
use crate::commands::image;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::table::Table;
use crate::words;

/// The least width of a column.
const WIDE: usize = 20;
/// What is not there.
const NONE: &str = "<none>";

/// What is typed after `images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Of these services; none is all
    services: Vec<ServiceName>,
    /// `table` or `json`
    #[arg(long, value_enum, default_value_t)]
    format: ImagesFormat,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ImagesFormat {
    #[default]
    Table,
    Json,
}

/// Carries out `images`.
pub(crate) async fn run(args: &ImagesArgs, invocation: &mut Invocation) -> Result<u8, Failure> {
    let directories = invocation.directories()?;
    let scope = invocation.scope()?;
    let mut containers = Vec::new();
    if directories::are_used(&directories) {
        let engine = Engine::new(directories);
        containers = engine.call(&ListContainers { of: scope.selection(&args.services) }).await?;
    }
    let images = image::images(invocation).await?;
    output::print(&render(args, &containers, &images, clock::now()))?;
    Ok(0)
}

fn render(args: &ImagesArgs, containers: &[ContainerView], images: &[ImageView], now: Timestamp) -> String {
    let rows: Vec<Row> = containers.iter().map(|container| Row::of(container, images)).collect();
    if args.quiet {
        let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.trim_start_matches("sha256:")).collect();
        return ids.iter().map(|id| format!("{id}\n")).collect();
    }
    match args.format {
        // Texts and numbers always have a JSON form.
        ImagesFormat::Json => serde_json::to_string(&rows).unwrap_or_default() + "\n",
        ImagesFormat::Table => {
            let header = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"];
            let mut table = Table::new(WIDE, header);
            for row in rows {
                let created = row.created.map(|created| words::ago(created, now)).unwrap_or_default();
                let (id, size) = (image::short(&row.id).to_owned(), words::size(row.size));
                table.row([row.container_name, row.repository, row.tag, row.platform, id, size, created]);
            }
            table.to_string()
        }
    }
}

/// The image of a container, as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "ID")]
    id: String,
    container_name: String,
    repository: String,
    tag: String,
    platform: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "moment")]
    created: Option<Timestamp>,
}

fn moment<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.map(Timestamp::rfc3339).unwrap_or_default())
}

impl Row {
    /// An image without a name, or one that is gone, is shown by what the project calls it.
    fn of(container: &ContainerView, images: &[ImageView]) -> Self {
        let image = images.iter().find(|image| image.id == container.image_id);
        let named = image.is_none_or(|image| image.tags.contains(&container.image));
        let other = || image.and_then(|image| image.tags.first()).cloned();
        let name = if named { Some(container.image.clone()) } else { other() };
        let name = name.and_then(|name| name.parse::<RegistryRef>().ok());
        let part = |part: Option<String>| part.unwrap_or_else(|| NONE.to_owned());
        Self {
            id: container.image_id.clone(),
            container_name: container.name.to_string(),
            repository: part(name.as_ref().map(RegistryRef::familiar_repository)),
            tag: part(name.and_then(|name| name.tag)),
            platform: image.map(|image| image.platform.clone()).unwrap_or_default(),
            size: image.map_or(0, |image| image.bytes),
            created: image.map(|image| image.created),
        }
    }
}

#[cfg(test)]
mod tests {
    use trice_model::container::ContainerState;

    use super::*;
    use crate::arguments::{Command, parse};
    use crate::commands::ps::tests::container;

    fn images(line: &str) -> String {
        let typed = ["trice", "images"].into_iter().chain(line.split_whitespace());
        let Some(Command::Images(args)) = parse(typed).unwrap().command else { panic!("not images") };
        let now = Timestamp(1_795_243_785_000_000_000);
        let running = ContainerState::Running { health: None, paused: false };
        let mut web = container("web", 1, running);
        web.image_id = format!("sha256:{}", "7d".repeat(32));
        let mut tool = container("tool", 1, running);
        (tool.image, tool.image_id) = ("rootfs:/".to_owned(), "rootfs".to_owned());
        let image = ImageView {
            id: web.image_id.clone(),
            tags: vec!["redis:7".to_owned()],
            digests: Vec::new(),
            created: Timestamp(now.0 - 60_000_000_000),
            bytes: 2_065_228,
            shared: 0,
            platform: "linux/amd64".to_owned(),
            labels: std::collections::BTreeMap::new(),
            containers: 1,
        };
        render(&args, &[tool, web], &[image], now)
    }

    #[test]
    fn each_container_has_its_image() {
        insta::assert_snapshot!(images(""), @"
        CONTAINER           REPOSITORY          TAG                 PLATFORM            IMAGE ID            SIZE                CREATED
        shop-tool-1         <none>              <none>                                  rootfs              0B
        shop-web-1          redis               7                   linux/amd64         7d7d7d7d7d7d        2.07MB              About a minute ago
        ");
        insta::assert_snapshot!(images("--format json"), @r#"[{"ID":"rootfs","ContainerName":"shop-tool-1","Repository":"<none>","Tag":"<none>","Platform":"","Size":0},{"ID":"sha256:7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d","ContainerName":"shop-web-1","Repository":"redis","Tag":"7","Platform":"linux/amd64","Size":2065228,"Created":"2026-11-21T06:48:45.000000000Z"}]"#);
        assert_eq!(images("-q"), format!("{}\nrootfs\n", "7d".repeat(32)));
    }
}
