//! YAML texts, right and wrong.

use super::*;
use crate::testing::{outline, problems};

/// Parses `text`; returns its trees as an outline, or what is wrong with it.
fn parse(text: &str) -> String {
    let mut report = Report::default();
    let documents = documents(text, FileId(0), &mut report);
    match documents {
        Ok(documents) if report.mistakes.is_empty() => {
            documents.iter().map(outline).collect::<Vec<_>>().join("\n")
        }
        _ => problems(&report.mistakes),
    }
}

#[test]
fn anchors_are_copied_and_merge_keys_fill_what_is_not_written_out() {
    let text = "
x-base: &base { a: 1, b: 2 }
x-more: &more { b: 3, c: 4 }
one: { <<: *base, b: 9 }
two: { <<: [*more, *base] }
list: &list [x, y]
again: *list
";
    insta::assert_snapshot!(parse(text), @r#"{x-base: {a: 1, b: 2}, x-more: {b: 3, c: 4}, one: {b: 9, a: 1}, two: {b: 3, c: 4, a: 1}, list: ["x", "y"], again: ["x", "y"]}"#);
}

#[test]
fn quoted_scalars_are_texts_and_tags_choose_a_type() {
    insta::assert_snapshot!(parse("[1, '1', \"true\", !!str 1, !!float 1, !other 1, ! 1, ! '1', !reset x]"), @r#"[1, "1", "true", "1", 1f, "1", 1, "1", !reset "x"]"#);
}

#[test]
fn documents_are_kept_apart() {
    insta::assert_snapshot!(parse("a: 1\n---\nb: 2\n"), @"
        {a: 1}
        {b: 2}
        ");
    assert_eq!(parse(""), "");
    assert_eq!(parse("# nothing but a comment\n"), "");
}

#[test]
fn every_mistake_of_a_mapping_is_told_with_its_place() {
    let text = "
services:
  web:
    image: a
    image: b
    80: x
    true: y
    ~: z
    [a]: b
    <<: 5
    n: !!int five
";
    insta::assert_snapshot!(parse(text), @"
        5:5 services.web: key `image` is written twice (it is first written here: line 4)
        6:5 services.web: key `80` is an integer, and keys are texts
        7:5 services.web: key `true` is a boolean, and keys are texts
        8:5 services.web: key `null` is nothing, and keys are texts
        9:5 services.web: a key is a list, and keys are texts
        11:8 services.web.n: `five` is not an integer, as its tag says
        10:9 services.web: `<<` takes a mapping or a list of mappings, not an integer
        ");
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    insta::assert_snapshot!(parse("a:\n  - b\n c: [\n"), @"3:2 : this is not YAML: did not find expected key (while parsing a block mapping: line 1)");
    insta::assert_snapshot!(parse("a: *nobody\n"), @"1:4 a: there is no anchor `&nobody` above");
    insta::assert_snapshot!(parse("a: \u{1}\n"), @"1:4 : control character 0x01 is not allowed");
}

#[test]
fn bytes_that_are_no_text_are_refused_at_their_place() {
    let mut report = Report::default();
    assert!(text_of(b"a: 1\nb: \xff\n".to_vec(), FileId(0), &mut report).is_err());
    insta::assert_snapshot!(problems(&report.mistakes), @"2:4 : byte 0xff is not UTF-8");
    assert_eq!(text_of(b"\xef\xbb\xbfa: 1".to_vec(), FileId(0), &mut report).ok().as_deref(), Some("a: 1"));
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    insta::assert_snapshot!(parse(&bomb), @"6:15 : the file has more than 400000 values, those that aliases repeat included");
    insta::assert_snapshot!(parse("a: &a { b: [*a] }\n"), @"1:13 : this alias stands inside of what it repeats");
    insta::assert_snapshot!(parse(&"- ".repeat(10_000)), @"1:201 : lists and mappings are nested more than 100 deep");
    insta::assert_snapshot!(parse(&"[".repeat(10_000)), @"1:101 : lists and mappings are nested more than 100 deep");
    insta::assert_snapshot!(parse(&"- a\n".repeat(MAX_NODES + 1)), @"400000:3 : the file has more than 400000 values, those that aliases repeat included");
}

#[test]
fn what_people_write_is_read_though_yaml_1_2_forbids_it() {
    let rows = [
        ("a: [\n  b,\n]\n", r#"{a: ["b"]}"#),
        ("a:\n  b: [\n  c\n  ]\n", r#"{a: {b: ["c"]}}"#),
        ("a: {\n}\n", "{a: {}}"),
        ("a: [\n\tb]\n", r#"{a: ["b"]}"#),
        ("a:\tb\n", r#"{a: "b"}"#),
        ("a: \"b\nc\"\n", r#"{a: "b c"}"#),
        ("a: [-, b]# c\n", r#"{a: ["-", "b"]}"#),
        ("'<<': { a: 1 }", "{<<: {a: 1}}"),
        ("a: |\n  b", r#"{a: "b"}"#),
        ("a: |+\n  b\n", r#"{a: "b\n"}"#),
    ];
    for (text, tree) in rows {
        assert_eq!(parse(text), tree, "{text}");
    }
}

#[test]
fn texts_that_break_the_parser_down_are_read_or_refused() {
    let rows = [
        ("a: [!b, c]", r#"{a: ["", "c"]}"#),
        ("a: ['!b, c', \"x !d, e\", f !g, !h, i]", r#"{a: ["!b, c", "x !d, e", "f !g", "", "i"]}"#),
        ("a: { b: !c, d: 'é !e,f' } # !g, h", r#"{a: {b: "", d: "é !e,f"}}"#),
        ("a: [!'b', c, \"d\" , e]", r#"{a: ["", "c", "d", "e"]}"#),
        (
            "{ a: !b'c, d: !<e'> , f: !g!h'i , j: k }",
            r#"1:27 f: this is not YAML: found undefined tag handle"#,
        ),
        ("a: ['b'!c, d]", r#"1:8 a[1]: this is not YAML: did not find expected ',' or ']'"#),
        ("a: [\"b\"!c, d]", r#"1:8 a[1]: this is not YAML: did not find expected ',' or ']'"#),
        ("a: [[b]!c, d]", r#"1:8 a[1]: this is not YAML: did not find expected ',' or ']'"#),
        ("a: [{b: c}!c'd, d]", r#"1:11 a[1]: this is not YAML: did not find expected ',' or ']'"#),
        ("a: []\nb: |\n  !c, d\n", r#"{a: [], b: "!c, d\n"}"#),
    ];
    for (text, tree) in rows {
        assert_eq!(parse(text), tree, "{text}");
    }
    assert!(parse("a: \"b\\").contains("found unexpected end of stream"), "{}", parse("a: \"b\\"));
}
