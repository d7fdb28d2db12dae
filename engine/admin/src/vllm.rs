//! vLLM, and engines that speak its routes.

use futures::FutureExt;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::error::AdminError;
use crate::http::{Answer, Caller, Timeouts};
use crate::metrics::EngineMetrics;
use crate::{Called, Driver, Health, ServedModel, SleepMode, WakeTag};

/// Driver for vLLM.
#[derive(Clone, Debug)]
pub struct Vllm {
    name: &'static str,
    caller: Caller,
    timeouts: Timeouts,
}

/// Administration routes exist in development mode only.
const DEV_MODE: &str = "vLLM has it with VLLM_SERVER_DEV_MODE=1";

#[derive(Deserialize)]
struct Sleeping {
    is_sleeping: bool,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<ServedModel>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

impl Vllm {
    /// A driver for the engine at `base` (`http://host:port`).
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(base: &str, client: reqwest::Client, timeouts: Timeouts) -> Result<Self, AdminError> {
        Self::named("vllm", base, client, timeouts)
    }

    pub(crate) fn named(name: &'static str, base: &str, client: reqwest::Client, timeouts: Timeouts) -> Result<Self, AdminError> {
        Ok(Self { name, caller: Caller::new(base, client)?, timeouts })
    }

    async fn administer(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        limit: std::time::Duration,
    ) -> Result<Answer, AdminError> {
        let answer = self.caller.call(method, path, body, limit).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(AdminError::Unsupported { url: answer.url, hint: DEV_MODE });
        }
        answer.success()
    }
}

impl Driver for Vllm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn health(&self) -> Called<'_, Health> {
        async {
            match self.caller.call(Method::GET, "health", None, self.timeouts.health).await {
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => Ok(Health::Dead),
                Ok(answer) => answer.success().map(|_| Health::Ready),
                Err(AdminError::Unreachable { .. }) => Ok(Health::Starting),
                Err(e) => Err(e),
            }
        }
        .boxed()
    }

    fn is_sleeping(&self) -> Called<'_, bool> {
        async {
            let answer = self.administer(Method::GET, "is_sleeping", None, self.timeouts.is_sleeping).await?;
            Ok(answer.json::<Sleeping>()?.is_sleeping)
        }
        .boxed()
    }

    fn sleep(&self, level: u8, mode: SleepMode) -> Called<'_, ()> {
        let mode = match mode {
            // Older releases know no modes.
            SleepMode::Default => "",
            SleepMode::Abort => "&mode=abort",
            SleepMode::Wait => "&mode=wait",
            SleepMode::Keep => "&mode=keep",
        };
        let path = format!("sleep?level={level}{mode}");
        async move { self.administer(Method::POST, &path, None, self.timeouts.sleep).await.map(drop) }.boxed()
    }

    fn wake(&self, tags: &[WakeTag]) -> Called<'_, ()> {
        let tags: Vec<&str> = tags
            .iter()
            .map(|tag| match tag {
                WakeTag::Weights => "tags=weights",
                WakeTag::KvCache => "tags=kv_cache",
            })
            .collect();
        let path = if tags.is_empty() { "wake_up".to_owned() } else { format!("wake_up?{}", tags.join("&")) };
        async move { self.administer(Method::POST, &path, None, self.timeouts.wake).await.map(drop) }.boxed()
    }

    fn restore_weights(&self) -> Called<'_, ()> {
        async {
            let body = json!({"method": "reload_weights"});
            self.administer(Method::POST, "collective_rpc", Some(&body), self.timeouts.wake).await.map(drop)
        }
        .boxed()
    }

    fn release_cache(&self) -> Called<'_, ()> {
        async { self.administer(Method::POST, "reset_prefix_cache", None, self.timeouts.query).await.map(drop) }.boxed()
    }

    fn models(&self) -> Called<'_, Vec<ServedModel>> {
        async {
            let answer = self.caller.call(Method::GET, "v1/models", None, self.timeouts.query).await?;
            Ok(answer.json::<Models>()?.data)
        }
        .boxed()
    }

    fn version(&self) -> Called<'_, String> {
        async {
            let answer = self.caller.call(Method::GET, "version", None, self.timeouts.query).await?;
            Ok(answer.json::<Version>()?.version)
        }
        .boxed()
    }

    fn metrics(&self) -> Called<'_, EngineMetrics> {
        async {
            let answer = self.caller.call(Method::GET, "metrics", None, self.timeouts.query).await?;
            Ok(EngineMetrics::parse(&answer.text()?))
        }
        .boxed()
    }
}
