//! A failing and a passing text for each rule.

use super::super::fixture::{alone, apply, find, mends};
use crate::finding::Finding;

/// A proposal with all that it has to have, and what is given in between.
fn whole(motivation: &str, alternatives: &str, more: &str) -> String {
    format!(
        "# Idle engines\n\n**Status**: Approved\n\n# Summary\n\nStop them.\n\n# Motivation\n\nThey cost.\n\n{motivation}\n# Proposal\n\n\
         A timer.\n\n{more}\n# Alternate Solutions\n\n{alternatives}\n"
    )
}

fn messages(id: &str, text: &str) -> Vec<String> {
    alone(id, text).into_iter().map(|(_, message)| message).collect()
}

fn places(id: &str, text: &str) -> Vec<String> {
    alone(id, text).into_iter().map(|(place, _)| place).collect()
}

const RULES: [&str; 15] =
    ["S001", "S002", "S003", "S004", "S005", "S006", "S007", "S008", "S009", "S010", "S011", "S012", "S013", "S014", "S015"];

#[test]
fn nothing_is_wrong_with_a_good_one() {
    let motivation = "## Goals\n\n- Fewer\n\n### Non Goals\n\n- None lost\n\n## Requirements\n\n### REQ 1 In time\n\nIt **MUST** stop.\n\n### REQ 2: Gently\n\nIt **SHOULD NOT** cut.\n";
    let alternatives = "## Alt 1 By hand\n\n**Pros:**\n\n- Simple\n\n**Reason Rejected:**\n\nNobody does.\n\n## Alt 2 Never\n\n### Reason rejected\n\nIt costs.\n";
    let more = "# Implementation Phases\n\n## Phase 0\n\n**Release Target**: v1\n\n**Effort Estimate**: a week\n\n**Work Item(s):** #3\n\n## Phase 1 Later\n\n**Release Target**:\n\n**Effort Estimate**:\n\n**Work Items**: none\n";
    let text = whole(motivation, alternatives, more)
        + "\n# Background\n\n## Terminology & Definitions\n\n| Term | Definition |\n|---|---|\n| **Cold** | x |\n| warm | y |\n\n## Acronyms & Abbreviations\n\n**KV**: Key and value\n\n**LRU**: Least recently used\n";
    for id in RULES {
        assert_eq!(alone(id, &text), [], "{id}");
    }
}

#[test]
fn sections_are_there_and_say_something() {
    let text = "# T\n\n**Status**: Draft\n\n# Summary\n\n# Motivation\n<!-- why -->\n\nTBD\n\n## Goals\n\n# Proposal\n\n**\\[Required\\]**\n\n# Alternate Solutions\n\n- N/A.\n";
    assert_eq!(places("S002", text), ["# Summary", "# Motivation", "# Proposal"]);
    assert_eq!(messages("S002", "# T\n\n# Alternate Solutions\n"), ["section \"Alternate Solutions\" says nothing"]);
    assert_eq!(messages("S002", "# T\n\n# Motivation\n\n## Goals\n\nx\n"), Vec::<String>::new());
    assert_eq!(messages("S001", text), Vec::<String>::new());
    let missing = find("S001", &[("deps/0001-a.md", "# T\n\n# Proposal\n\nx\n")]);
    assert_eq!(missing.iter().map(|f| f.context.as_str()).collect::<Vec<_>>(), ["Summary", "Motivation", "Alternate Solutions"]);
    assert!(missing.iter().all(|f| f.span.start == 2) && missing[2].help.as_deref().unwrap().contains("N/A"));
}

