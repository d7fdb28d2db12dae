//! `--controllers`: which controllers of ours run as Pods of a plane.

use std::collections::BTreeSet;
use std::str::FromStr;

use dormouse_names::program::lacking;

use crate::systems;

/// Controllers that are designed and not there yet.
const PLANNED: [&str; 2] = ["trainer", "jobset"];

/// A set of controllers that are built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Controllers(BTreeSet<&'static str>);

impl Controllers {
    /// Whether one of this name is to run.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl FromStr for Controllers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known: Vec<(&'static str, Option<&'static str>)> = systems::controllers().collect();
        match text {
            "all" => return Ok(Self(known.iter().filter(|(_, lacking)| lacking.is_none()).map(|(name, _)| *name).collect())),
            "none" | "" => return Ok(Self(BTreeSet::new())),
            _ => {}
        }
        let one = |name: &str| match known.iter().find(|(known, _)| *known == name) {
            Some((name, None)) => Ok(*name),
            Some((name, Some(feature))) => Err(lacking(name, &[feature])),
            None if PLANNED.contains(&name) => Err(format!("{name} is planned and not there yet; leave it out")),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                Err(format!("{name:?} is none of all, none, {}", names.join(", ")))
            }
        };
        text.split(',').map(str::trim).map(one).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(all(test, feature = "actuation"))]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_set_of_what_is_built_in() {
        let parse = |text: &str| text.parse::<Controllers>();
        let all = parse("all").unwrap();
        assert_eq!(all, parse("launcher-populator, dual-pods,dual-pods").unwrap());
        assert!(all.has("dual-pods") && !parse("none").unwrap().has("dual-pods"));
        assert!(!parse("dual-pods").unwrap().has("launcher-populator"));
        assert!(parse("dual-pods,cron").unwrap_err().contains("\"cron\" is none of all, none, dual-pods"));
        assert!(parse("trainer").unwrap_err().contains("planned"));
    }
}
