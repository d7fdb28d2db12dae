//! Names that other software sees: annotations, labels, finalizers, ports, fixed objects.
//!
//! Source: llm-d Fast Model Actuation, `fma.llm-d.ai/v1alpha1` (actuation 1). Names of ours are in `dormouse-names`.

/// Prefix of the peer's annotations, labels and finalizers.
pub const PREFIX: &str = "dual-pods.llm-d.ai/";
/// Prefix that recipes of before November 2025 use; accepted on input, see [`annotation`].
pub const OLD_PREFIX: &str = "dual-pod.llm-d.ai/";

/// Annotation keys.
pub mod annotation {
    /// On a requester, by the user: the patch that makes it a server-providing Pod (direct flow).
    pub const SERVER_PATCH: &str = "dual-pods.llm-d.ai/server-patch";
    /// On a requester, by the user: the `InferenceServerConfig` it wants (launcher flow).
    pub const INFERENCE_SERVER_CONFIG: &str = "dual-pods.llm-d.ai/inference-server-config";
    /// On a requester, by the user: the SPI's port, a number as text.
    pub const ADMIN_PORT: &str = "dual-pods.llm-d.ai/admin-port";
    /// On a requester, by the user: opts into the TCP proxy.
    pub const PROXY_PORT: &str = "dual-pods.llm-d.ai/proxy-port";
    /// On a requester, by the controller: JSON `{"Errors":…}`.
    pub const STATUS: &str = "dual-pods.llm-d.ai/status";
    /// On requesters and direct providers, by the controller: GPU UUIDs joined by commas.
    pub const ACCELERATORS: &str = "dual-pods.llm-d.ai/accelerators";
    /// On a provider, by the controller: `<UID> <name>` of the bound requester. The binding itself.
    pub const REQUESTER: &str = "dual-pods.llm-d.ai/requester";
    /// On a direct provider, by the controller: hash of what it would be made from.
    pub const NOMINAL: &str = "dual-pods.llm-d.ai/nominal";
    /// On a bound launcher: the instance's ID.
    pub const INSTANCE_ID: &str = "dual-pods.llm-d.ai/instance-id";
    /// On a bound launcher: the engine's port in decimal.
    pub const SERVER_PORT: &str = "dual-pods.llm-d.ai/server-port";
    /// On a bound launcher: JSON of the create-instance body.
    pub const VLLM_CONFIG: &str = "dual-pods.llm-d.ai/vllm-config";
    /// On a bound launcher: JSON `{"labels":…,"annotations":…}` to route by while serving.
    pub const ISC_ROUTING_METADATA: &str = "dual-pods.llm-d.ai/isc-routing-metadata";
    /// Before `isc-routing-metadata`: sorted label keys, joined by blanks.
    pub const OLD_ISC_LABEL_KEYS: &str = "dual-pods.llm-d.ai/isc-label-keys";
    /// Before `isc-routing-metadata`: sorted annotation keys, joined by blanks.
    pub const OLD_ISC_ANNOTATION_KEYS: &str = "dual-pods.llm-d.ai/isc-annotation-keys";
    /// On a launcher: hash of the template for its node.
    pub const LAUNCHER_CONFIG_HASH: &str = "dual-pods.llm-d.ai/launcher-config-hash";
    /// On a launcher: hash of the template, the same on every node.
    pub const LAUNCHER_TEMPLATE_HASH: &str = "dual-pods.llm-d.ai/launcher-populator-template-hash";
    /// On a launcher, by its notifier: digest of its instances' states.
    pub const VLLM_INSTANCE_SIGNATURE: &str = "dual-pods.llm-d.ai/vllm-instance-signature";
    /// Of an instance inside a launcher: the `InferenceServerConfig` it was made from.
    pub const INSTANCE_ISC_NAME: &str = "isc-name";
    /// Of an instance inside a launcher: the port its engine listens on.
    pub const INSTANCE_INFERENCE_PORT: &str = "inference-port";

    /// The patch under the old prefix.
    pub const OLD_SERVER_PATCH: &str = "dual-pod.llm-d.ai/server-patch";
    /// The SPI's port under the old prefix.
    pub const OLD_ADMIN_PORT: &str = "dual-pod.llm-d.ai/admin-port";
    /// The status under the old prefix; written too when the requester uses that prefix.
    pub const OLD_STATUS: &str = "dual-pod.llm-d.ai/status";
}

