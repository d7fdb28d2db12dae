//! Paths of the repository as links ask for them: is it there, in another case, or what is near?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;

use super::{is_outside, resolve};
use crate::model::{Corpus, Document, attachments};
use crate::parse::name::Name;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// A file or a folder.
    There(String),
    /// One whose name is written in another case.
    Case(String),
    /// Nothing.
    Missing(String),
    /// Out of the repository.
    Outside,
}

/// Documents and folders of a repository, made once for all rules.
#[derive(Debug, Default)]
pub(in crate::rules) struct Tree {
    documents: HashMap<String, usize>,
    templates: HashMap<String, usize>,
    /// Folders of attachments, `/` at their ends, with whose they are.
    folders: HashMap<String, Vec<usize>>,
    /// Those of them where attachments should be.
    own: HashSet<String>,
    /// Made when something was not found.
    loose: OnceLock<Loose>,
}

/// Paths by other spellings.
#[derive(Debug, Default)]
struct Loose {
    lower: HashMap<String, String>,
    /// By the last part, in lower case and with `-` for `_` and blanks.
    names: BTreeMap<String, Vec<String>>,
    /// By what stands behind the number of a proposal.
    slugs: HashMap<String, Vec<String>>,
}

impl Tree {
    pub(super) fn of(corpus: &Corpus) -> Self {
        let mut tree = Self::default();
        tree.templates.extend(corpus.templates.documents.iter().enumerate().map(|(at, document)| (document.path.clone(), at)));
        for (at, document) in corpus.documents.iter().enumerate() {
            tree.documents.insert(document.path.clone(), at);
            if !document.name.is_proposal() {
                continue;
            }
            let mut folders = attachments(document);
            tree.own.extend(folders.next().inspect(|own| tree.folders.entry(own.clone()).or_default().push(at)));
            for folder in folders {
                tree.folders.entry(folder).or_default().push(at);
            }
            // One folder for each proposal: what is beside it belongs to it.
            if let Some((folder, file)) = document.path.rsplit_once('/')
                && folder.rsplit('/').next() == file.strip_suffix(".md")
            {
                tree.own.insert(format!("{folder}/"));
                tree.folders.entry(format!("{folder}/")).or_default().push(at);
            }
        }
        tree
    }

    /// The document of a path.
    pub(super) fn document<'a>(&self, corpus: &'a Corpus, path: &str) -> Option<&'a Document> {
        let document = self.documents.get(path).and_then(|at| corpus.documents.get(*at));
        document.or_else(|| self.templates.get(path).and_then(|at| corpus.templates.documents.get(*at)))
    }

    /// The folder of attachments that a path is in, or is.
    pub(super) fn folder(&self, path: &str) -> Option<(&str, &[usize])> {
        folders(path).find_map(|folder| self.folders.get_key_value(&folder)).map(|(folder, whose)| (folder.as_str(), whose.as_slice()))
    }

    /// Whether a path is in a folder of attachments.
    pub(super) fn is_attachment(&self, path: &str) -> bool {
        self.folder(path).is_some()
    }

    /// Whether a path is in a folder with the name of a proposal.
    pub(super) fn is_at_home(&self, path: &str) -> bool {
        folders(path).any(|folder| self.own.contains(&folder))
    }

    /// What a path in a link of a document leads to.
    pub(super) fn look(&self, corpus: &Corpus, document: &str, path: &str) -> Lookup {
        let Some(target) = resolve(document, path) else { return Lookup::Outside };
        let known = self.documents.contains_key(&target) || self.templates.contains_key(&target) || corpus.paths.contains(&target);
        if known || is_folder(corpus, &target) {
            return Lookup::There(target);
        }
        match self.loose(corpus).lower.get(&target.to_lowercase()) {
            Some(real) => Lookup::Case(real.clone()),
            None => Lookup::Missing(target),
        }
    }

    fn loose(&self, corpus: &Corpus) -> &Loose {
        self.loose.get_or_init(|| Loose::of(self, corpus))
    }

    /// What was meant by a path that leads nowhere, as the document would write it.
    pub(super) fn nearest(&self, corpus: &Corpus, document: &Document, path: &str) -> Option<String> {
        let bare = path.trim().trim_matches(['[', ']', '<', '>', '(', ')', '"', '\'']);
        if bare != path
            && let Lookup::There(real) | Lookup::Case(real) = self.look(corpus, &document.path, bare)
        {
            return Some(relative(&document.path, &real));
        }
        let target = resolve(&document.path, bare)?;
        let (folder, file) = target.rsplit_once('/').unwrap_or(("", &target));
        let loose = self.loose(corpus);
        let wanted = normal(file);
        // The same name elsewhere, the same words under another number, or a name that is nearly the same.
        let same = loose.names.get(&wanted).and_then(|paths| best(paths, folder));
        let slug = || Name::read(file).filter(Name::is_proposal).and_then(|name| best(loose.slugs.get(&name.slug)?, folder));
        let near = || {
            let head: String = wanted.chars().take(5).collect();
            let names = loose.names.range(head.clone()..).take_while(|(name, _)| name.starts_with(&head));
            let scored = names.map(|(name, paths)| (strsim::jaro_winkler(name, &wanted), paths)).filter(|(score, _)| *score > 0.9);
            scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).and_then(|(_, paths)| best(paths, folder))
        };
        let real = same.or_else(slug).or_else(near)?;
        Some(relative(&document.path, real))
    }
}

