//! `system df`: how much room everything takes, and how much of it could be had back.
//!
//! Source: docker/cli `cli/command/formatter/disk_usage.go`.

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use trice_api::system::{DiskUsage, DiskUsageView, VolumeUsage};
use trice_api::view::ContainerView;
use trice_model::container::ContainerState;
use trice_model::time::Timestamp;

use crate::clock;
use crate::commands::image;
use crate::directories;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Format, NARROW};
use crate::output;
use crate::table::Table;
use crate::words;

/// The fields of a row.
const FIELDS: [&str; 5] = ["Active", "Reclaimable", "Size", "TotalCount", "Type"];

/// What is typed after `system df`.
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    /// Each image, container and volume
    #[arg(short, long)]
    verbose: bool,
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
}

/// Carries out `system df`.
pub(crate) async fn run(args: &DfArgs, invocation: &Invocation) -> Result<u8, Failure> {
    let directories = invocation.directories()?;
    let usage = match directories::are_used(&directories) {
        true => Engine::new(directories).call(&DiskUsage {}).await?,
        false => DiskUsageView::default(),
    };
    output::print(&render(args, &usage, clock::now())?)?;
    Ok(0)
}

fn render(args: &DfArgs, usage: &DiskUsageView, now: Timestamp) -> Result<String, Failure> {
    if args.verbose {
        return match args.format {
            Format::Table => Ok(all(usage, now)),
            Format::Json => Ok(format!("{}\n", each(usage, now))),
            Format::Text(_) | Format::TableOf(_) => {
                Err(Failure::usage("`system df --verbose` prints a table or `json`"))
            }
        };
    }
    let rows = rows(usage);
    // Texts always have a JSON form.
    let values =
        || rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect::<Vec<Value>>();
    match &args.format {
        Format::Json => Ok(values().iter().map(|row| format!("{row}\n")).collect()),
        Format::Text(template) => listing::text(template, &values()),
        Format::TableOf(template) => listing::table(template, &values(), &FIELDS, header),
        Format::Table => {
            let mut table = Table::new(NARROW, ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
            rows.into_iter().for_each(|row| {
                table.row([row.kind, row.total_count, row.active, row.size, row.reclaimable])
            });
            Ok(table.to_string())
        }
    }
}

/// Returns the head of a field's column.
fn header(field: &str) -> String {
    if field == "TotalCount" { "TOTAL".to_owned() } else { field.to_uppercase() }
}

/// All things of a kind, as scripts know them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    active: String,
    reclaimable: String,
    size: String,
    total_count: String,
    #[serde(rename = "Type")]
    kind: String,
}

impl Row {
    fn new(kind: &str, total: usize, active: usize, bytes: u64, reclaimable: u64) -> Self {
        let share = (reclaimable * 100).checked_div(bytes).map(|share| format!(" ({share}%)"));
        Self {
            active: active.to_string(),
            reclaimable: words::size_with(reclaimable, 4) + &share.unwrap_or_default(),
            size: words::size_with(bytes, 4),
            total_count: total.to_string(),
            kind: kind.to_owned(),
        }
    }
}

fn rows(usage: &DiskUsageView) -> Vec<Row> {
    let DiskUsageView { images, containers, volumes, .. } = usage;
    let used = images.iter().filter(|image| image.containers > 0).count();
    let runs = |container: &&(ContainerView, u64)| is_running(&container.0);
    let at_rest = containers.iter().filter(|container| !runs(container)).map(|(_, bytes)| bytes).sum();
    let written = containers.iter().map(|(_, bytes)| bytes).sum();
    let mounted = volumes.iter().filter(|volume| volume.links > 0).count();
    let unmounted = volumes.iter().filter(|volume| volume.links == 0).map(|volume| volume.bytes).sum();
    let kept = volumes.iter().map(|volume| volume.bytes).sum();
    vec![
        Row::new("Images", images.len(), used, usage.image_bytes, usage.image_reclaimable),
        Row::new("Containers", containers.len(), containers.iter().filter(runs).count(), written, at_rest),
        Row::new("Local Volumes", volumes.len(), mounted, kept, unmounted),
        Row::new(
            "Build Cache",
            usage.builds.entries as usize,
            usage.builds.in_use as usize,
            usage.builds.bytes,
            usage.builds.reclaimable,
        ),
    ]
}

fn is_running(container: &ContainerView) -> bool {
    match container.state {
        ContainerState::Running { .. } | ContainerState::Restarting { .. } => true,
        ContainerState::Created | ContainerState::Exited { .. } => false,
    }
}

