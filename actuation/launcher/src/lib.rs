//! Launcher: daemon that runs engine instances as child processes behind an HTTP API
