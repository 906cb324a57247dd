//! What went wrong with a request, as an error of a reader: by what the user can do.
//!
//! The library's own messages are long, and repeat the request and all that the server said, which may hold credentials: of the
//! answer only the service's code and the HTTP status are told.

use std::error::Error as StdError;

use dativo_sdk::Error;
use object_store::client::HttpError;

const CREDENTIALS: &str =
    "check the credentials under `storage_options`, or those that the environment gives";

/// The service refused a request, or could not be reached.
pub(super) fn refused(error: &object_store::Error, action: &str, url: &str) -> Error {
    let text = error.to_string();
    let (code, status) = (code(&text), status(&text));
    if matches!(status, Some(412 | 416)) {
        return changed(url);
    }
    let reason = match (code, status) {
        (Some(code), _) => code.to_owned(),
        (None, Some(status)) => format!("HTTP status {status}"),
        (None, None) => innermost(error),
    };
    let said = format!("cannot {action} `{url}`: {reason}");
    let failed = match status {
        Some(404) if !matches!(code, Some("NoSuchBucket" | "ContainerNotFound")) => {
            Error::config(format!("there is no object `{url}`")).with_hint(
                "`*` and `?` in `path` stand for parts of a name, `**` for folders, as on a disk",
            )
        }
        Some(status) if passing(status) => {
            Error::temporary(said).with_hint("the store asks to try again later")
        }
        Some(status) => Error::config(said).with_hint(hint(code, status)),
        None => unanswered(error, &text, said),
    };
    let failed = failed.with_fact("file", url);
    match code {
        Some(code) => failed.with_fact("code", code),
        None => failed,
    }
}

/// It is not what it was when its reading began.
pub(super) fn changed(url: &str) -> Error {
    Error::temporary(format!("`{url}` was changed while it was read"))
        .with_hint("run again when nobody writes to it; to write to another name avoids it")
        .with_fact("file", url)
}

/// It was there when objects were listed.
pub(super) fn deleted(url: &str) -> Error {
    Error::temporary(format!("`{url}` was deleted while it was read"))
        .with_hint("run again: what is there now is read")
        .with_fact("file", url)
}

/// Whether there is no such object, in a bucket that is there.
pub(super) fn is_gone(error: &object_store::Error) -> bool {
    let text = error.to_string();
    status(&text) == Some(404) && !matches!(code(&text), Some("NoSuchBucket" | "ContainerNotFound"))
}

/// Whether the service answered.
pub(super) fn has_status(error: &object_store::Error) -> bool {
    status(&error.to_string()).is_some()
}

fn passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500..)
}

fn hint(code: Option<&str>, status: u16) -> &'static str {
    match code {
        Some("NoSuchBucket" | "ContainerNotFound") => "look at the bucket's name in `path`",
        Some("SignatureDoesNotMatch") => {
            "check the credentials under `storage_options`, or those that the environment gives; a wrong `region` looks the same"
        }
        Some("AccessDenied") => "let this user list and read there",
        Some("ExpiredToken") => "the session has expired: get a new `session_token`",
        Some("RequestTimeTooSkewed") => "set the clock of this machine",
        _ if (300..400).contains(&status) => {
            "the bucket is elsewhere: look at `region` and `endpoint` in `storage_options`"
        }
        _ => CREDENTIALS,
    }
}

/// No answer came.
fn unanswered(error: &object_store::Error, text: &str, said: String) -> Error {
    if text.contains("169.254.") || text.contains("metadata.google.internal") {
        // Where no credentials are given, the machine is asked for its own; most have none.
        return Error::config(format!("{said}: there are no credentials"))
            .with_hint("give them under `storage_options`, or by the environment; `skip_signature: true` goes without");
    }
    if text.contains("without LOCATION") {
        return Error::config(said).with_hint(hint(None, 301));
    }
    if text.contains("certificate") {
        return Error::config(said)
            .with_hint("`root_certificate` in `storage_options` names a private authority's");
    }
    if text.contains("scheme is not allowed") {
        return Error::config(said).with_hint("use `https://`, or set `allow_http: true`");
    }
    if chain(error).any(|cause| cause.is::<HttpError>()) {
        return Error::temporary(said).with_hint("is the store at work, and can it be reached?");
    }
    Error::config(said).with_hint(CREDENTIALS)
}

fn chain(error: &object_store::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |cause| StdError::source(*cause))
}

/// The cause of all causes: what surrounds it repeats the request.
fn innermost(error: &object_store::Error) -> String {
    let text = chain(error)
        .last()
        .map_or_else(String::new, ToString::to_string);
    let line = text.lines().next().unwrap_or("no reason given");
    line.chars().take(200).collect()
}

/// The service's own code, from the body of its answer.
fn code(text: &str) -> Option<&str> {
    let within = |start: &str, end: &str| {
        let (_, rest) = text.split_once(start)?;
        let (code, _) = rest.split_once(end)?;
        let plain = !code.is_empty() && code.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        plain.then_some(code)
    };
    within("<Code>", "</Code>").or_else(|| within("\"error\":\"", "\""))
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use dativo_sdk::Kind;
    use object_store::client::HttpErrorKind;

    use super::*;

    fn said(text: &str) -> Error {
        let error = object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        };
        refused(&error, "list", "s3://b/k")
    }

    fn answered(status: &str, body: &str) -> Error {
        said(&format!(
            "Error performing GET http://h/b?sig=hunter2 in 1ms - Server returned non-2xx status code: {status}: {body}"
        ))
    }

    #[test]
    fn answers_by_what_can_be_done() {
        for (status, body, kind, message) in [
            (
                "403 Forbidden",
                "<Error><Code>SignatureDoesNotMatch</Code><Key>hunter2</Key></Error>",
                Kind::Config,
                "cannot list `s3://b/k`: SignatureDoesNotMatch",
            ),
            (
                "404 Not Found",
                "<Code>NoSuchBucket</Code>",
                Kind::Config,
                "cannot list `s3://b/k`: NoSuchBucket",
            ),
            (
                "404 Not Found",
                "<Code>NoSuchKey</Code>",
                Kind::Config,
                "there is no object `s3://b/k`",
            ),
            (
                "412 Precondition Failed",
                "",
                Kind::Temporary,
                "`s3://b/k` was changed while it was read",
            ),
            (
                "503 Service Unavailable",
                "<Code>SlowDown</Code>",
                Kind::Temporary,
                "cannot list `s3://b/k`: SlowDown",
            ),
            (
                "418 I'm a teapot",
                "",
                Kind::Config,
                "cannot list `s3://b/k`: HTTP status 418",
            ),
        ] {
            let error = answered(status, body);
            assert_eq!((error.kind, error.message.as_str()), (kind, message));
            assert!(error.hint.is_some());
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_store_that_is_away_is_temporary_and_its_request_is_not_shown() {
        let refused_by_host = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = object_store::Error::Generic {
            store: "S3",
            source: Box::new(HttpError::new(HttpErrorKind::Connect, refused_by_host)),
        };
        let error = refused(&error, "read", "s3://b/k");
        assert_eq!(error.kind, Kind::Temporary);
        assert_eq!(error.message, "cannot read `s3://b/k`: connection refused");
    }

    #[test]
    fn what_no_retry_mends_is_for_the_user() {
        for text in [
            "Error performing PUT http://169.254.169.254/latest/api/token in 3s - HTTP error: error sending request",
            "invalid peer certificate: UnknownIssuer",
            "Received redirect without LOCATION, this normally indicates an incorrectly configured region",
            "URL scheme is not allowed",
        ] {
            assert_eq!(said(text).kind, Kind::Config, "{text}");
        }
    }
}
