//! Numbers over several clones: who claims what, what a check stops, what a ledger makes conflict, and a writer that is stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod scratch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dormouse_proposals::model::{Corpus, RefTree};
use dormouse_proposals::numbers::{self, Asked, Change, Claims, Ledger, Plan, Refused, Step};
use dormouse_proposals::tree::{Loaded, Repository, Settings, Source};
use scratch::{attempt, commit, git, init, texts, write};

/// Refs of upstream with their Markdown files.
fn refs() -> Option<(Vec<String>, Vec<RefTree>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/proposals/refs.tsv");
    let Ok(text) = std::fs::read_to_string(file) else {
        eprintln!("SKIPPED: no list of upstream's refs");
        return None;
    };
    let mut refs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, path) in text.lines().filter_map(|line| line.split_once('\t')) {
        refs.entry(name.to_owned()).or_default().push(path.to_owned());
    }
    let trunk = refs.remove("refs/remotes/origin/main").unwrap();
    Some((trunk, refs.into_iter().map(|(name, paths)| RefTree { name, paths, ..RefTree::default() }).collect()))
}

fn lines(claims: &Claims) -> Vec<String> {
    let shared = claims.numbers.iter().filter(|(_, claim)| !claim.others.is_empty() || claim.trunk.len() > 1);
    shared
        .map(|(number, claim)| {
            let others: Vec<&str> = claim.others.iter().map(|other| other.path.rsplit('/').next().unwrap()).collect();
            format!("{number:04}|{}|{}", claim.trunk.len(), others.join(" "))
        })
        .collect()
}

fn malformed(claims: &Claims) -> Vec<&str> {
    claims.malformed.iter().map(|other| other.path.rsplit('/').next().unwrap()).collect()
}

/// Table 2.4, which is for branches alone; and with pull requests.
#[test]
fn claims_are_those_of_table_2_4() {
    let Some((trunk, refs)) = refs() else { return };
    let branches: Vec<RefTree> = refs.iter().filter(|found| !found.name.starts_with("refs/pull/")).cloned().collect();
    let deps = |path: &str| path.starts_with("deps/");
    let claims = Claims::among(&trunk, &branches, deps);
    let wanted = [
        "0001|1|0001-Dynamo-UX.md 0001-dynamo-sdkv2.md",
        "0007|1|0007-test-strategy.md 0007-enable-capture-req-response.md",
        "0008|2|",
        "0010|2|",
        "0011|0|0011-backend-tokenization-fallback.md",
        "0013|1|0013-topology-aware-scheduling.md 0013-pipeline-refactor.md",
        "0014|2|0014-pr-unified-ci-pipeline-view.md 0014-dep-backend-interface.md",
        "0015|1|0015-data-synthesis-tool.md",
        "0016|0|0016-live-aiperf.md 0016-dgd-api-v1beta1-graduation.md",
    ];
    assert_eq!(lines(&claims), wanted);
    assert_eq!(malformed(&claims), ["AIP-001-Plugin-Architecture.md", "AIP-0002-kubernetes-deployment.md", "001-dynamo-model-manager.md"]);
    let here = || trunk.iter().map(String::as_str);
    assert_eq!((numbers::next(&claims, None, here()), claims.pulls), (17, false));

    let claims = Claims::among(&trunk, &refs, deps);
    let count = |number: u32| claims.numbers[&number].others.len();
    assert_eq!((count(1), count(3), count(7), count(13), count(14), count(15), count(16), count(17)), (2, 1, 2, 2, 3, 1, 3, 2));
    assert_eq!((numbers::next(&claims, None, here()), claims.pulls, claims.numbers[&17].trunk.len()), (18, true, 0));
    // A branch and its pull request claim once.
    let own = &claims.numbers[&11].others;
    assert_eq!(
        (own.len(), own[0].refs.as_slice()),
        (1, ["refs/pull/50/head".to_owned(), "refs/remotes/origin/branch-01".to_owned()].as_slice())
    );
}

/// A work tree, read as commands read it.
struct View {
    repository: Repository,
    settings: Settings,
    loaded: Loaded,
    claims: Claims,
    ledger: Option<(String, Option<String>)>,
}