impl Loose {
    fn of(tree: &Tree, corpus: &Corpus) -> Self {
        let mut loose = Self::default();
        let documents = tree.documents.keys().chain(tree.templates.keys());
        let mut paths: Vec<&String> = corpus.paths.iter().chain(documents).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            loose.lower.entry(path.to_lowercase()).or_insert_with(|| path.clone());
            for folder in folders(path).filter(|folder| folder.len() <= path.len()) {
                let folder = folder.trim_end_matches('/');
                loose.lower.entry(folder.to_lowercase()).or_insert_with(|| folder.to_owned());
            }
            let file = path.rsplit('/').next().unwrap_or_default();
            loose.names.entry(normal(file)).or_default().push(path.clone());
            if let Some(name) = Name::read(file).filter(Name::is_proposal) {
                loose.slugs.entry(name.slug).or_default().push(path.clone());
            }
        }
        loose
    }
}

fn normal(file: &str) -> String {
    file.to_lowercase().replace(['_', ' '], "-")
}

/// The one in a folder, else the only one.
fn best<'a>(paths: &'a [String], folder: &str) -> Option<&'a str> {
    let inside = paths.iter().find(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder);
    inside.or_else(|| paths.first().filter(|_| paths.len() == 1)).map(String::as_str)
}

fn is_folder(corpus: &Corpus, path: &str) -> bool {
    let begin = format!("{path}/");
    path.is_empty() || corpus.paths.range(begin.clone()..).next().is_some_and(|next| next.starts_with(&begin))
}

/// A path as if it were a folder, and the folders it is in, the shortest first; each with `/` at its end.
fn folders(path: &str) -> impl Iterator<Item = String> + '_ {
    let ends = path.match_indices('/').map(|(at, _)| at).chain(std::iter::once(path.len()));
    ends.filter_map(|end| path.get(..end)).filter(|folder| !folder.is_empty()).map(|folder| format!("{folder}/"))
}

/// The path of an address, and what follows it: query and anchor.
pub(super) fn split(url: &str) -> (&str, &str) {
    url.split_at(url.find(['#', '?']).unwrap_or(url.len()))
}

/// How a document writes the path of a file.
pub(super) fn relative(document: &str, target: &str) -> String {
    let from: Vec<&str> = document.rsplit_once('/').map_or(Vec::new(), |(folder, _)| folder.split('/').collect());
    let to: Vec<&str> = target.split('/').filter(|part| !part.is_empty()).collect();
    let same = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let up = std::iter::repeat_n("..", from.len() - same);
    let path = encoded(&up.chain(to.into_iter().skip(same)).collect::<Vec<_>>().join("/"));
    // Nothing is no path, and a colon makes another address of it.
    if path.is_empty() || is_outside(&path) { format!("./{path}") } else { path }
}

/// A path as the address of a link.
pub(super) fn encoded(path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter.is_ascii_control() || " \"<>()%#?\\&|`[]'*".contains(letter) {
            // Of bytes there is one: all of these are ASCII.
            let _ = write!(out, "%{:02X}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}