#[test]
fn sections_stand_where_they_belong() {
    let swapped = "# T\n\n# Summary\n\nx\n\n# Proposal\n\nx\n\n# Motivation\n\nx\n\n# Background\n\nx\n\n# Alternate Solutions\n\nx\n";
    assert_eq!(alone("S003", swapped), [("# Motivation".to_owned(), "section \"Motivation\" stands behind \"Proposal\"".to_owned())]);
    let text = "# T\n\n## Summary\n\nx\n\n# Motivation\n\n## Non Goals\n\nx\n\n# Goals\n\nx\n\n# Proposal\n\nx\n\n## References\n\nx\n";
    assert_eq!(
        messages("S004", text),
        ["section \"Summary\" has level 2, not 1", "section \"Goals\" has level 1, not 2", "section \"Non Goals\" has level 2, not 3"]
    );
    assert_eq!(
        messages("S005", text),
        [
            "section \"Goals\" stands in no section, not in \"Motivation\"",
            "section \"References\" stands in \"Proposal\", not in \"Background\""
        ]
    );
    assert_eq!(find("S005", &[("deps/0001-a.md", text)])[1].context, "Proposal > References");
}

#[test]
fn headings_are_those_of_the_template() {
    let text = "# T\n\n# Motivation\n\n## Non-Goals\n\n# Proposal, in short\n\n# Appendix\n\n# Proposal\n\n# Proposal\n";
    assert_eq!(messages("S006", text), ["\"Non-Goals\" is read as section \"Non Goals\""].map(str::to_owned));
    assert_eq!(messages("S006", "# T\n\n# summary:\n"), ["\"summary:\" is read as section \"Summary\""]);
    assert_eq!(messages("S007", text), ["\"Appendix\" is no main section of the template"]);
    let twice = find("S008", &[("deps/0001-a.md", text)]);
    assert_eq!(twice.len(), 2);
    assert!(twice.iter().all(|f| f.related.len() == 1 && f.related[0].span.of(text) == "# Proposal"));
    // A second one elsewhere is none.
    assert_eq!(messages("S008", "# T\n\n# Motivation\n\n# Proposal\n\n## Motivation\n"), Vec::<String>::new());
}

