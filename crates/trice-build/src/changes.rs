//! Instructions of a Dockerfile that change what an image says, for images that are made by hand.
//!
//! Source: docker-container-commit(1), `--change`.

use std::collections::BTreeMap;

use serde_json::Value;
use trice_dockerfile::document::Document;
use trice_dockerfile::evaluate::{Evaluated, evaluate};
use trice_dockerfile::graph::{Base, BaseRef};
use trice_dockerfile::mistake::Mistakes;
use trice_dockerfile::parse::parse;
use trice_dockerfile::wanted::{PlatformNames, Wanted};

/// The instructions that change nothing but what an image says.
const INSTRUCTIONS: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What the image is called in the Dockerfile that the changes are.
const BASE: &str = "changed";

/// Why the changes cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It does more than that, or is no instruction.
    #[error("`{change}` cannot be a change: there are {}", INSTRUCTIONS.join(", "))]
    Instruction {
        /// The change.
        change: String,
    },
    /// They have mistakes, which are shown.
    #[error("{0}")]
    Mistakes(String),
    /// The configuration is none.
    #[error("read the image's configuration")]
    Config(#[from] serde_json::Error),
}

/// Returns the configuration `config` as it is after `changes`.
///
/// # Errors
/// [`ChangeError`].
pub fn changed(config: &[u8], changes: &[String]) -> Result<Vec<u8>, ChangeError> {
    if changes.is_empty() {
        return Ok(config.to_vec());
    }
    let is_one = |change: &&String| {
        let word = change.split_whitespace().next().unwrap_or_default();
        !INSTRUCTIONS.iter().any(|one| word.eq_ignore_ascii_case(one))
    };
    if let Some(change) = changes.iter().find(is_one) {
        return Err(ChangeError::Instruction { change: change.clone() });
    }
    let mut document = Document::read(config)?;
    // They are for builds that begin with the image, which this is not.
    let mut triggers = document.config.on_build.take().unwrap_or_default();
    let wanted = Wanted {
        platform: PlatformNames {
            os: document.os.clone(),
            architecture: document.architecture.clone(),
            variant: document.variant.clone().unwrap_or_default(),
        },
        ..Wanted::default()
    };
    let text = format!("FROM {BASE}\n{}\n", changes.join("\n"));
    let wrong = |mistakes: Mistakes| ChangeError::Mistakes(mistakes.shown("--change", &text));
    let base = BaseRef::Image { reference: BASE.to_owned(), platform: wanted.platform.to_string() };
    let known = BTreeMap::from([(base, Base::Image(Box::new(document)))]);
    let mut graph = match evaluate(&parse(&text).map_err(wrong)?, &wanted, &known).map_err(wrong)? {
        Evaluated::Graph(graph) => graph,
        // With a base that is known there is nothing else to look for.
        Evaluated::Unknown(_) => {
            return Err(ChangeError::Mistakes("the image is based on others".to_owned()));
        }
    };
    let mut settings = graph.images.remove(0).document.config;
    triggers.extend(settings.on_build.take().unwrap_or_default());
    settings.on_build = (!triggers.is_empty()).then_some(triggers);
    let mut whole: Value = serde_json::from_slice(config)?;
    whole["config"] = serde_json::to_value(settings)?;
    Ok(serde_json::to_vec(&whole)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","comment":"kept","config":{"Env":["A=1"],
        "Cmd":["old"],"OnBuild":["RUN never"]},"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}"#;

    fn change(changes: &[&str]) -> Result<Value, String> {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        let changed = changed(CONFIG.as_bytes(), &changes).map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&changed).unwrap())
    }

    #[test]
    fn instructions_change_what_an_image_says_and_nothing_else() {
        let changes = ["ENV B=$A C=3", "cmd [\"new\"]", "WORKDIR /srv", "EXPOSE 80", "ONBUILD RUN later"];
        let changed = change(&changes).unwrap();
        // With what builds add of themselves.
        insta::assert_snapshot!(changed["config"], @r#"{"ArgsEscaped":true,"Cmd":["new"],"Env":["A=1","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","B=1","C=3"],"ExposedPorts":{"80/tcp":{}},"OnBuild":["RUN never","RUN later"],"WorkingDir":"/srv"}"#);
        assert_eq!(changed["comment"], "kept");
        assert_eq!(changed["rootfs"]["diff_ids"][0], "sha256:00");
    }

    #[test]
    fn what_does_more_is_refused_and_mistakes_are_shown() {
        assert!(change(&["RUN rm -rf /"]).unwrap_err().starts_with("`RUN rm -rf /` cannot be a change"));
        assert!(change(&["FROM x"]).is_err());
        assert!(change(&["ENV\nRUN x"]).is_err());
        let shown = change(&["USER a", "EXPOSE http"]).unwrap_err();
        assert!(shown.contains("--change:3: ") && shown.contains("EXPOSE http"), "{shown}");
    }
}
