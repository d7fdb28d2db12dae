//! X: what proposals say of one another (proposals contract 1.10).
//!
//! Who is replaced changes only once its successor is decided: until then X002 is silent, and X005 speaks when somebody was early.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Context, Mend, Needs, Relation, RelationKind, Rule, Sink, Target};
use crate::finding::Edit;
use crate::finding::Severity::{Error, Info, Warning};
use crate::model::Document;
use crate::parse::fields::{Form, Name};
use crate::parse::name::number;
use crate::parse::status::Status;
use crate::parse::value::Class;
use crate::text::Span;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "X001",
        name: "dangling-relation",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "Replaces, Replaced By or Extends names a proposal that there is not. Link the file that is meant.",
        check: Check::Repository(dangling),
    },
    Rule {
        id: "X002",
        name: "one-way-relation",
        severity: Error,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A decided proposal takes the place of another, and one of the two does not say so. Both do: Replaces in the new one, \
                Replaced By in the old one, so that whoever reads the old one finds what holds.",
        check: Check::Repository(one_way),
    },
    Rule {
        id: "X003",
        name: "replaced-without-successor",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "The status is Replaced, and Replaced By links no proposal: nobody finds what holds now.",
        check: Check::Repository(without_successor),
    },
    Rule {
        id: "X004",
        name: "successor-without-status",
        severity: Warning,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "Replaced By links a proposal that holds, and the status is not Replaced. Set the status, or say that it is replaced in \
                part only: `**Replaced By** (partially): …`.",
        check: Check::Repository(without_status),
    },
    Rule {
        id: "X005",
        name: "premature-replacement",
        severity: Error,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "The old proposal was changed although its successor is not decided: until it is, the old one holds. Undo the change; it \
                belongs to the approval of the successor.",
        check: Check::Repository(premature),
    },
    Rule {
        id: "X006",
        name: "relation-cycle",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "Proposals replace one another in a circle, so that none of them is the last.",
        check: Check::Repository(cycle),
    },
    Rule {
        id: "X007",
        name: "self-relation",
        severity: Error,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A proposal names itself among those that it replaces, extends, or is replaced by.",
        check: Check::Repository(itself),
    },
    Rule {
        id: "X008",
        name: "relation-not-a-proposal",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "Replaces and Replaced By link proposals; this links a pull request, or something else elsewhere. Link the file once it is \
                merged.",
        check: Check::Repository(outside),
    },
    Rule {
        id: "X009",
        name: "partial-relation",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A relation has words in brackets behind its name, as `**Replaces** (partially)`: it is read as one in part, which \
                leaves the other's status alone.",
        check: Check::Proposal(partial),
    },
    Rule {
        id: "X010",
        name: "ambiguous-number",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A number that two proposals share is named without a link: it may mean either.",
        check: Check::Later,
    },
    Rule {
        id: "X011",
        name: "reference-to-replaced",
        severity: Info,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "A live proposal cites one that was replaced.",
        check: Check::Later,
    },
];

fn field(kind: RelationKind) -> Name {
    match kind {
        RelationKind::ReplacedBy => Name::ReplacedBy,
        RelationKind::Extends => Name::Extends,
        _ => Name::Replaces,
    }
}

/// The document of a relation, and the other's where there is one.
fn ends<'a>(context: &Context<'a>, relation: &Relation) -> Option<(&'a Document, Option<&'a Document>)> {
    let from = context.corpus.documents.get(relation.from)?;
    let to = match relation.to {
        Target::Document(to) => context.corpus.documents.get(to),
        _ => None,
    };
    Some((from, to))
}

fn shown(document: &Document) -> String {
    document.number().map_or_else(|| document.slug().to_owned(), |n| format!("DEP-{}", number(n)))
}

fn dangling(context: &Context<'_>, sink: &mut Sink<'_>) {
    for relation in &context.relations.all {
        let (Some((from, _)), Target::Missing(missing)) = (ends(context, relation), &relation.to) else { continue };
        let name = field(relation.kind).written();
        sink.at(from, relation.span, format!("{name} {missing}"), format!("{name} names {missing}, which there is not"));
    }
}

