//! vLLM, and engines that speak its routes.

use dormouse_runtime::http::{Answer, Cause, Failure, Method};
use futures::FutureExt;
use serde_json::{Value, json};

use crate::admin::{IsSleeping, SleepMode, WakeTag};
use crate::driver::{Call, Called, Driver, Health, Transport};
use crate::error::EngineError;

/// Driver for vLLM.
#[derive(Clone, Debug)]
pub struct Vllm<T> {
    base: String,
    transport: T,
}

/// Administration routes exist in development mode only.
const DEV_MODE: &str = "vLLM has it with VLLM_SERVER_DEV_MODE=1";

impl<T: Transport> Vllm<T> {
    /// A driver for the engine at `base` (`http://host:port`).
    pub fn new(base: &str, transport: T) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), transport }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let url = format!("{}{path}", self.base);
        self.transport.call(Call { method: &method, url: &url, body }).await
    }

    /// A call of an administration route.
    async fn administer(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, EngineError> {
        self.call(method, path, body).await.map_err(|failure| match failure.status() {
            Some(404) => EngineError::Unsupported { failure, hint: DEV_MODE },
            _ => failure.into(),
        })
    }
}

impl<T: Transport> Driver for Vllm<T> {
    fn health(&self) -> Called<'_, Health> {
        async {
            match self.call(Method::GET, "/health", None).await {
                Ok(_) => Ok(Health::Ready),
                Err(Failure { cause: Cause::Unreachable(_), .. }) => Ok(Health::Starting),
                Err(failure) if failure.status() == Some(503) => Ok(Health::Dead),
                Err(failure) => Err(failure.into()),
            }
        }
        .boxed()
    }

    fn is_sleeping(&self) -> Called<'_, bool> {
        async {
            let answer = self.administer(Method::GET, "/is_sleeping", None).await?;
            Ok(answer.json::<IsSleeping>()?.is_sleeping)
        }
        .boxed()
    }

    fn sleep(&self, level: u8, mode: Option<SleepMode>) -> Called<'_, ()> {
        // Level 1 is what every release does unasked; older ones know no modes.
        let path = match (level, mode) {
            (1, None) => "/sleep".to_owned(),
            (level, None) => format!("/sleep?level={level}"),
            (level, Some(mode)) => format!("/sleep?level={level}&mode={}", mode.as_str()),
        };
        async move { self.administer(Method::POST, &path, None).await.map(drop) }.boxed()
    }

    fn wake(&self, tags: &[WakeTag]) -> Called<'_, ()> {
        let mut path = "/wake_up".to_owned();
        for (i, tag) in tags.iter().enumerate() {
            path.push_str(if i == 0 { "?tags=" } else { "&tags=" });
            path.push_str(tag.as_str());
        }
        async move { self.administer(Method::POST, &path, None).await.map(drop) }.boxed()
    }

    fn restore_weights(&self) -> Called<'_, ()> {
        async {
            let body = json!({"method": "reload_weights"});
            self.administer(Method::POST, "/collective_rpc", Some(&body)).await.map(drop)
        }
        .boxed()
    }

    fn release_cache(&self) -> Called<'_, ()> {
        async { self.administer(Method::POST, "/reset_prefix_cache", None).await.map(drop) }.boxed()
    }
}
