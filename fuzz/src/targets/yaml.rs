//! Configuration files: YAML, variables, expressions, and the runs that a sweep makes of one.

use dormouse_perf_data::EndpointType;
use dormouse_perf_profile::config::sweep::variations;
use dormouse_perf_profile::config::{Config, file, plan};
use dormouse_perf_report::json::Json;

use crate::memory;

/// What a file of a few kilobytes may take: aliases and expressions make more of little.
const MOST: usize = 64 << 20;
/// Sweeps of more runs are not made here: they are as large as their file says.
const RUNS: usize = 64;

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variable = |name: &str| (name == "SET").then(|| "set".to_owned());
    let read = memory::at_most(MOST, || file::parse(text, variable));
    let document = match read {
        Ok(document) => document,
        Err(why) => return assert!(!why.is_empty()),
    };
    assert!(document.get("benchmark").is_some());
    let written = serde_json::to_string(&document).unwrap();
    let Ok(config) = memory::at_most(MOST, || Config::read(&document)).map_err(|why| assert!(!why.to_string().is_empty())) else { return };
    // JSON is YAML: a document that has been read, and says nothing more to be put in, is read as itself.
    if !written.contains("{{") && !written.contains("${") {
        let again = file::parse(&written, variable).unwrap_or_else(|why| panic!("{why}: {written}"));
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }
    if runs(&config) > RUNS {
        return;
    }
    let Ok(all) = memory::at_most(MOST, || variations(&document, &config)) else { return };
    assert!(!all.is_empty());
    for (at, variation) in all.iter().enumerate() {
        assert_eq!(variation.index, at);
        // A folder of the run's own, and not elsewhere.
        let dir = variation.dir.as_deref().unwrap_or("base");
        let inside = !dir.is_empty() && !dir.contains('/') && dir != "." && dir != "..";
        assert!(inside, "{dir:?}");
        let Ok(config) = Config::read(&variation.document) else { continue };
        // What the data are, their lengths among that, is made of it or refused.
        let spec = memory::at_most(MOST, || plan::data(&config, EndpointType::default(), None));
        let _ = spec.map_err(|why| assert!(!why.to_string().is_empty()));
    }
}

fn runs(config: &Config) -> usize {
    let Some(sweep) = &config.sweep else { return 1 };
    let lengths = sweep.parameters.0.iter().map(|(_, values)| if let Json::Array(values) = values { values.len() } else { 1 });
    lengths.fold(sweep.runs.len(), |all, length| all.max(1).saturating_mul(length.max(1)))
}
