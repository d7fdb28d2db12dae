//! A failing and a passing text for each rule.

use super::super::fixture::{apply, find, mends};
use super::branch;
use super::tree::relative;
use crate::finding::Finding;

/// Files beside the proposal that is looked at.
const OTHERS: [(&str, &str); 8] = [
    ("deps/0002-warm-start.md", "# Warm start\n\n# Summary\n\n<a id=\"Old-Name\"></a>\n\n## A <b>bold</b> step\n\n## A bold step\n"),
    ("deps/0003-b/plan.png", ""),
    ("deps/0001-a/small.png", ""),
    ("deps/0001-images/Big one.png", ""),
    ("docs/pictures/logo.svg", ""),
    ("docs/guide.md", "# Guide\n"),
    ("NNNN-limited-template.md", "# <Title>\n\n# Summary\n"),
    ("README.md", "# Proposals\n"),
];

fn with(text: &str) -> Vec<(&str, &str)> {
    std::iter::once(("deps/0001-a.md", text)).chain(OTHERS).collect()
}

/// Place, message and help of what a rule finds in a text.
fn told(id: &str, text: &str) -> Vec<(String, String, String)> {
    let found = find(id, &with(text)).into_iter().filter(|finding| finding.path == "deps/0001-a.md");
    found.map(|finding| (finding.span.of(text).to_owned(), finding.message, finding.help.unwrap_or_default())).collect()
}

fn places(id: &str, text: &str) -> Vec<String> {
    told(id, text).into_iter().map(|(place, ..)| place).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn links_lead_to_files() {
    let good = "# A\n\n**Replaces**: [w](0002-warm-start.md)\n\n[a](./0002-warm-start.md#summary), [b](../docs), [c](../docs/guide.md?x=1), \
                [d](#a), [e](https://x.org/none.md), [f](../), `[g](none.md)`, ![h](0001-images/Big%20one.png) [i](<0001-images/Big one.png>)\n";
    for id in ["L001", "L003", "L009"] {
        assert_eq!(places(id, good), NONE, "{id}");
    }
    let text = "# A\n\n**Replaces**: [w](0009-warm-start.md)\n\n- [a](0002_warm_start.md#x)\n- [b](../../x.md)\n- [c](none/)\n- [d](0002-warm-strat.md)\n- [e](deps/guide.md)\n";
    let row = |place: &str, message: &str, help: &str| (place.to_owned(), message.to_owned(), help.to_owned());
    assert_eq!(
        told("L001", text),
        [
            row("0009-warm-start.md", "there is no \"deps/0009-warm-start.md\" in the repository", "write 0002-warm-start.md"),
            row("0002_warm_start.md#x", "there is no \"deps/0002_warm_start.md\" in the repository", "write 0002-warm-start.md#x"),
            row("../../x.md", "\"../../x.md\" leads out of the repository", ""),
            row("none/", "there is no \"deps/none\" in the repository", ""),
            row("0002-warm-strat.md", "there is no \"deps/0002-warm-strat.md\" in the repository", "write 0002-warm-start.md"),
            row("deps/guide.md", "there is no \"deps/deps/guide.md\" in the repository", "write ../docs/guide.md"),
        ]
    );
    let contexts: Vec<String> = find("L001", &with(text)).into_iter().take(2).map(|finding| finding.context).collect();
    assert_eq!(contexts, ["Replaces: 0009-warm-start.md", "metadata: 0002_warm_start.md#x"]);
}

#[test]
fn what_is_defined_is_told_once() {
    let text = "# A\n\n# Summary\n\n[One][t], [two][t] and [t].\n\n[t]: [../NNNN_limited_template.md]\n[unused]: none.md\n";
    let found = find("L001", &with(text));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].span.of(text), "[../NNNN_limited_template.md]");
    assert_eq!(found[0].related.iter().map(|r| r.span.of(text)).collect::<Vec<_>>(), ["[One][t]", "[two][t]", "[t]"]);
    assert_eq!(found[0].help.as_deref(), Some("write ../NNNN-limited-template.md"));
}

#[test]
fn headings_are_found() {
    let good = "# A\n\n# More: *of* `it`\n\n[a](#more-of-it) [b](0002-warm-start.md#a-bold-step) [c](0002-warm-start.md#a-bold-step-1) \
                [d](0002-warm-start.md#Old-Name) [e](#top) [f](#) [g](../docs/guide.md?plain=1#L3) [h](0001-a/small.png#x) [i](none.md#x) \
                [j](#user-content-a) [k](#here) <span id='here'>x</span>\n";
    assert_eq!(places("L002", good), NONE);
    let text = "# A\n\n# More of it\n\n[a](#More-of-it) [b](0002-warm-start.md#old-name) [c](#x) `<a id=\"x\">` <!-- <a id=\"x\"> -->\n";
    let row = |place: &str, message: &str, help: &str| (place.to_owned(), message.to_owned(), help.to_owned());
    assert_eq!(
        told("L002", text),
        [
            row("#More-of-it", "no heading here has the anchor \"More-of-it\"", "write #more-of-it"),
            row("0002-warm-start.md#old-name", "no heading of \"0002-warm-start.md\" has the anchor \"old-name\"", ""),
            row("#x", "no heading here has the anchor \"x\"", ""),
        ]
    );
}

