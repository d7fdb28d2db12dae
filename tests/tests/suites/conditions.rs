//! Looking: whether conditions hold now, and what they remember. What does not hold is told with what was seen.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::data::{Condition, Gone, HttpCondition, InstancesCondition, ObjectCondition, PodsCondition, Select};
use crate::fields;
use crate::support::{name_of, names_of};
use crate::vars::Vars;

/// Looks at all of them, in order, on a copy of the variables: they change only when all hold.
///
/// `Ok(None)` when they hold, `Ok(Some(why))` when one does not; an error is one of the suite's text, which waiting will
/// not mend.
pub(crate) fn look(cluster: &Cluster, conditions: &[Condition], vars: &mut Vars) -> Result<Option<String>, String> {
    let mut seen = vars.clone();
    for condition in conditions {
        let unmet = match condition {
            Condition::Pods(c) => pods(cluster, c, &mut seen)?,
            Condition::Object(c) => object(cluster, c, &mut seen)?,
            Condition::Http(c) => http(cluster, c, &seen)?,
            Condition::Launcher(c) => instances(cluster, &c.instances, &mut seen)?,
        };
        if unmet.is_some() {
            return Ok(unmet);
        }
    }
    *vars = seen;
    Ok(None)
}

fn select(cluster: &Cluster, select: &Select, vars: &Vars) -> Result<Vec<Value>, String> {
    let labels = vars.fill(select.labels.as_deref().unwrap_or_default())?;
    let start = vars.fill(select.starting_with.as_deref().unwrap_or_default())?;
    let named: Option<Vec<String>> = select.named.as_ref().map(|n| n.iter().map(|n| vars.fill(n)).collect::<Result<_, _>>()).transpose()?;
    let mut found = cluster.list("pods", &labels)?;
    found.retain(|pod| {
        let name = name_of(pod);
        let live = pod["metadata"]["deletionTimestamp"].is_null();
        name.starts_with(&start) && named.as_ref().is_none_or(|n| n.contains(&name)) && (live || !select.live)
    });
    found.sort_by_key(name_of);
    Ok(found)
}

fn pods(cluster: &Cluster, c: &PodsCondition, vars: &mut Vars) -> Result<Option<String>, String> {
    let found = select(cluster, &c.pods, vars)?;
    let shown = || found.iter().map(|p| format!("\n      {}", fields::brief(p))).collect::<String>();
    if c.count.is_some_and(|n| found.len() != n) || c.at_least.is_some_and(|n| found.len() < n) {
        return Ok(Some(format!("{} Pods fit {:?}:{}", found.len(), c.pods, shown())));
    }
    for pod in &found {
        if let Some(unmet) = differs(pod, &c.each, vars)? {
            return Ok(Some(unmet));
        }
    }
    let names = names_of(&found).join(" ");
    if let Some(wanted) = &c.names {
        let wanted = vars.fill(wanted)?;
        if wanted != names {
            return Ok(Some(format!("the Pods are {names} and not {wanted}")));
        }
    }
    if let Some(variable) = &c.names_as {
        vars.text(variable, names);
    }
    if let Some(variable) = &c.remember {
        let [only] = found.as_slice() else { return Err(format!("as: {variable} wants count: 1")) };
        vars.object(variable, only.clone());
    }
    Ok(None)
}

fn object(cluster: &Cluster, c: &ObjectCondition, vars: &mut Vars) -> Result<Option<String>, String> {
    let which = vars.fill(&c.object)?;
    let found = cluster.get(&which)?;
    match (found, c.gone) {
        (None, Some(_)) => Ok(None),
        (None, None) => Ok(Some(format!("there is no {which}"))),
        (Some(object), Some(Gone::Terminating)) if !object["metadata"]["deletionTimestamp"].is_null() => Ok(None),
        (Some(object), Some(_)) => Ok(Some(format!("still there: {} {}", fields::brief(&object), object["metadata"]["finalizers"]))),
        (Some(object), None) => {
            if let Some(unmet) = differs(&object, &c.each, vars)? {
                return Ok(Some(unmet));
            }
            if let Some(variable) = &c.remember {
                vars.object(variable, object);
            }
            Ok(None)
        }
    }
}

fn http(cluster: &Cluster, c: &HttpCondition, vars: &Vars) -> Result<Option<String>, String> {
    let (pod, path) = (vars.fill(&c.http.pod)?, vars.fill(&c.http.path)?);
    let answer = cluster.call("GET", &pod, c.http.port, &path)?;
    let target = format!("{pod}:{}{path}", c.http.port);
    let Some(answer) = answer.filter(|a| (200..300).contains(&a.status)) else {
        return Ok(c.answers.then(|| format!("{target} does not answer with success")));
    };
    if !c.answers {
        return Ok(Some(format!("{target} answers {}", answer.status)));
    }
    if let Some(text) = c.holds.as_ref().filter(|text| !answer.body.contains(text.as_str())) {
        return Ok(Some(format!("{target} does not hold {text:?}")));
    }
    if c.each.is_empty() {
        return Ok(None);
    }
    let Ok(body) = serde_json::from_str(&answer.body) else { return Ok(Some(format!("{target} answers no JSON: {}", answer.body))) };
    Ok(differs(&body, &c.each, vars)?.map(|unmet| format!("{target}: {unmet}")))
}

fn instances(cluster: &Cluster, c: &InstancesCondition, vars: &mut Vars) -> Result<Option<String>, String> {
    let launcher = vars.fill(&c.launcher)?;
    let answer = cluster.call("GET", &launcher, 8001, "/v2/vllm/instances")?;
    let list = answer.and_then(|a| serde_json::from_str::<Value>(&a.body).ok());
    let Some(all) = list.as_ref().and_then(|l| l["instances"].as_array()) else {
        return Ok(Some(format!("launcher {launcher} shows no instances")));
    };
    let mut ids: Vec<&str> = all.iter().filter_map(|i| i["instance_id"].as_str()).collect();
    ids.sort_unstable();
    let (number, ids) = (ids.len(), ids.join(" "));
    if c.count.is_some_and(|n| n != number) {
        let shown: String = all.iter().map(|i| format!("\n      {} {} {}", i["instance_id"], i["status"], i["options"])).collect();
        return Ok(Some(format!("launcher {launcher} has {number} instances:{shown}")));
    }
    if let Some(wanted) = &c.ids {
        let wanted = vars.fill(wanted)?;
        if wanted != ids {
            return Ok(Some(format!("the instances are {ids} and not {wanted}")));
        }
    }
    if let Some(variable) = &c.ids_as {
        vars.text(variable, ids);
    }
    Ok(None)
}

fn differs(object: &Value, each: &BTreeMap<String, Value>, vars: &Vars) -> Result<Option<String>, String> {
    for (field, expected) in each {
        let expected = vars.fill_value(expected)?;
        let actual = fields::read(object, field)?;
        if !fields::fits(&actual, &expected)? {
            return Ok(Some(format!("{field} is {actual} and not {expected}: {}", fields::brief(object))));
        }
    }
    Ok(None)
}
