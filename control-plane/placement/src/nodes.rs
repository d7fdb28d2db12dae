//! Which nodes a Pod's own spec admits and prefers, parsed once.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_machinery::selector::{Operator, Requirement};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

/// Node selector and node affinity of a Pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeRules {
    selector: BTreeMap<String, String>,
    /// Any of them must hold. Terms that can match nothing are left out: an empty list admits no node.
    required: Option<Vec<Term>>,
    preferred: Vec<(i64, Term)>,
    reach: Reach,
}

/// Which nodes the required terms name (`matchFields: metadata.name In`), where each of them names some. kube-scheduler looks
/// at no others.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Reach {
    /// Some term names none.
    #[default]
    All,
    /// These.
    Named(BTreeSet<String>),
    /// Each term contradicts itself.
    Conflict,
}

/// All conditions hold. Of fields there is the name alone.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    labels: Vec<Requirement>,
    /// A name, and whether it must be this one or must not.
    names: Vec<(String, bool)>,
}

impl NodeRules {
    /// The rules of a Pod.
    #[must_use]
    pub fn of(spec: &PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
        Self {
            selector: spec.node_selector.clone().unwrap_or_default(),
            required: required.map(|r| r.node_selector_terms.iter().filter_map(Term::of).collect()),
            preferred: preferred.into_iter().flatten().filter_map(|p| Some((i64::from(p.weight), Term::of(&p.preference)?))).collect(),
            reach: required.map(|r| reach(&r.node_selector_terms)).unwrap_or_default(),
        }
    }

    /// Whether the Pod may be on a node of this name with these labels: it has all labels of the node selector, and one of the
    /// required terms holds where there are any.
    #[must_use]
    pub fn admits(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.holds(name, labels)))
    }

    /// The sum of the weights of the preferred terms that hold.
    #[must_use]
    pub fn preference(&self, name: &str, labels: &BTreeMap<String, String>) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.holds(name, labels)).map(|(weight, _)| weight).sum()
    }

    /// Whether there is anything to prefer.
    #[must_use]
    pub fn prefer(&self) -> bool {
        !self.preferred.is_empty()
    }

    /// Which nodes are named.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }
}

impl Term {
    /// `None` for what can match nothing: a term without conditions, or with one that makes no sense (an unknown operator, a
    /// number of values that the operator does not take, an unknown field).
    fn of(term: &NodeSelectorTerm) -> Option<Self> {
        let labels: Vec<_> = term.match_expressions.iter().flatten().map(label).collect::<Option<_>>()?;
        let names: Vec<_> = term.match_fields.iter().flatten().map(name).collect::<Option<_>>()?;
        (!labels.is_empty() || !names.is_empty()).then_some(Self { labels, names })
    }

    fn holds(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|r| r.matches_value(labels.get(r.key()).map(String::as_str)))
            && self.names.iter().all(|(wanted, this)| (wanted == name) == *this)
    }
}

fn label(e: &NodeSelectorRequirement) -> Option<Requirement> {
    Requirement::new(&e.key, Operator::from_expression(&e.operator)?, e.values.clone().unwrap_or_default()).ok()
}

/// A name is no label value: it may be longer.
fn name(e: &NodeSelectorRequirement) -> Option<(String, bool)> {
    match (e.key.as_str(), e.operator.as_str(), e.values.as_deref()) {
        ("metadata.name", "In", Some([one])) => Some((one.clone(), true)),
        ("metadata.name", "NotIn", Some([one])) => Some((one.clone(), false)),
        _ => None,
    }
}

