//! F: files, numbers and titles.

use super::{Check, Context, Mend, Needs, Rule, Sink};
use crate::finding::Severity::{Error, Info, Warning};
use crate::model::Document;
use crate::parse::name::{Kind, number};

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "F001",
        name: "file-name",
        severity: Error,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "A proposal's file is called NNNN-some-words.md: four digits, then lower-case words and digits with single hyphens \
                between them; 0000- in front marks a draft. Links, the index and the tool find a proposal by that name.",
        check: Check::Repository(file_name),
    },
    Rule {
        id: "F002",
        name: "duplicate-number",
        severity: Error,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "Two proposals have one number, so that DEP-NNNN means neither. The one that reached trunk first keeps it; give the \
                other another one with `dormouse dep number renumber`.",
        check: Check::Repository(duplicate_number),
    },
    Rule {
        id: "F003",
        name: "number-gap",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A number below the largest is used by nobody. That is no fault: numbers are never filled in later, since a branch \
                may have the missing one. `dormouse dep number claims` says whether one does.",
        check: Check::Repository(number_gap),
    },
    Rule {
        id: "F004",
        name: "draft-number-on-trunk",
        severity: Warning,
        mend: Mend::Unsafe,
        needs: Needs::Trunk,
        about: "A draft has reached trunk without a number. `dormouse dep number assign` gives it the next free one.",
        check: Check::Proposal(draft_on_trunk),
    },
    Rule {
        id: "F005",
        name: "number-mismatch",
        severity: Error,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "The title states another number than the file's name. The name counts: take the number out of the title.",
        check: Check::Proposal(number_mismatch),
    },
    Rule {
        id: "F006",
        name: "title-missing",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A proposal begins with its title, a heading of level one (`# Title`), before its metadata.",
        check: Check::Proposal(title_missing),
    },
    Rule {
        id: "F007",
        name: "title-style",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A title is read in lists and links: at most 80 characters, no full stop at its end, and without `DEP-NNNN:`, which \
                the name says already.",
        check: Check::Proposal(title_style),
    },
    Rule {
        id: "F008",
        name: "unledgered-number",
        severity: Error,
        mend: Mend::Safe,
        needs: Needs::Configured,
        about: "A numbered file has no line in the ledger of numbers, or the reverse.",
        check: Check::Later,
    },
    Rule {
        id: "F009",
        name: "stray-markdown",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A Markdown file among the proposals is neither a proposal nor attached to one. Nothing but this reads it; move it, or \
                give it a proposal's name and metadata.",
        check: Check::Repository(stray),
    },
    Rule {
        id: "F010",
        name: "duplicate-slug",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "Two files have the same words behind their numbers. Words name a proposal before it has a number, and after it has \
                another; they are unique.",
        check: Check::Repository(duplicate_slug),
    },
];

/// A name of no pattern is a proposal's when there is any metadata in it, and a stray without.
fn is_named(document: &Document) -> bool {
    document.head.fields.iter().any(|field| field.name.is_some())
}

fn file_name(context: &Context<'_>, sink: &mut Sink<'_>) {
    for document in &context.corpus.documents {
        let odd = document.name.is_proposal() && !document.name.exact;
        if odd || (document.name.kind == Kind::Other && is_named(document)) {
            let file = document.path.rsplit('/').next().unwrap_or_default();
            let finding = sink.file(&document.path, "name", format!("{file:?} is no name of a proposal"));
            finding.help = Some("call it NNNN-some-words.md, or 0000-some-words.md while it is a draft".to_owned());
        }
    }
}

fn duplicate_number(context: &Context<'_>, sink: &mut Sink<'_>) {
    let file = |document: &Document| document.path.rsplit('/').next().unwrap_or_default().to_owned();
    for (taken, documents) in &context.numbers {
        let Some(keeper) = context.corpus.keeper(documents) else { continue };
        let first = context.corpus.added(keeper);
        for document in documents {
            let shared = if documents.len() == 2 { "two proposals".to_owned() } else { format!("{} proposals", documents.len()) };
            let finding = sink.file(&document.path, "number", format!("number {} is used by {shared}", number(*taken)));
            let others: Vec<String> = documents.iter().filter(|other| other.path != document.path).map(|other| file(other)).collect();
            finding.notes.push(match first {
                Some(day) if document.path == keeper.path => {
                    format!("this one reached trunk first ({day}) and keeps it; {} has it too", others.join(", "))
                }
                Some(day) => format!("{} reached trunk first ({day}) and keeps the number", file(keeper)),
                None => format!("{} has it too", others.join(", ")),
            });
            if first.is_none() || document.path != keeper.path {
                finding.help = Some(format!("dormouse dep number renumber {}", document.path));
            }
        }
    }
}

fn number_gap(context: &Context<'_>, sink: &mut Sink<'_>) {
    let Some((largest, _)) = context.numbers.last_key_value() else { return };
    let missing: Vec<u32> = (1..*largest).filter(|n| !context.numbers.contains_key(n)).collect();
    if missing.is_empty() {
        return;
    }
    let many: Vec<String> = missing.iter().take(10).map(ToString::to_string).collect();
    let more = missing.len().saturating_sub(10);
    let list = if more > 0 { format!("{} and {more} more", many.join(", ")) } else { many.join(", ") };
    let verb = if missing.len() == 1 { "is" } else { "are" };
    sink.file("", format!("gap {list}"), format!("{list} {verb} unused on trunk"));
}

fn draft_on_trunk(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    if document.number().is_none() && !context.corpus.is_process(document, context.config) {
        let finding = sink.file(&document.path, "draft", "a draft on trunk has no number");
        finding.help = Some(format!("dormouse dep number assign {}", document.slug()));
    }
}

