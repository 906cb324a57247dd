//! A bucket's store, from its URL, the options and the environment.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use dativo_sdk::Error;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use super::bucket::Store;
use super::failure::refused;
use super::options::StorageOptions;
use super::url::{Service, Url};

const TIMEOUT_SECONDS: f64 = 60.0;
const CONNECT_SECONDS: f64 = 5.0;
const RETRIES: u32 = 30;
const RETRY_SECONDS: f64 = 60.0;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Keys of the connection, which all services have.
const CLIENT: [&str; 7] = [
    "allow_http",
    "proxy_url",
    "root_certificate",
    "connect_timeout_seconds",
    "timeout_seconds",
    "max_retries",
    "retry_timeout_seconds",
];

/// Keys of a service, each with what the library calls it.
fn keys(service: Service) -> &'static [(&'static str, &'static str)] {
    match service {
        Service::S3 => &[
            // Over whatever the environment says of it.
            ("endpoint", "aws_endpoint_url_s3"),
            ("region", "region"),
            ("access_key_id", "access_key_id"),
            ("secret_access_key", "secret_access_key"),
            ("session_token", "session_token"),
            ("role_arn", "role_arn"),
            ("web_identity_token_file", "web_identity_token_file"),
            ("skip_signature", "skip_signature"),
            (
                "virtual_hosted_style_request",
                "virtual_hosted_style_request",
            ),
            ("server_side_encryption", "server_side_encryption"),
            ("sse_kms_key_id", "sse_kms_key_id"),
            ("unsigned_payload", "unsigned_payload"),
        ],
        Service::Google => &[
            ("endpoint", "base_url"),
            ("service_account_key", "service_account_key"),
            ("service_account_file", "service_account"),
            ("application_credentials", "application_credentials"),
            ("bearer_token", "bearer_token"),
            ("skip_signature", "skip_signature"),
        ],
        Service::Azure => &[
            ("endpoint", "endpoint"),
            ("account_name", "account_name"),
            ("account_key", "account_key"),
            ("sas_token", "sas_key"),
            ("bearer_token", "token"),
            ("client_id", "client_id"),
            ("client_secret", "client_secret"),
            ("tenant_id", "tenant_id"),
            ("federated_token_file", "federated_token_file"),
            ("use_azure_cli", "use_azure_cli"),
            ("use_emulator", "use_emulator"),
            ("skip_signature", "skip_signature"),
        ],
    }
}

/// Keys that say who asks, by the library's names: where the options have one of a row, the environment's of that row do not count,
/// for half of each would be nobody.
fn identities(service: Service) -> &'static [&'static [&'static str]] {
    match service {
        Service::S3 => &[&["access_key_id", "secret_access_key", "session_token"]],
        Service::Google => &[&[
            "service_account_key",
            "service_account",
            "application_credentials",
            "bearer_token",
        ]],
        Service::Azure => &[&[
            "account_key",
            "access_key",
            "sas_key",
            "sas_token",
            "token",
            "client_secret",
        ]],
    }
}

/// What the library is told: its names and values, later ones over earlier ones.
fn settings(
    url: &Url,
    options: &StorageOptions,
    environment: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    let known = keys(url.service);
    let mut own = Vec::new();
    for (key, value) in options.given() {
        if CLIENT.contains(&key) {
            continue;
        }
        let Some((_, name)) = known.iter().find(|(ours, _)| *ours == key) else {
            let valid = CLIENT.iter().chain(known.iter().map(|(ours, _)| ours));
            let mut valid: Vec<String> = valid.map(|key| format!("`{key}`")).collect();
            valid.sort();
            return Err(Error::config(format!(
                "unknown key `{key}` in `storage_options` for `{}`",
                url.root
            ))
            .with_hint(format!("valid keys: {}", valid.join(", ")))
            .with_fact("key", key));
        };
        own.push(((*name).to_owned(), value));
    }
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, value) in environment {
        let replaced = identities(url.service).iter().any(|row| {
            is_of(row, name) && own.iter().any(|(given, _)| row.contains(&given.as_str()))
        });
        if !replaced {
            all.push((name.clone(), value.clone()));
        }
    }
    let account = url.account.clone();
    all.extend(account.map(|account| ("account_name".to_owned(), account)));
    all.extend(own);
    Ok(all)
}

/// Whether a variable's name is one of these keys, in any of the spellings that count.
fn is_of(keys: &[&str], variable: &str) -> bool {
    keys.iter().any(|key| variable.ends_with(key))
}

