//! The first objects of a full server (being written by api2).

use crate::ApiServer;

/// Makes namespaces and roles.
pub fn install(server: &ApiServer) {
    let _ = server;
}
