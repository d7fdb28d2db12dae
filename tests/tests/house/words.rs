//! Words that a system may not say.

use std::path::Path;

use crate::product_files;

/// What the control plane is handed as values, and never knows.
const ACTUATION: [&str; 6] = ["requester", "launcher", "populator", "dual-pod", "fma.llm", "vllm"];

#[test]
fn the_control_plane_knows_no_actuation() {
    let files = product_files("control-plane");
    assert!(files.len() > 150, "only {} files were found", files.len());
    let mut said = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            said.extend(ACTUATION.iter().filter(|w| line.contains(**w)).map(|w| format!("{}:{} says {w:?}", path.display(), number + 1)));
        }
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
}

/// Names on objects and in environments are written once, so that no two systems spell one differently.
#[test]
fn names_of_ours_stand_in_one_crate() {
    let rooms = ["actuation", "apis", "control-plane", "deploy", "dormouse", "engine", "kit", "perf", "proposals"];
    let mut said = Vec::new();
    for (path, text) in rooms.iter().flat_map(|room| product_files(room)) {
        if path.starts_with("kit/names") || path.extension() != Some("rs".as_ref()) || path.starts_with("kit/testing") {
            continue;
        }
        // Unit tests below a file's code spell names out on purpose: so they notice when one changes.
        let code = text.split("mod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let spelt = ["\"DORMOUSE_", "\"dormouse.dev/"];
            said.extend(spelt.iter().filter(|s| line.contains(**s)).map(|s| format!("{}:{} spells {s}", path.display(), number + 1)));
        }
    }
    // Tags that go into hashes are no names: changing one changes every hash.
    said.retain(|line| !line.starts_with(&format!("{}:", Path::new("actuation/planner/src/hashes.rs").display())));
    assert!(said.is_empty(), "{}", said.join("\n"));
}
