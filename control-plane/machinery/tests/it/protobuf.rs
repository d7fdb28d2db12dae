//! Tests of protobuf.
