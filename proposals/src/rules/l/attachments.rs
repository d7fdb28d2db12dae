//! Files that belong to proposals: where they lie, and whether anybody shows them.

use std::collections::HashSet;

use super::super::{Context, Sink, is_outside, resolve};
use super::{all, at, split, target};
use crate::model::{Document, attachments};

pub(super) fn location(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let tree = context.tree();
    for destination in all(document) {
        let Some(target) = target(context, document, &destination) else { continue };
        let is_proposal = tree.document(context.corpus, &target).is_some_and(|document| document.name.is_proposal());
        let belongs = !is_proposal && (destination.is_image() || tree.is_attachment(&target));
        if belongs && !tree.is_at_home(&target) {
            let home = attachments(document).next().unwrap_or_default();
            let finding = at(sink, document, &destination, format!("attachments lie outside {home}"));
            finding.context = "attachments".to_owned();
            finding.label = "the first of them".to_owned();
            finding.help = Some(format!("move what belongs to this proposal to {home}"));
            // One for each document.
            return;
        }
    }
}

pub(super) fn orphans(context: &Context<'_>, sink: &mut Sink<'_>) {
    let (tree, corpus) = (context.tree(), context.corpus);
    let candidates: Vec<(&String, &str, &[usize])> = corpus
        .paths
        .iter()
        .filter(|path| is_content(context, path))
        .filter_map(|path| tree.folder(path).map(|(folder, whose)| (path, folder, whose)))
        .filter(|(path, folder, _)| path.starts_with(*folder))
        .collect();
    if candidates.is_empty() {
        return;
    }
    let mut linked: HashSet<String> = HashSet::new();
    for document in corpus.documents.iter().chain(&corpus.templates.documents) {
        let links = document.body().links.iter().filter(|link| !is_outside(&link.url)).map(|link| split(&link.url).0);
        // Another case is another rule's business.
        let targets = links.filter(|path| !path.is_empty()).filter_map(|path| resolve(&document.path, path));
        linked.extend(targets.map(|path| path.to_lowercase()));
    }
    for (path, folder, whose) in candidates {
        let file = path.rsplit('/').next().unwrap_or_default();
        // A link to the folder, or to one within, shows what is in it.
        let lower = path.to_lowercase();
        let ends = lower.match_indices('/').map(|(at, _)| at).filter(|at| at + 1 >= folder.len()).chain(std::iter::once(lower.len()));
        let is_linked = ends.filter_map(|end| lower.get(..end)).any(|part| linked.contains(part));
        // HTML has more ways to show a file than are read here.
        let is_named = || whose.iter().filter_map(|at| corpus.documents.get(*at)).any(|owner| owner.source.contains(file));
        if !is_linked && !is_named() {
            let finding = sink.file(path, format!("orphan {path}"), "no document links this attachment");
            finding.help = Some("link it, or take it away".to_owned());
        }
    }
}

/// Whether a file is one that somebody should show: no proposal, no README, nothing that is hidden.
fn is_content(context: &Context<'_>, path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    let is_document = |document: &Document| document.name.is_proposal();
    !file.starts_with('.')
        && !file.eq_ignore_ascii_case("README.md")
        && !context.tree().document(context.corpus, path).is_some_and(is_document)
}
