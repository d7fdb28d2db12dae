//! What Pods say of other Pods, parsed once: affinity and anti-affinity.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_machinery::selector::{Operator, Requirement, Selector};
use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// The labels of each namespace.
pub(crate) type Namespaces = BTreeMap<String, Labels>;

/// What other Pods' rules see of a Pod, and its own rules about others. Pods of one kind count together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// Namespace.
    pub(crate) namespace: String,
    /// Labels.
    pub(crate) labels: Labels,
    /// Being deleted: topology spread counts it no longer.
    pub(crate) deleting: bool,
    /// UID of the ReplicaSet, ReplicationController or StatefulSet that controls it.
    pub(crate) controller: Option<String>,
    /// Its rules about other Pods.
    pub(crate) rules: Rules,
}

/// The rules of a Pod about other Pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    /// Where Pods of all of these are, it must be.
    pub(crate) affinity: Vec<Term>,
    /// Where a Pod of one of these is, it must not be.
    pub(crate) anti_affinity: Vec<Term>,
    /// Where these are it rather is, or where they are not: weight (negative for those it avoids) and term.
    pub(crate) preferred: Vec<(i64, Term)>,
}

impl Rules {
    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.affinity.is_empty() && self.anti_affinity.is_empty() && self.preferred.is_empty()
    }

    /// The rules of a Pod with this namespace and these labels. What cannot be read is told beside, as kube-scheduler tells it.
    pub(crate) fn of(affinity: Option<&Affinity>, namespace: &str, labels: &Labels) -> (Self, Vec<String>) {
        let with = affinity.and_then(|a| a.pod_affinity.as_ref());
        let apart = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
        let mut unread = Vec::new();
        let mut required = |what: &str, terms: Option<&Vec<PodAffinityTerm>>| {
            terms.into_iter().flatten().filter_map(|t| kept(Term::of(t, namespace, labels), what, &mut unread)).collect::<Vec<_>>()
        };
        let affinity = required("requiredAffinityTerms", with.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()));
        let anti_affinity =
            required("requiredAntiAffinityTerms", apart.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()));
        let mut preferred = Vec::new();
        let mut weighted = |what: &str, sign: i64, terms: Option<&Vec<WeightedPodAffinityTerm>>| {
            for t in terms.into_iter().flatten() {
                let term = kept(Term::of(&t.pod_affinity_term, namespace, labels), what, &mut unread);
                preferred.extend(term.map(|term| (sign * i64::from(t.weight), term)));
            }
        };
        weighted("preferredAffinityTerms", 1, with.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()));
        weighted("preferredAntiAffinityTerms", -1, apart.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()));
        (Self { affinity, anti_affinity, preferred }, unread)
    }
}

fn kept(term: Result<Term, String>, what: &str, unread: &mut Vec<String>) -> Option<Term> {
    term.map_err(|error| unread.push(format!("{what}: {error}"))).ok()
}

/// Some Pods, and by which label of their nodes a place is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Term {
    /// The node label whose values are the places.
    pub(crate) topology_key: String,
    namespaces: BTreeSet<String>,
    namespace_selector: Selector,
    selector: Selector,
}

impl Term {
    /// The term of a Pod with this namespace and these labels.
    fn of(term: &PodAffinityTerm, namespace: &str, labels: &Labels) -> Result<Self, String> {
        let keys =
            |keys: Option<&Vec<String>>, operator| keys.into_iter().flatten().map(move |k| (k.clone(), operator)).collect::<Vec<_>>();
        let mut more = keys(term.match_label_keys.as_ref(), Operator::In);
        more.extend(keys(term.mismatch_label_keys.as_ref(), Operator::NotIn));
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        Ok(Self {
            topology_key: term.topology_key.clone(),
            namespaces,
            namespace_selector: selector(term.namespace_selector.as_ref(), &[], labels)?,
            selector: selector(term.label_selector.as_ref(), &more, labels)?,
        })
    }

    /// Whether a Pod of this kind is meant.
    #[must_use]
    pub(crate) fn means(&self, kind: &Kind, namespaces: &Namespaces) -> bool {
        let none = Labels::new();
        let of_namespace = || namespaces.get(&kind.namespace).unwrap_or(&none);
        (self.namespaces.contains(&kind.namespace) || self.namespace_selector.matches(of_namespace()))
            && self.selector.matches(&kind.labels)
    }
}