impl View {
    fn of(folder: &Path) -> Self {
        let repository = Repository::open(folder).unwrap();
        let (settings, mut loaded, ledger) = {
            let tree = repository.tree(Source::WorkTree).unwrap();
            let settings = tree.settings().unwrap();
            let loaded = tree.load(&settings.folders).unwrap();
            let ledger = tree.ledger(&settings).unwrap();
            (settings, loaded, ledger)
        };
        (loaded.corpus.trunk, loaded.corpus.refs) = repository.refs().unwrap();
        let claims = Claims::of(&loaded.corpus, |path| settings.has(path));
        Self { repository, settings, loaded, claims, ledger }
    }

    fn corpus(&self) -> &Corpus {
        &self.loaded.corpus
    }

    fn read_ledger(&self) -> Option<Ledger> {
        self.ledger.as_ref().map(|(_, text)| Ledger::read(text.as_deref().unwrap_or_default()))
    }

    fn next(&self) -> u32 {
        let ledger = self.read_ledger();
        numbers::next(&self.claims, ledger.as_ref(), self.corpus().proposals().map(|document| document.path.as_str()))
    }

    fn assign(&self, reference: &str) -> Result<Plan, Refused> {
        self.plan(|asked| numbers::assign(asked, numbers::find(self.corpus(), reference).unwrap(), None))
    }

    fn renumber(&self, reference: &str) -> Result<Plan, Refused> {
        self.plan(|asked| numbers::renumber(asked, numbers::find(self.corpus(), reference).unwrap(), reference, None))
    }