/// Shows each thing, as tables.
fn all(usage: &DiskUsageView, now: Timestamp) -> String {
    let header =
        ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"];
    let mut images = Table::new(NARROW, header);
    for image in &usage.images {
        let row = image::list::Row::first(image, now, true);
        let containers = image.containers.to_string();
        images.row([
            row.repository,
            row.tag,
            row.id,
            row.created_since,
            row.size,
            row.shared_size,
            row.unique_size,
            containers,
        ]);
    }
    let header = ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"];
    let mut containers = Table::new(NARROW, header);
    for (container, bytes) in &usage.containers {
        containers.row([
            container.id.short().to_owned(),
            container.image.clone(),
            format!("{:?}", words::shortened(&container.command.join(" "), 20)),
            container.local_volumes.to_string(),
            words::size(*bytes),
            words::ago(container.created_at, now),
            words::status(container, now),
            container.name.to_string(),
        ]);
    }
    let mut volumes = Table::new(NARROW, ["VOLUME NAME", "LINKS", "SIZE"]);
    for volume in &usage.volumes {
        volumes.row([volume.name.to_string(), volume.links.to_string(), words::size(volume.bytes)]);
    }
    format!(
        "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\nLocal Volumes space usage:\n\n{volumes}\n\
         Build cache usage: {}\n",
        words::size_with(usage.builds.bytes, 4)
    )
}

/// Shows each thing, for programs.
fn each(usage: &DiskUsageView, now: Timestamp) -> Value {
    // Texts always have a JSON form.
    let images = usage
        .images
        .iter()
        .map(|image| serde_json::to_value(image::list::Row::first(image, now, false)).unwrap_or_default());
    let container = |(container, bytes): &(ContainerView, u64)| {
        json!({
            "ID": container.id, "Image": container.image, "Names": container.name,
            "Command": format!("{:?}", container.command.join(" ")),
            "CreatedAt": words::moment(container.created_at), "LocalVolumes": container.local_volumes.to_string(),
            "Size": words::size(*bytes), "State": trice_api::view::state_word(&container.state),
            "Status": words::status(container, now),
        })
    };
    let volume = |volume: &VolumeUsage| {
        let labels: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        json!({
            "Name": volume.name, "Links": volume.links.to_string(), "Size": words::size(volume.bytes), "Driver": "local",
            "Scope": "local", "Mountpoint": volume.path, "Labels": labels.join(","),
        })
    };
    json!({
        "Images": images.collect::<Vec<_>>(),
        "Containers": usage.containers.iter().map(container).collect::<Vec<_>>(),
        "BuildCache": { "Size": words::size_with(usage.builds.bytes, 4) },
        "Volumes": usage.volumes.iter().map(volume).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use trice_api::system::BuildUsage;
    use trice_model::container::ExitStatus;

    use super::*;
    use crate::arguments::{Command, parse};
    use crate::commands::image::tests::{NOW, image};
    use crate::commands::ps::tests::container;
    use crate::commands::system::SystemCommand;

    fn df(line: &str) -> String {
        let typed = ["trice", "system", "df"].into_iter().chain(line.split_whitespace());
        let Some(Command::System(SystemCommand::Df(args))) = parse(typed).unwrap().command else {
            panic!("not system df")
        };
        let mut unused = image(2, &[]);
        unused.containers = 0;
        let running = ContainerState::Running { health: None, paused: false };
        let exited = ContainerState::Exited { exit: ExitStatus::Code(0) };
        let volume = VolumeUsage {
            name: "shop_data".parse().unwrap(),
            anonymous: false,
            labels: [("a".to_owned(), "b".to_owned())].into(),
            links: 1,
            bytes: 5_000,
            path: "/v/shop_data/_data".into(),
        };
        let usage = DiskUsageView {
            images: vec![image(1, &["app:1"]), unused],
            image_bytes: 3_000_000,
            image_reclaimable: 1_000_000,
            containers: vec![(container("web", 1, running), 100), (container("db", 1, exited), 300)],
            volumes: vec![volume],
            builds: BuildUsage { entries: 7, in_use: 2, bytes: 8_000, reclaimable: 6_000 },
        };
        render(&args, &usage, NOW).unwrap()
    }

    #[test]
    fn each_kind_has_a_row() {
        insta::assert_snapshot!(df(""), @"
        TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
        Images          2         1         3MB       1MB (33%)
        Containers      2         1         400B      300B (75%)
        Local Volumes   1         1         5kB       0B (0%)
        Build Cache     7         2         8kB       6kB (75%)
        ");
        let json = df("--format json");
        insta::assert_snapshot!(json.lines().next().unwrap(), @r#"{"Active":"1","Reclaimable":"1MB (33%)","Size":"3MB","TotalCount":"2","Type":"Images"}"#);
    }

    #[test]
    fn each_thing_has_a_row_when_asked_for() {
        let shown = df("-v");
        assert!(
            shown.contains("app          1         000000000000   10 minutes ago   2.07MB    2.065MB"),
            "{shown}"
        );
        assert!(shown.contains("VOLUME NAME   LINKS     SIZE\nshop_data     1         5kB\n"), "{shown}");
        assert!(shown.ends_with("\n\nBuild cache usage: 8kB\n"), "{shown}");
        let json: Value = serde_json::from_str(&df("-v --format json")).unwrap();
        assert_eq!(json["Volumes"][0]["Mountpoint"], "/v/shop_data/_data");
        assert_eq!(json["Containers"][1]["Size"], "300B");
        assert_eq!(json["Images"][1]["Repository"], "<none>");
    }
}
