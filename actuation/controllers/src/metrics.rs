//! The metrics, under the peer's names (actuation 5.5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// Names and values of a series.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Histograms with fixed buckets.
#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms = Family<Labels, Histogram, Buckets>;

const QUEUE: Buckets = Buckets(&[1.0 / 64.0, 1.0 / 16.0, 0.25, 1.0, 4.0, 16.0, 64.0]);
const ACTUATION: Buckets = Buckets(&[0.0, 1.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0]);
const CREATE: Buckets = Buckets(&[0.001, 0.01, 0.1, 1.0, 2.0, 3.0, 4.0, 5.0]);
const HTTP: Buckets = Buckets(&[0.001, 0.01, 0.1, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 90.0, 270.0, 810.0]);

/// How long a pair that has ended is still shown, as 0.
const SHOW_ENDED: Duration = Duration::from_secs(600);

/// A gauge that is set anew from all of state: what is no longer there disappears, what is there never does.
#[derive(Default)]
struct Shown {
    family: Family<Labels, Gauge>,
    series: Mutex<BTreeSet<Labels>>,
}

impl Shown {
    fn set<K>(&self, counts: &BTreeMap<K, i64>, labels: impl Fn(&K) -> Labels) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<Labels> = counts
            .iter()
            .map(|(key, n)| {
                let labels = labels(key);
                self.family.get_or_create(&labels).set(*n);
                labels
            })
            .collect();
        for old in series.difference(&now) {
            self.family.remove(old);
        }
        *series = now;
    }
}

/// All metrics of a controller process.
pub(crate) struct Metrics {
    adds: Family<Labels, Counter>,
    depth: Family<Labels, Gauge>,
    waited: Histograms,
    worked: Histograms,
    retries: Family<Labels, Counter>,
    requesters: Shown,
    iscs: Shown,
    duality: Family<Labels, Gauge>,
    actuation: Histograms,
    launcher_create: Histograms,
    http: Histograms,
    launcher_pods: Shown,
    /// Pairs shown: `None` while they last, else when they ended.
    pairs: Mutex<BTreeMap<Labels, Option<Instant>>>,
}