/// The environment's variables that the library knows: those with this prefix, by their names in small letters.
fn environment(service: Service) -> Vec<(String, String)> {
    let prefix = match service {
        Service::S3 => "AWS_",
        Service::Google => "GOOGLE_",
        Service::Azure => "AZURE_",
    };
    let mut found: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with(prefix) && !value.is_empty())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    found.sort();
    found
}

/// The store of a URL's bucket; nothing is sent yet.
///
/// # Errors
/// When an option is not its service's, or the library refuses one.
pub(super) fn connect(url: &Url, options: &StorageOptions) -> Result<Arc<dyn Store>, Error> {
    let variables = environment(url.service);
    let settings = settings(url, options, &variables)?;
    let insecure = settings.iter().any(|(name, value)| {
        (name.contains("endpoint_url") || name.ends_with("endpoint") || name.ends_with("base_url"))
            && value.starts_with("http://")
    });
    let allowed = variables
        .iter()
        .any(|(name, value)| name.ends_with("_allow_http") && value == "true");
    let allow_http = options.allow_http.unwrap_or(allowed);
    if insecure && !allow_http {
        return Err(Error::config("the `endpoint` is not encrypted")
            .with_hint("use `https://`, or set `allow_http: true`")
            .with_fact("key", "endpoint"));
    }
    let client = client(options, allow_http, insecure)?;
    let retry = retry(options)?;
    // The library's, of the process: the first connection needs it.
    super::runtime::prepare()?;
    let built: object_store::Result<Arc<dyn Store>> = match url.service {
        Service::S3 => {
            let mut builder = AmazonS3Builder::new().with_bucket_name(&url.bucket);
            for (name, value) in settings {
                match name.parse() {
                    Ok(AmazonS3ConfigKey::Client(_)) | Err(_) => {}
                    Ok(key) => builder = builder.with_config(key, value),
                }
            }
            let builder = builder.with_client_options(client).with_retry(retry);
            builder.build().map(|store| Arc::new(store) as _)
        }
        Service::Google => {
            let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(&url.bucket);
            for (name, value) in settings {
                match name.parse() {
                    Ok(GoogleConfigKey::Client(_)) | Err(_) => {}
                    Ok(key) => builder = builder.with_config(key, value),
                }
            }
            let builder = builder.with_client_options(client).with_retry(retry);
            builder.build().map(|store| Arc::new(store) as _)
        }
        Service::Azure => {
            let mut builder = MicrosoftAzureBuilder::new().with_container_name(&url.bucket);
            for (name, value) in settings {
                match name.parse() {
                    Ok(AzureConfigKey::Client(_)) | Err(_) => {}
                    Ok(key) => builder = builder.with_config(key, value),
                }
            }
            let builder = builder.with_client_options(client).with_retry(retry);
            builder.build().map(|store| Arc::new(store) as _)
        }
    };
    built.map_err(|error| refused(&error, "use", &url.root))
}

