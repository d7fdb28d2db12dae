//! Where a run happens: a plane of its own, or a namespace of a cluster of somebody.

use std::time::Duration;

use dormouse_deploy::{ChartValues, NODE_VIEW_ROLE, node_view_role, render};
use dormouse_machinery::yaml;
use serde_json::{Value, json};

use crate::args::Args;
use crate::cluster::Cluster;
use crate::data::{Run, Suite};
use crate::support::{Api, Up, name_of, repository, until};
use crate::vars::Vars;

/// For the Pods of a cluster of somebody to go.
const GRACE: Duration = Duration::from_secs(120);

/// A place, with everything in it that the suite's first step takes for granted.
pub(crate) struct Place {
    pub(crate) cluster: Cluster,
    /// The plane, when it is ours.
    pub(crate) own: Option<Up>,
    release: String,
}

impl Place {
    /// Makes one and tells the variables about it.
    pub(crate) fn make(suite: &Suite, run: &Run, args: &Args, vars: &mut Vars) -> Result<Self, String> {
        let id = dormouse_runtime::clock::system().now().as_second().to_string();
        let place = match &args.kubeconfig {
            None => {
                let nodes = suite.plane.nodes.join(",");
                // Pods of a node that is gone are collected soon, else row D3 waits 40 s.
                let up = Up::start(&[
                    "--node-names",
                    &nodes,
                    "--gpus-per-node",
                    "0",
                    "--gpu-map",
                    "none",
                    "--controllers",
                    "none",
                    "--pod-gc-delay",
                    "2s",
                ]);
                let cluster = Cluster::new(Api::from_file(&up.kubeconfig()), "default".to_owned(), true);
                Self { cluster, own: Some(up), release: "fma".to_owned() }
            }
            Some(file) => {
                let cluster = Cluster::new(Api::from_file(file), format!("dormouse-{}-{id}", run.name), args.pods_reachable);
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}});
                cluster.apply(&namespace)?;
                for definition in dormouse_apis::fma::definitions() {
                    if let Err((code, message)) = cluster.create(&definition)
                        && code != 409
                    {
                        return Err(message);
                    }
                }
                Self { cluster, own: None, release: format!("fma-{id}") }
            }
        };
        let defaults = ChartValues::default().global;
        vars.text("id", id);
        vars.text("release", place.release.clone());
        vars.text("registry", defaults.image_registry);
        vars.text("tag", defaults.image_tag);
        for file in &suite.files {
            place.apply_file(file)?;
        }
        Ok(place)
    }

    /// Applies a manifest of the repository, made for namespace `default`, to the run's.
    fn apply_file(&self, file: &str) -> Result<(), String> {
        let text = std::fs::read_to_string(repository().join(file)).map_err(|e| format!("{file}: {e}"))?;
        for mut object in yaml::documents(&text).map_err(|e| format!("{file}: {e}"))? {
            for subject in object["subjects"].as_array_mut().into_iter().flatten() {
                subject["namespace"] = Value::String(self.cluster.namespace.clone());
            }
            self.cluster.apply(&object)?;
        }
        Ok(())
    }

    /// Installs the controllers by our chart.
    pub(crate) fn install(&self, vars: &Vars, reclaim_order: &str, populator: bool, sleeper_limit: u32) -> Result<(), String> {
        let mut values = ChartValues::default();
        values.global.node_view_cluster_role = NODE_VIEW_ROLE.into();
        values.global.image_registry = vars.fill("${registry}")?;
        values.global.image_tag = vars.fill("${tag}")?;
        values.dual_pods_controller.sleeper_limit = sleeper_limit;
        values.dual_pods_controller.extra_args = vec![format!("--reclaim-order={reclaim_order}")];
        values.launcher_populator.enabled = populator;
        self.cluster.apply(&node_view_role())?;
        render(&values, &self.release, &self.cluster.namespace).iter().try_for_each(|object| self.cluster.apply(object))
    }

    /// Ends the plane, or removes what was made on the cluster.
    pub(crate) fn leave(self) {
        match self.own {
            Some(up) => up.end(),
            None => {
                if let Err(problem) = self.clear() {
                    eprintln!("namespace {} is left: {problem}", self.cluster.namespace);
                }
            }
        }
    }

    /// While the controllers are there: nobody else takes their finalizers away.
    fn clear(&self) -> Result<(), String> {
        let cluster = &self.cluster;
        let remove = |object: &str| match cluster.delete(object) {
            Ok(()) | Err((404, _)) => Ok(()),
            Err((code, message)) => Err(format!("{object}: {code} {message}")),
        };
        for kind in ["replicasets", "launcherpopulationpolicies", "launcherconfigs"] {
            for object in cluster.list(kind, "")? {
                // Those of the controllers' Deployments have an owner.
                if object["metadata"]["ownerReferences"].is_null() {
                    remove(&format!("{kind}/{}", name_of(&object)))?;
                }
            }
        }
        until("the Pods of the suite are gone", GRACE, || {
            let mut others = cluster.list("pods", "app.kubernetes.io/name!=fma-controllers").ok()?;
            others.retain(|p| p["metadata"]["deletionTimestamp"].is_null() || !p["metadata"]["finalizers"].is_null());
            others.iter().for_each(|p| drop(cluster.delete(&format!("pods/{}", name_of(p)))));
            others.is_empty().then_some(())
        });
        remove(&format!("clusterrolebindings/{}-node-view", self.release))?;
        remove(&format!("namespaces/{}", cluster.namespace))
    }
}