/// Label keys.
pub mod label {
    /// On both Pods of a pair: the name of the other.
    pub const DUAL: &str = "dual-pods.llm-d.ai/dual";
    /// On a requester bound to a launcher: the instance's ID.
    pub const INSTANCE: &str = "dual-pods.llm-d.ai/instance";
    /// On a provider: `"true"` or `"false"`.
    pub const SLEEPING: &str = "dual-pods.llm-d.ai/sleeping";
    /// On a launcher: its `LauncherConfig`. Marks a Pod as launcher.
    pub const LAUNCHER_CONFIG_NAME: &str = "dual-pods.llm-d.ai/launcher-config-name";
    /// On a launcher: the node it is for.
    pub const NODE_NAME: &str = "dual-pods.llm-d.ai/node-name";
    /// On an unbound launcher that does not come up: `"true"`.
    pub const LAUNCHER_STUCK: &str = "dual-pods.llm-d.ai/launcher-stuck";
    /// Component of an application; `launcher` on launchers.
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// Value of [`COMPONENT`] on launchers.
    pub const COMPONENT_LAUNCHER: &str = "launcher";
    /// The node's host name.
    pub const HOSTNAME: &str = "kubernetes.io/hostname";
}

/// Finalizers.
pub mod finalizer {
    /// On a bound provider.
    pub const PROVIDER: &str = "dual-pods.llm-d.ai/provider";
    /// On a bound provider before November 2025; removed wherever it is met.
    pub const OLD_PROVIDER: &str = "dual-pods.llm-d.ai/runner";
    /// On a requester whose provider runs.
    pub const REQUESTER: &str = "dual-pods.llm-d.ai/requester";
}

/// Key prefixes that routing metadata may not use (plain prefix test).
pub const RESERVED_PREFIXES: [&str; 3] = ["dual-pods.llm-d.ai/", "kubernetes.io/", "k8s.io/"];
/// The container of requesters, direct providers and launchers that matters.
pub const SERVER_CONTAINER: &str = "inference-server";
/// The sidecar that controllers add to launchers.
pub const NOTIFIER_CONTAINER: &str = "state-change-reflector";
/// The `ConfigMap` of node to GPU UUID to index.
pub const GPU_MAP: &str = "gpu-map";
/// The `ConfigMap` in which test requesters note who holds which GPU.
pub const GPU_ALLOCS: &str = "gpu-allocs";
/// The extended resource of GPUs.
pub const GPU_RESOURCE: &str = "nvidia.com/gpu";
/// Field manager and name of the dual-pods controller.
pub const DUAL_PODS_CONTROLLER: &str = "dual-pods-controller";
/// Field manager and name of the launcher populator.
pub const LAUNCHER_POPULATOR: &str = "launcher-populator";

/// Ports.
pub mod port {
    /// A launcher's HTTP API.
    pub const LAUNCHER: u16 = 8001;
    /// A requester's SPI when nothing else is said.
    pub const SPI: u16 = 8081;
    /// A requester's probes.
    pub const PROBES: u16 = 8080;
    /// A requester's TCP proxy.
    pub const PROXY: u16 = 8082;
    /// The controllers' metrics.
    pub const METRICS: u16 = 8002;
    /// The controllers' debugging endpoints.
    pub const DEBUG: u16 = 8003;
}

/// Paths of the HTTP contracts between controllers, requesters, launchers and engines.
pub mod path {
    /// SPI: the GPUs of the requester, an array of UUIDs.
    pub const ACCELERATORS: &str = "/v1/dual-pods/accelerators";
    /// SPI: the same before November 2025.
    pub const OLD_ACCELERATORS: &str = "/v1/dual-pod/accelerators";
    /// SPI: MiB in use by GPU UUID.
    pub const ACCELERATOR_MEMORY: &str = "/v1/dual-pods/accelerator-memory-usage";
    /// SPI: the engine serves.
    pub const BECOME_READY: &str = "/v1/become-ready";
    /// SPI: the engine no longer serves.
    pub const BECOME_UNREADY: &str = "/v1/become-unready";
    /// SPI: target of the TCP proxy.
    pub const PROXY_CONFIG: &str = "/v1/proxy/config";
    /// SPI: appends to the relayed log.
    pub const SET_LOG: &str = "/v1/set-log";
    /// Launcher: the instances.
    pub const INSTANCES: &str = "/v2/vllm/instances";
}
