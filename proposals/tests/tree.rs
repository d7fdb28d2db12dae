//! Files and git: what is read from where, with what history, and what is said when something is not as it should be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod scratch;

use std::path::Path;

use dormouse_proposals::config::Config;
use dormouse_proposals::model::Corpus;
use dormouse_proposals::rules::{self, Context};
use dormouse_proposals::tree::{Error, Repository, Source, parse_bodies};
use scratch::{commit, git, git_on, init, upstream, write};

const A: &str = "# A\n\n**Status**: Draft\n";

fn open(folder: &Path) -> Repository {
    Repository::open(folder).unwrap()
}

/// Paths of the documents, and what is said of files that are none.
fn load(repository: &Repository, source: Source) -> (Vec<String>, Vec<String>) {
    let tree = repository.tree(source).unwrap();
    let loaded = tree.load(&tree.settings().unwrap().folders).unwrap();
    let paths = loaded.corpus.documents.iter().map(|document| document.path.clone()).collect();
    (paths, loaded.troubles.iter().map(ToString::to_string).collect())
}

fn titles(corpus: &Corpus) -> Vec<&str> {
    corpus.documents.iter().filter_map(|document| document.title()).collect()
}

/// Table 2.3, with corrections: rules with a clock, on the first of June.
#[test]
fn clocks_are_those_of_table_2_3() {
    let Some((clone, _keep)) = upstream() else { return };
    let repository = open(&clone);
    let tree = repository.tree(Source::Commit("dfdfb78".to_owned())).unwrap();
    let settings = tree.settings().unwrap();
    assert_eq!((settings.folders.as_slice(), settings.path.as_deref()), (["deps".to_owned()].as_slice(), None));
    let mut loaded = tree.load(&settings.folders).unwrap();
    assert_eq!((loaded.corpus.proposals().count(), loaded.corpus.templates.documents.len(), loaded.troubles.len()), (18, 2, 0));
    loaded.corpus.history = repository.history("dfdfb78", &settings.folders).unwrap();
    loaded.corpus.today = Some(jiff::civil::date(2026, 6, 1));
    let config = Config::default();
    let mut context = Context::new(&loaded.corpus, &config);
    (context.trunk, context.clock) = (true, true);
    let findings = rules::run(&context, |rule| ["R003", "R007", "R008", "F002"].contains(&rule.id));
    let file = |path: &str| path.trim_start_matches("deps/").to_owned();
    let of = |id: &str| findings.iter().filter(|finding| finding.id == id).map(|f| (file(&f.path), f.message.clone())).collect::<Vec<_>>();
    let names = |id: &str| of(id).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!(names("R003"), ["0007-velonix-cicd-solution.md", "0010-container-strategy.md"]);
    assert!(of("R003")[1].1.contains("318 days"), "{:?}", of("R003"));
    let stale: Vec<(String, bool)> = of("R007")
        .into_iter()
        .zip(["264", "264", "132"])
        .map(|((path, message), days)| (path, message.contains(&format!("{days} days"))))
        .collect();
    let wanted = ["0008-testing-strategy.md", "0009-testing-in-ci-strategy.md", "0012-docker-templating.md"];
    assert_eq!(stale, wanted.map(|path| (path.to_owned(), true)), "{:?}", of("R007"));
    let due: Vec<String> = names("R008").iter().map(|path| path[..9].to_owned()).collect();
    let wanted = ["0000-dep-", "0001-stre", "0002-dep-", "0003-resp", "0004-obse", "0005-llm-", "0006-buil", "0008-dyna"];
    assert_eq!(due, wanted);
    // The keepers are those that came first; the others are told to take another number.
    let others: Vec<&str> =
        findings.iter().filter(|f| f.id == "F002" && f.help.is_some()).map(|f| f.path.trim_start_matches("deps/")).collect();
    assert_eq!(others, ["0008-testing-strategy.md", "0010-python-frontend.md", "0014-automated-dependency-upgrades.md"]);
    let touched = |name: &str| loaded.corpus.touched(loaded.corpus.documents.iter().find(|d| d.path.ends_with(name)).unwrap()).unwrap();
    assert_eq!(touched("0014-automated-dependency-upgrades.md").to_string(), "2026-05-12");
}

