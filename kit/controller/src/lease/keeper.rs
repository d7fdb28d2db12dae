//! Takes a lease and keeps it, beside the work that it allows.

use std::future::Future;
use std::time::Duration;

use dormouse_runtime::monotonic::BootClock;
use dormouse_runtime::{CancellationToken, SharedClock};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Timing;
use super::candidate::{Action, Candidate, News, Now, Record};
use crate::{At, CallError, Fence, JsonClient, already_exists, conflict};

/// A candidacy for one lease.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Namespace of the lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who asks: see [`identity`](super::identity).
    pub identity: String,
    /// Times.
    pub timing: Timing,
    /// Wall time, for the stamps in the lease.
    pub clock: SharedClock,
    /// The time that decides.
    pub boot: BootClock,
}

/// What the work gets.
#[derive(Debug, Clone)]
pub struct Leader {
    /// To be asked before each call.
    pub fence: Fence,
    /// Cancelled when the work is to end in order.
    pub stop: CancellationToken,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As asked, or by the work itself; the lease is free for others.
    Released,
    /// The lease was lost under the work, which was dropped where it stood; or nobody keeps it any more, because its keeper has
    /// panicked. A process should end now.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Leading,
    Lost,
}

/// Time for the work to end once it is asked to, and for the lease to be given up.
const GRACE: Duration = Duration::from_secs(5);

impl Campaign {
    /// Waits for the lease, then does `work` for as long as the lease is kept, it lasts, and nobody cancels `shutdown`.
    ///
    /// When the lease is lost the work is dropped; tasks that it has started must end with it. Whatever is still under way is
    /// held back by the fence, which has shut by then.
    pub async fn run<W, Fut>(self, client: &JsonClient, shutdown: CancellationToken, work: W) -> Ended
    where
        W: FnOnce(Leader) -> Fut,
        Fut: Future<Output = ()>,
    {
        let fence = Fence::shut(self.boot.clone(), self.timing.duration.saturating_sub(self.timing.renew_deadline));
        let (standing, mut told) = watch::channel(Standing::Waiting);
        let end = CancellationToken::new();
        // Renewals must not wait for the work to yield: they have a task of their own.
        let keeper = Keeper {
            at: At::all::<Lease>(Some(&self.namespace)),
            // Half the deadline, as the peers' programs set it: a call that hangs leaves time for another.
            client: client.clone().timeout(self.timing.renew_deadline / 2),
            candidate: Candidate::new(self.identity.clone(), self.timing),
            fence: fence.clone(),
            metadata: ObjectMeta::default(),
            campaign: self,
        };
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.keep(standing, end.clone())));
        let leads = tokio::select! {
            changed = told.wait_for(|s| *s != Standing::Waiting) => match changed.as_deref() {
                Ok(Standing::Leading) => true,
                // Lost again before the work began, or nobody keeps it.
                _ => return Ended::Lost,
            },
            () = shutdown.cancelled() => false,
        };
        if leads {
            let stop = shutdown.child_token();
            let work = work(Leader { fence, stop: stop.clone() });
            let in_order = async {
                tokio::pin!(work);
                tokio::select! {
                    () = &mut work => return,
                    () = stop.cancelled() => {}
                }
                if tokio::time::timeout(GRACE, work).await.is_err() {
                    tracing::warn!("the work did not end in time");
                }
            };
            tokio::select! {
                // What is lost, or kept by nobody, is lost, even if the work ends in the same instant.
                biased;
                _ = told.wait_for(|s| *s == Standing::Lost) => {
                    return Ended::Lost;
                }
                () = in_order => {}
            }
        }
        end.cancel();
        if !matches!(tokio::time::timeout(GRACE, keeper).await, Ok(Ok(()))) {
            tracing::debug!("the lease was not released in time");
        }
        Ended::Released
    }
}