fn outside(context: &Context<'_>, sink: &mut Sink<'_>) {
    for relation in context.relations.all.iter().filter(|relation| relation.kind != RelationKind::Extends) {
        let (Some((from, _)), Target::Outside(url)) = (ends(context, relation), &relation.to) else { continue };
        let name = field(relation.kind).written();
        sink.at(from, relation.span, format!("{name} {url}"), format!("{name} links something that is no proposal"));
    }
}

fn partial(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for name in [Name::Replaces, Name::ReplacedBy, Name::Extends] {
        for field in document.head.fields(name).filter(|field| context.corpus.templates.class(field) != Class::None) {
            if let Some(qualifier) = &field.qualifier {
                let message = format!("{} says ({qualifier}): it is read as a relation in part", name.written());
                sink.at(document, field.name_span, format!("{} {qualifier}", name.written()), message);
            }
        }
    }
}

fn itself(context: &Context<'_>, sink: &mut Sink<'_>) {
    for relation in context.relations.all.iter().filter(|relation| relation.to == Target::Document(relation.from)) {
        let Some((from, _)) = ends(context, relation) else { continue };
        let name = field(relation.kind);
        let alone = context.relations.from(relation.from, relation.kind).count() == 1;
        let whole =
            from.head.fields(name).find(|field| field.value_span.start <= relation.span.start && relation.span.end <= field.value_span.end);
        let finding = sink.at(from, relation.span, name.written(), format!("{} names the proposal itself", name.written()));
        match whole.filter(|field| alone && field.form != Form::FrontMatter) {
            Some(field) => finding.fix.push(Edit::new(field.value_span, "N/A")),
            None => finding.help = Some("take it out".to_owned()),
        }
    }
}

/// Whether a proposal was decided in favour, be it that another one took its place since.
fn was_accepted(document: &Document) -> bool {
    document.effective().is_some_and(|status| status.holds() || status == Status::Replaced)
}

fn is_undecided(document: &Document) -> bool {
    document.effective().is_some_and(Status::is_undecided)
}

fn one_way(context: &Context<'_>, sink: &mut Sink<'_>) {
    for relation in &context.relations.all {
        let Some((from, Some(to))) = ends(context, relation) else { continue };
        // The one that lacks it, what it lacks, and whom it should name.
        let (lacking, kind, successor) = match relation.kind {
            RelationKind::Replaces => (to, RelationKind::ReplacedBy, from),
            RelationKind::ReplacedBy => (to, RelationKind::Replaces, to),
            _ => continue,
        };
        let Target::Document(at) = relation.to else { continue };
        let said = context.relations.from(at, kind).any(|back| back.to == Target::Document(relation.from));
        if said || at == relation.from || !was_accepted(successor) {
            continue;
        }
        let name = field(kind);
        let message = format!("{} does not say {} {}", shown(lacking), name.written(), shown(from));
        let value = format!("[{} {}]({})", shown(from), from.title().unwrap_or_default(), link_between(&lacking.path, &from.path));
        let place = lacking.head.field(name);
        let finding = match place {
            Some(field) => sink.at(lacking, field.name_span, format!("{} {}", name.written(), from.slug()), message),
            None => sink.absent(lacking, format!("{} {}", name.written(), from.slug()), message),
        };
        finding.help = Some(format!("write {}: {value}", name.written()));
        let Some(field) = place.filter(|field| field.form != Form::FrontMatter && !relation.partial) else { continue };
        match context.corpus.templates.class(field) {
            Class::Value => finding.fix.push(Edit::insert(field.value_span.end, format!(", {value}"))),
            Class::Empty => finding.fix.push(Edit::insert(field.value_span.start, format!("{}{value}", gap(lacking, field.value_span)))),
            Class::None | Class::Pending | Class::Template => finding.fix.push(Edit::new(field.value_span, value)),
        }
    }
}

/// A blank before a value that follows its colon at once.
fn gap(document: &Document, at: Span) -> &'static str {
    if document.source.get(..at.start).is_some_and(|before| before.ends_with(':') || before.ends_with('*')) { " " } else { "" }
}

/// The address of one file in another.
pub(crate) fn link_between(from: &str, to: &str) -> String {
    let folders = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (folders(from), folders(to));
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count().min(from.len() - 1).min(to.len() - 1);
    let up = vec!["..".to_owned(); from.len() - 1 - same];
    up.into_iter().chain(to[same..].iter().cloned()).collect::<Vec<_>>().join("/")
}

