//! Writing, rotating and reading with every option.

use std::io::Write as _;

use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::net::unix::pipe;

use super::*;

struct Fixture {
    _dir: tempfile::TempDir,
    logs: Logs,
    clock: Arc<dormouse_runtime::clock::ManualClock>,
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn fixture(file_bytes: u64) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs { dir: dir.path().to_owned(), file_bytes, runs: Mutex::default() };
    Fixture { _dir: dir, logs, clock: dormouse_runtime::clock::ManualClock::new(start()) }
}

impl Fixture {
    /// One run that writes `text`, one second between two pieces.
    async fn run(&self, attempt: u32, pieces: &[&str]) -> Arc<RunLog> {
        let log = self.logs.begin("u", "c", attempt).unwrap();
        for piece in pieces {
            self.feed(&log, piece, Stream::Stdout).await;
            self.clock.advance(SignedDuration::from_secs(1));
        }
        log
    }

    async fn feed(&self, log: &Arc<RunLog>, text: &str, stream: Stream) {
        let (ours, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        std::fs::File::from(theirs).write_all(text.as_bytes()).unwrap();
        copy(pipe::Receiver::from_owned_fd(ours).unwrap(), stream, log.clone(), self.clock.clone()).await;
    }

    async fn read(&self, query: LogQuery) -> String {
        let query = LogQuery { uid: "u".into(), pod: "p".into(), container: "c".into(), ..query };
        let log = self.logs.find(&query).unwrap();
        let now = start() + SignedDuration::from_secs(10);
        let chunks: Vec<bytes::Bytes> = LogReader::open(log, query, now).await.unwrap().into_stream().try_collect().await.unwrap();
        String::from_utf8(chunks.concat()).unwrap()
    }
}

#[tokio::test]
async fn options_of_kubectl_logs() {
    let f = fixture(FILE_BYTES);
    let log = f.run(0, &["one\n", "two\n", "three\n"]).await;
    f.feed(&log, "error\n", Stream::Stderr).await;
    let d = LogQuery::default;
    assert_eq!(f.read(d()).await, "one\ntwo\nthree\nerror\n");
    assert_eq!(f.read(LogQuery { tail_lines: Some(2), ..d() }).await, "three\nerror\n");
    assert_eq!(f.read(LogQuery { tail_lines: Some(99), ..d() }).await, "one\ntwo\nthree\nerror\n");
    assert_eq!(f.read(LogQuery { tail_lines: Some(0), ..d() }).await, "");
    assert_eq!(f.read(LogQuery { limit_bytes: Some(5), ..d() }).await, "one\nt");
    assert_eq!(f.read(LogQuery { since_seconds: Some(8), ..d() }).await, "three\nerror\n");
    let since_time = Some(start() + SignedDuration::from_secs(1));
    assert_eq!(f.read(LogQuery { since_time, ..d() }).await, "two\nthree\nerror\n");
    assert_eq!(f.read(LogQuery { stream: Some(Stream::Stderr), ..d() }).await, "error\n");
    let stamped = f.read(LogQuery { timestamps: true, tail_lines: Some(1), ..d() }).await;
    assert_eq!(stamped, "2026-01-01T00:00:03.000000000Z error\n");
}

#[tokio::test]
async fn previous_is_the_run_before_and_older_ones_go() {
    let f = fixture(FILE_BYTES);
    let query = |previous| LogQuery { uid: "u".into(), pod: "p".into(), container: "c".into(), previous, ..LogQuery::default() };
    assert!(f.logs.find(&query(false)).is_none());
    f.run(0, &["zero\n"]).await;
    assert!(f.logs.find(&query(true)).is_none());
    f.run(1, &["one\n"]).await;
    f.run(2, &["two\n"]).await;
    assert_eq!(f.read(query(true)).await, "one\n");
    assert_eq!(f.read(query(false)).await, "two\n");
    assert_eq!(std::fs::read_dir(f.logs.dir.join("u/c")).unwrap().count(), 2);
    f.logs.remove("u");
    assert!(!f.logs.dir.join("u").exists() && f.logs.find(&query(false)).is_none());
}

#[tokio::test]
async fn files_rotate_and_are_read_together() {
    let f = fixture(100);
    let pieces: Vec<String> = (0..40).map(|i| format!("line {i}\n")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    f.run(0, &pieces).await;
    let files = std::fs::read_dir(f.logs.dir.join("u/c")).unwrap().count();
    assert_eq!(files as u64, FILES);
    let all = f.read(LogQuery::default()).await;
    assert!(all.ends_with("line 38\nline 39\n") && !all.contains("line 1\n"), "the oldest are gone, the rest is in order: {all}");
    assert_eq!(f.read(LogQuery { tail_lines: Some(7), ..LogQuery::default() }).await.lines().count(), 7);
}

#[tokio::test]
async fn a_follower_gets_what_comes_and_ends_with_the_run() {
    let f = fixture(100);
    let log = f.run(0, &["early\n"]).await;
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut stream = Box::pin(LogReader::open(log.clone(), query, start()).await.unwrap().into_stream());
    assert_eq!(stream.next().await.unwrap().unwrap(), "early\n");
    let follower = tokio::spawn(async move { stream.try_collect::<Vec<_>>().await.unwrap().concat() });
    for i in 0..20 {
        f.feed(&log, &format!("late {i}\n"), Stream::Stdout).await;
        tokio::task::yield_now().await;
    }
    log.end();
    let text = String::from_utf8(follower.await.unwrap()).unwrap();
    assert!(text.ends_with("late 18\nlate 19\n"), "{text}");
}

#[tokio::test]
async fn a_line_without_end_is_shown_without_end() {
    let f = fixture(FILE_BYTES);
    f.run(0, &["no newline"]).await;
    assert_eq!(f.read(LogQuery::default()).await, "no newline");
    let log = f.run(1, &["a\nb\nlast words\n"]).await;
    assert_eq!(Logs::tail(&log, 2, 100), "b\nlast words");
    assert_eq!(Logs::tail(&log, 80, 5), "words");
}