#[test]
fn images_and_attachments_are_there() {
    let text = "# A\n\n![a](none.png) ![b](0001-a/small.png) [c](0001-a/none.txt) <img src=\"x.png\" alt=\"\"> ![](0001-a/small.png)\n\n![ ][r]\n\n[r]: none.svg\n";
    assert_eq!(places("L003", text), ["none.png", "0001-a/none.txt", "x.png", "none.svg"]);
    assert_eq!(places("L001", text), NONE);
    assert_eq!(places("L004", text), ["<img src=\"x.png\" alt=\"\">", "![](0001-a/small.png)", "![ ][r]"]);
    assert_eq!(places("L004", "# A\n\n![x](y) <img alt='x' src=z>\n"), NONE);
}

#[test]
fn addresses_are_there() {
    let text = "# A\n\n**Pull Request**: [x]()\n\n[a](<!-- later -->) ![b]() [c](<>) [d](x)\n";
    assert_eq!(places("L005", text), ["[x]()", "!-- later --", "![b]()", "[c](<>)"]);
    assert_eq!(places("L001", text), ["x"]);
    assert_eq!(find("L005", &with(text))[0].context, "Pull Request: x ");
}

#[test]
fn links_are_relative() {
    let text = "# A\n\n[a](/deps/0002-warm-start.md#x) ![b](/docs/pictures/logo.svg) <img src=\"/deps/0001-images/Big%20one.png\"> [d][r] [e](</docs/>)\n\n[r]: /README.md\n";
    let wanted = "# A\n\n[a](0002-warm-start.md#x) ![b](../docs/pictures/logo.svg) <img src=\"0001-images/Big%20one.png\"> [d][r] [e](<../docs>)\n\n[r]: ../README.md\n";
    mends("L006", &with(text), wanted);
    assert_eq!(places("L006", wanted), NONE);
    assert_eq!(places("L006", "# A\n\n[a](//x.org) [b](https://x.org/y)\n"), NONE);
    // What is not there is told twice, and not mended.
    let gone = "# A\n\n[a](/proposals/deps/0002-warm-start.md)\n";
    let found = find("L006", &with(gone));
    assert!(found.len() == 1 && found[0].fix.is_empty());
    assert_eq!(told("L001", gone)[0].2, "write 0002-warm-start.md");
}

#[test]
fn case_counts() {
    let text =
        "# A\n\n[a](./0002-Warm-start.md#Summary) ![b](0001-images/big%20one.png) [c](/Docs/guide.md) [d][r]\n\n[r]: <../readme.md>\n";
    let wanted =
        "# A\n\n[a](./0002-warm-start.md#Summary) ![b](0001-images/Big%20one.png) [c](/docs/guide.md) [d][r]\n\n[r]: <../README.md>\n";
    mends("L009", &with(text), wanted);
    assert_eq!((places("L001", text), places("L003", text)), (vec![], vec![]));
    // An address with escapes is told, and nobody guesses at its bytes.
    let found = find("L009", &with("# A\n\n[a](0002\\-Warm-start.md)\n"));
    assert!(found.len() == 1 && found[0].fix.is_empty());
}

#[test]
fn attachments_lie_beside_their_proposal() {
    let text = "# A\n\n![a](0001-a/small.png) ![b](0001-images/Big%20one.png) ![c](../docs/pictures/logo.svg)\n";
    let found = find("L007", &with(text));
    assert_eq!((found.len(), found[0].span.of(text)), (1, "0001-images/Big%20one.png"));
    assert_eq!(places("L007", "# A\n\n![c](../docs/pictures/logo.svg)\n").len(), 1);
    assert_eq!(places("L007", "# A\n\n![a](0001-a/small.png) [b](../docs/guide.md) [c](0002-warm-start.md) ![d](none.png)\n"), NONE);
    let nested = [("deps/0001-a/0001-a.md", "# A\n\n![x](x.png)\n"), ("deps/0001-a/x.png", "")];
    assert_eq!(find("L007", &nested), []);
}

#[test]
fn attachments_are_shown() {
    let found = |files: &[(&str, &str)]| find("L008", files).into_iter().map(|finding| finding.path).collect::<Vec<_>>();
    let orphans = |text: &str| found(&with(text));
    assert_eq!(orphans("# A\n\n[x](#a)\n"), ["deps/0001-a/small.png", "deps/0001-images/Big one.png"]);
    assert_eq!(orphans("# A\n\n[all](0001-images/) ![a](0001-A/small.png)\n"), NONE);
    assert_eq!(orphans("# A\n\n<video src='0001-a/small.png'> [x](<0001-images/Big one.png>)\n"), NONE);
    let nested = [
        ("deps/0001-a/0001-a.md", "# A\n\n[x](#a)\n"),
        ("deps/0001-a/x.png", ""),
        ("deps/0001-a/README.md", ""),
        ("deps/0001-a/.keep", ""),
    ];
    assert_eq!(found(&nested), ["deps/0001-a/x.png"]);
}