#[test]
fn each_state_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    init(root, &[("deps/0001-a.md", A), ("deps/0002-b.md", A), (".gitignore", "build/\n*.tmp.md\n"), ("NNNN-x-template.md", A)]);
    write(root, &[("deps/0002-b.md", "# Staged\n"), ("deps/0003-c.md", "# C\n")]);
    git(root, &["add", "--all"]);
    write(root, &[("deps/0002-b.md", "# Work\n"), ("deps/0004-d.md", "# D\n"), ("build/0005-x.md", A), ("deps/0006.tmp.md", A)]);
    write(root, &[("deps/0007-kept.tmp.md", "# Kept\n"), ("deps/sub/é \"q\"\n0008-x.md", "# Odd\n"), (".github/x.md", A)]);
    git(root, &["add", "--force", "deps/0007-kept.tmp.md"]);
    let repository = open(&root.join("deps/sub"));
    assert_eq!((repository.start(), repository.path(Path::new("../0001-a.md")).as_deref()), ("deps/sub", Some("deps/0001-a.md")));
    assert_eq!(repository.path(Path::new("../../../x")), None);
    let read = |source| {
        let tree = repository.tree(source).unwrap();
        tree.load(&tree.settings().unwrap().folders).unwrap().corpus
    };
    let work = read(Source::WorkTree);
    assert_eq!(titles(&work), ["A", "Work", "C", "D", "Kept", "Odd"]);
    assert_eq!(titles(&read(Source::Index)), ["A", "Staged", "C", "Kept"]);
    let committed = read(Source::Commit("HEAD".to_owned()));
    assert_eq!((titles(&committed), committed.templates.documents.len()), (vec!["A", "A"], 1));
    assert!(work.paths.contains("deps/sub/é \"q\"\n0008-x.md") && work.paths.contains(".github/x.md"));
    assert!(!work.paths.contains("build/0005-x.md") && !work.paths.iter().any(|path| path.starts_with(".git/")));
    // Committed, the odd name comes out as the same, and so does its history.
    git(root, &["add", "--all"]);
    git_on(root, "2026-02-02T23:00:00-05:00", &["commit", "-q", "-m", "x"]);
    let now = read(Source::Commit("HEAD".to_owned()));
    assert_eq!(titles(&now), titles(&work));
    let history = repository.history("HEAD", &["deps".to_owned()]).unwrap();
    assert_eq!(history["deps/sub/é \"q\"\n0008-x.md"].order, 1);
    assert_eq!(dormouse_proposals::model::day(history["deps/0002-b.md"].touched).unwrap().to_string(), "2026-02-03");
    parse_bodies(&now.documents);
}

