//! How to reach the server: from the configuration to hosts, login and limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dativo_sdk::Error;

use super::config::PostgresConfig;
use super::conninfo;

/// How far a server is trusted; as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const TLS_MODES: [(&str, TlsMode); 6] = [
    ("disable", TlsMode::Disable),
    // Without it first, with it if that is refused; that order has no advantage for anybody.
    ("allow", TlsMode::Prefer),
    ("prefer", TlsMode::Prefer),
    ("require", TlsMode::Require),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-full", TlsMode::VerifyFull),
];

/// A password, which is shown nowhere.
#[derive(Clone)]
pub(super) struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Where a server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address, or the folder of a Unix socket.
    pub name: String,
    pub port: u16,
}

impl Host {
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_socket(), self.name.contains(':')) {
            (true, _) => write!(formatter, "{}/.s.PGSQL.{}", self.name, self.port),
            (_, true) => write!(formatter, "[{}]:{}", self.name, self.port),
            _ => write!(formatter, "{}:{}", self.name, self.port),
        }
    }
}

/// TCP keep-alives; `None` leaves the system's own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeepAlives {
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub count: Option<u32>,
}

/// All that a connection needs to know.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Tried in turn.
    pub hosts: Vec<Host>,
    pub user: String,
    pub password: Option<Password>,
    pub database: String,
    pub tls: TlsMode,
    /// Certificates of authorities; `None` with `system` for those of the machine.
    pub root_certificate: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub connect_timeout: Duration,
    pub application_name: String,
    pub options: Option<String>,
    pub statement_timeout: Duration,
    pub keepalives: Option<KeepAlives>,
    pub max_row_bytes: usize,
}

const KEYS: &str = "host, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, connect_timeout, \
    application_name, options, keepalives, keepalives_idle, keepalives_interval, keepalives_count";

impl Settings {
    /// From the configuration: what is said by itself beats what is said in `url`.
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, Error> {
        let mut said = match &config.url {
            Some(url) => conninfo::parse(url)?,
            None => Vec::new(),
        };
        let port = config.port.map(|port| port.to_string());
        let timeout = config.connect_timeout.map(|seconds| seconds.to_string());
        for (key, value) in [
            ("host", &config.host),
            ("port", &port),
            ("user", &config.user),
            ("password", &config.password),
            ("dbname", &config.database),
            ("sslmode", &config.sslmode),
            ("sslrootcert", &config.sslrootcert),
            ("sslcert", &config.sslcert),
            ("sslkey", &config.sslkey),
            ("connect_timeout", &timeout),
            ("application_name", &config.application_name),
            ("options", &config.options),
        ] {
            said.extend(value.iter().map(|value| (key.to_owned(), value.clone())));
        }
        let mut settings = Self::default();
        let (mut hosts, mut ports) = ("localhost".to_owned(), "5432".to_owned());
        for (key, value) in said {
            match key.as_str() {
                "host" => hosts = value,
                "port" => ports = value,
                _ => settings.set(&key, value)?,
            }
        }
        settings.hosts = join(&hosts, &ports)?;
        settings.statement_timeout = Duration::from_secs(config.statement_timeout.unwrap_or(0));
        settings.max_row_bytes = config.max_row_bytes;
        if settings.user.is_empty() {
            return Err(
                Error::config("`user` is missing").with_hint("name it in `user`, or in `url`")
            );
        }
        if settings.database.is_empty() {
            settings.database.clone_from(&settings.user);
        }
        if settings.certificate.is_some() != settings.key.is_some() {
            return Err(Error::config(
                "`sslcert` and `sslkey` go together: one of them is missing",
            ));
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), Error> {
        let path = |value: String| (!value.is_empty()).then(|| PathBuf::from(value));
        match key {
            "dbname" | "database" => self.database = value,
            "user" => self.user = value,
            "password" => self.password = Some(Password(value)),
            "sslmode" => {
                let known = TLS_MODES.iter().find(|(name, _)| *name == value);
                let Some((_, mode)) = known else {
                    let names: Vec<&str> = TLS_MODES.iter().map(|(name, _)| *name).collect();
                    return Err(Error::config(format!(
                        "`sslmode` is none of {}",
                        names.join(", ")
                    )));
                };
                self.tls = *mode;
            }
            "sslrootcert" => self.root_certificate = path(value),
            "sslcert" => self.certificate = path(value),
            "sslkey" => self.key = path(value),
            "connect_timeout" => {
                self.connect_timeout = Duration::from_secs(whole(key, &value)?.max(1))
            }
            "application_name" | "fallback_application_name" => self.application_name = value,
            "options" => self.options = Some(value),
            "keepalives" => {
                self.keepalives = (value != "0").then(|| self.keepalives.unwrap_or_default())
            }
            "keepalives_idle" => self.keep().idle = Some(Duration::from_secs(whole(key, &value)?)),
            "keepalives_interval" => {
                self.keep().interval = Some(Duration::from_secs(whole(key, &value)?))
            }
            "keepalives_count" => self.keep().count = Some(whole(key, &value)? as u32),
            // Said by tools that write such strings, and without an effect here.
            "client_encoding" | "gssencmode" | "target_session_attrs"
                if matches!(
                    value.as_str(),
                    "utf8" | "UTF8" | "auto" | "disable" | "prefer" | "any"
                ) => {}
            _ => {
                return Err(Error::config(format!(
                    "`url`: `{key}` is not supported, or not with this value"
                ))
                .with_hint(format!("what can be said there: {KEYS}")));
            }
        }
        Ok(())
    }

    fn keep(&mut self) -> &mut KeepAlives {
        self.keepalives.get_or_insert_default()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            user: String::new(),
            password: None,
            database: String::new(),
            tls: TlsMode::Prefer,
            root_certificate: None,
            certificate: None,
            key: None,
            connect_timeout: Duration::from_secs(30),
            application_name: "dativo".to_owned(),
            options: None,
            statement_timeout: Duration::ZERO,
            // A server that is gone must not be waited for: the system's own idle time is two hours.
            keepalives: Some(KeepAlives {
                idle: Some(Duration::from_secs(60)),
                interval: Some(Duration::from_secs(10)),
                count: Some(6),
            }),
            max_row_bytes: 0,
        }
    }
}

