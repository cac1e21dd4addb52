//! What holds of any text: it is a Dockerfile, or it is told what is wrong with it and where.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_oneof, proptest};

use crate::evaluate::evaluate;
use crate::parse::parse;
use crate::pattern::Patterns;
use crate::wanted::Wanted;

/// Texts that are more often something than any text is.
fn dockerfile() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "FROM",
            "RUN",
            "COPY",
            "ADD",
            "ENV",
            "ARG",
            "LABEL",
            "ONBUILD",
            "HEALTHCHECK",
            "CMD",
            "scratch",
            "a",
            "AS",
            "b",
            "--from=",
            "--mount=type=",
            "cache",
            ",target=/x",
            "--chmod=",
            "<<E",
            "<<-'E'",
            "E",
            "\n",
            "\n",
            "\n",
            " ",
            " ",
            "\\\n",
            "\"",
            "'",
            "=",
            "$x",
            "${x",
            ":-",
            "}",
            "${x#",
            "[\"",
            "\"]",
            "#",
            "# escape=`\n",
            "`",
            "/",
            "..",
            "**",
            "[^",
            "]",
            "--",
            "80",
            "-",
            ":",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_dockerfile_or_a_list_of_mistakes_in_it(text in dockerfile()) {
        let source = format!("FROM scratch\n{text}");
        let lines = source.lines().count() as u32;
        let mistakes = match parse(&source) {
            Ok(dockerfile) => evaluate(&dockerfile, &Wanted::default(), &BTreeMap::new()).err(),
            Err(mistakes) => Some(mistakes),
        };
        for mistake in mistakes.iter().flat_map(|mistakes| &mistakes.0) {
            assert!((1..=lines).contains(&mistake.lines.first), "{mistake:?}");
        }
        let _ = mistakes.map(|mistakes| mistakes.shown("Dockerfile", &source));
    }

    #[test]
    fn any_text_is_a_list_of_patterns_or_none(text in dockerfile(), path in "[a-c./*]{0,12}") {
        if let Ok(patterns) = Patterns::of_file(&text) {
            let _ = (patterns.is_match(&path), patterns.may_except_below(&path));
        }
    }
}
