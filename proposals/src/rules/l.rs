//! L: links, and what they lead to in the repository. Nothing outside of it is asked.

mod anchors;
mod attachments;
mod destinations;
#[cfg(test)]
mod tests;
mod tree;

use super::{Check, Context, Mend, Needs, Rule, Sink, is_outside, mentions, place, resolve};
use crate::finding::Severity::{Error, Info, Warning};
use crate::finding::{Edit, Finding, Related};
use crate::model::Document;
use crate::parse::name::number;
use crate::text::Span;
use destinations::{Destination, all};
pub(super) use tree::Tree;
use tree::{Lookup, relative, split};

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "L001",
        name: "broken-link",
        severity: Error,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "A link leads to a file that is not in the repository. An address that several links share is told once, where it is \
                defined.",
        check: Check::Proposal(broken),
    },
    Rule {
        id: "L002",
        name: "broken-anchor",
        severity: Warning,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "A link leads to a heading that is not there: what follows # is the heading in lower case, blanks as hyphens, other marks \
                dropped, as the forge makes it.",
        check: Check::Proposal(anchors::broken),
    },
    Rule {
        id: "L003",
        name: "missing-attachment",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "An image, or a file beside the proposal, is linked and not in the repository. It may not have been committed.",
        check: Check::Proposal(missing_attachment),
    },
    Rule {
        id: "L004",
        name: "image-alt",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "An image has no text for those who do not see it: ![what it shows](image.png), or alt=\"...\" in HTML.",
        check: Check::Proposal(image_text),
    },
    Rule {
        id: "L005",
        name: "placeholder-link",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A link leads nowhere yet: its address is empty, or a comment.",
        check: Check::Proposal(placeholder),
    },
    Rule {
        id: "L006",
        name: "root-absolute-link",
        severity: Warning,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A link begins with /. What that means differs between forges, editors and sites; a relative link means the same \
                everywhere.",
        check: Check::Proposal(root_absolute),
    },
    Rule {
        id: "L007",
        name: "attachment-location",
        severity: Info,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "What belongs to a proposal lies in a folder with the name of its file, so that it moves when the proposal does.",
        check: Check::Proposal(attachments::location),
    },
    Rule {
        id: "L008",
        name: "orphan-attachment",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A file in a folder of attachments is linked by no document. Link it, or take it away.",
        check: Check::Repository(attachments::orphans),
    },
    Rule {
        id: "L009",
        name: "path-case",
        severity: Error,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A link differs from the file's name by upper and lower case. It works on some machines, and not on the forge.",
        check: Check::Proposal(path_case),
    },
    Rule {
        id: "L010",
        name: "mutable-source-link",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A link into code names the branch main or master, so that what it shows changes under the proposal. A link with a \
                commit does not.",
        check: Check::Proposal(mutable),
    },
    Rule {
        id: "L011",
        name: "dead-url",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Configured,
        about: "An address outside the repository does not answer. It is asked on demand alone, never in CI by itself.",
        check: Check::Later,
    },
    Rule {
        id: "L012",
        name: "link-label-number",
        severity: Warning,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A link says one number and leads to another proposal. The link is what readers follow: the text is mended.",
        check: Check::Proposal(label_number),
    },
];

impl Context<'_> {
    /// The files and folders of the repository, as links ask for them.
    fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Tree::of(self.corpus))
    }

    /// What a relative address leads to; nothing where it is none, or a place in the document itself.
    fn look(&self, document: &Document, destination: &Destination<'_>) -> Option<Lookup> {
        let (path, _) = split(destination.url);
        let none = destination.is_placeholder() || is_outside(destination.url) || path.is_empty();
        (!none).then(|| self.tree().look(self.corpus, &document.path, path))
    }
}

/// A finding at an address; one at a definition names those who use it.
fn at<'a>(sink: &'a mut Sink<'_>, document: &Document, destination: &Destination<'_>, message: String) -> &'a mut Finding {
    let context = format!("{}: {}", place::context(document, destination.place.start), destination.url);
    let finding = sink.at(document, destination.place, context, message);
    if destination.defined {
        let used = |span: Span| Related { path: document.path.clone(), span, label: "used here".to_owned() };
        finding.related = destination.links.iter().map(|link| used(link.span)).collect();
    }
    finding
}

fn broken(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    gone(context, document, sink, false);
}

fn missing_attachment(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    gone(context, document, sink, true);
}

/// Addresses of nothing: of attachments, or of all else.
fn gone(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>, attachments: bool) {
    for destination in all(document) {
        let (path, rest) = split(destination.url);
        let (of_attachment, message) = match context.look(document, &destination) {
            Some(Lookup::Missing(target)) => {
                (destination.is_image() || context.tree().is_attachment(&target), format!("there is no {target:?} in the repository"))
            }
            Some(Lookup::Outside) => (destination.is_image(), format!("{path:?} leads out of the repository")),
            _ => continue,
        };
        if of_attachment == attachments {
            let finding = at(sink, document, &destination, message);
            finding.label = "no such file".to_owned();
            let near = context.tree().nearest(context.corpus, document, path);
            finding.help = near.map(|near| format!("write {near}{rest}"));
        }
    }
}