impl Metrics {
    /// Makes and registers all of them.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let histograms = |b: Buckets| Family::new_with_constructor(b);
        let m = Self {
            adds: Family::default(),
            depth: Family::default(),
            waited: histograms(QUEUE),
            worked: histograms(QUEUE),
            retries: Family::default(),
            requesters: Shown::default(),
            iscs: Shown::default(),
            duality: Family::default(),
            actuation: histograms(ACTUATION),
            launcher_create: histograms(CREATE),
            http: histograms(HTTP),
            launcher_pods: Shown::default(),
            pairs: Mutex::default(),
        };
        registry.register("fma_dpc_innerqueue_adds", "[ALPHA] Times a node was marked for planning", m.adds.clone());
        registry.register("fma_dpc_innerqueue_depth", "[ALPHA] Nodes that wait for planning", m.depth.clone());
        registry.register("fma_dpc_innerqueue_queue_duration_seconds", "[ALPHA] From mark to planning", m.waited.clone());
        registry.register("fma_dpc_innerqueue_work_duration_seconds", "[ALPHA] Time of planning", m.worked.clone());
        registry.register("fma_dpc_innerqueue_retries", "[ALPHA] Actions that failed and come again", m.retries.clone());
        registry.register("fma_requester_count", "[ALPHA] Server-requesting Pods by InferenceServerConfig", m.requesters.family.clone());
        registry.register("fma_isc_count", "[ALPHA] InferenceServerConfigs by LauncherConfig", m.iscs.family.clone());
        registry.register("fma_duality", "[ALPHA] 1 per GPU while a requester is bound to an instance", m.duality.clone());
        registry.register(
            "fma_actuation_seconds",
            "[ALPHA] From start of the requester's container to its first readiness",
            m.actuation.clone(),
        );
        registry.register("fma_launcher_create_seconds", "[ALPHA] Latency of creating a launcher Pod", m.launcher_create.clone());
        registry.register("fma_http_latency_seconds", "[ALPHA] Latency of HTTP calls to requesters, launchers and engines", m.http.clone());
        registry.register("fma_launcher_pod_count", "[ALPHA] Launcher Pods by LauncherConfig and phase", m.launcher_pods.family.clone());
        m
    }

    pub(crate) fn marked(&self, node: &str, depth: i64) {
        self.adds.get_or_create(&vec![("node", node.to_owned())]).inc();
        self.depth.get_or_create(&vec![("node", node.to_owned())]).set(depth);
    }

    pub(crate) fn planned(&self, node: &str, waited: Duration, worked: Duration) {
        let labels = vec![("node", node.to_owned())];
        self.depth.get_or_create(&labels).set(0);
        self.waited.get_or_create(&labels).observe(waited.as_secs_f64());
        self.worked.get_or_create(&labels).observe(worked.as_secs_f64());
    }

    pub(crate) fn retried(&self, node: &str) {
        self.retries.get_or_create(&vec![("node", node.to_owned())]).inc();
    }

    pub(crate) fn http(&self, purpose: &str, method: &str, namespace: &str, isc: &str, status: u16, seconds: f64) {
        let labels = vec![
            ("purpose", purpose.to_owned()),
            ("method", method.to_owned()),
            ("exported_namespace", namespace.to_owned()),
            ("isc_name", isc.to_owned()),
            ("status_code", status.to_string()),
        ];
        self.http.get_or_create(&labels).observe(seconds);
    }

    pub(crate) fn launcher_create(&self, namespace: &str, lc: &str, success: bool, seconds: f64) {
        let labels = vec![("exported_namespace", namespace.to_owned()), ("lcfg_name", lc.to_owned()), ("success", success.to_string())];
        self.launcher_create.get_or_create(&labels).observe(seconds);
    }

    pub(crate) fn actuated(&self, namespace: &str, path: &str, deleted: u32, isc: &str, seconds: f64) {
        let labels = vec![
            ("exported_namespace", namespace.to_owned()),
            ("path", path.to_owned()),
            ("instancesDeleted", deleted.to_string()),
            ("isc_name", isc.to_owned()),
        ];
        self.actuation.get_or_create(&labels).observe(seconds);
    }

    /// Gauges that follow from state are set anew from all of it; what is no longer there disappears.
    pub(crate) fn set_requesters(&self, counts: &BTreeMap<String, i64>) {
        self.requesters.set(counts, |isc| vec![("isc_name", isc.clone())]);
    }

    pub(crate) fn set_iscs(&self, counts: &BTreeMap<String, i64>) {
        self.iscs.set(counts, |lc| vec![("launcher_config_name", lc.clone())]);
    }

    pub(crate) fn set_launchers(&self, counts: &BTreeMap<(String, &'static str), i64>) {
        self.launcher_pods.set(counts, |(lc, phase)| vec![("lcfg_name", lc.clone()), ("phase", (*phase).to_owned())]);
    }

    /// The pairs of now; those that have ended are shown as 0 for a while.
    pub(crate) fn set_pairs(&self, now: &BTreeSet<Labels>) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        for labels in now {
            if pairs.insert(labels.clone(), None).is_none_or(|ended| ended.is_some()) {
                tell(labels, 1);
            }
        }
        pairs.retain(|labels, ended| {
            if now.contains(labels) {
                self.duality.get_or_create(labels).set(1);
                return true;
            }
            let since = *ended.get_or_insert_with(|| {
                tell(labels, 0);
                Instant::now()
            });
            self.duality.get_or_create(labels).set(0);
            let keep = since.elapsed() < SHOW_ENDED;
            if !keep {
                self.duality.remove(labels);
            }
            keep
        });
    }
}

fn tell(pair: &Labels, value: u8) {
    let of = |key: &str| pair.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v.as_str());
    let (node, instance, name) = (of("node"), of("instance_id"), of("requester_name"));
    tracing::info!(value, gpuUUIDs = of("UUID"), node, instanceID = instance, requesterName = name, "Setting duality metric");
}