#[test]
fn settings_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    init(root, &[("docs/proposals/0001-a.md", A), ("docs/proposals/dep.toml", "categories = [\"X\"]\n"), ("x/y/z.md", A)]);
    let settings = |start: &str| {
        let repository = open(&root.join(start));
        repository.tree(Source::WorkTree).unwrap().settings().map(|s| (s.path, s.folders, s.config.categories.len()))
    };
    let found = |path: &str, folders: &[&str], categories| {
        (Some(path.to_owned()), folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>(), categories)
    };
    // Beside the proposals, from anywhere; nearer ones win; `deps` before `docs/proposals`.
    assert_eq!(settings("x/y").unwrap(), found("docs/proposals/dep.toml", &["docs/proposals"], 1));
    write(root, &[("dep.toml", "proposals = [\"x/y/\", \"./docs/proposals\"]\n")]);
    assert_eq!(settings("x/y").unwrap(), found("dep.toml", &["x/y", "docs/proposals"], 3));
    write(root, &[("x/dep.toml", ""), ("deps/0001-x.md", A)]);
    assert_eq!(settings("x/y").unwrap(), found("x/dep.toml", &["deps"], 3));
    assert_eq!(settings("").unwrap(), found("dep.toml", &["x/y", "docs/proposals"], 3));
    for (text, wanted) in [
        ("proposals = [\"none\"]", "dep.toml: proposals: there is no folder \"none\" in the repository"),
        ("proposals = [\"../x\"]", "there is no folder \"../x\""),
        ("categores = []", "did you mean \"categories\"?"),
    ] {
        write(root, &[("dep.toml", text)]);
        let error = settings("").unwrap_err();
        assert!(error.exit() == 2 && error.to_string().contains(wanted), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let error = open(empty.path()).tree(Source::WorkTree).unwrap().settings().unwrap_err();
    assert!(error.exit() == 2 && error.to_string().contains("no folder deps and no docs/proposals"), "{error}");
}

/// One message for each file that is not as it should be; all others are read.
#[test]
fn odd_files_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let root = folder.path();
    init(root, &[("deps/0001-a.md", A), ("archive/0002-old.md", "# Old\n")]);
    let at = |name: &str| root.join("deps").join(name);
    std::fs::write(at("0003-latin.md"), b"# Caf\xe9\n").unwrap();
    std::fs::write(at("0004-large.md"), "x".repeat(3 << 20)).unwrap();
    std::fs::write(at("0005-deep.md"), ">".repeat(10_000)).unwrap();
    std::fs::write(outside.path().join("x.md"), A).unwrap();
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, at(name)).unwrap();
    link(outside.path().join("x.md").to_str().unwrap(), "0006-out.md");
    link("../archive/0002-old.md", "0007-in.md");
    link("nothing.md", "0008-none.md");
    link("../../../../../../../etc/hostname", "0009-up.md");
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"0010-\xff.md");
    std::fs::write(root.join("deps").join(odd), A).unwrap();
    std::fs::create_dir(at("0011-folder.md")).unwrap();
    std::fs::write(at("0011-folder.md/x.txt"), "").unwrap();
    git(root, &["add", "--all"]);
    git(root, &["commit", "-q", "-m", "x"]);
    let repository = open(root);
    for source in [Source::WorkTree, Source::Index, Source::Commit("HEAD".to_owned())] {
        let (paths, troubles) = load(&repository, source.clone());
        assert_eq!(paths, ["deps/0001-a.md", "deps/0007-in.md"], "{source:?}");
        let wanted = [
            "deps/0003-latin.md: not read: byte 5 is not UTF-8; save it as UTF-8",
            "deps/0004-large.md: not read: it has 3145728 bytes, more than 2097152",
            "deps/0005-deep.md: not read: lists and quotations are 10000 deep",
            "deps/0006-out.md: not read: it is a link out of the tree, to /",
            "deps/0008-none.md: not read: it is a link that leads nowhere",
            "deps/0009-up.md: not read: it is a link",
            "deps/0010-\u{fffd}.md: not read: its name is not UTF-8; rename it",
        ];
        assert_eq!(troubles.len(), wanted.len(), "{source:?} {troubles:#?}");
        for (trouble, wanted) in troubles.iter().zip(wanted) {
            assert!(trouble.starts_with(wanted), "{source:?}: {trouble}\n{wanted}");
        }
    }
}

#[test]
fn without_git_files_are_read_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("deps/0001-a.md", A), (".gitignore", "deps/0002*\n"), ("deps/0002-b.md", A)]);
    let repository = open(folder.path());
    assert_eq!(load(&repository, Source::WorkTree), (vec!["deps/0001-a.md".to_owned()], vec![]));
    for error in [
        repository.tree(Source::Index).unwrap_err(),
        repository.tree(Source::Commit("HEAD".to_owned())).unwrap_err(),
        repository.history("HEAD", &[]).unwrap_err(),
        repository.refs().unwrap_err(),
        repository.merge_base("a", "b").unwrap_err(),
    ] {
        let said = error.to_string();
        assert!(error.exit() == 3 && said.contains("needs git, and this folder is in no repository; run `git init`"), "{said}");
    }
    assert_eq!(Repository::open(&folder.path().join("none")).unwrap_err().exit(), 2);
    assert_eq!(Repository::open(&folder.path().join(".gitignore")).unwrap_err().exit(), 2);
    // One may write there, one at a time.
    let lock = repository.lock().unwrap();
    lock.replace("deps/0001-a.md", Some(A), "# B\n").unwrap();
    assert_eq!(scratch::texts(folder.path()).len(), 3);
}

