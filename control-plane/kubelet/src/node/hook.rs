//! Running a life-cycle hook.

use std::time::Duration;

use k8s_openapi::api::core::v1::{HTTPGetAction, LifecycleHandler};

use super::probe::{self, Target};

/// For a hook without a limit of its own (`postStart`): long, but not for ever.
const LONG: Duration = Duration::from_secs(600);

/// Runs `hook` within `timeout`.
///
/// # Errors
/// The text for the event.
pub(super) async fn run(hook: &LifecycleHandler, target: Target<'_>, timeout: Option<Duration>) -> Result<(), String> {
    let limit = timeout.unwrap_or(LONG);
    if let Some(action) = &hook.exec {
        probe::exec(action, target, limit).await
    } else if let Some(action) = &hook.http_get {
        // A server that has just started may not listen yet; the kubelet does not wait for it either.
        let action = HTTPGetAction { host: action.host.clone().filter(|h| !h.is_empty()), ..action.clone() };
        probe::http_get(&action, target, limit).await
    } else if let Some(action) = &hook.sleep {
        let wanted = Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0));
        tokio::time::sleep(wanted.min(limit)).await;
        Ok(())
    } else {
        Err("the hook has no handler that is supported".to_owned())
    }
}