fn number_mismatch(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let (Some(span), Some(title)) = (document.head.title, document.title()) else { return };
    let Kind::Numbered(own) = document.name.kind else { return };
    let Some((stated, _)) = stated(title) else { return };
    if stated != own {
        let message = format!("the title says DEP-{stated:04}, the file's name {own:04}");
        sink.at(document, span, "title", message);
    }
}

/// `DEP-0017: Title` and `0017: Title`: the number, and how long that is.
fn stated(title: &str) -> Option<(u32, usize)> {
    let (head, _) = title.split_once([':', '-', '—', ' ']).map_or((title, ""), |pair| pair);
    let dep = title.strip_prefix("DEP").map(|rest| rest.trim_start_matches(['-', ' ', '#']));
    let rest = dep.unwrap_or(head);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let long = if dep.is_some() {
        !digits.is_empty()
    } else {
        digits.len() >= 4 && head.len() == digits.len() && title[digits.len()..].trim_start().starts_with(':')
    };
    (long && digits.len() <= 5).then(|| digits.parse().ok().map(|number| (number, digits.len())))?
}

fn title_missing(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    if document.head.title.is_none() {
        sink.absent(document, "title", "the document does not begin with a title, a heading of level one");
    }
}

fn title_style(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let (Some(span), Some(title)) = (document.head.title, document.title()) else { return };
    let length = title.chars().count();
    let message = if length > 80 {
        format!("the title has {length} characters; lists show 80")
    } else if title.ends_with(['.', ',', ';', ':', '!', '?']) {
        "the title ends with a mark".to_owned()
    } else if stated(title).is_some() {
        "the title repeats the number".to_owned()
    } else {
        return;
    };
    sink.at(document, span, "title", message);
}

fn stray(context: &Context<'_>, sink: &mut Sink<'_>) {
    for document in &context.corpus.documents {
        if document.name.kind == Kind::Other && !is_named(document) && !context.corpus.is_attachment(&document.path) {
            sink.file(&document.path, "stray", "this is neither a proposal nor attached to one");
        }
    }
}

fn duplicate_slug(context: &Context<'_>, sink: &mut Sink<'_>) {
    let mut seen = std::collections::BTreeMap::new();
    for document in context.corpus.proposals() {
        if let Some(first) = seen.insert(document.slug(), document) {
            let message = format!("{} has the same words behind its number", first.path);
            sink.file(&document.path, "slug", message);
            seen.insert(document.slug(), first);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::PathHistory;
    use crate::rules::testing::{Repository, found};

    const TEXT: &str = "# A title\n\n**Status**: Draft\n\n**Category**: Process\n";

    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let repository = Repository { trunk: true, ..Repository::of(files) };
        found(&repository, "F").into_iter().map(|found| found.replace("deps/", "")).collect()
    }

    fn one(path: &str, text: &str) -> Vec<String> {
        of(&[(path, text)])
    }

    #[test]
    fn names() {
        assert_eq!(one("deps/0001-a-b.md", TEXT), Vec::<String>::new());
        for odd in ["0001-A.md", "0001-a_b.md", "01-a.md", "a.md"] {
            assert_eq!(one(&format!("deps/{odd}"), TEXT), [format!("F001 {odd}")]);
        }
        assert_eq!(one("deps/notes.md", "Some notes.\n"), ["F009 notes.md"]);
        assert_eq!(of(&[("deps/0001-a.md", TEXT), ("deps/0001-a/notes.md", "Some notes.\n")]), Vec::<String>::new());
        assert_eq!(one("deps/README.md", "# Read me\n"), Vec::<String>::new());
    }

    #[test]
    fn numbers() {
        let two = [("deps/0001-a.md", TEXT), ("deps/0001-b.md", TEXT)];
        assert_eq!(of(&two), ["F002 0001-a.md", "F002 0001-b.md"]);
        // Who came first keeps it, and is not told to go.
        let mut repository = Repository::of(&two);
        for (order, path) in ["deps/0001-b.md", "deps/0001-a.md"].into_iter().enumerate() {
            repository.corpus.history.insert(path.to_owned(), PathHistory { order, added: 0, touched: 0, status: 0 });
        }
        let context = crate::rules::Context::new(&repository.corpus, &repository.config);
        let told: Vec<bool> = crate::rules::run(&context, |rule| rule.id == "F002").iter().map(|finding| finding.help.is_some()).collect();
        assert_eq!(told, [true, false]);
        assert_eq!(of(&[("deps/0001-a.md", TEXT), ("deps/0003-b.md", TEXT)]), ["F003 "]);
        assert_eq!(one("deps/0000-a.md", TEXT), ["F004 0000-a.md"]);
        assert_eq!(one("deps/0000-a.md", &TEXT.replace("Draft", "Approved")), Vec::<String>::new(), "the document of the process");
        assert_eq!(of(&[("deps/0001-a.md", TEXT), ("deps/0002-a.md", TEXT)]), ["F010 0002-a.md"]);
    }

    #[test]
    fn titles() {
        let titled = |title: &str| one("deps/0001-a.md", &TEXT.replace("A title", title));
        assert_eq!(titled("DEP-0002: A title"), ["F005 0001-a.md", "F007 0001-a.md"]);
        for odd in ["DEP-0001: A title", "A title.", &"long ".repeat(20)] {
            assert_eq!(titled(odd), ["F007 0001-a.md"], "{odd}");
        }
        for good in ["A title", "2024 in review", "Depth of trees", "Version 2"] {
            assert_eq!(titled(good), Vec::<String>::new(), "{good}");
        }
        assert_eq!(titled("Summary"), ["F006 0001-a.md"]);
    }
}
