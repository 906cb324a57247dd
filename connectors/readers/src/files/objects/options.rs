//! `storage_options`: the same keys as those of targets.

use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! options {
    ($($(#[$meta:meta])* $name:ident: $type:ty,)*) => {
        /// How an object store is reached, and by whom.
        #[derive(Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct StorageOptions {
            $($(#[$meta])* pub $name: Option<$type>,)*
        }

        impl StorageOptions {
            /// The keys that are given, and their values as text.
            pub(super) fn given(&self) -> Vec<(&'static str, String)> {
                let all = [
                    $((stringify!($name), self.$name.as_ref().map(ToString::to_string)),)*
                ];
                all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        }
    };
}

options! {
    /// The server's URL, where it is not the cloud's own.
    endpoint: String,
    /// Whether the endpoint may be `http://`; false unless given.
    allow_http: bool,
    /// URL of a proxy.
    proxy_url: String,
    /// A file with the certificate of a private authority (PEM).
    root_certificate: String,
    /// Seconds to wait for a connection, 5 unless given.
    connect_timeout_seconds: f64,
    /// Seconds to wait for a request, 60 unless given.
    timeout_seconds: f64,
    /// How often a request that fails for the moment is made again, 30 unless given.
    max_retries: u32,
    /// For how many seconds it is made again, 60 unless given.
    retry_timeout_seconds: f64,
    /// S3: the region of the bucket.
    region: String,
    /// S3: who asks.
    access_key_id: String,
    /// S3: the secret that belongs to it.
    #[schemars(extend("airbyte_secret" = true))]
    secret_access_key: String,
    /// S3: the token of a session.
    #[schemars(extend("airbyte_secret" = true))]
    session_token: String,
    /// S3: a role to take on by a web identity.
    role_arn: String,
    /// S3: the file of that identity's token.
    web_identity_token_file: String,
    /// Whether requests are made without credentials, of what is public.
    skip_signature: bool,
    /// S3: whether the bucket is part of the host's name.
    virtual_hosted_style_request: bool,
    /// S3: how a target has objects encrypted; nothing to a reader.
    server_side_encryption: String,
    /// S3: by which key; nothing to a reader.
    sse_kms_key_id: String,
    /// S3: whether signatures leave out the data; nothing to a reader.
    unsigned_payload: bool,
    /// Google: the JSON text of a service account's key.
    #[schemars(extend("airbyte_secret" = true))]
    service_account_key: String,
    /// Google: the file of it.
    service_account_file: String,
    /// Google: the file of application credentials.
    application_credentials: String,
    /// Google and Azure: a token of the one who asks.
    #[schemars(extend("airbyte_secret" = true))]
    bearer_token: String,
    /// Azure: the storage account.
    account_name: String,
    /// Azure: its key.
    #[schemars(extend("airbyte_secret" = true))]
    account_key: String,
    /// Azure: a shared access signature.
    #[schemars(extend("airbyte_secret" = true))]
    sas_token: String,
    /// Azure: the application that asks.
    client_id: String,
    /// Azure: its secret.
    #[schemars(extend("airbyte_secret" = true))]
    client_secret: String,
    /// Azure: its tenant.
    tenant_id: String,
    /// Azure: the file of a workload identity's token.
    federated_token_file: String,
    /// Azure: whether the Azure CLI is asked for a token.
    use_azure_cli: bool,
    /// Azure: whether the server is the storage emulator.
    use_emulator: bool,
}

impl std::fmt::Debug for StorageOptions {
    /// Keys only: values may be secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = self.given();
        formatter
            .debug_set()
            .entries(given.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        let options: StorageOptions =
            dativo_sdk::parse_config(br#"{"secret_access_key": "hunter2", "allow_http": true}"#)
                .unwrap();
        assert_eq!(
            format!("{options:?}"),
            r#"{"allow_http", "secret_access_key"}"#
        );
        let wrong =
            dativo_sdk::parse_config::<StorageOptions>(br#"{"secret_access_key": 1234567}"#);
        assert!(!wrong.unwrap_err().to_string().contains("1234567"));
        assert!(dativo_sdk::parse_config::<StorageOptions>(br#"{"secret": "x"}"#).is_err());
    }
}
