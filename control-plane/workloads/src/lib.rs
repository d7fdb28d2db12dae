//! Workload controllers: ReplicaSet, Deployment, garbage collection, namespaces, Pod collection