#[test]
fn links_into_code_name_a_commit() {
    for (url, wanted) in [
        ("https://github.com/o/r/blob/main/a.rs#L3", Some("main")),
        ("https://gitlab.com/o/g/r/-/tree/master", Some("master")),
        ("https://github.com/o/r/blob/4d2f/main/a.rs", None),
        ("https://github.com/o/r/blob/mainline/a.rs", None),
        ("https://github.com/blob/main", None),
        ("mailto:tree/main", None),
    ] {
        assert_eq!(branch(url), wanted, "{url}");
    }
    let text = "# A\n\n[a](https://github.com/o/r/blob/main/a) https://github.com/o/r/tree/master [b][c] [d][c]\n\n[c]: https://github.com/o/r/blob/master/b\n";
    let all = places("L010", text);
    assert_eq!(all, ["https://github.com/o/r/blob/main/a", "https://github.com/o/r/tree/master", "https://github.com/o/r/blob/master/b"]);
    assert_eq!(places("L010", "# A\n\nhttps://github.com/o/r/blob/4d2f/a\n"), NONE);
}

#[test]
fn links_say_where_they_lead() {
    let text = "# A\n\n**Replaces**: [DEP-0007 Warm](0002-warm-start.md)\n\n[DEP 0003][w] and [**DEP0004**: x](./0002-warm-start.md#summary)\n\n[w]: 0002-warm-start.md\n";
    let wanted = "# A\n\n**Replaces**: [DEP-0002 Warm](0002-warm-start.md)\n\n[DEP 0002][w] and [**DEP0002**: x](./0002-warm-start.md#summary)\n\n[w]: 0002-warm-start.md\n";
    mends("L012", &with(text), wanted);
    assert_eq!(
        places(
            "L012",
            "# A\n\n[DEP-0002](0002-warm-start.md) [DEP-0001, DEP-0002](0002-warm-start.md) [DEP-0009](../docs/guide.md) [DEP-0009](https://x.org) [DEP-0009](0009-x.md)\n"
        ),
        NONE
    );
    // A text that finds a definition stays.
    let found = find("L012", &with("# A\n\n[DEP-0007] [DEP-0007][]\n\n[DEP-0007]: 0002-warm-start.md\n"));
    assert!(found.len() == 2 && found.iter().all(|finding| finding.fix.is_empty() && finding.help.is_some()));
}

#[test]
fn paths_are_made_relative() {
    for (from, to, wanted) in [
        ("deps/0001-a.md", "deps/b.md", "b.md"),
        ("deps/0001-a.md", "README.md", "../README.md"),
        ("deps/x/0001-a.md", "deps/y/b (1).md", "../y/b%20%281%29.md"),
        ("0001-a.md", "", "./"),
        ("deps/0001-a.md", "", ".."),
        ("deps/0001-a.md", "deps/ab:c.md", "./ab:c.md"),
    ] {
        assert_eq!(relative(from, to), wanted);
    }
}

const RULES: [&str; 11] = ["L001", "L002", "L003", "L004", "L005", "L006", "L007", "L008", "L009", "L010", "L012"];

proptest::proptest! {
    #[test]
    fn any_document_is_read(text in "(# A\n\n|\\[|\\]|\\(|\\)|!|<|>|\\]\\(|\\[x\\]: |\\[x\\]|/|\\.\\./|\\./|#|\\?|deps|DEPS/|0002-warm-start\\.md|0002-Warm-Start\\.md|DEP-0003 |docs/|guide\\.md|%20|\\\\|é|<img src=|alt=|\"|'|-->|<!--|`|\n|\r\n|https://x\\.org/o/r/blob/main| |\\*\\*|:|\\|){0,40}") {
        let found: Vec<Finding> = RULES.iter().flat_map(|id| find(id, &with(&text))).collect();
        for finding in found.iter().filter(|finding| finding.path == "deps/0001-a.md") {
            proptest::prop_assert!(text.get(finding.span.range()).is_some(), "{:?}", finding);
        }
        for id in ["L006", "L009", "L012"] {
            let found: Vec<Finding> = find(id, &with(&text)).into_iter().filter(|finding| finding.path == "deps/0001-a.md").collect();
            let mended = apply(&text, &found);
            let again: Vec<Finding> = find(id, &with(&mended)).into_iter().filter(|finding| !finding.fix.is_empty()).collect();
            proptest::prop_assert!(again.is_empty(), "{:?} became {:?}: {:?}", text, mended, again);
        }
    }
}
