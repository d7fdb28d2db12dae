//! The server as a value: it listens from `start` on, and ends with `stop`.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dormouse_perf_net::{Listen, listen, raise_file_limit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

use crate::args::MockServerArgs;
use crate::error::Error;
use crate::fault::listing;
use crate::gate::Gate;
use crate::job::Knobs;
use crate::plan::Odds;
use crate::stats::Stats;
use crate::worker::{Post, Shared, Worker, event_loop};

/// A running mock server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    posts: Arc<Vec<Post>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Listens, and serves on threads of its own.
    ///
    /// # Errors
    /// The options contradict each other or are not built, the address cannot be had, or the system gives no thread.
    pub fn start(args: &MockServerArgs) -> Result<Self, Error> {
        let wanted = args.check()?;
        raise_file_limit();
        let listener = listen(wanted, Listen::default()).map_err(|error| Error::Listen { address: wanted, error })?;
        let address = listener.local_addr().map_err(Error::system("the address of the socket"))?;
        let threads = usize::from(args.threads.max(1));
        let seconds = |s: f64| Duration::try_from_secs_f64(s).map_or(u64::MAX, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        let places = args.max_concurrency.and_then(|n| usize::try_from(n).ok());
        let shared = Arc::new(Shared {
            knobs: Knobs::new(args),
            odds: Odds::new(args.seed, (args.error_rate, args.error_status), &args.faults, args.stall_rate, args.ttft(), args.itl()),
            gate: Gate::new(places, args.service_rate.map_or(0, |rate| seconds(1.0 / rate))),
            stats: Stats::new(threads, args.stats_requests),
            cache: args.prefix_cache.then(Mutex::default),
            numbers: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            max_connections: args.max_connections,
            idle_ns: seconds(args.idle_timeout_s),
            spin: if args.spin { Duration::from_micros(80) } else { Duration::ZERO },
        });
        let loops: io::Result<Vec<_>> = (0..threads).map(|_| event_loop(&shared)).collect();
        let loops = loops.map_err(Error::system("an event loop"))?;
        let posts = Arc::new(loops.iter().map(|event_loop| Post::new(event_loop.waker())).collect::<Vec<_>>());
        let mut server = Self { address, shared, posts, threads: Vec::new() };
        let mut listener = Some(listener);
        for (index, event_loop) in loops.into_iter().enumerate() {
            let worker = Worker::new(index, Arc::clone(&server.shared), Arc::clone(&server.posts), event_loop, listener.take());
            let thread = thread::Builder::new().name(format!("mock-{index}")).spawn(move || worker.run());
            server.threads.push(thread.map_err(Error::system("a thread"))?);
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `GET /stats?requests=N` says, as JSON.
    #[must_use]
    pub fn stats(&self, requests: usize) -> Vec<u8> {
        self.shared.stats.json(requests)
    }

    /// Forgets what it has counted, as `POST /stats/reset` does.
    pub fn reset_stats(&self) {
        self.shared.stats.reset();
    }

    /// Ends: nothing is accepted any more, idle connections close, what is in flight has a quarter of a second.
    ///
    /// # Errors
    /// A thread had ended before, with this.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        self.shared.stop.store(true, Ordering::Release);
        self.posts.iter().for_each(Post::wake);
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => result = Err(Error::System { what: "waiting for sockets", error }),
                Err(_) => result = Err(Error::System { what: "a thread", error: io::Error::other("it panicked") }),
            }
        }
        result
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.end();
    }
}

/// Serves until SIGINT or SIGTERM; prints the address as one line as soon as it listens.
///
/// # Errors
/// As [`Server::start`], and when signals cannot be heard.
pub fn run(args: &MockServerArgs) -> Result<(), Error> {
    if args.list_faults {
        print(&listing());
        return Ok(());
    }
    let heard = |error| Error::System { what: "listening for signals", error };
    let (mut hears, rings) = UnixStream::pair().map_err(heard)?;
    let mut registered = Vec::new();
    for signal in [SIGINT, SIGTERM] {
        registered.push(pipe::register(signal, rings.try_clone().map_err(heard)?).map_err(heard)?);
    }
    let server = Server::start(args)?;
    print(&format!("http://{}\n", server.address()));
    // The other end is held by the handlers: nothing but a signal ends this.
    while hears.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {}
    for signal in registered {
        unregister(signal);
    }
    server.stop()
}

/// Whoever reads it may have gone: a server goes on.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
