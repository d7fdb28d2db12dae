//! The dataset manager: a thread that has the next conversations ready before they are wanted, and writes what is asked into
//! `inputs.json` beside.
//!
//! Conversations are made when their turn comes. What was made is kept as long as there is room, because most data sets are taken
//! again and again; what would not fit is made anew. What is ready and not yet taken is bounded by the channel.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dormouse_perf_data::{ContextMode, Dataset, Payloads};
use dormouse_perf_load::script::Script;
use dormouse_perf_load::worker::Control;

use crate::files;
use crate::script::Ready;

/// Conversations that are handed over together, and how long the first of them waits for the others.
const BATCH: usize = 64;
const SOON: Duration = Duration::from_micros(200);
/// Memory for conversations that are kept.
const ROOM: usize = 256 << 20;

/// All conversations of a data set, made when they are first wanted.
#[derive(Debug)]
pub struct Conversations {
    data: Dataset,
    payloads: Payloads,
    zero: f64,
    kept: Vec<OnceLock<Arc<Ready>>>,
    used: AtomicUsize,
}

impl Conversations {
    /// Of a data set; `zero` is what its times are counted from.
    #[must_use]
    pub fn new(data: Dataset, payloads: Payloads, zero: f64) -> Self {
        let kept = (0..data.len()).map(|_| OnceLock::new()).collect();
        Self { data, payloads, zero, kept, used: AtomicUsize::new(0) }
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Conversation k.
    ///
    /// # Errors
    /// When the endpoint cannot take it.
    pub fn get(&self, k: usize) -> Result<Arc<Ready>, dormouse_perf_data::Error> {
        if let Some(kept) = self.kept.get(k).and_then(OnceLock::get) {
            return Ok(Arc::clone(kept));
        }
        let conversation = self.data.conversation(k);
        let keeps_answers = conversation.mode == ContextMode::DeltasWithoutResponses;
        let ready = Arc::new(Ready::new(k, self.payloads.prepare(&conversation)?, self.zero, keeps_answers));
        if let Some(place) = self.kept.get(k)
            && self.used.load(Ordering::Relaxed) < ROOM
        {
            self.used.fetch_add(ready.size(), Ordering::Relaxed);
            // Another thread may have been first; both are the same.
            let _ = place.set(Arc::clone(&ready));
        }
        Ok(ready)
    }
}

/// The thread that supplies.
#[derive(Debug)]
pub struct Supplier(JoinHandle<Result<(), dormouse_perf_data::Error>>);

impl Supplier {
    /// Supplies conversations in this order until nobody takes them any more.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        conversations: &Arc<Conversations>,
        order: impl Iterator<Item = usize> + Send + 'static,
        supply: SyncSender<Vec<Arc<dyn Script>>>,
        control: Control,
    ) -> io::Result<Self> {
        let conversations = Arc::clone(conversations);
        let work = move || {
            let mut batch: Vec<Arc<dyn Script>> = Vec::with_capacity(BATCH);
            let mut began = Instant::now();
            let mut wrong = None;
            for k in order {
                match conversations.get(k) {
                    Ok(ready) => batch.push(ready),
                    Err(error) => {
                        wrong = Some(error);
                        break;
                    }
                }
                // The first ones are not kept waiting, nor are any that take long to make.
                if batch.len() >= BATCH || began.elapsed() >= SOON {
                    if supply.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err() {
                        return Ok(());
                    }
                    control.supplied();
                    began = Instant::now();
                }
            }
            // Who takes them may have gone.
            let _ = supply.send(batch);
            drop(supply);
            control.supplied();
            wrong.map_or(Ok(()), Err)
        };
        Ok(Self(std::thread::Builder::new().name("dataset-manager".to_owned()).spawn(work)?))
    }

    /// What it ended with; whoever takes must have gone.
    ///
    /// # Errors
    /// A conversation that the endpoint cannot take.
    pub fn join(self) -> Result<(), dormouse_perf_data::Error> {
        self.0.join().unwrap_or(Ok(()))
    }
}

/// The thread that writes `inputs.json`.
#[derive(Debug)]
pub struct Inputs {
    thread: JoinHandle<io::Result<()>>,
    hurry: Arc<AtomicBool>,
}

impl Inputs {
    /// Writes all conversations into a file.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(conversations: &Arc<Conversations>, path: PathBuf) -> io::Result<Self> {
        let conversations = Arc::clone(conversations);
        let hurry = Arc::new(AtomicBool::new(false));
        let hurried = Arc::clone(&hurry);
        let work = move || {
            files::behind();
            write(&conversations, &path, &hurried)
        };
        Ok(Self { thread: std::thread::Builder::new().name("inputs".to_owned()).spawn(work)?, hurry })
    }

    /// Waits for its end; where the run was interrupted what is not written yet is left out.
    ///
    /// # Errors
    /// When the file could not be written.
    pub fn join(self, interrupted: bool) -> io::Result<()> {
        self.hurry.store(interrupted, Ordering::Relaxed);
        self.thread.join().unwrap_or(Ok(()))
    }
}

fn write(conversations: &Conversations, path: &Path, hurry: &AtomicBool) -> io::Result<()> {
    let partial = files::partial(path);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
    out.write_all(b"{\"data\":[")?;
    let mut bytes = Vec::new();
    let mut first = true;
    for k in 0..conversations.data.len() {
        if hurry.load(Ordering::Relaxed) {
            break;
        }
        // What cannot be sent is told by whoever wants to send it.
        let Ok(ready) = conversations.get(k) else { continue };
        bytes.clear();
        bytes.extend_from_slice(if std::mem::take(&mut first) { b"\n" } else { b",\n" });
        bytes.extend_from_slice(b"{\"session_id\":");
        serde_json::to_writer(&mut bytes, ready.id())?;
        bytes.extend_from_slice(b",\"payloads\":[");
        for turn in 0..ready.turns() {
            if turn > 0 {
                bytes.push(b',');
            }
            ready.authored(turn, &mut bytes);
        }
        bytes.extend_from_slice(b"]}");
        out.write_all(&bytes)?;
    }
    out.write_all(b"\n]}\n")?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    std::fs::rename(&partial, path)
}
