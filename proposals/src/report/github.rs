//! For GitHub: commands of a workflow, and a page for its summary. The forge shows about ten of each level and step, so that the worst
//! come first, and all are on the page.

use super::{Texts, shown, summary, word};
use crate::finding::{Finding, Severity};
use crate::lint::Report;
use crate::model::Corpus;

/// Commands, a line each.
#[must_use]
pub fn commands(report: &Report, corpus: &Corpus, notes: bool) -> String {
    let texts = Texts::of(corpus);
    sorted(report, notes).into_iter().map(|finding| command(finding, &texts)).collect()
}

fn sorted(report: &Report, notes: bool) -> Vec<&Finding> {
    let mut all: Vec<&Finding> = shown(report, notes).collect();
    all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    all
}

fn command(finding: &Finding, texts: &Texts<'_>) -> String {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let mut properties = Vec::new();
    if !finding.path.is_empty() {
        let (start, end) = texts.places(&finding.path, finding.span);
        properties.push(format!("file={}", property(&finding.path)));
        properties.push(format!("line={},endLine={}", start.line, end.line));
        // Columns of two lines mean nothing to the forge.
        if start.line == end.line {
            properties.push(format!("col={},endColumn={}", start.column, end.column));
        }
    }
    properties.push(format!("title={}", property(finding.id)));
    let said = [&finding.message].into_iter().chain(&finding.notes).chain(&finding.help).map(String::as_str).collect::<Vec<_>>();
    format!("::{level} {}::{}\n", properties.join(","), data(&said.join("\n")))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The page for `GITHUB_STEP_SUMMARY`, in Markdown.
#[must_use]
pub fn page(report: &Report, corpus: &Corpus, notes: bool) -> String {
    let texts = Texts::of(corpus);
    let mut out = format!("### Proposals: {}\n", summary(report, notes));
    let all = sorted(report, notes);
    if all.is_empty() {
        return out;
    }
    out += "\n| | Rule | Where | What |\n|---|---|---|---|\n";
    for finding in all {
        let (start, _) = texts.places(&finding.path, finding.span);
        let place = if finding.path.is_empty() { String::new() } else { format!("{}:{}", finding.path, start.line) };
        let cell = |text: &str| text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ");
        out += &format!("| {} | {} | {} | {} |\n", word(finding.severity), finding.id, cell(&place), cell(&finding.message));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::lint::{Before, Options, lint};
    use crate::rules::testing::Repository;

    #[test]
    fn errors_come_first_and_nothing_breaks_out() {
        let text = "# A title: with 100%\n\n**Status**: Draft\n\n**Replaces**: [x|y](0009-%0A,b.md)\n";
        let repository = Repository::of(&[("deps/0001-a,b:c.md", text), ("deps/0003-b.md", "# B.\n")]);
        let options = Options { only: ["F001", "F003", "F007", "X001"].map(str::to_owned).to_vec(), ..Options::default() };
        let report = lint(&repository.corpus, &Config::default(), &options, &Before::default());
        let commands = commands(&report, &repository.corpus, true);
        let lines: Vec<&str> = commands.lines().collect();
        assert_eq!(lines.len(), 4, "{commands}");
        assert!(lines[0].starts_with("::error file=deps/0001-a%2Cb%3Ac.md,line=1,endLine=1,col=1,endColumn=1,title=F001::"), "{commands}");
        assert!(lines[1].contains("title=X001::Replaces names deps/0009-%0A,b.md, which"), "{commands}");
        assert!(lines[2].starts_with("::notice title=F003::2 is") && lines[3].contains("title=F007"), "{commands}");
        let page = page(&report, &repository.corpus, true);
        assert!(page.contains("### Proposals: 2 errors, 2 notes") && page.lines().all(|line| !line.contains("x|y")), "{page}");
    }
}
