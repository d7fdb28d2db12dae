//! Query parameters, read and checked once.

use dormouse_machinery::field::FieldError;

use crate::request::query_pairs;
use crate::{ApiError, RequestInfo};

/// The decoded pairs of a query string.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

/// What a request wants to know about unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        Self(query_pairs(query).collect())
    }

    /// The first value of a parameter; empty when it is absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(k, _)| k == name)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// A truth value as Go's query decoding reads it: present and neither `false` nor `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.iter().find(|(k, _)| k == name).is_some_and(|(_, v)| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                ApiError::bad_request(format!("strconv.ParseInt: parsing {}: invalid syntax", dormouse_machinery::go::quote(text)))
            }),
        }
    }

    /// Whether nothing shall be kept, and how fields are checked. `options` names the options type of the verb.
    pub(crate) fn write_options(&self, options: &str) -> Result<(bool, FieldValidation), ApiError> {
        let mut problems = Vec::new();
        let dry: Vec<&str> = self.all("dryRun").collect();
        check_dry_run(&dry, &mut problems);
        if !matches!(self.get("fieldValidation"), "" | "Ignore" | "Warn" | "Strict") {
            let supported = ["", "Ignore", "Strict", "Warn"];
            problems.push(FieldError::not_supported("fieldValidation", self.get("fieldValidation"), &supported));
        }
        if self.get("fieldManager").chars().count() > 128 {
            problems.push(FieldError::too_long("fieldManager", 128));
        }
        refuse(options, &problems)?;
        let validation = match self.get("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => FieldValidation::Warn,
        };
        Ok((!dry.is_empty(), validation))
    }
}

/// Problems of a `dryRun` list.
pub(crate) fn check_dry_run(dry: &[&str], problems: &mut Vec<FieldError>) {
    if dry.iter().any(|d| *d != "All") {
        problems.push(FieldError::not_supported("dryRun", serde_json::json!(dry), &["All"]));
    }
}

/// 422 on an options type, when there are problems.
pub(crate) fn refuse(options: &str, problems: &[FieldError]) -> Result<(), ApiError> {
    if problems.is_empty() { Ok(()) } else { Err(ApiError::invalid_fields("meta.k8s.io", options, "", problems)) }
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Default)]
pub(crate) struct ListParams {
    pub(crate) limit: Option<usize>,
    pub(crate) continue_token: String,
    /// `None` when unset; 0 means "any".
    pub(crate) resource_version: Option<u64>,
    pub(crate) version_match: String,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
}

impl ListParams {
    pub(crate) fn parse(params: &Params, info: &RequestInfo) -> Result<Self, ApiError> {
        let watch = info.verb == "watch";
        let send_initial_events = params.has("sendInitialEvents").then(|| params.flag("sendInitialEvents"));
        let out = Self {
            limit: params.int("limit")?.filter(|l| *l > 0).and_then(|l| usize::try_from(l).ok()),
            continue_token: params.get("continue").to_owned(),
            resource_version: None,
            version_match: params.get("resourceVersionMatch").to_owned(),
            timeout_seconds: params.int("timeoutSeconds")?.and_then(|t| u64::try_from(t).ok()).filter(|t| *t > 0),
            bookmarks: params.flag("allowWatchBookmarks"),
            send_initial_events,
            label_selector: params.get("labelSelector").to_owned(),
            field_selector: params.get("fieldSelector").to_owned(),
        };
        let version = params.get("resourceVersion");
        refuse("ListOptions", &out.problems(version, watch))?;
        let resource_version = match version {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                let quoted = dormouse_machinery::go::quote(text);
                let why = format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax");
                if watch { ApiError::bad_request(why) } else { ApiError::bad_request(format!("invalid resource version: {why}")) }
            })?),
        };
        Ok(Self { resource_version, ..out })
    }

    fn problems(&self, version: &str, watch: bool) -> Vec<FieldError> {
        let mut problems = Vec::new();
        let field = "resourceVersionMatch";
        let rule = self.version_match.as_str();
        if watch {
            if !rule.is_empty() {
                if self.send_initial_events.is_none() {
                    let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                    problems.push(FieldError::forbidden(field, why));
                } else if rule != "NotOlderThan" {
                    problems.push(FieldError::not_supported(field, rule, &["NotOlderThan"]));
                }
                if !self.continue_token.is_empty() {
                    problems.push(FieldError::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
                }
            }
            if self.send_initial_events.is_some() && rule != "NotOlderThan" {
                problems.push(FieldError::forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
            }
            return problems;
        }
        if self.send_initial_events.is_some() {
            problems.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        if rule.is_empty() {
            return problems;
        }
        if version.is_empty() {
            problems.push(FieldError::forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if !self.continue_token.is_empty() {
            problems.push(FieldError::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(rule, "Exact" | "NotOlderThan") {
            problems.push(FieldError::not_supported(field, rule, &["Exact", "NotOlderThan", ""]));
        }
        if rule == "Exact" && version == "0" {
            problems.push(FieldError::forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
        }
        problems
    }
}