struct Keeper {
    campaign: Campaign,
    at: At,
    client: JsonClient,
    candidate: Candidate,
    fence: Fence,
    /// Metadata of the lease as it was last seen: what others put there stays.
    metadata: ObjectMeta,
}

impl Keeper {
    fn now(&self) -> Now {
        Now { boot: self.campaign.boot.now(), wall: self.campaign.clock.now() }
    }

    async fn keep(mut self, standing: watch::Sender<Standing>, end: CancellationToken) {
        let mut news = News::Woke;
        let who = (self.campaign.name.clone(), self.campaign.identity.clone());
        loop {
            let action = self.candidate.step(news, self.now());
            let until = self.candidate.leads_until();
            self.fence.open(until);
            if until.is_some() && *standing.borrow() == Standing::Waiting {
                tracing::info!(lease = who.0, holder = who.1, "Took the lease");
                standing.send_replace(Standing::Leading);
            }
            if action == Action::Stop {
                tracing::error!(lease = who.0, holder = who.1, "Lost the lease");
                standing.send_replace(Standing::Lost);
                return;
            }
            news = tokio::select! {
                news = self.perform(action) => news,
                () = end.cancelled() => break,
            };
        }
        self.fence.open(None);
        if let Some(record) = self.candidate.release(self.now()) {
            match self.write(record).await {
                Ok(_) => tracing::info!(lease = who.0, holder = who.1, "Released the lease"),
                Err(error) => tracing::warn!(lease = who.0, %error, "the lease was not released"),
            }
        }
    }

    async fn perform(&mut self, action: Action) -> News {
        let result = match action {
            Action::Stop => return News::Woke,
            Action::Wait(wait) => {
                tokio::time::sleep(wait).await;
                return News::Woke;
            }
            Action::Read => {
                let lease = self.client.get_opt::<Lease>(&self.at.clone().named(&self.campaign.name)).await;
                lease.map(|lease| News::Read(lease.map(|lease| self.seen(lease))))
            }
            Action::Write(record) => self.write(record).await.map(News::Written),
        };
        match result {
            Ok(news) => news,
            Err(error) if conflict(&error) || already_exists(&error) => News::Refused,
            Err(error) => {
                tracing::warn!(lease = self.campaign.name, %error, "cannot read or write the lease");
                News::Failed
            }
        }
    }

    async fn write(&mut self, wanted: Record) -> Result<Record, CallError> {
        let new = wanted.version.is_empty();
        let (namespace, name) = (Some(self.campaign.namespace.clone()), Some(self.campaign.name.clone()));
        let metadata = if new { ObjectMeta { namespace, name, ..ObjectMeta::default() } } else { self.metadata.clone() };
        let lease = Lease { metadata, spec: Some(spec(&wanted)) };
        let written = if new {
            self.client.create(&self.at, &lease).await?
        } else {
            self.client.replace(&self.at.clone().named(&self.campaign.name), &lease).await?
        };
        Ok(self.seen(written))
    }

    fn seen(&mut self, lease: Lease) -> Record {
        let spec = lease.spec.unwrap_or_default();
        self.metadata = lease.metadata;
        let time = |t: Option<MicroTime>| t.map(|t| t.0);
        Record {
            holder: spec.holder_identity.unwrap_or_default(),
            duration: Duration::from_secs(spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)),
            acquired: time(spec.acquire_time),
            renewed: time(spec.renew_time),
            transitions: spec.lease_transitions.unwrap_or(0),
            version: self.metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

fn spec(record: &Record) -> LeaseSpec {
    let time = |t: Option<Timestamp>| t.map(MicroTime);
    LeaseSpec {
        holder_identity: Some(record.holder.clone()),
        lease_duration_seconds: i32::try_from(record.duration.as_secs()).ok(),
        acquire_time: time(record.acquired),
        renew_time: time(record.renewed),
        lease_transitions: Some(record.transitions),
        ..LeaseSpec::default()
    }
}