/// The Status line, of which most of these are.
fn status_line(document: &Document) -> Option<Span> {
    document.head.field(Name::Status).map(|field| field.value_span)
}

fn successors<'a>(context: &'a Context<'a>, at: usize) -> impl Iterator<Item = (&'a Relation, Option<&'a Document>)> {
    context.relations.from(at, RelationKind::ReplacedBy).filter_map(move |relation| Some((relation, ends(context, relation)?.1)))
}

fn without_successor(context: &Context<'_>, sink: &mut Sink<'_>) {
    for (at, document) in context.proposals() {
        let named = context.relations.from(at, RelationKind::ReplacedBy).next().is_some();
        if document.effective() == Some(Status::Replaced)
            && !named
            && let Some(span) = status_line(document)
        {
            let finding = sink.at(document, span, "Status", "the status is Replaced, and Replaced By links no proposal");
            finding.help = Some("link the proposal that holds now".to_owned());
        }
    }
}

fn without_status(context: &Context<'_>, sink: &mut Sink<'_>) {
    for (at, document) in context.proposals() {
        let accepted = successors(context, at).find(|(relation, to)| !relation.partial && to.is_some_and(was_accepted));
        let Some((_, Some(successor))) = accepted else { continue };
        let status = document.effective();
        if status.is_none() || status == Some(Status::Replaced) {
            continue;
        }
        let Some(field) = document.head.field(Name::Status) else { continue };
        let message = format!("{} took its place, and the status is not Replaced", shown(successor));
        let finding = sink.at(document, field.value_span, "Status", message);
        if field.form != Form::FrontMatter {
            finding.fix.push(Edit::new(field.value_span, Status::Replaced.written()));
        }
        "write Replaced".clone_into(&mut finding.label);
    }
}

fn premature(context: &Context<'_>, sink: &mut Sink<'_>) {
    for (at, document) in context.proposals() {
        let all: Vec<&Document> = successors(context, at).filter(|(relation, _)| !relation.partial).filter_map(|(_, to)| to).collect();
        let Some(early) = all.iter().find(|to| is_undecided(to)).filter(|_| !all.iter().any(|to| was_accepted(to))) else { continue };
        let Some(span) = status_line(document) else { continue };
        let status = early.effective().map_or("undecided", Status::written);
        let message = format!("{} is {status}: until it is decided, this proposal stays as it was", shown(early));
        sink.at(document, span, format!("Status {}", early.slug()), message);
    }
}