fn client(
    options: &StorageOptions,
    allow_http: bool,
    insecure: bool,
) -> Result<ClientOptions, Error> {
    let timeout = seconds("timeout_seconds", options.timeout_seconds, TIMEOUT_SECONDS)?;
    let connect = seconds(
        "connect_timeout_seconds",
        options.connect_timeout_seconds,
        CONNECT_SECONDS,
    )?;
    let mut client = ClientOptions::new()
        .with_allow_http(allow_http)
        .with_timeout(timeout)
        .with_connect_timeout(connect);
    if insecure {
        // Else none can be made where the machine has no certificates.
        client = client.with_no_system_certificates(true);
    }
    if let Some(proxy) = &options.proxy_url {
        client = client.with_proxy_url(proxy);
    }
    if let Some(path) = &options.root_certificate {
        let wrong = |why: &dyn std::fmt::Display| {
            Error::config(format!("cannot use `root_certificate`: {why}"))
                .with_fact("key", "root_certificate")
        };
        let pem = fs::read(path).map_err(|error| wrong(&error))?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
        if found.is_empty() {
            return Err(wrong(&"there is no certificate in it"));
        }
        for certificate in found {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

fn retry(options: &StorageOptions) -> Result<RetryConfig, Error> {
    Ok(RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_PAUSE,
            max_backoff: LONGEST_PAUSE,
            base: 2.0,
        },
        max_retries: options.max_retries.unwrap_or(RETRIES) as usize,
        retry_timeout: seconds(
            "retry_timeout_seconds",
            options.retry_timeout_seconds,
            RETRY_SECONDS,
        )?,
    })
}

fn seconds(key: &str, given: Option<f64>, default: f64) -> Result<Duration, Error> {
    let seconds = given.unwrap_or(default);
    let found = Duration::try_from_secs_f64(seconds).ok();
    found.filter(|found| !found.is_zero()).ok_or_else(|| {
        Error::config(format!(
            "`{key}` in `storage_options` must be a number above 0"
        ))
        .with_fact("key", key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> StorageOptions {
        dativo_sdk::parse_config(json.as_bytes()).unwrap()
    }

    fn told(path: &str, json: &str, variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        settings(&Url::of(path).unwrap(), &options(json), &variables).unwrap()
    }

    fn value<'a>(told: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut found = told.iter().rev().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_key_is_known_to_the_library() {
        for (_, name) in keys(Service::S3) {
            assert!(name.parse::<AmazonS3ConfigKey>().is_ok(), "{name}");
        }
        for (_, name) in keys(Service::Google) {
            assert!(name.parse::<GoogleConfigKey>().is_ok(), "{name}");
        }
        for (_, name) in keys(Service::Azure) {
            assert!(name.parse::<AzureConfigKey>().is_ok(), "{name}");
        }
    }

    #[test]
    fn options_stand_over_the_environment() {
        let variables = [
            ("aws_access_key_id", "theirs"),
            ("aws_secret_access_key", "theirs"),
            ("aws_session_token", "theirs"),
            ("aws_region", "eu-west-1"),
        ];
        let of_environment = told("s3://b/k", "{}", &variables);
        assert_eq!(value(&of_environment, "aws_session_token"), Some("theirs"));
        let own = told(
            "s3://b/k",
            r#"{"access_key_id": "a", "secret_access_key": "b"}"#,
            &variables,
        );
        // A session of somebody else.
        assert_eq!(value(&own, "aws_session_token"), None);
        assert_eq!(value(&own, "access_key_id"), Some("a"));
        assert_eq!(value(&own, "aws_region"), Some("eu-west-1"));
    }

    #[test]
    fn the_account_of_a_url_is_that_of_azure() {
        let path = "abfss://c@acme.dfs.core.windows.net/k";
        let told = told(path, r#"{"sas_token": "s"}"#, &[]);
        assert_eq!(value(&told, "account_name"), Some("acme"));
        assert_eq!(value(&told, "sas_key"), Some("s"));
    }

    #[test]
    fn keys_of_another_service_are_refused() {
        for (path, json) in [
            ("s3://b/k", r#"{"account_key": "hunter2"}"#),
            ("gs://b/k", r#"{"region": "hunter2"}"#),
            ("az://b/k", r#"{"secret_access_key": "hunter2"}"#),
        ] {
            let error = settings(&Url::of(path).unwrap(), &options(json), &[]).unwrap_err();
            assert!(error.message.starts_with("unknown key"), "{error}");
            assert!(
                error
                    .hint
                    .as_deref()
                    .is_some_and(|hint| hint.contains("`allow_http`"))
            );
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn stores_of_all_services_are_made() {
        // A key as the Azure emulator's: base64.
        for (path, json) in [
            (
                "s3://b/k",
                r#"{"region": "eu-west-1", "access_key_id": "a", "secret_access_key": "b"}"#,
            ),
            ("gs://b/k", r#"{"bearer_token": "t"}"#),
            (
                "az://c/k",
                r#"{"account_name": "acme", "account_key": "a2V5"}"#,
            ),
            (
                "az://c/k",
                r#"{"account_name": "acme", "sas_token": "sv=2024&sig=abc"}"#,
            ),
            (
                "abfss://c@acme.dfs.core.windows.net/k",
                r#"{"bearer_token": "t"}"#,
            ),
        ] {
            assert!(
                connect(&Url::of(path).unwrap(), &options(json)).is_ok(),
                "{path}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (json, key) in [
            (r#"{"endpoint": "http://localhost:1"}"#, "allow_http"),
            (r#"{"timeout_seconds": 0}"#, "timeout_seconds"),
            (r#"{"retry_timeout_seconds": -1}"#, "retry_timeout_seconds"),
            (r#"{"root_certificate": "/nowhere"}"#, "root_certificate"),
        ] {
            let url = Url::of("s3://b/k").unwrap();
            let error = connect(&url, &options(json)).err().unwrap();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