    fn plan(&self, make: impl FnOnce(&Asked<'_>) -> Result<Plan, Refused>) -> Result<Plan, Refused> {
        let tree = self.repository.tree(Source::WorkTree).unwrap();
        let (others, _) = tree.documents(|path| !self.settings.has(path)).unwrap();
        make(&Asked {
            corpus: self.corpus(),
            others: &others,
            config: &self.settings.config,
            claims: &self.claims,
            ledger: self.ledger.as_ref().map(|(path, text)| (path.as_str(), text.as_deref())),
            today: jiff::civil::date(2026, 3, 8),
            by: "@ada",
        })
    }

    fn check(&self, base: &str) -> Vec<(bool, String)> {
        let paths = |source| {
            let tree = self.repository.tree(source).unwrap();
            tree.paths().into_iter().filter(|path| self.settings.has(path)).collect::<Vec<_>>()
        };
        let begin = self.repository.merge_base(base, "HEAD").unwrap();
        let (begin, tip, here) = (paths(Source::Commit(begin)), paths(Source::Commit(base.to_owned())), paths(Source::WorkTree));
        let ledger = self.read_ledger();
        let change = Change { base: &begin, here: &here, tip: &tip, ledger: ledger.as_ref(), tip_ledger: None };
        numbers::check(&change, &self.claims).into_iter().map(|clash| (clash.is_refused(false), clash.message())).collect()
    }
}

const TEXT: &str = "# T\n\n**Status**: Draft\n";

/// A bare remote with the first files on trunk, and two clones of it.
fn team(folder: &Path, files: &[(&str, &str)]) -> (PathBuf, PathBuf, PathBuf) {
    let (remote, one, other) = (folder.join("remote.git"), folder.join("one"), folder.join("other"));
    init(&folder.join("first"), files);
    git(folder, &["clone", "-q", "--bare", "first", "remote.git"]);
    for name in ["one", "other"] {
        git(folder, &["clone", "-q", "remote.git", name]);
    }
    (remote, one, other)
}

#[test]
fn two_clones_and_a_pull_request() {
    let folder = tempfile::tempdir().unwrap();
    let (remote, one, other) = team(folder.path(), &[("deps/0001-a.md", TEXT), ("deps/0002-b.md", TEXT)]);
    // A branch of one clone, pushed; a pull request, which the remote has; a branch of the other clone, its own.
    git(&one, &["checkout", "-q", "-b", "three"]);
    commit(&one, "2026-01-02T00:00:00Z", &[("deps/0003-three.md", TEXT)]);
    git(&one, &["push", "-q", "origin", "three", "HEAD:refs/pull/7/head"]);
    git(&one, &["checkout", "-q", "-b", "five", "main"]);
    commit(&one, "2026-01-03T00:00:00Z", &[("proposals/0005-five.md", TEXT), ("deps/06-six.md", TEXT)]);
    git(&one, &["push", "-q", "origin", "HEAD:refs/pull/8/head"]);
    git(&other, &["checkout", "-q", "-b", "mine"]);
    commit(&other, "2026-01-04T00:00:00Z", &[("deps/0003-mine.md", TEXT)]);
    git(&other, &["fetch", "-q", "origin"]);

    let before = View::of(&other);
    assert_eq!(
        (lines(&before.claims), before.next(), before.claims.pulls),
        (vec!["0003|0|0003-mine.md 0003-three.md".to_owned()], 4, false)
    );
    git(&other, &["fetch", "-q", "origin", "+refs/pull/*/head:refs/pull/*/head"]);
    let view = View::of(&other);
    assert_eq!(lines(&view.claims), ["0003|0|0003-mine.md 0003-three.md", "0005|0|0005-five.md"]);
    assert_eq!((view.next(), view.claims.pulls, malformed(&view.claims)), (6, true, vec!["06-six.md"]));
    assert_eq!(view.claims.numbers[&3].others[1].refs, ["refs/pull/7/head", "refs/remotes/origin/three"]);
    assert_eq!((view.corpus().trunk.as_ref().unwrap().name.as_str(), view.corpus().refs.len()), ("refs/remotes/origin/main", 5));

    // Nothing of trunk is in the way yet: a warning.
    let warned = view.check("origin/main");
    assert_eq!(warned.len(), 1);
    assert!(
        !warned[0].0 && warned[0].1.contains("deps/0003-three.md claims it on refs/pull/7/head, refs/remotes/origin/three"),
        "{warned:?}"
    );
    // The first is merged. Git merges the second without a word; the check stops it.
    git(&one, &["checkout", "-q", "main"]);
    git(&one, &["merge", "-q", "--no-edit", "three"]);
    git(&one, &["push", "-q", "origin", "main"]);
    git(&other, &["fetch", "-q", "origin"]);
    let stopped = View::of(&other).check("origin/main");
    let said = "deps/0003-mine.md: number 0003 is taken: deps/0003-three.md has it on the branch that this goes to";
    assert_eq!(stopped, [(true, said.to_owned())]);
    assert!(attempt(&other, &["merge", "-q", "--no-edit", "origin/main"]).status.success());
    // Merged, the tip is the base, and the two lie side by side.
    let merged = View::of(&other).check("origin/main");
    assert!(merged.iter().all(|(refused, _)| *refused) && merged[0].1.contains("0003-three.md has it"), "{merged:?}");
    assert!(remote.join("HEAD").exists());
}

#[test]
fn a_ledger_makes_the_second_conflict() {
    for how in [&["merge", "--no-edit", "origin/main"][..], &["merge", "--squash", "origin/main"], &["rebase", "origin/main"]] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = "0001 a 2026-01-01 @ada\n";
        let (_, one, other) = team(folder.path(), &[("deps/0001-a.md", TEXT), ("deps/.numbers", ledger)]);
        for (clone, slug) in [(&one, "one"), (&other, "other")] {
            git(clone, &["checkout", "-q", "-b", slug]);
            write(clone, &[(&format!("deps/0000-{slug}.md"), TEXT)]);
            let view = View::of(clone);
            let plan = view.assign(slug).unwrap();
            assert_eq!((plan.number, plan.to.clone()), (2, format!("deps/0002-{slug}.md")));
            view.repository.lock().unwrap().execute(&plan.steps).unwrap();
            commit(clone, "2026-01-02T00:00:00Z", &[]);
        }
        git(&one, &["push", "-q", "origin", "one:main"]);
        git(&other, &["fetch", "-q", "origin"]);
        let out = attempt(&other, how);
        assert!(
            !out.status.success()
                && git(&other, &["status", "--porcelain"]).contains("AA deps/.numbers")
                    | git(&other, &["status", "--porcelain"]).contains("UU deps/.numbers"),
            "{how:?}"
        );
        let text = std::fs::read_to_string(other.join("deps/.numbers")).unwrap();
        let broken = Ledger::read(&text);
        assert!(broken.conflict && broken.problems.iter().any(|problem| problem == "number 0002 is given to one and other"), "{text}");
        // Trunk's line stays, and another number is given.
        let side = if how[0] == "rebase" { "--ours" } else { "--theirs" };
        git(&other, &["checkout", "-q", side, "--", "deps/.numbers"]);
        let view = View::of(&other);
        let plan = view.renumber("deps/0002-other.md").unwrap();
        view.repository.lock().unwrap().execute(&plan.steps).unwrap();
        let ledger = std::fs::read_to_string(other.join("deps/.numbers")).unwrap();
        assert_eq!(ledger, "0001 a 2026-01-01 @ada\n0002 one 2026-03-08 @ada\n0003 other 2026-03-08 @ada\n", "{how:?}");
        assert_eq!(View::of(&other).next(), 4);
    }
}

