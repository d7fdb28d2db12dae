//! Watching a run to its end, and reading its last words.

use std::time::Duration;

use super::start::Watch;
use crate::logs::Logs;
use crate::machine::Exit;

/// How long the output of a run may go on after its end was reported; nothing that could write is left then.
const DRAIN: Duration = Duration::from_secs(1);
/// What of a termination message is kept.
const LAST_WORDS: usize = 4096;

/// Watches a run to its end.
pub(super) async fn attend(mut watch: Watch) -> (Exit, Option<String>) {
    let exit = watch.reports.exited().await.map_or(Exit::LOST, |(code, signal)| Exit { code, signal });
    for output in &mut watch.output {
        if tokio::time::timeout(DRAIN, &mut *output).await.is_err() {
            output.abort();
        }
    }
    watch.log.end();
    let (log, fall_back) = (watch.log, watch.fall_back_to_log && exit.code != 0);
    let message = tokio::task::spawn_blocking(move || last_words(&watch.termination_log, fall_back.then_some(&*log))).await;
    (exit, message.ok().flatten())
}

fn last_words(file: &std::path::Path, log: Option<&crate::logs::RunLog>) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(file) {
        let _ = file.take(LAST_WORDS as u64).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = if text.is_empty() { log.map(|l| Logs::tail(l, 80, 2048)).unwrap_or_default() } else { text };
    (!text.is_empty()).then_some(text)
}
