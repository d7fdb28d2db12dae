//! `log` of Pods: the options are read here, the node side brings the text.

use dormouse_machinery::field::FieldError;
use futures::{FutureExt, StreamExt};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::handler::{Call, respond};
use crate::node_side::{LogOptions, Target};
use crate::object::at;
use crate::registry::{Answer, Handler, Object, Subresource, Verb};
use crate::{ApiError, Body};

impl Subresource {
    /// The `log` subresource.
    pub(crate) fn log() -> Self {
        Self::own("log", "Pod", &[Verb::Get], Log)
    }
}

struct Log;

impl Handler for Log {
    fn handle<'a>(&'a self, call: &'a mut Call, _: Verb) -> Answer<'a> {
        log(call).boxed()
    }
}

async fn log(call: &Call) -> Result<Response<Body>, ApiError> {
    let pod = call.object()?;
    let options = options(call)?;
    let container = container(&pod, &call.info.name, call.params.get("container"))?;
    let pod = Value::Object(pod);
    let target = Target { pod: &pod, container: &container };
    if target.node().is_empty() {
        // No node has it yet, so nothing was said.
        return Ok(respond::text(StatusCode::OK, Body::empty()));
    }
    let Some(nodes) = call.server.node_side() else {
        return Err(ApiError::internal("no node of this server gives out logs"));
    };
    let body = nodes.logs(target, options).await?;
    // A followed log ends with the server.
    let stopping = call.server.stopping().clone();
    let body = Body::from_stream(body.into_data_stream().take_until(stopping.cancelled_owned()));
    Ok(respond::text(StatusCode::OK, body))
}

fn options(call: &Call) -> Result<LogOptions, ApiError> {
    let params = &call.params;
    let mut problems = Vec::new();
    let since_time = match params.get("sinceTime") {
        "" => None,
        text => Some(text.parse().map_err(|_| ApiError::bad_request(format!("sinceTime {text:?} is no RFC 3339 time")))?),
    };
    let mut number = |field: &'static str, least: i64| -> Result<Option<i64>, ApiError> {
        let value = params.int(field)?;
        if let Some(n) = value.filter(|n| *n < least) {
            let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            problems.push(FieldError::invalid(field, n, why));
        }
        Ok(value)
    };
    let tail = number("tailLines", 0)?;
    let limit = number("limitBytes", 1)?;
    let since_seconds = number("sinceSeconds", 1)?;
    if since_seconds.is_some() && since_time.is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        problems.push(FieldError::forbidden("sinceSeconds", why));
    }
    if !problems.is_empty() {
        return Err(ApiError::invalid_fields("", "PodLogOptions", &call.info.name, &problems));
    }
    Ok(LogOptions {
        follow: params.flag("follow"),
        previous: params.flag("previous"),
        since_seconds,
        since_time,
        timestamps: params.flag("timestamps"),
        tail_lines: tail.and_then(|n| u64::try_from(n).ok()),
        limit_bytes: limit.and_then(|n| u64::try_from(n).ok()),
        stream: (!params.get("stream").is_empty()).then(|| params.get("stream").to_owned()),
    })
}

/// The wanted container, or the only one.
fn container(pod: &Object, name: &str, wanted: &str) -> Result<String, ApiError> {
    let names = |list: &str| -> Vec<String> {
        let list = at(pod, &format!("spec.{list}")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|c| Some(c.get("name")?.as_str()?.to_owned())).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    if !wanted.is_empty() {
        if main.iter().chain(&init).chain(&names("ephemeralContainers")).any(|n| n == wanted) {
            return Ok(wanted.to_owned());
        }
        return Err(ApiError::bad_request(format!("container {wanted} is not valid for pod {name}")));
    }
    match main.as_slice() {
        [one] => Ok(one.clone()),
        many => {
            let mut message = format!("a container name must be specified for pod {name}, choose one of: [{}]", many.join(" "));
            if !init.is_empty() {
                message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(ApiError::bad_request(message))
        }
    }
}