fn image_text(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for link in document.body().links.iter().filter(|link| link.image && link.text.trim().is_empty()) {
        let context = format!("{}: {}", place::context(document, link.span.start), link.url);
        let finding = sink.at(document, link.span, context, "an image has no alternative text");
        finding.label = "what does it show?".to_owned();
    }
}

fn placeholder(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for destination in all(document).into_iter().filter(Destination::is_placeholder) {
        let what = if destination.url.trim().is_empty() { "no address" } else { "a comment for an address" };
        let text = destination.links.first().map_or("", |link| link.text.as_str());
        let finding = at(sink, document, &destination, format!("a link has {what}"));
        // Without an address the text tells one from another.
        finding.context = format!("{}: {text} {}", place::context(document, destination.place.start), destination.url);
        finding.label = "leads nowhere".to_owned();
    }
}

fn root_absolute(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for destination in all(document).into_iter().filter(|d| d.url.starts_with('/') && !is_outside(d.url)) {
        let look = context.look(document, &destination);
        let (_, rest) = split(destination.url);
        let finding = at(sink, document, &destination, format!("{:?} begins at a root that not every reader has", destination.url));
        finding.label = "not relative".to_owned();
        if let Some(Lookup::There(target)) = look {
            let new = relative(&document.path, &target);
            finding.help = Some(format!("write {new}{rest}"));
            finding.fix = destination.rewritten(&document.source, &new);
        }
    }
}

fn path_case(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for destination in all(document) {
        let Some(Lookup::Case(real)) = context.look(document, &destination) else { continue };
        let (path, rest) = split(destination.url);
        // Of a link from the root the case is mended, and no more: that it is none is another finding.
        let new = if path.starts_with('/') { format!("/{}", tree::encoded(&real)) } else { relative(&document.path, &real) };
        let new = if path.starts_with("./") && !new.starts_with('.') { format!("./{new}") } else { new };
        let finding = at(sink, document, &destination, format!("{path:?} differs from {real:?} by case"));
        finding.label = "another case".to_owned();
        finding.help = Some(format!("write {new}{rest}"));
        finding.fix = destination.rewritten(&document.source, &new);
    }
}

fn mutable(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for destination in all(document) {
        let Some(branch) = branch(destination.url) else { continue };
        let finding = at(sink, document, &destination, format!("a link into code follows the branch {branch}"));
        finding.label = "changes with the branch".to_owned();
        finding.help = Some("link a commit instead".to_owned());
    }
}

/// The branch that the address of a forge names: `host/owner/repository/blob/main/...`.
fn branch(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let path = rest.split(['#', '?']).next()?;
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let at = parts.iter().position(|part| matches!(*part, "blob" | "tree")).filter(|at| *at >= 2)?;
    parts.get(at + 1).copied().filter(|branch| matches!(*branch, "main" | "master"))
}

fn label_number(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let mentioned: Vec<(Span, u32)> = mentions(&document.source, document.body()).collect();
    if mentioned.is_empty() {
        return;
    }
    for destination in all(document) {
        let Some(Lookup::There(target)) = context.look(document, &destination) else { continue };
        let Some(own) = context.tree().document(context.corpus, &target).and_then(Document::number) else { continue };
        for link in &destination.links {
            let (text, is_label) = destinations::text(&document.source, link);
            let said: Vec<_> = mentioned.iter().filter(|(span, _)| text.start <= span.start && span.end <= text.end).collect();
            let Some((span, first)) = said.first().filter(|_| said.iter().all(|(_, number)| *number != own)) else { continue };
            let message = format!("the link says DEP-{}, and leads to DEP-{}", number(*first), number(own));
            let place = place::context(document, span.start);
            let finding = sink.at(document, *span, format!("{place}: {} {}", link.text, link.url), message);
            finding.label = format!("leads to DEP-{}", number(own));
            finding.help = Some(format!("write DEP-{}", number(own)));
            // A text that is the label of a definition as well finds it no more when it is another.
            if said.len() == 1 && !is_label {
                let digits = span.of(&document.source).bytes().rev().take_while(u8::is_ascii_digit).count();
                finding.fix = vec![Edit::new(Span::new(span.end - digits, span.end), number(own))];
            }
        }
    }
}

/// The path that a destination leads to, where there is such a file or folder.
fn target(context: &Context<'_>, document: &Document, destination: &Destination<'_>) -> Option<String> {
    match context.look(document, destination)? {
        Lookup::There(target) | Lookup::Case(target) => Some(target),
        Lookup::Missing(_) | Lookup::Outside => None,
    }
}
