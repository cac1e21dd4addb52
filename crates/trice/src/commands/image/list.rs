//! `image ls`: images, a line for each of their names.
//!
//! Source: docker/cli `cli/command/image/list.go`, `cli/command/formatter/image.go`.

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use trice_api::image::ImageView;
use trice_model::image::RegistryRef;
use trice_model::time::Timestamp;

use crate::clock;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::listing::{self, Filter, Format, NARROW};
use crate::moment::Moment;
use crate::output;
use crate::table::Table;
use crate::words;

/// What is not there.
pub(super) const NONE: &str = "<none>";

/// The fields of a row.
const FIELDS: [&str; 12] = [
    "Containers",
    "CreatedAt",
    "CreatedSince",
    "Digest",
    "ID",
    "Platform",
    "Repository",
    "SharedSize",
    "Size",
    "Tag",
    "UniqueSize",
    "VirtualSize",
];

/// The filters.
const FILTERS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];

/// What is typed after `image ls`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only images of this repository, or of this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Only their ids
    #[arg(short, long)]
    quiet: bool,
    /// With their digests
    #[arg(long)]
    digests: bool,
    /// With this property: `dangling=true`, `label=KEY[=VALUE]`, `reference=PATTERN`, `before=IMAGE`, `since=IMAGE`,
    /// `until=TIME`
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// `table`, `json`, or a template
    #[arg(long, default_value = "table")]
    format: Format,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    // There are no images between others here.
    #[arg(short, long, hide = true)]
    all: bool,
}

/// Carries out `image ls`.
pub(crate) async fn run(args: &ListArgs, invocation: &Invocation) -> Result<u8, Failure> {
    args.check()?;
    let images = super::images(invocation).await?;
    output::print(&render(args, &images, clock::now())?)?;
    Ok(0)
}