fn cycle(context: &Context<'_>, sink: &mut Sink<'_>) {
    let mut edges: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for relation in context.relations.all.iter().filter(|relation| relation.kind == RelationKind::Replaces) {
        if let Target::Document(to) = relation.to
            && to != relation.from
        {
            edges.entry(relation.from).or_default().insert(to);
        }
    }
    // Who replaces nobody that is left is in no circle.
    loop {
        let idle: Vec<usize> = edges.iter().filter(|(_, to)| !to.iter().any(|to| edges.contains_key(to))).map(|(from, _)| *from).collect();
        if idle.is_empty() {
            break;
        }
        idle.iter().for_each(|from| drop(edges.remove(from)));
    }
    let mut seen = BTreeSet::new();
    for start in edges.keys().copied().collect::<Vec<_>>() {
        let mut path = vec![start];
        // Each that is left leads to another that is left: the walk comes back to where it has been.
        while let Some(next) = path.last().and_then(|at| edges.get(at)).and_then(|to| to.iter().find(|to| edges.contains_key(to))) {
            if let Some(begin) = path.iter().position(|at| at == next) {
                path.drain(..begin);
                break;
            }
            path.push(*next);
        }
        if path.iter().any(|at| !seen.insert(*at)) {
            continue;
        }
        let Some(document) = path.iter().min().and_then(|at| context.corpus.documents.get(*at)) else { continue };
        let names: Vec<String> = path.iter().chain(path.first()).filter_map(|at| context.corpus.documents.get(*at)).map(shown).collect();
        let message = format!("proposals replace one another in a circle: {}", names.join(" -> "));
        let span = document.head.field(Name::Replaces).map(|field| field.value_span).unwrap_or_default();
        sink.at(document, span, "cycle", message);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::testing::{Repository, found};

    fn pair(old: &str, new: &str) -> Repository {
        Repository::of(&[
            ("deps/0001-old.md", &format!("# Old\n\n{old}\n\n# Summary\n")),
            ("deps/0002-new.md", &format!("# New\n\n{new}\n\n# Summary\n")),
        ])
    }

    #[test]
    fn both_sides_say_it() {
        let said = "**Status**: Replaced\n\n**Replaced By**: [new](0002-new.md)";
        assert_eq!(found(&pair(said, "**Status**: Approved\n\n**Replaces**: DEP-0001"), "X"), Vec::<String>::new());
        assert_eq!(
            found(&pair("**Status**: Approved\n\n**Replaced By**: N/A", "**Status**: Approved\n\n**Replaces**: [old](0001-old.md)"), "X"),
            ["X002 deps/0001-old.md"]
        );
        assert_eq!(found(&pair(said, "**Status**: Approved\n\n**Replaces**: N/A"), "X"), ["X002 deps/0002-new.md"]);
        // Until it is decided, nothing changes in the old one.
        let draft = "**Status**: Under Review\n\n**Replaces**: [old](0001-old.md)";
        assert_eq!(found(&pair("**Status**: Approved\n\n**Replaced By**: N/A", draft), "X"), Vec::<String>::new());
        assert_eq!(found(&pair(said, draft), "X"), ["X005 deps/0001-old.md"]);
        assert_eq!(
            found(
                &pair("**Status**: Approved\n\n**Replaced By**: [new](0002-new.md)", "**Status**: Accepted\n\n**Replaces**: DEP-0001"),
                "X"
            ),
            ["X004 deps/0001-old.md"]
        );
        assert_eq!(found(&pair("**Status**: Replaced", "**Status**: Draft"), "X"), ["X003 deps/0001-old.md"]);
        let partly = "**Status**: Approved\n\n**Replaced By** (partially): [new](0002-new.md)";
        assert_eq!(
            found(&pair(partly, "**Status**: Approved\n\n**Replaces** (partially): DEP-0001"), "X"),
            ["X009 deps/0001-old.md", "X009 deps/0002-new.md"]
        );
    }

    #[test]
    fn odd_relations() {
        let of = |old: &str, new: &str| found(&pair(old, new), "X");
        assert_eq!(of("**Replaces**: DEP-0009", ""), ["X001 deps/0001-old.md"]);
        assert_eq!(of("**Replaces**: [x](0009-x.md)", ""), ["X001 deps/0001-old.md"]);
        assert_eq!(of("**Replaces**: [self](0001-old.md)", ""), ["X007 deps/0001-old.md"]);
        assert_eq!(of("**Replaces**: https://github.com/x/y/pull/3", ""), ["X008 deps/0001-old.md"]);
        assert_eq!(of("**Extends**: https://github.com/x/y/pull/3", ""), Vec::<String>::new());
        assert_eq!(
            of("**Status**: Draft\n\n**Replaces**: DEP-0002", "**Status**: Draft\n\n**Replaces**: DEP-0001"),
            ["X006 deps/0001-old.md"]
        );
    }

    #[test]
    fn mends_are_whole() {
        let mended = |old: &str, new: &str| pair(old, new).mended("X");
        let new = "**Status**: Approved\n\n**Replaces**: [old](0001-old.md)";
        let after = mended("**Status**: Approved\n\n**Replaced By**: N/A", new);
        assert_eq!(after[0], "# Old\n\n**Status**: Replaced\n\n**Replaced By**: [DEP-0002 New](0002-new.md)\n\n# Summary\n");
        let after = mended("**Status**: Approved\r\n\r\n**Replaced By**:", new);
        assert_eq!(after[0], "# Old\n\n**Status**: Replaced\r\n\r\n**Replaced By**: [DEP-0002 New](0002-new.md)\n\n# Summary\n");
        let after = mended("**Status**: Draft\n\n**Replaces**: DEP-0001", "");
        assert_eq!(after[0], "# Old\n\n**Status**: Draft\n\n**Replaces**: N/A\n\n# Summary\n");
    }
}
