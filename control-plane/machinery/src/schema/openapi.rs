//! OpenAPI schemas of the built-in types.
