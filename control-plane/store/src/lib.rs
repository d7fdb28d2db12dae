//! Store.
/// Options.
#[derive(Debug, Clone)]
pub struct Options {
    /// Events.
    pub log_events: usize,
    /// Bytes.
    pub log_bytes: usize,
}
/// Store.
#[derive(Debug, Clone)]
pub struct Store {}
impl Store {
    /// New.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let _ = options;
        Self {}
    }
}