fn whole(key: &str, value: &str) -> Result<u64, Error> {
    value
        .parse()
        .map_err(|_| Error::config(format!("`{key}` is not a whole number")))
}

/// One port is that of all hosts.
fn join(hosts: &str, ports: &str) -> Result<Vec<Host>, Error> {
    let ports: Vec<&str> = ports.split(',').collect();
    let hosts: Vec<&str> = hosts.split(',').collect();
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(Error::config(format!(
            "{} hosts and {} ports",
            hosts.len(),
            ports.len()
        )));
    }
    let port_of = |place: usize| match ports.get(place).or(ports.first()) {
        None | Some(&"") => Ok(5432),
        Some(port) => port
            .parse()
            .map_err(|_| Error::config("`port` is not a port number")),
    };
    let found = hosts.iter().enumerate();
    found
        .map(|(place, host)| {
            let name = if host.is_empty() { "localhost" } else { host };
            Ok(Host {
                name: name.to_owned(),
                port: port_of(place)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Result<Settings, Error> {
        Settings::new(&PostgresConfig {
            url: Some(url.to_owned()),
            ..PostgresConfig::default()
        })
    }

    #[test]
    fn what_is_not_said_has_libpqs_defaults() {
        let found = settings("postgresql://me@").unwrap();
        assert_eq!(
            found.hosts,
            [Host {
                name: "localhost".to_owned(),
                port: 5432
            }]
        );
        assert_eq!(
            (found.database.as_str(), found.tls),
            ("me", TlsMode::Prefer)
        );
    }

    #[test]
    fn what_is_said_by_itself_beats_the_url() {
        let config = PostgresConfig {
            url: Some("postgresql://me:old@a:1/d".to_owned()),
            password: Some("new".to_owned()),
            port: Some(2),
            ..PostgresConfig::default()
        };
        let found = Settings::new(&config).unwrap();
        assert_eq!(found.password.unwrap().0, "new");
        assert_eq!(found.hosts[0].to_string(), "a:2");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for url in [
            "postgresql://me@h/d?sslmode=maybe",
            "user=me passfile=/x",
            "user=me port=1,2,3",
            "host=h",
            "user=me sslcert=/x",
        ] {
            assert!(settings(url).is_err(), "{url}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", settings("postgresql://me:hunter2@h/d").unwrap());
        assert!(!shown.contains("hunter2"));
    }
}
