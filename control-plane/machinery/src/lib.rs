//! PURE Kubernetes API machinery: quantities, selectors, names, patches, schemas, protobuf, JSONPath