/// None is begun unasked; where the configuration wants one, the first number begins it.
#[test]
fn a_ledger_is_begun_when_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    init(root, &[("deps/0004-a.md", TEXT), ("deps/0000-b.md", TEXT)]);
    assert_eq!(View::of(root).assign("b").unwrap().line, None);
    write(root, &[("dep.toml", "numbers = { strategy = \"ledger\" }\n")]);
    let view = View::of(root);
    view.repository.lock().unwrap().execute(&view.assign("b").unwrap().steps).unwrap();
    assert_eq!(std::fs::read_to_string(root.join("deps/.numbers")).unwrap(), "0005 b 2026-03-08 @ada\n");
}

/// What a ledger is for is gone where git keeps both lines; that is seen before.
#[test]
fn a_union_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let attributes = "* text=auto\ndeps/.numbers merge=union\n";
    init(root, &[("deps/0001-a.md", TEXT), ("deps/.numbers", "0001 a 2026-01-01 @ada\n"), (".gitattributes", attributes)]);
    let is_union = |path: &str| {
        let repository = Repository::open(root).unwrap();
        let texts = repository.tree(Source::WorkTree).unwrap().attributes(path).unwrap();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(folder, text)| (folder.as_str(), text.as_str())).collect();
        numbers::is_union(path, &texts)
    };
    assert!(is_union("deps/.numbers") && !is_union("deps/0001-a.md"));
    for slug in ["one", "other"] {
        git(root, &["checkout", "-q", "-b", slug, "main"]);
        let ledger = format!("0001 a 2026-01-01 @ada\n0002 {slug} 2026-01-02 @ada\n");
        commit(root, "2026-01-02T00:00:00Z", &[("deps/.numbers", &ledger), (&format!("deps/0002-{slug}.md"), TEXT)]);
    }
    assert!(attempt(root, &["merge", "-q", "--no-edit", "one"]).status.success());
    let ledger = Ledger::read(&std::fs::read_to_string(root.join("deps/.numbers")).unwrap());
    assert_eq!(ledger.problems, ["number 0002 is given to one and other"]);
    write(root, &[("deps/.gitattributes", ".numbers text eol=lf merge\n")]);
    assert!(!is_union("deps/.numbers"));
}

