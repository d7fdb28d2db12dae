//! Kubernetes types of Dormouse and of the peers it is compatible with; names shared on the wire
