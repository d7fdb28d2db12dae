//! Which crate may know which.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::repository;

/// The folders of ARCHITECTURE.md's table of rooms, in its order.
fn rooms() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let table = text.lines().skip_while(|l| !l.starts_with("| Folder |")).skip(2).take_while(|l| l.starts_with('|'));
    table.filter_map(|line| line.split('`').nth(1)).map(str::to_owned).collect()
}

/// The packages of the workspace, as cargo knows them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(repository());
    let said = metadata.output().expect("cargo runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

#[test]
fn arrows_point_only_downwards() {
    let rooms = rooms();
    let folder = |path: &str| Path::new(path).strip_prefix(repository()).ok().and_then(Path::to_str).map(str::to_owned);
    let packages = packages();
    let mut place = BTreeMap::new();
    let mut wrong = Vec::new();
    for package in &packages {
        let manifest = folder(package["manifest_path"].as_str().expect("a path")).expect("it lies in the repository");
        let room = manifest.trim_end_matches("/Cargo.toml").to_owned();
        match rooms.iter().position(|r| *r == room) {
            Some(at) => drop(place.insert(room, at)),
            None => wrong.push(format!("{room} is no room of ARCHITECTURE.md")),
        }
    }
    wrong.extend(rooms.iter().filter(|r| !place.contains_key(*r)).map(|r| format!("{r} is a room of ARCHITECTURE.md and no crate")));
    for package in &packages {
        let manifest = folder(package["manifest_path"].as_str().expect("a path")).expect("it lies in the repository");
        let from = manifest.trim_end_matches("/Cargo.toml");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            // A kind is `dev` or `build`, or null.
            let Some(to) = dependency["path"].as_str().filter(|_| dependency["kind"].is_null()).and_then(folder) else { continue };
            if place.get(from) >= place.get(&to) {
                wrong.push(format!("{from} uses {to}, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A library leaves the version of Kubernetes to the program that uses it.
#[test]
fn libraries_name_no_version_of_kubernetes() {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let mut named = Vec::new();
    for package in packages() {
        let library = list(&package["targets"]).iter().any(|target| target["kind"] == serde_json::json!(["lib"]));
        for dependency in list(&package["dependencies"]).iter().filter(|d| d["name"] == "k8s-openapi") {
            let version = list(&dependency["features"]).iter().any(|f| f.as_str().is_some_and(|f| f.starts_with("v1_")));
            if library && version && dependency["kind"].is_null() {
                named.push(package["name"].to_string());
            }
        }
    }
    assert!(named.is_empty(), "{}", named.join(", "));
}

/// A launcher serves plain HTTP: what an HTTPS server needs is not in it.
#[test]
fn a_launcher_carries_no_tls_server() {
    let carries = |package: &str| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut tree = Command::new(cargo);
        tree.args(["tree", "--offline", "--edges", "features,no-dev", "--prefix", "none", "--package", package]);
        let said = tree.current_dir(repository()).output().expect("cargo runs");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).contains("dormouse-runtime feature \"tls-server\"")
    };
    assert!(carries("dormouse-apiserver"));
    assert!(!carries("dormouse-launcher"));
}
