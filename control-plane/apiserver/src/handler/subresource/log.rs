//! `log` of Pods: the options are read here, the node side brings the text.

use http::{Response, StatusCode};
use serde_json::Value;

use crate::logs::LogOptions;
use crate::object::at;
use crate::registry::Object;
use crate::{ApiError, Body};

use super::super::{Call, respond, shown_object};

pub(super) async fn log(call: &mut Call) -> Result<Response<Body>, ApiError> {
    let stored = call.stored()?;
    let pod = shown_object(&call.kind, stored.bytes())?;
    let options = options(call)?;
    let container = container(&pod, &call.info.name, call.params.get("container"))?;
    if at(&pod, "spec.nodeName").and_then(Value::as_str).is_none_or(str::is_empty) {
        // No node has it yet, so nothing was said.
        return Ok(respond::text(StatusCode::OK, Body::empty()));
    }
    let Some(logs) = call.server.pod_logs() else {
        return Err(ApiError::internal("no node of this server gives out logs"));
    };
    let stopping = call.server.stopping().clone();
    let body = logs.logs(&Value::Object(pod), &container, options).await?;
    // A followed log ends with the server.
    let body = Body::from_stream(futures::StreamExt::take_until(body.into_data_stream(), stopping.cancelled_owned()));
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
            problems.push(dormouse_machinery::field::FieldError::invalid(field, n, why));
        }
        Ok(value)
    };
    let tail = number("tailLines", 0)?;
    let limit = number("limitBytes", 1)?;
    let since_seconds = number("sinceSeconds", 1)?;
    if since_seconds.is_some() && since_time.is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        problems.push(dormouse_machinery::field::FieldError::forbidden("sinceSeconds", why));
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