fn reach(terms: &[NodeSelectorTerm]) -> Reach {
    let mut all = BTreeSet::new();
    for term in terms {
        let fields = term.match_fields.iter().flatten().filter(|e| e.key == "metadata.name" && e.operator == "In");
        let named = fields.map(|e| e.values.iter().flatten().cloned().collect::<BTreeSet<_>>()).reduce(|a, b| &a & &b);
        match named {
            Some(named) => all.extend(named),
            None => return Reach::All,
        }
    }
    match (terms.is_empty(), all.is_empty()) {
        (true, _) => Reach::All,
        (false, true) => Reach::Conflict,
        (false, false) => Reach::Named(all),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "`json!(…)` as an argument reads better than a reference to it")]

    use serde_json::{Value, json};

    use super::*;

    fn rules(spec: Value) -> NodeRules {
        let mut whole = json!({"containers": []});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        NodeRules::of(&serde_json::from_value(whole).unwrap())
    }

    fn required(terms: Value) -> NodeRules {
        rules(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}))
    }

    fn labels() -> BTreeMap<String, String> {
        [("slots", "8"), ("gpu", "h100")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn selectors_need_every_label() {
        let admits = |selector: Value| rules(json!({"nodeSelector": selector})).admits("a", &labels());
        assert!(admits(json!({})) && admits(json!({"gpu": "h100", "slots": "8"})));
        assert!(!admits(json!({"gpu": "l40s"})) && !admits(json!({"gpu": "h100", "zone": "x"})));
    }

    #[test]
    fn expressions_mean_what_kubernetes_says() {
        let fits = |place: &str, key: &str, operator: &str, values: &[&str]| {
            required(json!([{place: [{"key": key, "operator": operator, "values": values}]}])).admits("a", &labels())
        };
        let label = |operator: &str, values: &[&str]| fits("matchExpressions", "slots", operator, values);
        assert!(label("In", &["4", "8"]) && !label("In", &["4"]) && label("NotIn", &["4"]) && !label("NotIn", &["8"]));
        assert!(label("Exists", &[]) && !label("DoesNotExist", &[]) && label("Gt", &["7"]) && !label("Gt", &["8"]) && label("Lt", &["9"]));
        assert!(fits("matchExpressions", "none", "DoesNotExist", &[]) && fits("matchExpressions", "none", "NotIn", &["x"]));
        assert!(!fits("matchExpressions", "none", "Gt", &["1"]) && !fits("matchExpressions", "gpu", "Gt", &["1"]));
        // What makes no sense matches nothing, whatever it would say of an absent label.
        let nonsense = [("Near", &["8"][..]), ("NotIn", &[]), ("Gt", &["7", "6"]), ("Gt", &["x"]), ("Exists", &["8"])];
        assert!(nonsense.iter().all(|(operator, values)| !label(operator, values)));
        let field = |operator: &str, values: &[&str]| fits("matchFields", "metadata.name", operator, values);
        assert!(field("In", &["a"]) && !field("In", &["b"]) && field("NotIn", &["b"]) && !field("NotIn", &["a"]));
        assert!(!field("In", &["a", "b"]) && !field("Exists", &[]) && !fits("matchFields", "spec.x", "NotIn", &["b"]));
    }

    #[test]
    fn one_term_is_enough_and_an_empty_one_is_none() {
        let good = json!({"matchExpressions": [{"key": "gpu", "operator": "Exists"}]});
        let bad = json!({"matchExpressions": [{"key": "gpu", "operator": "Near"}]});
        assert!(required(json!([bad, good])).admits("a", &labels()));
        assert!(!required(json!([{}, bad])).admits("a", &labels()) && !required(json!([])).admits("a", &labels()));
    }

    #[test]
    fn preferences_add_up() {
        let term = |weight: i32, value: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": "gpu", "operator": "In", "values": [value]}]}});
        let preferred = json!([term(3, "h100"), term(5, "l40s"), term(7, "h100"), {"weight": 9, "preference": {}}]);
        let rules = rules(json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}));
        assert_eq!((rules.preference("a", &labels()), rules.prefer()), (10, true));
        assert_eq!(rules.preference("a", &BTreeMap::new()), 0);
    }

    #[test]
    fn terms_that_name_nodes_reach_no_others() {
        let named = |names: &[&str]| json!({"key": "metadata.name", "operator": "In", "values": names});
        let reach = |terms: Value| required(terms).reach().clone();
        let these = |names: &[&str]| Reach::Named(names.iter().map(|n| (*n).to_owned()).collect());
        assert_eq!(reach(json!([{"matchFields": [named(&["a"])]}, {"matchFields": [named(&["b"])]}])), these(&["a", "b"]));
        assert_eq!(reach(json!([{"matchFields": [named(&["a"]), named(&["b"])]}])), Reach::Conflict);
        let other = json!({"matchExpressions": [{"key": "gpu", "operator": "Exists"}]});
        assert_eq!(reach(json!([{"matchFields": [named(&["a"])]}, other])), Reach::All);
        assert_eq!((reach(json!([])), rules(json!({})).reach()), (Reach::All, &Reach::All));
    }
}
