//! Clients without sockets.
