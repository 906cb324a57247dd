//! What the user configures.

use std::collections::BTreeMap;

use dativo_sdk::schemars::{self, JsonSchema};
use serde::Deserialize;

/// Where the database is, and what of it is offered. All of the connection can also be said in `url`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "PostgreSQL")]
pub struct PostgresConfig {
    /// A connection string as libpq takes it: `postgresql://user:password@host:5432/database?sslmode=require`, or
    /// `host=… dbname=… user=…`. The settings below beat it.
    #[schemars(extend("airbyte_secret" = true))]
    pub url: Option<String>,
    /// Name or address of the server, or the folder of its Unix socket; several with commas between are tried in turn.
    pub host: Option<String>,
    /// Port of the server.
    pub port: Option<u16>,
    /// Name to log in with.
    #[serde(alias = "username")]
    pub user: Option<String>,
    /// Password to log in with.
    #[schemars(extend("airbyte_secret" = true))]
    pub password: Option<String>,
    /// Name of the database; that of the user if it is not said.
    #[serde(alias = "dbname")]
    pub database: Option<String>,
    /// `disable`, `prefer` (default), `require`, `verify-ca` or `verify-full`.
    pub sslmode: Option<String>,
    /// File with the certificates of the authorities that are trusted, or `system` for those of the machine.
    pub sslrootcert: Option<String>,
    /// File with the certificate to log in with.
    pub sslcert: Option<String>,
    /// File with its key.
    pub sslkey: Option<String>,
    /// Seconds to wait for a connection; 30 if it is not said.
    pub connect_timeout: Option<u64>,
    /// Name of the connection in `pg_stat_activity`; `dativo` if it is not said.
    pub application_name: Option<String>,
    /// Seconds after which the server ends a statement; 0, the default, for no limit.
    pub statement_timeout: Option<u64>,
    /// Settings of the server for the session, such as `-c search_path=shop`.
    pub options: Option<String>,
    /// Schemas to offer, `*` for any letters; all but those of the system if it is not said.
    #[serde(alias = "filter_schemas")]
    pub schemas: Option<Vec<String>>,
    /// Schemas not to offer.
    pub exclude_schemas: Vec<String>,
    /// Tables to offer, as `schema.table` or `table`, `*` for any letters; all if it is not said.
    pub tables: Option<Vec<String>>,
    /// Queries to offer as streams, by name.
    pub queries: BTreeMap<String, Query>,
    /// What `numeric` without a precision becomes.
    pub numeric: NumericAs,
    /// What arrays become.
    pub arrays: ArraysAs,
    /// What happens to a value that the type of its column does not hold, such as the date `infinity`.
    pub bad_values: BadValues,
    /// Whether a later run begins with the rows that have the last value of the cursor, or behind them.
    pub boundary: Boundary,
    /// A row longer than this fails the run; 256 MiB if it is not said.
    pub max_row_bytes: usize,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            user: None,
            password: None,
            database: None,
            sslmode: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            connect_timeout: None,
            application_name: None,
            statement_timeout: None,
            options: None,
            schemas: None,
            exclude_schemas: Vec::new(),
            tables: None,
            queries: BTreeMap::new(),
            numeric: NumericAs::default(),
            arrays: ArraysAs::default(),
            bad_values: BadValues::default(),
            boundary: Boundary::default(),
            max_row_bytes: 256 << 20,
        }
    }
}

/// A query that is a stream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// A SELECT statement.
    pub sql: String,
    /// Names of the columns that are the key of its rows.
    #[serde(default)]
    pub key: Vec<String>,
    /// The column by which it can be read incrementally.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// What `numeric` without a precision becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumericAs {
    /// A JSON number with all its digits.
    #[default]
    Json,
    /// Text with all its digits.
    String,
    /// `decimal128(38, 9)`; numbers that have more digits are bad values.
    Decimal,
}

/// What arrays become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArraysAs {
    /// JSON text, of any number of dimensions.
    #[default]
    Json,
    /// Lists; arrays of more than one dimension are bad values.
    List,
}

/// What happens to a value that the type of its column does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BadValues {
    /// Its row becomes a rejected record.
    #[default]
    Quarantine,
    /// It becomes null.
    Null,
}

/// Where a later run begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Behind the last value where no two rows can have it (a key or unique index of this column alone), else with it.
    #[default]
    Auto,
    /// With the rows that have the last value: they come again, and none is lost.
    Inclusive,
    /// Behind them: none comes again, and one that is written later with the same value is lost.
    Exclusive,
}
