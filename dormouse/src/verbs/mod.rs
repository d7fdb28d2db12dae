//! Verbs that bring systems together, one file each. Those of one system alone are in its crates.

#[cfg(all(feature = "plane", feature = "actuation", feature = "engine"))]
pub(crate) mod demo;
#[cfg(feature = "engine")]
pub(crate) mod engine;
#[cfg(any(feature = "plane", feature = "actuation"))]
pub(crate) mod status;
#[cfg(feature = "plane")]
pub(crate) mod up;

/// Prints the CustomResourceDefinitions as YAML documents.
#[cfg(feature = "actuation")]
pub(crate) fn crds() -> anyhow::Result<()> {
    for crd in dormouse_apis::fma::definitions() {
        dormouse_runtime::output::Out.text(&format!("---\n{}", dormouse_machinery::yaml::to_string(&crd)))?;
    }
    Ok(())
}
