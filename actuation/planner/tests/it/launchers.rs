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

/// One model leaves and another comes on the same GPU, both with instances: no launcher and no instance is made.
#[test]
fn swap_on_one_gpu() {
    let mut h = stocked(1, 2, 1);
    for model in ["smol", "qwen"] {
        h.wants(model, "GPU-0", model);
        calm(&mut h);
        h.delete(model);
    }
    let (launchers, instances) = (h.count(Verb::CreateLauncher), h.count(Verb::CreateInstance));
    h.wants("a", "GPU-0", "smol");
    calm(&mut h);
    let launcher = h.provider("a");
    h.effort = std::time::Duration::from_secs(1);
    h.world.delete_by_name("a");
    h.wants("b", "GPU-0", "qwen");
    calm(&mut h);
    assert!(h.ready("b"));
    assert_eq!(h.provider("b"), launcher);
    assert_eq!((h.count(Verb::CreateLauncher), h.count(Verb::CreateInstance)), (launchers, instances), "{}", h.story());
}