impl ListArgs {
    fn check(&self) -> Result<(), Failure> {
        match self.filter.iter().find(|filter| !FILTERS.contains(&filter.key.as_str())) {
            Some(filter) => Err(Failure::usage(format!(
                "there is no filter `{}`: there are {}",
                filter.key,
                FILTERS.map(|name| format!("`{name}`")).join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// Tells whether a row is asked for.
    fn shows(
        &self,
        image: &ImageView,
        row: &Name,
        all: &[ImageView],
        now: Timestamp,
    ) -> Result<bool, Failure> {
        if self.name.as_ref().is_some_and(|pattern| !row.is_meant(pattern)) {
            return Ok(false);
        }
        let references: Vec<&str> = self.values("reference").collect();
        if !references.is_empty() && !references.iter().any(|pattern| row.matches(pattern)) {
            return Ok(false);
        }
        for value in self.values("dangling") {
            if (value == "true" || value == "1") != image.tags.is_empty() {
                return Ok(false);
            }
        }
        if !self.values("label").all(|label| has_label(image, label)) {
            return Ok(false);
        }
        for (key, earlier) in [("before", true), ("since", false)] {
            for value in self.values(key) {
                let other = named(all, value)?;
                let is_so =
                    if earlier { image.created < other.created } else { image.created > other.created };
                if !is_so {
                    return Ok(false);
                }
            }
        }
        for value in self.values("until") {
            let until = value
                .parse::<Moment>()
                .map(|moment| moment.on(now))
                .map_err(|error| Failure::usage(error.to_string()))?;
            if image.created >= until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.filter.iter().filter(move |filter| filter.key == key).map(|filter| filter.value.as_str())
    }
}

/// Tells whether an image has a label, `KEY` or `KEY=VALUE`.
fn has_label(image: &ImageView, label: &str) -> bool {
    match label.split_once('=') {
        Some((key, value)) => image.labels.get(key).is_some_and(|own| own == value),
        None => image.labels.contains_key(label),
    }
}

/// Finds the image that a filter names.
fn named<'a>(all: &'a [ImageView], text: &str) -> Result<&'a ImageView, Failure> {
    let whole = text.parse::<RegistryRef>().map(|name| name.to_string()).unwrap_or_default();
    let is_it = |image: &&ImageView| {
        image.tags.contains(&whole) || image.id == text || super::short(&image.id).starts_with(text)
    };
    all.iter().find(is_it).ok_or_else(|| Failure::usage(format!("there is no image `{text}` to filter by")))
}

/// A name of an image, as a row shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: String,
}

impl Name {
    /// Returns the names of an image; one without any has one that says so.
    pub(super) fn all(image: &ImageView) -> Vec<Self> {
        let split = |name: &str| {
            let name = name.parse::<RegistryRef>().ok()?;
            let repository = name.familiar_repository();
            Some((repository, name.tag.unwrap_or_default(), name.digest.unwrap_or_default()))
        };
        let digests: Vec<_> = image.digests.iter().filter_map(|name| split(name)).collect();
        let digest_of = |repository: &str| {
            let own = digests.iter().find(|(own, ..)| own == repository);
            own.map_or_else(|| NONE.to_owned(), |(_, _, digest)| digest.clone())
        };
        let tags = image.tags.iter().filter_map(|name| split(name));
        let mut names: Vec<_> = tags
            .map(|(repository, tag, _)| Self { digest: digest_of(&repository), repository, tag })
            .collect();
        if names.is_empty() {
            let tag = NONE.to_owned();
            names.extend(digests.into_iter().map(|(repository, _, digest)| Self {
                repository,
                tag: tag.clone(),
                digest,
            }));
        }
        if names.is_empty() {
            names.push(Self { repository: NONE.to_owned(), tag: NONE.to_owned(), digest: NONE.to_owned() });
        }
        names.sort();
        names
    }

    /// Tells whether somebody who types `pattern` means it: a repository, or a repository with a tag.
    fn is_meant(&self, pattern: &str) -> bool {
        let Ok(name) = pattern.parse::<RegistryRef>() else { return self.matches(pattern) };
        let names_tag = pattern.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/'));
        let same = name.familiar_repository() == self.repository;
        same && (!names_tag || name.tag.as_deref() == Some(&*self.tag))
    }

    /// Tells whether a pattern with `*` and `?` means it, as a whole or without its tag.
    fn matches(&self, pattern: &str) -> bool {
        let whole = format!("{}:{}", self.repository, self.tag);
        glob(pattern.as_bytes(), self.repository.as_bytes()) || glob(pattern.as_bytes(), whole.as_bytes())
    }
}

/// Tells whether `text` is what `pattern` means: `*` and `?` stand for what is within a part of a path.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text)
                || text.split_first().is_some_and(|(first, left)| *first != b'/' && glob(pattern, left))
        }
        (Some((wanted, rest)), Some((first, left))) => {
            (wanted == first || *wanted == b'?' && *first != b'/') && glob(rest, left)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn render(args: &ListArgs, images: &[ImageView], now: Timestamp) -> Result<String, Failure> {
    let mut rows = Vec::new();
    for image in images {
        for name in Name::all(image) {
            if args.shows(image, &name, images, now)? {
                rows.push(Row::of(image, name, now, !args.no_trunc));
            }
        }
    }
    if args.quiet {
        return Ok(rows.iter().map(|row| format!("{}\n", row.id)).collect());
    }
    // Texts always have a JSON form.
    let values =
        || rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect::<Vec<Value>>();
    match &args.format {
        Format::Json => Ok(values().iter().map(|row| format!("{row}\n")).collect()),
        Format::Text(template) => listing::text(template, &values()),
        Format::TableOf(template) => listing::table(template, &values(), &FIELDS, header),
        Format::Table => Ok(table(&rows, args.digests)),
    }
}

fn table(rows: &[Row], digests: bool) -> String {
    let digest = digests.then_some("DIGEST");
    let header = ["REPOSITORY", "TAG"].into_iter().chain(digest).chain(["IMAGE ID", "CREATED", "SIZE"]);
    let mut table = Table::new(NARROW, header);
    for row in rows {
        let digest = digests.then(|| row.digest.clone());
        let names = [row.repository.clone(), row.tag.clone()].into_iter();
        table.row(names.chain(digest).chain([row.id.clone(), row.created_since.clone(), row.size.clone()]));
    }
    table.to_string()
}

/// An image by one of its names, as scripts know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Row {
    containers: String,
    created_at: String,
    pub(crate) created_since: String,
    digest: String,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    platform: String,
    pub(crate) repository: String,
    pub(crate) shared_size: String,
    pub(crate) size: String,
    pub(crate) tag: String,
    pub(crate) unique_size: String,
    virtual_size: String,
}

impl Row {
    /// Returns an image by the first of its names.
    pub(in crate::commands) fn first(image: &ImageView, now: Timestamp, shortens: bool) -> Self {
        // There is always one, if only one that says that there is none.
        let name = Name::all(image).swap_remove(0);
        Self::of(image, name, now, shortens)
    }

    fn of(image: &ImageView, name: Name, now: Timestamp, shortens: bool) -> Self {
        Self {
            containers: image.containers.to_string(),
            created_at: words::moment(image.created),
            created_since: words::ago(image.created, now),
            digest: name.digest,
            id: if shortens { super::short(&image.id).to_owned() } else { image.id.clone() },
            platform: image.platform.clone(),
            repository: name.repository,
            shared_size: words::size_with(image.shared, 4),
            size: words::size(image.bytes),
            tag: name.tag,
            unique_size: words::size_with(image.bytes.saturating_sub(image.shared), 4),
            virtual_size: words::size_with(image.bytes, 4),
        }
    }
}

/// Returns the head of a field's column.
fn header(field: &str) -> String {
    match field {
        "ID" => "IMAGE ID".to_owned(),
        "CreatedSince" => "CREATED".to_owned(),
        "CreatedAt" => "CREATED AT".to_owned(),
        "SharedSize" => "SHARED SIZE".to_owned(),
        "UniqueSize" => "UNIQUE SIZE".to_owned(),
        other => other.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ImageCommand;
    use super::super::tests::{NOW, image};
    use super::*;
    use crate::arguments::{Command, parse};

    fn ls(line: &str) -> String {
        let typed = ["trice", "image", "ls"].into_iter().chain(line.split_whitespace());
        let Some(Command::Image(ImageCommand::Ls(args))) = parse(typed).unwrap().command else {
            panic!("not image ls")
        };
        let mut pulled = image(2, &["quay.io/org/db:16"]);
        pulled.digests = vec![format!("quay.io/org/db@sha256:{}", "1".repeat(64))];
        pulled.created = Timestamp(pulled.created.0 - 1);
        pulled.labels.clear();
        let images = [image(1, &["app:1", "app:2"]), pulled, image(3, &[])];
        args.check().and_then(|()| render(&args, &images, NOW)).unwrap_or_else(|failure| failure.to_string())
    }

    #[test]
    fn each_name_has_a_line_and_so_has_an_image_without_one() {
        insta::assert_snapshot!(ls(""), @"
        REPOSITORY       TAG       IMAGE ID       CREATED          SIZE
        app              1         000000000000   10 minutes ago   2.07MB
        app              2         000000000000   10 minutes ago   2.07MB
        quay.io/org/db   16        000000000000   10 minutes ago   2.07MB
        <none>           <none>    000000000000   10 minutes ago   2.07MB
        ");
    }

    #[test]
    fn the_json_is_one_object_a_line_with_dockers_keys() {
        insta::assert_snapshot!(ls("app:1 --format json"), @r#"{"Containers":"1","CreatedAt":"2026-11-21 06:39:45 +0000 UTC","CreatedSince":"10 minutes ago","Digest":"<none>","ID":"000000000000","Platform":"linux/amd64","Repository":"app","SharedSize":"2.065MB","Size":"2.07MB","Tag":"1","UniqueSize":"3B","VirtualSize":"2.065MB"}"#);
    }

    #[test]
    fn images_are_chosen_by_name_pattern_label_and_age() {
        let names =
            |line: &str| ls(&format!("{line} --format {{{{.Repository}}}}:{{{{.Tag}}}}")).replace('\n', " ");
        assert_eq!(names("app"), "app:1 app:2 ");
        assert_eq!(names("app:2"), "app:2 ");
        assert_eq!(names("nobody"), "");
        assert_eq!(names("--filter reference=quay.io/*/db"), "quay.io/org/db:16 ");
        assert_eq!(names("--filter reference=*/db"), "");
        assert_eq!(names("--filter reference=a?p:2"), "app:2 ");
        assert_eq!(names("--filter dangling=true"), "<none>:<none> ");
        assert_eq!(names("--filter label=tier=front --filter dangling=false"), "app:1 app:2 ");
        assert_eq!(names("--filter before=app:1"), "quay.io/org/db:16 ");
        assert!(names("--filter before=nobody").contains("there is no image `nobody`"));
        assert!(names("--filter colour=red").contains("there is no filter `colour`"));
    }

    #[test]
    fn digests_are_shown_when_asked_for() {
        let shown = ls("--digests quay.io/org/db");
        assert!(shown.contains(&format!("16        sha256:{}   000000000000", "1".repeat(64))), "{shown}");
    }
}