/// A label selector, narrowed by the values that `labels` have for some `keys` (`matchLabelKeys`, `mismatchLabelKeys`). None at
/// all selects nothing. A key that the selector speaks of already was merged in by an API server.
///
/// # Errors
/// In the words of Kubernetes.
pub(crate) fn selector(written: Option<&LabelSelector>, keys: &[(String, Operator)], labels: &Labels) -> Result<Selector, String> {
    let Some(written) = written else { return Ok(Selector::nothing()) };
    let value = serde_json::to_value(written).map_err(|e| e.to_string())?;
    let plain = Selector::from_label_selector(&value).map_err(|e| e.to_string())?;
    let mut all = plain.requirements().to_vec();
    for (key, operator) in keys {
        if let Some(value) = labels.get(key).filter(|_| plain.requirements().iter().all(|r| r.key() != key)) {
            all.push(Requirement::new(key, *operator, vec![value.clone()]).map_err(|e| e.to_string())?);
        }
    }
    Ok(Selector::new(all))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn term(mut term: Value) -> Result<Term, String> {
        term["topologyKey"] = json!("zone");
        Term::of(&serde_json::from_value(term).unwrap(), "here", &labels(&[("app", "a"), ("hash", "1")]))
    }

    fn means(written: Value, namespace: &str, pairs: &[(&str, &str)]) -> bool {
        let kind = Kind { namespace: namespace.to_owned(), labels: labels(pairs), ..Kind::default() };
        let namespaces = [("there".to_owned(), labels(&[("team", "x")]))].into();
        term(written).unwrap().means(&kind, &namespaces)
    }

    #[test]
    fn namespaces_are_listed_selected_or_the_own() {
        let app = json!({"matchLabels": {"app": "a"}});
        let with = |more: Value| {
            let mut term = json!({"labelSelector": app});
            term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            ["here", "there", "else"].map(|ns| means(term.clone(), ns, &[("app", "a")]))
        };
        assert_eq!(with(json!({})), [true, false, false]);
        assert_eq!(with(json!({"namespaces": ["there"]})), [false, true, false]);
        assert_eq!(with(json!({"namespaceSelector": {}})), [true, true, true], "every namespace");
        assert_eq!(with(json!({"namespaceSelector": {"matchLabels": {"team": "x"}}})), [false, true, false]);
        assert_eq!(with(json!({"namespaces": ["else"], "namespaceSelector": {"matchLabels": {"team": "x"}}})), [false, true, true]);
    }

    #[test]
    fn no_selector_means_nobody_and_an_empty_one_all() {
        assert!(!means(json!({}), "here", &[("app", "a")]) && means(json!({"labelSelector": {}}), "here", &[]));
    }

    #[test]
    fn label_keys_narrow_to_the_own_values() {
        let keyed = |more: Value| {
            let mut term = json!({"labelSelector": {"matchLabels": {"app": "a"}}});
            term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            [&[("app", "a"), ("hash", "1")][..], &[("app", "a"), ("hash", "2")], &[("app", "a")]].map(|l| means(term.clone(), "here", l))
        };
        assert_eq!(keyed(json!({"matchLabelKeys": ["hash"]})), [true, false, false]);
        assert_eq!(keyed(json!({"mismatchLabelKeys": ["hash"]})), [false, true, true]);
        assert_eq!(keyed(json!({"matchLabelKeys": ["absent"]})), [true, true, true], "a key that the Pod lacks says nothing");
        let merged = json!({"matchExpressions": [{"key": "hash", "operator": "In", "values": ["2"]}]});
        assert_eq!(keyed(json!({"matchLabelKeys": ["hash"], "labelSelector": merged})), [false, true, false]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let near = json!({"topologyKey": "z", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
        let affinity: Affinity =
            serde_json::from_value(json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}})).unwrap();
        let (rules, unread) = Rules::of(Some(&affinity), "here", &Labels::new());
        assert!(rules.is_empty());
        assert_eq!(unread, ["requiredAntiAffinityTerms: \"Near\" is not a valid label selector operator"]);
    }
}