#[test]
fn optional_sections_say_something_or_are_not_there() {
    let idle = ["N/A", "", "* N/A", "**TBD**", "- TBD.\n", "**\\[Optional \\- leave out\\]**", "<!-- x -->", "1. None\n\n---\n"];
    for text in idle {
        let text = format!("# T\n\n# Background\n\n{text}\n\n# Alternate Solutions\n\nN/A\n");
        assert_eq!(messages("S012", &text), ["optional section \"Background\" says nothing"], "{text}");
    }
    for text in ["None of them", "`N/A`: a value", "N/A\n\nx", "## References\n\nx", "- N/A\n- b", "[Optional reading](x)"] {
        let text = format!("# T\n\n# Background\n\n{text}\n\n# Alternate Solutions\n\nN/A\n");
        assert_eq!(messages("S012", &text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn numbered_headings_are_plain_and_count() {
    let motivation = "## Requirements\n\n### REQ \\<1\\> \\<Fast\\>\n\n**MUST**\n\n#### REQ #2 Small\n\n**MAY**\n\n### REQ 4 Vec<T>\n\nIt MUST.\n\n```\n**MUST**\n```\n\n### Notes\n";
    let alternatives = "## Alt 2 By hand\n\n**Reason Rejected:**\n\n**Notes:** none\n\n## Alt <#> <Title>\n\nx\n";
    let text = whole(
        motivation,
        alternatives,
        "# Implementation Phases\n\n### Phase 2\n\n**Release Target: soon**\n\n`**Effort Estimate**: no`\n",
    );
    let found = find("S009", &[("deps/0001-a.md", &text)]);
    let told: Vec<(&str, &str)> = found.iter().map(|f| (f.context.as_str(), f.help.as_deref().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("Motivation > Requirements > REQ <1> <Fast>", "write \"REQ 1 Fast\", and mend links to the old heading"),
            ("Motivation > Requirements > REQ <1> <Fast> > REQ #2 Small", "write \"REQ 2 Small\", and mend links to the old heading"),
            ("Alternate Solutions > Alt <#> <Title>", "write \"Alt 1 Title\", and mend links to the old heading"),
        ]
    );
    assert_eq!(messages("S010", &text), ["REQ 4 follows REQ 2", "the first Phase has number 2", "the first Alt has number 2"]);
    assert_eq!(messages("S011", &text), ["REQ 4 has no **MUST** or **SHOULD**"]);
    assert_eq!(messages("S013", &text), ["\"Alt 2 By hand\" does not say why it lost", "\"Alt <#> <Title>\" does not say why it lost"]);
    assert_eq!(messages("S014", &text), ["\"Phase 2\" lacks Effort Estimate, Work Item(s)"]);
}

#[test]
fn terms_are_sorted() {
    let head = "# T\n\n# Background\n\n## Terminology & Definitions\n\n";
    let text = |list: &str| format!("{head}{list}");
    for (list, sorted) in [
        ("**b**: 1\n\n**C**: 2  \n\n**A**: 3\n", "**A**: 3\n\n**b**: 1  \n\n**C**: 2\n"),
        ("**b:** 1\n**a:** 2\n", "**a:** 2\n**b:** 1\n"),
        ("- **b** - 1\n- a: 2\n", "- a: 2\n- **b** - 1\n"),
        ("1. b: 1\n2. a: 2\n", "1. a: 2\n2. b: 1\n"),
        (
            "| Term | X |\n|---|---|\n| b | 1 |\n| **a** | 2 |\n| `B` | 3 |\n",
            "| Term | X |\n|---|---|\n| **a** | 2 |\n| b | 1 |\n| `B` | 3 |\n",
        ),
    ] {
        mends("S015", &[("deps/0001-a.md", &text(list))], &text(sorted));
    }
    // What takes more than a line is told and not moved.
    for list in ["**b**: 1\n\n**a**: 2\nmore\n", "- b: 1\n  - x\n- a: 2\n", "**b**: 1\\\n**a**: 2\n"] {
        let found = find("S015", &[("deps/0001-a.md", &text(list))]);
        assert!(found.len() == 1 && found[0].fix.is_empty() && found[0].help.is_some(), "{list}");
    }
    // Lists end where something else begins, and what is no list of terms is none.
    for list in
        ["**b**: 1\n\nSome text.\n\n**a**: 2\n", "- b\n- a\n", "**b** is a word\n\n**a** too\n", "**b**: 1\n\n### More\n\n**a**: 2\n"]
    {
        assert_eq!(find("S015", &[("deps/0001-a.md", &text(list))]), [], "{list}");
    }
}

/// All that these rules find; what they mend is mended.
fn settle(text: &str) -> Vec<Finding> {
    let files = [("deps/0001-a.md", text)];
    let found: Vec<Finding> = RULES.iter().flat_map(|id| find(id, &files)).collect();
    for finding in &found {
        assert!(text.get(finding.span.range()).is_some(), "{finding:?}");
    }
    let mended = apply(text, &found);
    let again: Vec<Finding> = find("S015", &[("deps/0001-a.md", &mended)]).into_iter().filter(|finding| !finding.fix.is_empty()).collect();
    assert_eq!(again, [], "{text:?} became {mended:?}");
    found
}

proptest::proptest! {
    #[test]
    fn any_document_is_read(text in "(#|##|###| |REQ |Phase |Alt |1|<|>|Motivation|Requirements|Alternate Solutions|Background\r\n|Terminology & Definitions|\n\n|\n|\r\n|\\*\\*|:|a|é|- |\\| |---|N/A|<!--|-->|\\\\|`){0,60}") {
        let _ = settle(&text);
    }

    #[test]
    fn any_list_of_terms_is_sorted(list in proptest::collection::vec("(\\*\\*[a-eé]{1,2}\\*\\*: x|- [a-e]: x|\\| [a-e] \\| x \\||\\|---\\|---\\||  more|)(\n|\r\n|\n\n)", 0..12)) {
        let _ = settle(&format!("# T\n\n# Background\n\n## Terminology & Definitions\n\n{}", list.concat()));
    }
}
