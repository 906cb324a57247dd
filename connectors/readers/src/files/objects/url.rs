//! `s3://bucket/key`: which service, which bucket, which key.

use dativo_sdk::Error;

/// A service that keeps objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// An object, or a pattern of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whose.
    pub service: Service,
    /// All before the key: `s3://bucket/`.
    pub root: String,
    /// Bucket or container.
    pub bucket: String,
    /// Of Azure, where the URL says it.
    pub account: Option<String>,
    /// The object's name, character by character: nothing in it is encoded.
    pub key: String,
}

impl Url {
    /// The parts of a path with a scheme.
    ///
    /// # Errors
    /// When it is none of an object store, or holds what must not be in it.
    pub fn of(path: &str) -> Result<Self, Error> {
        let (scheme, rest) = path.split_once("://").unwrap_or(("", path));
        let service = match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => Service::S3,
            "gs" | "gcs" => Service::Google,
            "az" | "azure" | "abfs" | "abfss" => Service::Azure,
            _ => {
                return Err(
                    Error::config(format!("there is no store for `{scheme}://`"))
                        .with_hint(
                            "write a path, `file://`, `s3://`, `gs://`, `az://` or `abfss://`",
                        )
                        .with_fact("key", "path"),
                );
            }
        };
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        let (bucket, account) = match authority.split_once('@') {
            None => (authority, None),
            Some((container, host)) if service == Service::Azure && !container.contains(':') => {
                (container, host.split('.').next().map(str::to_owned))
            }
            Some(_) => {
                return Err(Error::config("the URL in `path` must not hold credentials")
                    .with_hint("put them under `storage_options`")
                    .with_fact("key", "path"));
            }
        };
        if bucket.is_empty() || key.is_empty() || bucket.contains(['*', '?', '[', '{']) {
            return Err(Error::config(format!(
                "`path` must look like `{scheme}://bucket/folder/*.csv`"
            ))
            .with_fact("key", "path"));
        }
        if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(
                Error::config("a part of `path` is empty, `.` or `..`").with_fact("key", "path")
            );
        }
        Ok(Self {
            service,
            root: format!("{scheme}://{authority}/"),
            bucket: bucket.to_owned(),
            account,
            key: key.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_by_their_schemes() {
        for (path, service, bucket, account, key) in [
            ("s3://b/a/*.csv", Service::S3, "b", None, "a/*.csv"),
            ("S3A://b/a%20b?", Service::S3, "b", None, "a%20b?"),
            ("gs://b/k", Service::Google, "b", None, "k"),
            ("az://c/k", Service::Azure, "c", None, "k"),
            (
                "abfss://c@acme.dfs.core.windows.net/k",
                Service::Azure,
                "c",
                Some("acme"),
                "k",
            ),
        ] {
            let url = Url::of(path).unwrap();
            assert_eq!((url.service, url.bucket.as_str()), (service, bucket));
            assert_eq!((url.account.as_deref(), url.key.as_str()), (account, key));
            assert_eq!(format!("{}{}", url.root, url.key), path);
        }
    }

    #[test]
    fn what_is_no_object_is_refused_and_no_secret_is_shown() {
        for path in [
            "ftp://host/a",
            "s3://",
            "s3://b",
            "s3://b/",
            "s3:///k",
            "s3://b*/k",
            "s3://b/a//k",
            "s3://b/../k",
            "s3://AKIA:hunter2@b/k",
            "abfss://c:hunter2@acme.dfs.core.windows.net/k",
        ] {
            let error = Url::of(path).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