#[test]
fn a_stopped_writer_goes_on() {
    let files = [
        ("README.md", "[idle](deps/0000-idle.md)\n"),
        ("deps/.numbers", "0001 a 2026-01-01 @ada\n"),
        ("deps/0000-idle.md", "\u{feff}# Idle\r\n\r\n**Status**: Draft\r\n\r\n![p](0000-idle/p.svg)"),
        ("deps/0000-idle/p.svg", "<svg/>"),
        ("deps/0001-a.md", "# A\n\n[DEP-0000 Idle](./0000-idle.md#x)\n"),
    ];
    let end = |stop: Option<usize>| {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), &files);
        let view = View::of(folder.path());
        let plan = view.assign("idle").unwrap();
        let lock = view.repository.lock().unwrap();
        lock.execute(&plan.steps[..stop.unwrap_or(plan.steps.len())]).unwrap();
        drop(lock);
        let again = View::of(folder.path());
        match again.assign("idle") {
            Ok(rest) => again.repository.lock().unwrap().execute(&rest.steps).unwrap(),
            Err(refused) => assert!(matches!(refused, Refused::Numbered { number: 2, .. }), "{refused}"),
        }
        let git_folder: Vec<String> =
            std::fs::read_dir(folder.path().join(".git")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!git_folder.iter().any(|name| name.contains("dormouse-dep.new")), "{git_folder:?}");
        (texts(folder.path()), plan.steps.len())
    };
    let (whole, steps) = end(None);
    let wanted = [
        ("README.md", "[idle](deps/0002-idle.md)\n"),
        ("deps/.numbers", "0001 a 2026-01-01 @ada\n0002 idle 2026-03-08 @ada\n"),
        ("deps/0001-a.md", "# A\n\n[DEP-0002 Idle](./0002-idle.md#x)\n"),
        ("deps/0002-idle.md", "\u{feff}# Idle\r\n\r\n**Status**: Draft\r\n\r\n![p](0002-idle/p.svg)"),
        ("deps/0002-idle/p.svg", "<svg/>"),
    ];
    assert_eq!((whole.clone(), steps), (wanted.map(|(path, text)| (path.to_owned(), text.to_owned())).to_vec(), 6));
    for stop in 0..steps {
        assert_eq!(end(Some(stop)).0, whole, "stopped after {stop}");
    }
}

#[test]
fn nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let root = folder.path();
    init(root, &[("deps/0000-idle.md", TEXT), ("deps/0001-a.md", "[x](0000-idle.md)\n")]);
    let view = View::of(root);
    let plan = view.assign("idle").unwrap();
    // Somebody saves the file meanwhile.
    write(root, &[("deps/0001-a.md", "[x](0000-idle.md) more\n")]);
    let lock = view.repository.lock().unwrap();
    let error = lock.execute(&plan.steps).unwrap_err();
    assert_eq!(
        (error.exit(), error.to_string().as_str()),
        (3, "deps/0001-a.md was changed since it was read; nothing was written to it, run this again")
    );
    assert!(root.join("deps/0000-idle.md").exists());
    // Nobody else writes while somebody has the lock.
    let elsewhere = Repository::open(root).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| elsewhere.lock().map(|_| ()));
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!waiting.is_finished());
        drop(lock);
        waiting.join().unwrap().unwrap();
    });
    // A folder that leads out of the tree is not written into; neither is a file.
    std::os::unix::fs::symlink(outside.path(), root.join("out")).unwrap();
    std::fs::write(outside.path().join("x.md"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path().join("x.md"), root.join("x.md")).unwrap();
    let lock = elsewhere.lock().unwrap();
    for path in ["out/x.md", "x.md"] {
        let step = Step::Write { path: path.to_owned(), was: Some("x".into()), text: "y".to_owned() };
        assert!(lock.execute(&[step]).unwrap_err().to_string().contains("leads out of the tree"), "{path}");
    }
    assert_eq!(std::fs::read_to_string(outside.path().join("x.md")).unwrap(), "x");
    // What is there is not renamed over.
    let step = Step::Rename { from: "deps/0000-idle.md".to_owned(), to: "deps/0001-a.md".to_owned() };
    assert_eq!(
        lock.execute(&[step]).unwrap_err().to_string(),
        "deps/0001-a.md was made since it was read; nothing was written to it, run this again"
    );
    // A link within the tree stays one, and rights stay.
    std::os::unix::fs::symlink("0001-a.md", root.join("deps/0009-link.md")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(root.join("deps/0001-a.md"), mode(0o640)).unwrap();
    lock.replace("deps/0009-link.md", Some("[x](0000-idle.md) more\n"), "new\n").unwrap();
    assert_eq!(std::fs::read_to_string(root.join("deps/0001-a.md")).unwrap(), "new\n");
    assert!(std::fs::symlink_metadata(root.join("deps/0009-link.md")).unwrap().is_symlink());
    let rights = std::fs::metadata(root.join("deps/0001-a.md")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&rights) & 0o777, 0o640);
}
