//! Annotations under `dormouse.dev/`.

/// On a Node: JSON of GPU UUID to index, published by its kubelet.
pub const NODE_GPUS: &str = "dormouse.dev/gpus";
/// On a Node: what processes of Pods whose objects are gone still hold there, as JSON of resource name to quantity; published
/// by its kubelet, counted by the scheduler.
pub const NODE_HELD: &str = "dormouse.dev/held";
/// On a Pod: the UUIDs of the GPUs that its containers were given, joined by commas; published by its kubelet.
pub const POD_GPUS: &str = "dormouse.dev/gpus";
/// On a Pod: JSON of life-cycle instants with microseconds, published by its kubelet.
pub const TIMELINE: &str = "dormouse.dev/timeline";
/// On a launcher: JSON of instance ID to the time it was last put to sleep, RFC 3339 with microseconds.
pub const LAST_USED: &str = "dormouse.dev/last-used";
/// Of an instance inside a launcher: the engine that it is.
pub const ENGINE: &str = "dormouse.dev/engine";