#[test]
fn clones_without_all_commits_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let origin = folder.path().join("origin");
    init(&origin, &[("deps/0001-a.md", A)]);
    let repository = open(&origin);
    let begin = repository.commit("HEAD").unwrap();
    git(&origin, &["checkout", "-q", "-b", "side"]);
    commit(&origin, "2026-01-02T00:00:00Z", &[("deps/0002-b.md", A)]);
    git(&origin, &["checkout", "-q", "main"]);
    commit(&origin, "2026-01-03T00:00:00Z", &[("deps/0003-c.md", A)]);
    assert_eq!(repository.merge_base("side", "main").unwrap(), begin);
    let error = |result: Result<String, Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.exit(), 3);
        error.to_string()
    };
    let missing = error(repository.merge_base("origin/main", "HEAD"));
    let fetch = "git fetch origin '+refs/heads/main:refs/remotes/origin/main'";
    assert_eq!(missing, format!("origin/main is no commit of this clone; fetch it: {fetch}"));
    assert!(error(repository.commit("--all")).contains("--all is no commit"));
    assert!(error(repository.commit("refs/pull/7/head")).contains("'+refs/pull/7/head:refs/pull/7/head'"));
    git(&origin, &["checkout", "-q", "--orphan", "alone"]);
    git(&origin, &["commit", "-q", "-m", "alone"]);
    assert!(error(repository.merge_base("main", "alone")).starts_with("main and alone have no common commit in this clone; fetch"));

    git(&origin, &["checkout", "-q", "--detach", "main"]);
    let detached = open(&origin);
    assert_eq!(detached.trunk().unwrap().unwrap().name, "refs/heads/main");
    assert_eq!(load(&detached, Source::WorkTree).0.len(), 2);

    let url = format!("file://{}", origin.display());
    git(folder.path(), &["clone", "-q", "--depth", "1", "--no-single-branch", &url, "shallow"]);
    git(&folder.path().join("shallow"), &["checkout", "-q", "main"]);
    let shallow = open(&folder.path().join("shallow"));
    assert!(shallow.is_shallow());
    let history = shallow.history("HEAD", &["deps".to_owned()]).unwrap_err();
    let said = "this clone is shallow, and the history of files needs all commits of trunk; fetch them: git fetch --unshallow origin";
    assert_eq!((history.exit(), history.to_string().as_str()), (3, said));
    let base = error(shallow.merge_base("origin/side", "HEAD"));
    assert!(base.contains("which is shallow; fetch their history: git fetch --unshallow origin '+refs/heads/side"), "{base}");

    // Nothing committed, and nothing but commits.
    git(folder.path(), &["init", "-q", "new"]);
    assert_eq!(open(&folder.path().join("new")).refs().unwrap(), (None, vec![]));
    git(folder.path(), &["clone", "-q", "--bare", &url, "bare.git"]);
    let bare = open(&folder.path().join("bare.git"));
    assert_eq!(load(&bare, Source::Commit("main".to_owned())).0, ["deps/0001-a.md", "deps/0003-c.md"]);
    assert_eq!((bare.tree(Source::WorkTree).unwrap_err().exit(), bare.lock().unwrap_err().exit()), (2, 2));
}

#[test]
fn a_file_that_came_again_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    init(root, &[("deps/0001-a.md", A), ("deps/0002-b.md", A)]);
    git(root, &["rm", "-q", "deps/0001-a.md"]);
    git_on(root, "2026-01-02T00:00:00Z", &["commit", "-q", "-m", "x"]);
    git(root, &["checkout", "-q", "-b", "side"]);
    commit(root, "2026-01-03T00:00:00Z", &[("deps/0001-a.md", A)]);
    commit(root, "2026-01-04T00:00:00Z", &[("deps/0001-a.md", "# Later\n")]);
    git(root, &["checkout", "-q", "main"]);
    git_on(root, "2026-01-05T00:00:00Z", &["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    let history = open(root).history("main", &["deps".to_owned()]).unwrap();
    let days = |path: &str| [history[path].added, history[path].touched].map(|s| dormouse_proposals::model::day(s).unwrap().to_string());
    // It came with the merge: what the branch did before is not trunk's.
    assert_eq!(days("deps/0001-a.md"), ["2026-01-05", "2026-01-05"]);
    assert_eq!(days("deps/0002-b.md"), ["2026-01-01", "2026-01-01"]);
    assert!(history["deps/0002-b.md"].order < history["deps/0001-a.md"].order);
}
