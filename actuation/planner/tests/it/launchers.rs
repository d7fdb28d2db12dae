//! The launcher flow from end to end.

use dormouse_planner::action::Verb;

use crate::fixtures::{calm, launchers, stocked};

#[test]
fn cold_then_hot() {
    let mut h = launchers(2, 2);
    h.populate = false;
    h.wants("r1", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.ready("r1"));
    let launcher = h.provider("r1");
    assert!(launcher.starts_with("launcher-lc-"));
    assert_eq!(h.instances(&launcher), [("smol".to_owned(), false)]);
    assert_eq!(h.label(&launcher, "routed"), Some("smol"));
    assert_eq!(h.label("r1", "dual-pods.llm-d.ai/dual"), Some(launcher.as_str()));
    assert_eq!(h.label("r1", "dual-pods.llm-d.ai/instance"), Some(h.instance_id(&launcher).as_str()));
    assert_eq!(h.annotation("r1", "status"), Some(r#"{"Errors":null}"#));
    assert_eq!(h.annotation("r1", "accelerators"), Some("GPU-0"));
    h.delete("r1");
    assert!(!h.has("r1"));
    assert_eq!(h.instances(&launcher), [("smol".to_owned(), true)]);
    assert_eq!(h.label(&launcher, "routed"), None);
    assert_eq!(h.label(&launcher, "team"), Some("x"));
    h.wants("r2", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.ready("r2"));
    assert_eq!(h.provider("r2"), launcher);
    assert_eq!(h.count(Verb::CreateInstance), 1);
    assert_eq!(h.count(Verb::Wake), 1);
}

#[test]
fn warm_start_in_a_launcher_from_stock() {
    let mut h = stocked(2, 2, 1);
    assert_eq!(h.providers().len(), 1);
    h.wants("r1", "GPU-0", "smol");
    calm(&mut h);
    assert!(h.ready("r1"));
    assert_eq!(h.count(Verb::CreateLauncher), 1, "{}", h.story());
}
