//! G: what is generated.

use super::{Check, Context, Mend, Needs, Rule, Sink};
use crate::finding::Severity::Error;
use crate::index;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "G001",
        name: "index-stale",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Configured,
        about: "The index that dep.toml names says something else than the proposals do. `dormouse dep index` writes it anew.",
        check: Check::Repository(stale),
    },
    Rule {
        id: "G002",
        name: "owners-stale",
        severity: Error,
        mend: Mend::Safe,
        needs: Needs::Configured,
        about: "The generated part of CODEOWNERS says something else than the proposals do.",
        check: Check::Later,
    },
    Rule {
        id: "G003",
        name: "ledger-order",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Configured,
        about: "The ledger of numbers is not strictly rising, or a line of it changed.",
        check: Check::Later,
    },
];

fn stale(context: &Context<'_>, sink: &mut Sink<'_>) {
    for (path, why) in index::stale(context.corpus, context.config) {
        let finding = sink.file(&path, "index", why);
        finding.help = Some("dormouse dep index".to_owned());
    }
}
